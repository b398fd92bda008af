"""The socket in the store through which the command line talks to the running bridge; mode 0600.

One JSON object a line: `{"do": name, …fields}` in, `{"ok": answer}` or `{"error": sentence}` out.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog

from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.model import Json

log = structlog.get_logger(__name__)

SOCKET_NAME = "control.sock"
MAX_LINE_BYTES = 16 * 1024 * 1024  # bytes of one line; a directory of 5,000 people has about one
IDLE_TIMEOUT_SECONDS = 30.0  # seconds that a caller may stay silent

RunOperation = Callable[[str, Mapping[str, Json]], Awaitable[Json]]
"""Carries out one operation; raises `Wx2MqttError` with a sentence for the person at the terminal."""


class BridgeNotRunning(Wx2MqttError):
    """No bridge runs on this store."""


@asynccontextmanager
async def serve_operations(folder: Path, run_operation: RunOperation) -> AsyncGenerator[None, None]:
    """Answer on the folder's socket for as long as the context lasts."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(IDLE_TIMEOUT_SECONDS):
                line = await reader.readuntil(b"\n")
            writer.write(await _answer(line, run_operation) + b"\n")
            await writer.drain()
        writer.close()

    with _ShortSocketPath(folder) as path:
        path.unlink(missing_ok=True)  # of a bridge that was killed; the store's lock says that it is gone
        before = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(talk, path, limit=MAX_LINE_BYTES)
        finally:
            os.umask(before)
    try:
        yield
    finally:
        server.close()
        (folder / SOCKET_NAME).unlink(missing_ok=True)


async def _answer(line: bytes, run_operation: RunOperation) -> bytes:
    try:
        fields: dict[str, Json] = json.loads(line)
        answer: Json = {"ok": await run_operation(str(fields.pop("do", "")), fields)}
    except Wx2MqttError as wrong:
        answer = {"error": str(wrong)}
    except Exception:  # a fault of ours must not end the bridge, nor leave the caller without an answer
        log.exception("operation failed")
        answer = {"error": "the bridge could not do it; its log says why"}
    return json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")


async def ask_bridge(folder: Path, name: str, fields: Mapping[str, Json] | None = None) -> Json:
    """The running bridge's answer; raises `BridgeNotRunning`, or `Wx2MqttError` with its sentence."""
    try:
        with _ShortSocketPath(folder) as path:
            reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE_BYTES)
    except (FileNotFoundError, ConnectionRefusedError):
        raise BridgeNotRunning from None
    except OSError as error:
        raise BridgeNotRunning(f"The running bridge cannot be asked: {error.strerror}.") from error
    try:
        writer.write(json.dumps({**(fields or {}), "do": name}).encode() + b"\n")
        line = await reader.readline()
    except ConnectionError:
        line = b""
    finally:
        writer.close()
    if not line:  # it may have done it: nobody must do it again unasked
        raise Wx2MqttError("The bridge went away before it answered; look what it did before you try again.")
    answer: dict[str, Json] = json.loads(line)
    if "error" in answer:
        raise Wx2MqttError(str(answer["error"]))
    return answer["ok"]


class _ShortSocketPath:
    """The socket's path, short enough for the kernel: addresses are limited to 108 bytes, folders are not."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._handle = -1

    def __enter__(self) -> Path:
        path = self._folder / SOCKET_NAME
        if len(os.fsencode(path)) < 100:
            return path
        self._handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        return Path(f"/proc/self/fd/{self._handle}") / SOCKET_NAME

    def __exit__(self, *_: object) -> None:
        if self._handle >= 0:
            os.close(self._handle)
