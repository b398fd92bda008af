"""What can be asked of one account on `bridge/request/<name>`, as a table (DESIGN 4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from wx2mqtt.bridge import fields as read
from wx2mqtt.bridge.history import History
from wx2mqtt.bridge.people.directory import search
from wx2mqtt.bridge.people.identity import Changes, Entry, Identity
from wx2mqtt.bridge.requests import Filling, Work
from wx2mqtt.bridge.session import Session
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Json


class Asked:
    """Carries out the requests that concern one account. `save` stores what the owner decided on people."""

    def __init__(
        self,
        *,
        account: str,
        session: Session,
        identity: Identity,
        directory: Callable[[], Iterable[Entry]],
        save: Callable[[Changes], Awaitable[None]],
        health: Callable[[], Awaitable[dict[str, Json]]],
        history: History,
    ) -> None:
        self._account = account
        self._session = session
        self._identity = identity
        self._directory = directory
        self._save = save
        self._health = health
        self._past = history

    def handlers(self) -> dict[str, Work]:
        """By name."""
        return {
            "login": self._log_in,
            "logout": self._log_out,
            "contacts": self._contacts,
            "assign": self._assign,
            "health": self._tell_health,
            "history": Filling(self._past.answer),
        }

    async def _log_in(self, fields: dict[str, Json]) -> Json:
        """A QR code is wanted; or here is the number that the phone shows."""
        if "code" not in fields:
            self._session.ask()
        elif not self._session.give_code(read.digits(fields, "code")):
            raise BadCommand("bad_request", "no_code_asked")
        return self._session.login.body(self._account)

    async def _log_out(self, _fields: dict[str, Json]) -> Json:
        await self._session.log_out()
        return self._session.login.body(self._account)

    async def _contacts(self, fields: dict[str, Json]) -> Json:
        return search(self._directory(), fields)

    async def _assign(self, fields: dict[str, Json]) -> Json:
        """The owner says that the closed `user` is whoever is called `to` now."""
        user, to = read.text(fields, "user"), read.text(fields, "to")
        changes = self._identity.assign(user, to, now_ms())
        await self._save(changes)
        return {"user": user, "changed": [person.level for person in changes.people.persons]}

    async def _tell_health(self, _fields: dict[str, Json]) -> Json:
        return await self._health()
