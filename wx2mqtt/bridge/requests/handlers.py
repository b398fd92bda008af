"""The handlers of the requests `login`, `logout`, `contacts`, `assign`, `health` and `history`.

`actions.py` has the requests that change something at WeChat, `bridge/media/library.py` has `media`,
`app/application.py` those of the whole program (`log_level`, `reload`). A new request also needs its
schema, a row of `REQUEST_SCHEMAS` in `schemas/requests.py`.
"""

from __future__ import annotations

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inbound import InboundMessages
from wx2mqtt.bridge.people.directory import search_payload
from wx2mqtt.bridge.requests.dispatcher import Handler, SizedHandler
from wx2mqtt.bridge.requests.history import HistoryRequest
from wx2mqtt.bridge.session import LoginSession
from wx2mqtt.bridge.status_topics import StatusReporter
from wx2mqtt.bridge.window_topics import ReplyWindowTopics
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Json
from wx2mqtt.mqtt import commands as read


class AccountRequests:
    """Handles the requests that one account answers without changing anything at WeChat."""

    def __init__(
        self,
        ctx: AccountContext,
        session: LoginSession,
        inbound: InboundMessages,
        windows: ReplyWindowTopics,
        reporter: StatusReporter,
    ) -> None:
        self._account = ctx.name
        self._registry = ctx.registry
        self._session = session
        self._login_requests = ctx.login_requests
        self._can_renew = ctx.backend.capabilities.login_seconds is not None
        self._renewal_requested = ctx.signals.renewal_requested
        self._inbound = inbound
        self._windows = windows
        self._reporter = reporter
        self._history = HistoryRequest(ctx.journal, ctx.registry, ctx.topics.contacts)

    def handlers(self) -> dict[str, Handler]:
        """Returns the handlers by the name of their request."""
        return {
            "login": self._log_in,
            "logout": self._log_out,
            "contacts": self._search_contacts,
            "assign": self._assign,
            "health": self._report_health,
            "history": SizedHandler(self._history.answer),
        }

    async def _log_in(self, fields: dict[str, Json]) -> Json:
        """Starts a login with a QR code, or enters the `code` that the phone shows.

        With `new_owner` a login ends first, and another account may log in. With `renew` it goes on until the
        owner has confirmed the next one.
        """
        read.reject_unknown_fields(fields, "code", "new_owner", "renew")
        new_owner, renew = read.read_flag(fields, "new_owner"), read.read_flag(fields, "renew")
        if renew:
            if new_owner or "code" in fields:
                raise BadCommand("bad_request", "renew_alone")
            if not self._can_renew:
                raise BadCommand("unsupported", "unsupported_action", name="renew")
            self._renewal_requested.emit()
        elif "code" not in fields:
            self._login_requests.request_login(new_owner=new_owner)
        elif new_owner:
            raise BadCommand("bad_request", "code_or_new_owner")
        elif not self._session.enter_verification_code(read.read_digits(fields, "code")):
            raise BadCommand("bad_request", "no_code_asked")
        return self._session.login.body(self._account)

    async def _log_out(self, fields: dict[str, Json]) -> Json:
        read.reject_unknown_fields(fields)
        await self._login_requests.request_logout()
        return self._session.login.body(self._account)

    async def _search_contacts(self, fields: dict[str, Json]) -> Json:
        """Returns the directory as of now; windows that changed are published first, not a moment later."""
        self._windows.publish_changes()
        return search_payload(self._windows.directory_entries(), fields)

    async def _assign(self, fields: dict[str, Json]) -> Json:
        """Applies the owner's decision that the person `to` is the same as the closed `user`."""
        read.reject_unknown_fields(fields, "user", "to")
        user, to = read.read_text(fields, "user"), read.read_text(fields, "to")
        changes = self._registry.assign(user, to, now_ms())
        await self._inbound.apply_people(changes)
        return {"user": user, "changed": [person.topic_name for person in changes.people.persons]}

    async def _report_health(self, fields: dict[str, Json]) -> Json:
        read.reject_unknown_fields(fields)
        return await self._reporter.health()
