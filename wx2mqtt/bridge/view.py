"""What a person may see of one account and do with it, without MQTT: what the page at `/` is made of.

Reads what the rooms know. What it does goes the same way as what the broker delivers: judged and on the disk
before anything happens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from wx2mqtt.bridge.board import Board
from wx2mqtt.bridge.calls import Calls
from wx2mqtt.bridge.filters import FILEHELPER
from wx2mqtt.bridge.health import Seen
from wx2mqtt.bridge.history import History
from wx2mqtt.bridge.inbound import Inbound
from wx2mqtt.bridge.outbound import Outbound
from wx2mqtt.bridge.people.directory import matching
from wx2mqtt.bridge.people.identity import Entry, Identity
from wx2mqtt.bridge.session import Session
from wx2mqtt.bridge.state import Login
from wx2mqtt.model import ChatKind, Json
from wx2mqtt.mqtt.link import Delivery
from wx2mqtt.mqtt.payloads import encode
from wx2mqtt.mqtt.topics import JSON, OutText, Topics
from wx2mqtt.store.journal import CommandRow, Journal

_MEDIA = "/media/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A message that came in. `time` as in RFC 3339; `media` is the id of its bytes, empty without any."""

    time: str
    user: str
    chat: str
    group: bool
    sender: str
    own: bool
    kind: str
    text: str
    media: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Some of the people who fit; `count` is how many there are in all."""

    count: int
    entries: Sequence[Entry]


class View:
    """One account, as somebody sees it who looks on. `contacts`: its backend has an address book."""

    def __init__(  # noqa: PLR0913 - all that a person may see
        self,
        *,
        account: str,
        topics: Topics,
        session: Session,
        board: Board,
        inbound: Inbound,
        identity: Identity,
        directory: Callable[[], Sequence[Entry]],
        journal: Journal,
        outbound: Outbound,
        history: History,
        calls: Calls,
        contacts: bool,
        seen: Callable[[], Awaitable[Seen]],
    ) -> None:
        self.name = account
        self.topics = topics
        self.calls = calls
        self._session = session
        self._board = board
        self._inbound = inbound
        self._identity = identity
        self._directory = directory
        self._journal = journal
        self._outbound = outbound
        self._history = history
        self._contacts = contacts
        self._seen = seen

    @property
    def login(self) -> Login:
        """How the login stands."""
        return self._session.login

    @property
    def owner(self) -> str:
        """What the person is called whose account it is, else their topic; empty before a login."""
        owner = self._inbound.owner
        return "" if owner is None else owner.nickname or self.oneself

    @property
    def oneself(self) -> str:
        """Who gets a test: the chat with oneself, else whose account it is; empty before that is known."""
        if self._contacts:
            return FILEHELPER
        handle = self._identity.owner_handle
        person = None if handle is None else self._identity.by_handle(handle)
        return "" if person is None else person.level

    @property
    def code(self) -> bytes:
        """The QR code that is to be scanned now, a PNG; empty where none is."""
        return self._board.code

    async def seen(self) -> Seen:
        """What health is made of. Raises `StoreError`."""
        return await self._seen()

    async def lines(self, limit: int) -> list[Line]:
        """The newest messages, the newest first. Raises `StoreError`."""
        answer = cast(
            "Mapping[str, list[dict[str, Json]]]", await self._history.answer({"limit": limit}, None)
        )
        return [_line(body) for body in reversed(answer["messages"])]

    async def commands(self, limit: int) -> list[CommandRow]:
        """The newest commands, the newest first. Raises `StoreError`."""
        return await self._journal.commands(limit=limit)

    def people(self, query: str, offset: int, limit: int) -> Found:
        """Those who fit, who need a decision first and who are gone last."""
        fitting = sorted(matching(self._directory(), query), key=_rank)
        return Found(count=len(fitting), entries=fitting[offset : offset + limit])

    async def send(self, user: str, text: str, command_id: str) -> None:
        """Send a text as a command on `out/<user>` would; its result comes there too. Raises `StoreError`."""
        payload = encode({"text": text, "id": command_id})
        delivery = Delivery(
            topic=self.topics.out(user),
            payload=payload,
            mid=0,
            dup=False,
            retain=False,
            connection=0,
            content_type=JSON,
        )
        await self._outbound.take(delivery, OutText(user))

    def log_in(self) -> None:
        """As `request/login`: show a QR code, unless a login stands."""
        self._session.ask()

    def give_number(self, number: str) -> bool:
        """As `request/login` with a `code`: the number that the phone shows. False when none is asked for."""
        return self._session.give_code(number)

    async def log_out(self) -> None:
        """As `request/logout`; returns when the bridge rests."""
        await self._session.log_out()


def _rank(entry: Entry) -> int:
    if entry.closed or entry.problem:
        return 0
    if entry.removed or entry.stranger:
        return 3
    return 1 if entry.trusted else 2


def _line(body: Mapping[str, Json]) -> Line:
    """Of a message as it was published."""
    chat, sender = _object(body.get("chat")), _object(body.get("sender"))
    url = str(_object(body.get(str(body.get("kind")))).get("url") or "")
    return Line(
        time=str(body.get("time", "")),
        user=str(body.get("user", "")),
        chat=str(chat.get("name", "")),
        group=chat.get("kind") == ChatKind.GROUP,
        sender=str(sender.get("name", "")),
        own=sender.get("self") is True,
        kind=str(body.get("kind", "")),
        text=str(body.get("text", "")),
        media=url.rpartition(_MEDIA)[2] if _MEDIA in url else "",
    )


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}
