"""The Unix socket in the store through which the command line calls the running bridge; mode 0600.

Each connection carries one request and one answer, each a JSON object in one line:

    {"do": "journal.show", "id": "42"}     ->     {"ok": {…}}, or {"error": "a sentence"}

`serve_operations` is the side of the bridge, `ask_bridge` that of the command line.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import structlog

from wx2mqtt.bounded_json import load_json
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.limits import CONTROL_ANSWER_JSON, CONTROL_REQUEST_JSON, MAX_CONTROL_CONNECTIONS
from wx2mqtt.model import Json

log = structlog.get_logger(__name__)

SOCKET_NAME = "control.sock"
IDLE_TIMEOUT_SECONDS = 30.0  # after which a connection without a request is closed

# Linux limits the address of a socket to 108 bytes. A longer path is opened through a handle of its folder.
MAX_PATH_BYTES = 100

# Runs one operation; raises `Wx2MqttError` with a sentence for the terminal.
RunOperation = Callable[[str, Mapping[str, Json]], Awaitable[Json]]


class BridgeNotRunning(Wx2MqttError):
    """No bridge runs on this store."""


@asynccontextmanager
async def serve_operations(folder: Path, run_operation: RunOperation) -> AsyncGenerator[None, None]:
    """Answers requests on the socket in `folder` inside the block."""
    connections = 0

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            if connections <= MAX_CONTROL_CONNECTIONS:
                await _answer_request(reader, writer, run_operation)
        finally:
            connections -= 1
            writer.close()

    with _short_socket_path(folder) as path:
        path.unlink(missing_ok=True)  # left by a killed bridge; the lock of the store shows that none runs
        previous_umask = os.umask(0o177)
        try:
            limit = CONTROL_REQUEST_JSON.max_bytes
            server = await asyncio.start_unix_server(on_connection, path, limit=limit)
        finally:
            os.umask(previous_umask)
    try:
        yield
    finally:
        server.close()
        (folder / SOCKET_NAME).unlink(missing_ok=True)


async def _answer_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, run_operation: RunOperation
) -> None:
    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        try:
            async with asyncio.timeout(IDLE_TIMEOUT_SECONDS):
                line = await reader.readuntil(b"\n")
            answer = await _answer(line.removesuffix(b"\n"), run_operation)
        except asyncio.LimitOverrunError:
            limit = CONTROL_REQUEST_JSON.max_bytes
            answer = {"error": f"The request has more than {limit} bytes."}
        writer.write(json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        await writer.drain()


async def _answer(line: bytes, run_operation: RunOperation) -> dict[str, Json]:
    try:
        fields = load_json(line, CONTROL_REQUEST_JSON)
    except ValueError as error:
        return {"error": f"The request cannot be read: {error}."}
    if not isinstance(fields, dict):
        return {"error": "The request is no JSON object."}
    try:
        return {"ok": await run_operation(str(fields.pop("do", "")), fields)}
    except Wx2MqttError as error:
        return {"error": str(error)}
    except Exception:  # a bug must not end the bridge or leave the caller without an answer
        log.exception("operation failed")
        return {"error": "the bridge could not do it; its log says why"}


async def ask_bridge(folder: Path, name: str, fields: Mapping[str, Json] | None = None) -> Json:
    """Returns the answer of the running bridge.

    Raises `BridgeNotRunning`, or `Wx2MqttError` with the sentence of the bridge.
    """
    try:
        with _short_socket_path(folder) as path:
            reader, writer = await asyncio.open_unix_connection(path, limit=CONTROL_ANSWER_JSON.max_bytes)
    except (FileNotFoundError, ConnectionRefusedError):
        raise BridgeNotRunning from None
    except OSError as error:
        raise BridgeNotRunning(f"The running bridge cannot be asked: {error.strerror}.") from error
    try:
        writer.write(json.dumps({**(fields or {}), "do": name}).encode() + b"\n")
        line = await reader.readline()
    except ConnectionError:
        line = b""
    except ValueError:
        raise Wx2MqttError(
            f"The bridge's answer has more than {CONTROL_ANSWER_JSON.max_bytes} bytes."
        ) from None
    finally:
        writer.close()
    if not line:  # the operation may have been done, so the caller must not repeat it
        raise Wx2MqttError("The bridge went away before it answered; look what it did before you try again.")
    try:
        answer: dict[str, Json] = load_json(line, CONTROL_ANSWER_JSON)
    except ValueError as error:
        raise Wx2MqttError(f"The bridge's answer cannot be read: {error}.") from None
    if "error" in answer:
        raise Wx2MqttError(str(answer["error"]))
    return answer["ok"]


@contextmanager
def _short_socket_path(folder: Path) -> Iterator[Path]:
    """Yields a path of the socket that is short enough for the kernel."""
    path = folder / SOCKET_NAME
    if len(os.fsencode(path)) < MAX_PATH_BYTES:
        yield path
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{handle}") / SOCKET_NAME
    finally:
        os.close(handle)
