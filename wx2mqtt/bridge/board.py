"""What stands on the broker, retained: how the payload of each of an account's topics is made (DESIGN 4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from wx2mqtt.bridge.announce import Announcer
from wx2mqtt.bridge.outlet import Outlet
from wx2mqtt.bridge.people.directory import LARGEST, directory
from wx2mqtt.bridge.people.identity import Entry
from wx2mqtt.bridge.qr import picture, placeholder
from wx2mqtt.bridge.state import Login
from wx2mqtt.model import Json, LoginState
from wx2mqtt.mqtt.link import Connected
from wx2mqtt.mqtt.payloads import cut, encode, last_body
from wx2mqtt.mqtt.topics import JSON, PNG, TEXT, Topics
from wx2mqtt.words import Language


class Board:
    """The retained topics of one account, none larger than the broker takes."""

    def __init__(self, account: str, topics: Topics, announcer: Announcer, outlet: Outlet) -> None:
        self._account = account
        self._topics = topics
        self._announcer = announcer
        self._outlet = outlet
        self._last = b""

    def state(self, state: bytes) -> None:
        """`bridge/state`: online or offline."""
        self._announcer.say(self._topics.state, state, TEXT)

    def login(self, login: Login, url: str, language: Language) -> None:
        """`login/*`; `url` is the text in the QR code while one is needed, else empty."""
        needed = login.state in (LoginState.LOGGED_OUT, LoginState.REFUSED)
        png = picture(url) if url else placeholder(language, needed=needed)
        expires = login.qr_expires if url else None
        self._announcer.say(self._topics.login_qr, png, PNG, expires)
        self._announcer.say(self._topics.login_url, url.encode(), TEXT, expires)
        # After the code, so that whoever hears that one is needed, or is not, finds just that.
        self._announcer.say(self._topics.login_state, encode(login.body(self._account)), JSON)

    @property
    def url(self) -> str:
        """The text in the QR code that stands there; empty without one."""
        return (self._announcer.holds(self._topics.login_url) or b"").decode()

    @property
    def code(self) -> bytes:
        """The picture of that QR code; empty without one."""
        return (self._announcer.holds(self._topics.login_qr) or b"") if self.url else b""

    def last(self, payload: bytes) -> None:
        """`last`: the newest message, as much of it as the broker takes."""
        self._last, body = payload, last_body(payload)
        limit = self._outlet.payload_limit(self._topics.last)
        if limit is not None and len(body) > limit:
            body = cut(body, limit) or body
        self._announcer.say(self._topics.last, body, JSON)

    def contacts(self, entries: list[Entry], named: Collection[str]) -> None:
        """`contacts`: everybody, or those in `named` where the broker takes no more."""
        limit = self._outlet.payload_limit(self._topics.contacts)
        room = LARGEST if limit is None else min(LARGEST, limit)
        self._announcer.say(self._topics.contacts, directory(entries, named=named, room=room), JSON)

    def health(self, body: Mapping[str, Json]) -> None:
        """`bridge/health`."""
        self._announcer.say(self._topics.health, encode(body), JSON)

    def info(self, body: Mapping[str, Json]) -> None:
        """`bridge/info`."""
        self._announcer.say(self._topics.info, encode(body), JSON)

    def connected(self, connection: Connected) -> None:
        """Say everything again, for this connection may allow less or more."""
        if self._last:
            self.last(self._last)
        self._announcer.withdraw(self._topics.health)  # it says that the broker is away
        self._announcer.connected(connection)
