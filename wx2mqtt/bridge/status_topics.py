"""The login QR code as a picture, and the placeholder that stands where none is needed.

What stands on the broker, retained: how the payload of each of an account's topics is made.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib.resources import files

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inflight import InflightWindow
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.people.directory import MAX_DIRECTORY_BYTES, directory_payload
from wx2mqtt.bridge.people.registry import DirectoryEntry
from wx2mqtt.bridge.retained import RetainedPublisher
from wx2mqtt.i18n import Language
from wx2mqtt.memory import block_imports
from wx2mqtt.model import Json, LoginState
from wx2mqtt.mqtt.broker import Connected
from wx2mqtt.mqtt.payloads import cut_payload, encode, last_body
from wx2mqtt.mqtt.topics import JSON_TYPE, PNG_TYPE, TEXT_TYPE
from wx2mqtt.store.records import RecordResult


def qr_picture(url: str) -> bytes:
    """PNG bytes of the QR code of `url`: black on white with its quiet zone, 10 pixels a module."""
    with block_imports("PIL"):  # which qrcode loads for styled pictures where it can: 4 MB
        import qrcode  # noqa: PLC0415 - a bridge with a saved login never needs it
        from qrcode.image.pure import PyPNGImage  # noqa: PLC0415

    code = qrcode.QRCode(box_size=10, border=4, image_factory=PyPNGImage)
    code.add_data(url)
    stream = io.BytesIO()
    code.make_image().save(stream)
    return stream.getvalue()


def placeholder_picture(language: Language, *, needed: bool) -> bytes:
    """PNG bytes that say that no code is needed, or that one must be asked for first."""
    name = f"qr-{'ask' if needed else 'none'}-{language}.png"
    return files("wx2mqtt.bridge").joinpath("pictures", name).read_bytes()


class StatusTopics:
    """The retained topics of one account, none larger than the broker takes."""

    def __init__(self, ctx: AccountContext, retained: RetainedPublisher, inflight: InflightWindow) -> None:
        self._ctx = ctx
        self._account = ctx.name
        self._topics = ctx.topics
        self._retained = retained
        self._inflight = inflight
        self._last_message = b""

    def show_state(self, state: bytes) -> None:
        """`bridge/state`: online or offline."""
        self._retained.set(self._topics.state, state, TEXT_TYPE)

    def show_login(self, login: LoginStatus, url: str) -> None:
        """Publish `login/*`; `url` is the text in the QR code while one is needed, else empty.

        The picture goes before `login/state`: a reader of the state finds the picture that belongs to it.
        """
        language = self._ctx.language
        needed = login.state in (LoginState.LOGGED_OUT, LoginState.REFUSED)
        png = qr_picture(url) if url else placeholder_picture(language, needed=needed)
        expires = login.qr_expires if url else None
        self._retained.set(self._topics.login_qr, png, PNG_TYPE, expires)
        self._retained.set(self._topics.login_url, url.encode(), TEXT_TYPE, expires)
        self._retained.set(self._topics.login_state, encode(login.body(self._account)), JSON_TYPE)

    @property
    def qr_url(self) -> str:
        """The text in the QR code that stands there; empty without one."""
        return (self._retained.value_of(self._topics.login_url) or b"").decode()

    @property
    def qr_image(self) -> bytes:
        """The picture of that QR code; empty without one."""
        return (self._retained.value_of(self._topics.login_qr) or b"") if self.qr_url else b""

    def show_received(self, recorded: RecordResult) -> None:
        """Publish the newest of the messages that one commit stored on `last`."""
        if recorded.last_payload is not None:
            self.show_last(recorded.last_payload)

    def show_last(self, payload: bytes) -> None:
        """`last`: the newest message, as much of it as the broker takes."""
        self._last_message, body = payload, last_body(payload)
        limit = self._inflight.payload_limit(self._topics.last)
        if limit is not None and len(body) > limit:
            body = cut_payload(body, limit) or body
        self._retained.set(self._topics.last, body, JSON_TYPE)

    def show_contacts(self, entries: list[DirectoryEntry]) -> None:
        """Publish `contacts`: everybody, or whom the configuration names where the broker takes no more."""
        limit = self._inflight.payload_limit(self._topics.contacts)
        room = MAX_DIRECTORY_BYTES if limit is None else min(MAX_DIRECTORY_BYTES, limit)
        self._retained.set(
            self._topics.contacts,
            directory_payload(entries, named=self._ctx.settings.named_users, max_bytes=room),
            JSON_TYPE,
        )

    def show_health(self, body: Mapping[str, Json]) -> None:
        """`bridge/health`."""
        self._retained.set(self._topics.health, encode(body), JSON_TYPE)

    def show_info(self, body: Mapping[str, Json]) -> None:
        """`bridge/info`."""
        self._retained.set(self._topics.info, encode(body), JSON_TYPE)

    def on_connected(self, connection: Connected) -> None:
        """Say everything again, for this connection may allow less or more."""
        if self._last_message:
            self.show_last(self._last_message)
        self._retained.discard_state(self._topics.health)  # it says that the broker is away
        self._retained.on_connected(connection)
