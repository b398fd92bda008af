"""The web server without a bridge, with a media library of real files whose rows a test writes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.web_client import system_trust
from wx2mqtt.model import Blob, MediaRef
from wx2mqtt.store.records import MediaPart, MediaRow, MediaState
from wx2mqtt.web.bridge_state import BridgeState
from wx2mqtt.web.http_limits import HttpConnection
from wx2mqtt.web.options import WebOptions
from wx2mqtt.web.routes import HttpService, web_application
from wx2mqtt.web.server import WebServer

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
FETCHED = 1_795_600_800_000  # 2026-11-25T10:00:00Z


class FakeMediaLibrary:
    """A `MediaLibrary` whose rows a test writes; `waiting` has the requests that wait for a pending row."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[str, MediaRow] = {}
        self.waiting: list[tuple[str, float]] = []
        self.asked: list[tuple[str, float]] = []
        self.changed = asyncio.Event()
        self._waiting_changed = asyncio.Event()

    async def wait_until_waiting(self, count: int) -> None:
        """Waits until so many requests wait for a pending row."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while len(self.waiting) != count:
                self._waiting_changed.clear()
                await self._waiting_changed.wait()

    def put(
        self, media_id: str, data: bytes, mime: str = "image/png", name: str = "", **more: Any
    ) -> MediaRow:
        """Stores a file and its row."""
        digest = hashlib.sha256(data).hexdigest()
        blob = Blob(sha256=digest, size=len(data), mime=mime, path=f"{digest}{more.pop('suffix', '.png')}")
        (self.folder / blob.path).write_bytes(data)
        return self.put_row(media_id, MediaState.READY, blob=blob, name=name, **more)

    def put_row(self, media_id: str, state: MediaState, *, name: str = "", **more: Any) -> MediaRow:
        """Stores a row; without a `blob` it has no file."""
        usual: dict[str, Any] = {
            "part": MediaPart.WHOLE, "kind": "image", "message_id": "1", "user": "wife", "attempts": 0, "empty_attempts": 0,
            "due": None, "created": FETCHED - 1000, "reason": "", "blob": None, "fetched": FETCHED,
        }  # fmt: skip
        row = MediaRow(
            id=media_id, state=state, ref=MediaRef(locator={"secret": "x"}, name=name), **{**usual, **more}
        )
        self.rows[media_id] = row
        self.changed.set()
        return row

    async def find(self, media_id: str, wait: float) -> MediaRow | None:
        self.asked.append((media_id, wait))
        row = self.rows.get(media_id)
        if row is None or row.state is not MediaState.PENDING or wait <= 0:
            return row
        self.waiting.append((media_id, wait))
        self._waiting_changed.set()
        try:
            self.changed.clear()
            async with asyncio.timeout(wait):
                await self.changed.wait()
        except TimeoutError:
            pass
        finally:
            self.waiting.remove((media_id, wait))
            self._waiting_changed.set()
        return self.rows[media_id]

    def file(self, row: MediaRow) -> Path:
        assert row.blob
        return self.folder / row.blob.path


class FakeClock:
    """A clock whose time a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def options(**more: Any) -> WebOptions:
    """Returns the options of a server on loopback; `more` replaces some."""
    return WebOptions(**{"host": "127.0.0.1", "port": 0, **more})


def application_client(
    library: FakeMediaLibrary | list[FakeMediaLibrary],
    wanted: WebOptions | None = None,
    *,
    client: str = "127.0.0.1",
    closing: asyncio.Event | None = None,
    clock: FakeClock | None = None,
    bridge: BridgeState | None = None,
    **http: Any,
) -> httpx.AsyncClient:
    """Returns an HTTP client that calls the application without a socket; `client` is its address."""
    libraries: list[Any] = list(library) if isinstance(library, list) else [library]
    app = web_application(
        wanted or options(), libraries, closing or asyncio.Event(), clock or FakeClock(), bridge
    )
    transport = httpx.ASGITransport(app=app, client=(client, 40_000), raise_app_exceptions=False)
    usual: dict[str, Any] = {"base_url": "http://127.0.0.1:8099", "trust_env": False}
    return httpx.AsyncClient(transport=transport, **{**usual, **http})


@asynccontextmanager
async def running_web_server(
    library: FakeMediaLibrary | None = None, bridge: BridgeState | None = None, **more: Any
) -> AsyncIterator[tuple[WebServer, httpx.AsyncClient]]:
    """Runs a server; yields it and a client of it."""
    libraries: list[Any] = [] if library is None else [library]
    async with (
        WebServer(options(**more), libraries, bridge) as server,
        httpx.AsyncClient(
            base_url=server.url, trust_env=False, timeout=MAX_WAIT_SECONDS, verify=system_trust()
        ) as http,
    ):
        yield server, http


def service(server: WebServer) -> HttpService:
    """Returns the service behind the server; a client must have connected."""
    assert server._service is not None, "nobody has connected yet"
    return server._service


def open_connections(server: WebServer) -> list[HttpConnection]:
    """Returns the connections that count for the limits."""
    return [*service(server)._limiter.connections]
