"""The retained status topics: what is on them, and when it is published.

`StatusTopics` publishes `bridge/state`, `login/*` and `last` as soon as they change. `StatusReporter`
publishes `contacts`, `bridge/health` and `bridge/info`, which are made from several components, and the
events of the bridge itself.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import structlog

from wx2mqtt.aio import retry_until_stored, wait_at_most
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.health import HEALTH_INTERVAL_SECONDS, HealthSnapshot, health_body, info_body
from wx2mqtt.bridge.inflight import InflightWindow, RetainedPublisher
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.people.directory import MAX_DIRECTORY_BYTES, directory_payload, may_fit
from wx2mqtt.bridge.window_topics import ReplyWindowTopics
from wx2mqtt.errors import StoreError
from wx2mqtt.i18n import Language
from wx2mqtt.memory import block_imports
from wx2mqtt.model import JSON_TYPE, Json, LoginState
from wx2mqtt.mqtt.broker import Connected
from wx2mqtt.mqtt.payloads import cut_payload, encode, last_body
from wx2mqtt.mqtt.topics import PNG_TYPE, TEXT_TYPE

log = structlog.get_logger(__name__)

PICTURES_FOLDER = Path(__file__).with_name("pictures")

# `bridge/state` is repeated after this time when another instance may have had the account just before.
STATE_REPEAT_SECONDS = 3.0

# Changes of people within this time are published with one directory.
DIRECTORY_GATHER_SECONDS = 1.0

# Changes within this time are published with one health.
HEALTH_GATHER_SECONDS = 0.2


class StatusTopics:
    """The status topics of one account. Payloads are cut to what the broker accepts."""

    def __init__(self, ctx: AccountContext, retained: RetainedPublisher, inflight: InflightWindow) -> None:
        self._ctx = ctx
        self._topics = ctx.topics
        self._retained = retained
        self._inflight = inflight
        #: The message on `last`, whole; empty before the first one.
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
        self._retained.set(self._topics.login_state, encode(login.body(self._ctx.name)), JSON_TYPE)

    def show_last(self, payload: bytes) -> None:
        """Publishes a message on `last`, cut to what the broker accepts."""
        self._last_message = payload
        body = last_body(payload)
        limit = self._inflight.payload_limit(self._topics.last)
        if limit is not None and len(body) > limit:
            body = cut_payload(body, limit) or body
        self._retained.set(self._topics.last, body, JSON_TYPE)

    def on_connected(self, connection: Connected) -> None:
        """Publishes everything again, cut to what this broker accepts."""
        if self._last_message:
            self.show_last(self._last_message)
        # The last health says that the broker is away: it is not sent again, a new one follows.
        self._retained.discard_state(self._topics.health)
        self._retained.on_connected(connection)
        if self._ctx.shared.instance:
            # Another instance may just have had the account, on another node of a clustered broker: its will
            # may arrive after what this one publishes.
            loop = asyncio.get_running_loop()
            loop.call_later(STATE_REPEAT_SECONDS, self._retained.republish, self._topics.state)


class StatusReporter:
    """Publishes directory, health, information and events of one account."""

    def __init__(
        self,
        ctx: AccountContext,
        retained: RetainedPublisher,
        inflight: InflightWindow,
        windows: ReplyWindowTopics,
        snapshot: Callable[[], Awaitable[HealthSnapshot]],
    ) -> None:
        self._ctx = ctx
        self._topics = ctx.topics
        self._retained = retained
        self._inflight = inflight
        self._windows = windows
        self._snapshot = snapshot
        #: Set it to have the directory published soon.
        self.directory_changed = asyncio.Event()
        #: Set it to have the health published soon.
        self.health_changed = asyncio.Event()

    async def run(self) -> None:
        """Publishes until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publish_events())
            tasks.create_task(self._publish_directories())
            tasks.create_task(self._publish_healths())

    def publish_info(self) -> None:
        """Publishes `bridge/info`, version and settings of the bridge, if the broker is connected."""
        connection = self._ctx.broker.connection
        if connection is None:
            return
        settings = self._ctx.settings
        body = info_body(
            account=self._ctx.name,
            stream=self._ctx.journal.stream,
            capabilities=self._ctx.backend.capabilities,
            broker=connection.protocol,
            started=self._ctx.counters.started,
            settings=settings.public,
            warnings=settings.warnings,
            instance=self._ctx.shared.instance,
        )
        self._retained.set(self._topics.info, encode(body), JSON_TYPE)

    async def health(self) -> dict[str, Json]:
        """Returns the body of `bridge/health` as of now. Raises `StoreError`."""
        return health_body(await self._snapshot(), self._ctx.name)

    async def publish_health(self) -> None:
        """Publishes the health now. Raises `StoreError`."""
        self._retained.set(self._topics.health, encode(await self.health()), JSON_TYPE)

    def publish_directory(self) -> None:
        """Publishes `contacts` now: all people, or if that is too large those whom the file names."""
        limit = self._inflight.payload_limit(self._topics.contacts)
        max_bytes = MAX_DIRECTORY_BYTES if limit is None else min(MAX_DIRECTORY_BYTES, limit)
        count = self._ctx.registry.count
        named = self._ctx.settings.named_users
        if may_fit(count, max_bytes):
            entries = self._windows.directory_entries()
        else:
            entries = self._windows.directory_entries(named)
        payload = directory_payload(entries, count=count, named=named, max_bytes=max_bytes)
        self._retained.set(self._topics.contacts, payload, JSON_TYPE)

    def publish_changed_directory(self) -> None:
        """Publishes `contacts` now if a changed directory is to be published soon."""
        if self.directory_changed.is_set():
            self.directory_changed.clear()
            self.publish_directory()
            self.health_changed.set()

    async def _publish_events(self) -> None:
        while True:
            publication = await self._ctx.own_events.get()
            await retry_until_stored(partial(self._ctx.publish, [publication]))

    async def _publish_directories(self) -> None:
        while True:
            await self.directory_changed.wait()
            self.publish_changed_directory()
            await asyncio.sleep(DIRECTORY_GATHER_SECONDS)

    async def _publish_healths(self) -> None:
        while True:
            self.health_changed.clear()
            try:
                await self.publish_health()
            except StoreError as error:
                log.error("health cannot be told", problem=str(error))
            else:
                self._ctx.heartbeat("store", 4 * HEALTH_INTERVAL_SECONDS)
            self._ctx.shared.changes.notify()
            await wait_at_most(self.health_changed, HEALTH_INTERVAL_SECONDS)
            await asyncio.sleep(HEALTH_GATHER_SECONDS)


# The pictures on `login/qr`. Whoever changes their type changes it in `mqtt/homeassistant_entities.py` and
# `web/page/sections.py`, too.


def qr_picture(url: str) -> bytes:
    """Returns a PNG of the QR code of `url`: black on white with quiet zone, 10 pixels per module."""
    with block_imports("PIL"):  # qrcode would load PIL if it is installed: 4 MB, and not needed for this
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
