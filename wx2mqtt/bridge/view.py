"""What a person may see of one account and do with it, without MQTT: what the page at `/` is made of.

What a person does here goes the same way as what the broker delivers: checked and on the disk before anything
happens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.health import HealthSnapshot
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.people.directory import matching_entries
from wx2mqtt.bridge.people.registry import DirectoryEntry
from wx2mqtt.bridge.people.topic_names import FILEHELPER
from wx2mqtt.bridge.requests.history import HistoryRequest
from wx2mqtt.model import ChatKind, Json
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.mqtt.payloads import encode
from wx2mqtt.mqtt.topics import JSON_TYPE, TextTopic
from wx2mqtt.store.records import CommandRow

_MEDIA = "/media/"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLine:
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
class PeoplePage:
    """Some of the people who fit; `count` is how many there are in all."""

    count: int
    entries: Sequence[DirectoryEntry]


class AccountView:
    """One account as a person sees it."""

    def __init__(self, account: Account) -> None:
        self.name = account.name
        self.topics = account.topics
        self.calls = account.ctx.calls
        self._account = account
        self._session = account.session
        self._registry = account.registry
        self._journal = account.journal
        self._history = HistoryRequest(account.journal, account.registry, account.topics.contacts)

    @property
    def login(self) -> LoginStatus:
        """How the login stands."""
        return self._session.login

    @property
    def owner_name(self) -> str:
        """What the person is called whose account it is, else their topic; empty before a login."""
        owner = self._account.inbound.owner
        return "" if owner is None else owner.nickname or self.test_recipient

    @property
    def test_recipient(self) -> str:
        """Who gets a test: the chat with oneself, else whose account it is; empty before that is known."""
        if self._account.backend.capabilities.has_contacts:
            return FILEHELPER
        handle = self._registry.owner_handle
        person = None if handle is None else self._registry.by_handle(handle)
        return "" if person is None else person.level

    @property
    def qr_image(self) -> bytes:
        """The QR code that is to be scanned now, a PNG; empty where none is."""
        return self._account.status.qr_image

    async def snapshot(self) -> HealthSnapshot:
        """What health is made of. Raises `StoreError`."""
        return await self._account.snapshot()

    async def recent_messages(self, limit: int) -> list[MessageLine]:
        """The newest messages, the newest first. Raises `StoreError`."""
        answer = cast(
            "Mapping[str, list[dict[str, Json]]]", await self._history.answer({"limit": limit}, None)
        )
        return [_line(body) for body in reversed(answer["messages"])]

    async def recent_commands(self, limit: int) -> list[CommandRow]:
        """The newest commands, the newest first. Raises `StoreError`."""
        return await self._journal.list_commands(limit=limit)

    def search_people(self, query: str, offset: int, limit: int) -> PeoplePage:
        """Those who fit, who need a decision first and who are gone last."""
        fitting = sorted(matching_entries(self._account.windows.directory_entries(), query), key=_rank)
        return PeoplePage(count=len(fitting), entries=fitting[offset : offset + limit])

    async def send(self, user: str, text: str, command_id: str) -> None:
        """Send a text as a command on `out/<user>` would; its result comes there too. Raises `StoreError`."""
        payload = encode({"text": text, "id": command_id})
        delivery = Delivery(
            topic=self.topics.out(user),
            payload=payload,
            mid=0,
            dup=False,
            retain=False,
            connection_number=0,
            content_type=JSON_TYPE,
        )
        await self._account.intake.accept(delivery, TextTopic(user))

    def request_login(self) -> None:
        """As `request/login`: show a QR code, unless a login stands."""
        self._session.request_login()

    def enter_verification_code(self, code: str) -> bool:
        """As `request/login` with a `code`: the number that the phone shows. False when none is asked for."""
        return self._session.enter_verification_code(code)

    async def log_out(self) -> None:
        """As `request/logout`; returns when the bridge rests."""
        await self._session.log_out()


def _rank(entry: DirectoryEntry) -> int:
    if entry.closed or entry.problem:
        return 0
    if entry.removed or entry.stranger:
        return 3
    return 1 if entry.trusted else 2


def _line(body: Mapping[str, Json]) -> MessageLine:
    """Of a message as it was published."""
    chat, sender = _object(body.get("chat")), _object(body.get("sender"))
    url = str(_object(body.get(str(body.get("kind")))).get("url") or "")
    return MessageLine(
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
