"""The handlers of the requests `login`, `logout`, `contacts`, `assign`, `health` and `questions`.

    request/assign {"user": "old", "to": "wife"}  ->  {"user": "old", "changed": ["wife"]}

`action_requests.py` has the requests that change something at WeChat, `history_request.py` has `history`,
`bridge/media/media_request.py` has `media`, and `app/application.py` has those of the whole program
(`log_level`, `reload`). A new request also needs its schema, a row of `REQUEST_SCHEMAS` in
`schemas/requests.py`.
"""

from __future__ import annotations

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inbound import InboundMessages
from wx2mqtt.bridge.login_session import LoginSession
from wx2mqtt.bridge.people.directory import search_payload
from wx2mqtt.bridge.requests.dispatcher import Handler, SizedHandler
from wx2mqtt.bridge.requests.history_request import HistoryRequest
from wx2mqtt.bridge.status_topics import StatusReporter
from wx2mqtt.bridge.window_topics import ReplyWindowTopics
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.errors import BadCommand
from wx2mqtt.limits import MAX_LISTED_QUESTIONS
from wx2mqtt.model import Json
from wx2mqtt.mqtt import commands as read
from wx2mqtt.store.question_records import AskedQuestion, buttons_to_json


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
        self._questions = QuestionsRequest(ctx)

    def handlers(self) -> dict[str, Handler]:
        return {
            "login": self._log_in,
            "logout": self._log_out,
            "contacts": self._search_contacts,
            "assign": self._assign,
            "health": self._report_health,
            "history": SizedHandler(self._history.answer),
            "questions": self._questions.answer,
        }

    async def _log_in(self, fields: dict[str, Json]) -> Json:
        """Starts a login with a QR code, enters the `code` that the phone shows, or begins a renewal."""
        read.reject_unknown_fields(fields, "code", "new_owner", "renew")
        new_owner = read.read_flag(fields, "new_owner")
        renew = read.read_flag(fields, "renew")
        has_code = "code" in fields
        if renew and (new_owner or has_code):
            raise BadCommand("bad_request", "renew_alone")
        if has_code and new_owner:
            raise BadCommand("bad_request", "code_or_new_owner")
        if renew:
            self._renew()
        elif has_code:
            self._enter_code(read.read_digits(fields, "code"))
        else:
            self._login_requests.request_login(new_owner=new_owner)
        return self._session.login.body(self._account)

    def _renew(self) -> None:
        if not self._can_renew:
            raise BadCommand("unsupported", "unsupported_action", name="renew")
        self._renewal_requested.emit()

    def _enter_code(self, code: str) -> None:
        if not self._session.enter_verification_code(code):
            raise BadCommand("bad_request", "no_code_asked")

    async def _log_out(self, fields: dict[str, Json]) -> Json:
        read.reject_unknown_fields(fields)
        await self._login_requests.request_logout()
        return self._session.login.body(self._account)

    async def _search_contacts(self, fields: dict[str, Json]) -> Json:
        """Returns the people of a search. Changed windows are published first: answer and topics agree."""
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


class QuestionsRequest:
    """The request `questions`: lists the open questions of an account, or closes one.

    {}                   ->  {"questions": [{"command_id": "door-7", "text": "Lock the door?", …}], …}
    {"close": "door-7"}  ->  {"closed": "door-7"}; nobody can answer it any more
    """

    def __init__(self, ctx: AccountContext) -> None:
        self._ctx = ctx

    async def answer(self, fields: dict[str, Json]) -> Json:
        """Returns the open questions, the newest first, or closes one. Raises `BadCommand`, `StoreError`."""
        read.reject_unknown_fields(fields, "close")
        if "close" in fields:
            return await self._close(read.read_text(fields, "close"))
        newest = await self._ctx.journal.questions.list_open(now_ms(), MAX_LISTED_QUESTIONS + 1)
        listed: list[Json] = [_question_body(question) for question in newest[:MAX_LISTED_QUESTIONS]]
        return {"questions": listed, "more": len(newest) > MAX_LISTED_QUESTIONS}

    async def _close(self, command_id: str) -> Json:
        if not await self._ctx.journal.questions.close(command_id, now_ms()):
            raise BadCommand("unknown_id", "no_open_question", id=command_id)
        return {"closed": command_id}


def _question_body(question: AskedQuestion) -> dict[str, Json]:
    """Returns a question as it is listed; without `until` its message is still being sent.

    `fallback_account` is the account that has sent it in place of this one, if there is one.
    """
    body: dict[str, Json] = {
        "command_id": question.asker.command_id,
        "user": question.asker.user,
        "text": question.text,
        "buttons": buttons_to_json(question.buttons),
        "buttons_from": "anyone" if question.anyone else "trusted",
        "asked": rfc3339(question.asked),
    }
    if question.until is not None:
        body["until"] = rfc3339(question.until)
    if question.fallback_account:
        body["fallback_account"] = question.fallback_account
    return body
