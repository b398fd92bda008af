"""A request on the control socket is one operation, and each line gets one answer."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from wx2mqtt.app import control_socket
from wx2mqtt.app.control_socket import MAX_PATH_BYTES, SOCKET_NAME
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.model import Json


async def run_operation(name: str, fields: Mapping[str, Json]) -> Json:
    """Returns its name and fields; refuses `refuse`, and fails with a bug at `bug`."""
    if name == "refuse":
        raise Wx2MqttError("no command has the id '42'")
    if name == "bug":
        raise KeyError("geheim")
    return [name, dict(fields)]


async def answer(request: object) -> Any:
    line = request if isinstance(request, bytes) else json.dumps(request).encode()
    return await control_socket._answer(line, run_operation)


async def test_an_operation_gets_all_fields_but_its_name() -> None:
    assert await answer({"do": "journal.show", "id": "42"}) == {"ok": ["journal.show", {"id": "42"}]}


async def test_a_request_without_a_name_is_the_operation_without_a_name() -> None:
    assert await answer({"id": "42"}) == {"ok": ["", {"id": "42"}]}


async def test_a_refusal_is_answered_with_its_sentence() -> None:
    assert await answer({"do": "refuse"}) == {"error": "no command has the id '42'"}


async def test_a_bug_is_logged_and_its_text_is_not_in_the_answer() -> None:
    with capture_logs() as logs:
        reply = await answer({"do": "bug"})
    assert reply == {"error": "the bridge could not do it; its log says why"}
    assert [entry["event"] for entry in logs] == ["operation failed"]


@pytest.mark.parametrize("line", [b"", b"{", b"\xff", b'{"do": NaN}', b"[" * 60_000])
async def test_a_line_that_is_no_json_is_answered_with_an_error(line: bytes) -> None:
    assert (await answer(line))["error"].startswith("The request cannot be read: ")


@pytest.mark.parametrize("request_value", [[], "journal.list", 3, None])
async def test_a_request_that_is_no_object_is_answered_with_an_error(request_value: object) -> None:
    assert await answer(request_value) == {"error": "The request is no JSON object."}


def open_files() -> int:
    """Returns how many files this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_the_socket_of_a_short_path_is_in_the_folder() -> None:
    with control_socket._short_socket_path(Path("/store")) as path:
        assert path == Path("/store") / SOCKET_NAME


def test_a_long_path_is_shortened_and_means_the_same_folder(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 25) / "老婆"
    folder.mkdir(parents=True)
    handles_before = open_files()
    with control_socket._short_socket_path(folder) as path:
        assert len(os.fsencode(path)) < MAX_PATH_BYTES
        path.touch()
    assert [file.name for file in folder.iterdir()] == [SOCKET_NAME]
    assert open_files() == handles_before
