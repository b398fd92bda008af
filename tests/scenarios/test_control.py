"""The control socket on its own: it answers each line with one line, whatever the line is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.deadlines import MAX_WAIT_SECONDS
from wx2mqtt.app import control_socket
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.limits import CONTROL_ANSWER_JSON, CONTROL_REQUEST_JSON


async def perform(name: str, fields: Any) -> Any:
    match name:
        case "give back":
            return dict(fields)
        case "refuse":
            raise Wx2MqttError("not today")
        case "fall over":
            raise ZeroDivisionError
        case "wait":
            await asyncio.sleep(0)
            return None
    raise Wx2MqttError(f"unknown: {name!r}")


@pytest_asyncio.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    async with control_socket.serve_operations(tmp_path, perform):
        yield tmp_path


async def exchange(folder: Path, data: bytes) -> bytes:
    """Sends these bytes; returns all bytes of the answer."""
    reader, writer = await asyncio.open_unix_connection(folder / control_socket.SOCKET_NAME)
    writer.write(data)
    writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), MAX_WAIT_SECONDS)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_an_operation_gets_its_fields_and_its_answer_comes_back(folder: Path):
    assert await control_socket.ask_bridge(folder, "give back", {"a": [1, "界"]}) == {"a": [1, "界"]}
    assert await control_socket.ask_bridge(folder, "wait") is None


async def test_the_name_of_the_operation_is_no_field_of_the_callers(folder: Path):
    assert await control_socket.ask_bridge(folder, "give back", {"do": "refuse"}) == {}


async def test_the_reason_of_a_refusal_is_passed_on(folder: Path):
    with pytest.raises(Wx2MqttError, match="not today"):
        await control_socket.ask_bridge(folder, "refuse")


async def test_a_fault_of_the_bridge_names_the_log_and_the_bridge_goes_on(folder: Path):
    with pytest.raises(Wx2MqttError, match="its log says why"):
        await control_socket.ask_bridge(folder, "fall over")
    assert await control_socket.ask_bridge(folder, "give back") == {}


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"x\n",
        b"[]\n",
        b"1\n",
        b"{\n",
        b"\xff\n",
        b'{"do": 7}\n',
        b'{"do": null}\n',
        b"[" * 100_000 + b"\n",
    ],
)
async def test_a_line_that_is_no_request_is_answered_with_an_error(folder: Path, line: bytes):
    assert "error" in json.loads(await exchange(folder, line))
    assert await control_socket.ask_bridge(folder, "give back") == {}


@pytest.mark.parametrize("data", [b"", b"no end of line", b'{"do": "give back"}'])
async def test_an_incomplete_line_gets_no_answer(folder: Path, data: bytes):
    assert await exchange(folder, data) == b""
    assert await control_socket.ask_bridge(folder, "give back") == {}


async def test_a_large_answer_comes_whole(tmp_path: Path):
    large: list[Any] = ["x" * 1000] * 3000

    async def answer(_name: str, _fields: Any) -> Any:
        return large

    async with control_socket.serve_operations(tmp_path, answer):
        assert await control_socket.ask_bridge(tmp_path, "answer") == large


async def test_an_answer_that_is_too_large_is_one_sentence(tmp_path: Path):
    async def answer(_name: str, _fields: Any) -> Any:
        return "x" * (CONTROL_ANSWER_JSON.max_bytes + 1)

    async with control_socket.serve_operations(tmp_path, answer):
        with pytest.raises(Wx2MqttError, match=r"more than 16777216 bytes"):
            await control_socket.ask_bridge(tmp_path, "answer")


async def test_a_request_of_the_largest_size_is_done_and_one_beyond_is_an_error(folder: Path):
    frame = len(b'{"do": "give back", "a": ""}')
    largest = b'{"do": "give back", "a": "' + b"x" * (CONTROL_REQUEST_JSON.max_bytes - frame) + b'"}\n'
    assert "ok" in json.loads(await exchange(folder, largest))
    assert json.loads(await exchange(folder, b" " + largest)) == {
        "error": "The request has more than 65536 bytes."
    }


# Each worker keeps the parameters of all tests in memory, so a test builds its large input itself.
@pytest.mark.parametrize(
    ("part", "count"),
    [(b"[", 100_000_000), (b"1e1,", 25_000_000), (b"x", 100_000_000)],
    ids=["levels", "numbers", "letters"],
)
async def test_a_hostile_request_takes_no_memory(folder: Path, part: bytes, count: int):
    """The request is written in pieces, so that the test itself holds it once only."""
    data = part * count
    reader, writer = await asyncio.open_unix_connection(folder / control_socket.SOCKET_NAME)
    tracemalloc.start()
    try:
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(data), 1 << 16):
                writer.write(data[start : start + (1 << 16)])
                await writer.drain()
            writer.write(b"\n")
            await asyncio.wait_for(reader.read(), MAX_WAIT_SECONDS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    assert peak < 2_000_000
    assert await control_socket.ask_bridge(folder, "give back") == {}


async def test_more_connections_than_allowed_are_closed(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(control_socket, "MAX_CONTROL_CONNECTIONS", 2)
    path = folder / control_socket.SOCKET_NAME
    idle = [await asyncio.open_unix_connection(path) for _ in range(2)]
    assert await exchange(folder, b'{"do": "give back"}\n') == b""
    for _, writer in idle:
        writer.close()
        await writer.wait_closed()
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while await exchange(folder, b'{"do": "give back"}\n') == b"":
            pass


async def test_many_callers_may_ask_at_once(folder: Path):
    answers = await asyncio.gather(
        *(control_socket.ask_bridge(folder, "give back", {"n": number}) for number in range(50))
    )
    assert answers == [{"n": number} for number in range(50)]


async def test_a_folder_with_a_long_path_has_a_socket_too(tmp_path: Path):
    deep = tmp_path / ("long" * 20) / ("longer" * 20)
    deep.mkdir(parents=True)
    async with control_socket.serve_operations(deep, perform):
        assert (deep / control_socket.SOCKET_NAME).is_socket()
        assert await control_socket.ask_bridge(deep, "give back", {"a": 1}) == {"a": 1}
    assert not (deep / control_socket.SOCKET_NAME).exists()


async def test_without_a_bridge_nobody_answers(tmp_path: Path):
    with pytest.raises(control_socket.BridgeNotRunning):
        await control_socket.ask_bridge(tmp_path, "give back")
    (tmp_path / control_socket.SOCKET_NAME).touch()
    with pytest.raises(control_socket.BridgeNotRunning):
        await control_socket.ask_bridge(tmp_path, "give back")


async def test_a_bridge_that_disconnects_before_it_answers_may_have_done_it(tmp_path: Path):
    async def disconnect(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_unix_server(disconnect, tmp_path / control_socket.SOCKET_NAME)
    async with server:
        with pytest.raises(Wx2MqttError, match="went away") as caught:
            await control_socket.ask_bridge(tmp_path, "give back")
        assert not isinstance(caught.value, control_socket.BridgeNotRunning), (
            "the store must not be opened instead"
        )
