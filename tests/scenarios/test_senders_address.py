"""Senders on an address of their own, a large file in little memory, and kill -9 behind an answer."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.scenarios.test_senders import SENDERS, TOKENS, Caller, calling
from tests.support.broker import free_port
from tests.support.home import Home

MB = 1_000_000


async def started(home: Home, **web: object) -> None:
    """Starts the bridge with senders; returns when it is online."""
    await home.in_thread(home.bridge.configure, home.settings(web={"senders": SENDERS, **web}))
    await home.log_in()


async def test_an_address_of_their_own_serves_senders_and_nothing_else(home: Home):
    port = free_port()
    await started(home, senders_listen=f"127.0.0.1:{port}")
    own = Caller(f"http://127.0.0.1:{port}")
    try:
        async with calling(home) as page:
            assert (await own.post("/send/wife", "on its own", type="text/plain")).status_code == 202
            assert (await page.post("/send/wife", "on the page", type="text/plain")).status_code == 404
            assert (await page.get("/livez")).status_code == 200
            answers = [
                await own.get(path) for path in ("/", "/livez", "/healthz", "/metrics", "/login", "/media/x")
            ]
            assert {one.status_code for one in answers} == {404}
    finally:
        await own.close()
    assert [line["text"] for line in await home.control.sent(1)] == ["on its own"]


async def pieces_of(data: bytes) -> AsyncIterator[bytes]:
    """A body without a length: it goes out in chunks."""
    for start in range(0, len(data), 65536):
        yield data[start : start + 65536]


@pytest.mark.parametrize("body", ["form", "raw", "chunked", "ntfy"])
async def test_a_file_of_20_mb_comes_in_while_memory_rises_by_10_mb_at_most(home: Home, body: str):
    await started(home)
    async with calling(home) as caller:
        assert (await caller.post("/send/wife?wait=30&name=a.bin", os.urandom(MB))).status_code == 200
        before = _peak_kb(home.bridge.pid, reset=True)
        data = os.urandom(20 * MB)
        if body == "form":
            form = {"file": ("b.bin", data, "application/octet-stream")}
            answer = await caller.post("/send/wife", files=form)
        elif body == "ntfy":
            answer = await caller.post("/ntfy/wife", data, headers={"filename": "b.bin"})
        else:
            content = data if body == "raw" else pieces_of(data)
            answer = await caller.post("/send/wife?name=b.bin", content)
        assert answer.status_code == (200 if body == "ntfy" else 202), answer.text
        assert _peak_kb(home.bridge.pid) - before < 10_000
        line = (await home.control.sent(2))[-1]
        assert line["sha256"] == hashlib.sha256(data).hexdigest()


def _peak_kb(pid: int, *, reset: bool = False) -> int:
    """The largest memory of a process since the last reset."""
    folder = Path(f"/proc/{pid}")
    if reset:
        (folder / "clear_refs").write_text("5")
    lines = (folder / "status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


async def test_what_was_answered_has_one_result_after_a_kill(home: Home):
    await started(home, listen=f"127.0.0.1:{free_port()}")
    async with calling(home) as caller:
        answers = [
            await caller.post(f"/send/wife?id=k{n}", f"killed {n}", type="text/plain") for n in range(5)
        ]
        assert {answer.status_code for answer in answers} == {202}
        await home.in_thread(home.bridge.kill)
    await home.restart()
    for number in range(5):
        result = await home.body("wx/result/wife", id=f"k{number}")
        assert result["status"] in {"sent", "uncertain"}
        assert result["sender"] == "grafana"
    texts = [line["text"] for line in await home.control.get("sent")]
    for number in range(5):
        assert 1 <= texts.count(f"killed {number}") <= 2
    # A repeat with the same key is answered with the stored result.
    async with calling(home) as caller:
        again = await caller.post("/send/wife?wait=5&id=k0", "killed 0", type="text/plain")
        assert again.json()["id"] == "k0"
        assert json.dumps(TOKENS["grafana"]) not in again.text
