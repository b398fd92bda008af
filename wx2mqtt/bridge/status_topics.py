"""The payloads of the retained status topics: `bridge/*`, `login/*`, `last` and `contacts`."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inflight import InflightWindow
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.people.directory import MAX_DIRECTORY_BYTES, directory_payload, may_fit
from wx2mqtt.bridge.people.registry import DirectoryEntry
from wx2mqtt.bridge.retained_publisher import RetainedPublisher
from wx2mqtt.i18n import Language
from wx2mqtt.memory import block_imports
from wx2mqtt.model import JSON_TYPE, Json, LoginState
from wx2mqtt.mqtt.broker import Connected
from wx2mqtt.mqtt.payloads import cut_payload, encode, last_body
from wx2mqtt.mqtt.topics import PNG_TYPE, TEXT_TYPE

PICTURES_FOLDER = Path(__file__).with_name("pictures")

# When `bridge/state` is repeated after another instance may have had the account.
STATE_REPEAT_SECONDS = 3.0

EntriesOf = Callable[[Collection[str] | None], list[DirectoryEntry]]


class StatusTopics:
    """The status topics of one account. Payloads are cut to what the broker accepts."""

    def __init__(self, ctx: AccountContext, retained: RetainedPublisher, inflight: InflightWindow) -> None:
        self._ctx = ctx
        self._account = ctx.name
        self._topics = ctx.topics
        self._retained = retained
        self._inflight = inflight
        self._last_message = b""
        #: The PNG of the QR code to scan; empty without one.
        self.qr_image = b""

    def show_state(self, state: bytes) -> None:
        """Publishes `bridge/state`: `online` or `offline`."""
        self._retained.set(self._topics.state, state, TEXT_TYPE)

    def show_login(self, login: LoginStatus) -> None:
        """Publishes `login/*`.

        The picture is published before `login/state`, so that a reader of the state finds the picture that
        belongs to it.
        """
        language = self._ctx.language
        url = login.qr_url
        needed = login.state in (LoginState.LOGGED_OUT, LoginState.REFUSED)
        self.qr_image = qr_picture(url) if url else b""
        png = self.qr_image or placeholder_picture(language, needed=needed)
        expires = login.qr_expires if url else None
        self._retained.set(self._topics.login_qr, png, PNG_TYPE, expires)
        self._retained.set(self._topics.login_url, url.encode(), TEXT_TYPE, expires)
        self._retained.set(self._topics.login_state, encode(login.body(self._account)), JSON_TYPE)

    def show_last(self, payload: bytes) -> None:
        """Publishes a message on `last`, cut to what the broker accepts."""
        self._last_message = payload
        body = last_body(payload)
        limit = self._inflight.payload_limit(self._topics.last)
        if limit is not None and len(body) > limit:
            body = cut_payload(body, limit) or body
        self._retained.set(self._topics.last, body, JSON_TYPE)

    def show_contacts(self, entries_of: EntriesOf) -> None:
        """Publishes `contacts`: all people, or if that is too large those that the configuration names.

        `entries_of` returns the entries of these topic names, of all people for None.
        """
        limit = self._inflight.payload_limit(self._topics.contacts)
        max_bytes = MAX_DIRECTORY_BYTES if limit is None else min(MAX_DIRECTORY_BYTES, limit)
        count, named = self._ctx.registry.count, self._ctx.settings.named_users
        entries = entries_of(None if may_fit(count, max_bytes) else named)
        payload = directory_payload(entries, count=count, named=named, max_bytes=max_bytes)
        self._retained.set(self._topics.contacts, payload, JSON_TYPE)

    def show_health(self, body: Mapping[str, Json]) -> None:
        """Publishes `bridge/health`."""
        self._retained.set(self._topics.health, encode(body), JSON_TYPE)

    def show_info(self, body: Mapping[str, Json]) -> None:
        """Publishes `bridge/info`."""
        self._retained.set(self._topics.info, encode(body), JSON_TYPE)

    def on_connected(self, connection: Connected) -> None:
        """Publishes everything again, cut to what this broker accepts."""
        if self._last_message:
            self.show_last(self._last_message)
        self._retained.discard_state(self._topics.health)  # the last one says that the broker is away
        self._retained.on_connected(connection)
        if self._ctx.shared.instance:
            self._repeat_state()

    def _repeat_state(self) -> None:
        """Publishes `bridge/state` again a while later.

        Another instance may just have had the account, on another node of a clustered broker: its will may
        arrive after what this one publishes.
        """
        loop = asyncio.get_running_loop()
        loop.call_later(STATE_REPEAT_SECONDS, self._retained.republish, self._topics.state)


# The pictures on `login/qr`. Their type is `PNG_TYPE`; it also stands in the discovery
# (`mqtt/discovery.py`), and in the name of the picture on the page (`web/page/sections.py`).


def qr_picture(url: str) -> bytes:
    """Returns a PNG of the QR code of `url`: black on white with quiet zone, 10 pixels per module."""
    with block_imports("PIL"):  # qrcode loads PIL if it is installed, needs it for styles only: 4 MB
        import qrcode  # noqa: PLC0415 - a bridge with a saved login never needs it
        from qrcode.image.pure import PyPNGImage  # noqa: PLC0415

    code = qrcode.QRCode(box_size=10, border=4, image_factory=PyPNGImage)
    code.add_data(url)
    stream = io.BytesIO()
    code.make_image().save(stream)
    return stream.getvalue()


def placeholder_picture(language: Language, *, needed: bool) -> bytes:
    """Returns a PNG with the text that no QR code is needed, or (`needed`) that one must be requested."""
    name = f"qr-{'ask' if needed else 'none'}-{language}.png"
    return (PICTURES_FOLDER / name).read_bytes()
