"""What can be asked of one account on `bridge/request/<name>`, as a table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from wx2mqtt.bridge.people.directory import search_payload
from wx2mqtt.bridge.people.registry import DirectoryEntry, PeopleRegistry
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.bridge.requests.dispatcher import Handler, SizedHandler
from wx2mqtt.bridge.requests.history import HistoryRequest
from wx2mqtt.bridge.session import LoginSession
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Json
from wx2mqtt.mqtt import commands as read


class AccountRequests:
    """Carries out the requests that concern one account. `save` stores what the owner decided on people."""

    def __init__(
        self,
        *,
        account: str,
        session: LoginSession,
        registry: PeopleRegistry,
        directory: Callable[[], Iterable[DirectoryEntry]],
        save: Callable[[PeopleUpdate], Awaitable[None]],
        health: Callable[[], Awaitable[dict[str, Json]]],
        history: HistoryRequest,
    ) -> None:
        self._account = account
        self._session = session
        self._registry = registry
        self._directory = directory
        self._save = save
        self._health = health
        self._history = history

    def handlers(self) -> dict[str, Handler]:
        """By name."""
        return {
            "login": self._log_in,
            "logout": self._log_out,
            "contacts": self._search_contacts,
            "assign": self._assign,
            "health": self._report_health,
            "history": SizedHandler(self._history.answer),
        }

    async def _log_in(self, fields: dict[str, Json]) -> Json:
        """A QR code is wanted; or here is the number that the phone shows."""
        if "code" not in fields:
            self._session.request_login()
        elif not self._session.enter_verification_code(read.read_digits(fields, "code")):
            raise BadCommand("bad_request", "no_code_asked")
        return self._session.login.body(self._account)

    async def _log_out(self, _fields: dict[str, Json]) -> Json:
        await self._session.log_out()
        return self._session.login.body(self._account)

    async def _search_contacts(self, fields: dict[str, Json]) -> Json:
        return search_payload(self._directory(), fields)

    async def _assign(self, fields: dict[str, Json]) -> Json:
        """The owner says that the closed `user` is whoever is called `to` now."""
        user, to = read.read_text(fields, "user"), read.read_text(fields, "to")
        changes = self._registry.assign(user, to, now_ms())
        await self._save(changes)
        return {"user": user, "changed": [person.level for person in changes.people.persons]}

    async def _report_health(self, _fields: dict[str, Json]) -> Json:
        return await self._health()
