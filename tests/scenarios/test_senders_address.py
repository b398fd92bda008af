"""Senders on an address of their own, a large file in little memory, and kill -9 behind an answer."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.scenarios.test_senders import SENDERS, TOKENS, SenderClient, sender_client_of
from tests.support.broker import free_port
from tests.support.home import Home

MB = 1_000_000


async def start_with_senders(home: Home, **web: object) -> None:
    """Starts the bridge with senders; returns when it is online."""
    await home.in_thread(home.bridge.configure, home.settings(web={"senders": SENDERS, **web}))
    await home.log_in()


async def test_a_separate_address_serves_senders_and_nothing_else(home: Home):
    port = free_port()
    await start_with_senders(home, senders_listen=f"127.0.0.1:{port}")
    separate_client = SenderClient(f"http://127.0.0.1:{port}")
    try:
        async with sender_client_of(home) as page:
            assert (
                await separate_client.post("/send/wife", "on its own", type="text/plain")
            ).status_code == 202
            assert (await page.post("/send/wife", "on the page", type="text/plain")).status_code == 404
            assert (await page.get("/livez")).status_code == 200
            answers = [
                await separate_client.get(path)
                for path in ("/", "/livez", "/healthz", "/metrics", "/login", "/media/x")
            ]
            assert {answer.status_code for answer in answers} == {404}
    finally:
        await separate_client.close()
    assert [line["text"] for line in await home.control.sent(1)] == ["on its own"]


async def test_a_reload_moves_the_addresses_of_senders_and_a_port_in_use_changes_nothing(home: Home):
    page, first, second = (f"127.0.0.1:{free_port()}" for _ in range(3))

    async def reload(**web: object) -> dict[str, Any]:
        home.bridge.configure(home.settings(web={"listen": page, "senders": SENDERS, **web}))
        return await home.send_request("reload")

    async def statuses(path: str = "/send/wife") -> list[int]:
        """Returns what a call gets at each of the three addresses; 0 where nobody listens."""
        found = []
        for address in (page, first, second):
            client = SenderClient(f"http://{address}")
            try:
                found.append((await client.post(path, "hello", type="text/plain")).status_code)
            except httpx.ConnectError:
                found.append(0)
            finally:
                await client.close()
        return found

    await start_with_senders(home, listen=page)
    assert await statuses() == [202, 0, 0]
    answer = await reload(senders_listen=first)
    assert answer["data"] == {"applied": ["web.senders_listen"], "needs_restart": []}
    assert await statuses() == [404, 202, 0]
    answer = await reload(senders_listen=second, ntfy_listen=first)
    assert answer["data"] == {"applied": ["web.ntfy_listen", "web.senders_listen"], "needs_restart": []}
    assert await statuses() == [404, 404, 202]
    assert await statuses("/wife") == [404, 200, 404]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = await reload(senders_listen=f"127.0.0.1:{port}")
    assert answer["status"] == "error"
    assert f"web.senders_listen: port {port} on 127.0.0.1 is in use" in answer["error"]
    assert await statuses() == [404, 404, 202]
    await reload()
    assert await statuses() == [202, 0, 0]


async def in_chunks(data: bytes) -> AsyncIterator[bytes]:
    """Yields a body in pieces, which has no length and is sent in chunks."""
    for start in range(0, len(data), 65536):
        yield data[start : start + 65536]


@pytest.mark.parametrize("body", ["form", "raw", "chunked", "ntfy"])
async def test_a_file_of_20_mb_comes_in_while_memory_rises_by_10_mb_at_most(home: Home, body: str):
    await start_with_senders(home)
    async with sender_client_of(home) as sender_client:
        assert (await sender_client.post("/send/wife?wait=30&name=a.bin", os.urandom(MB))).status_code == 200
        before = _peak_kb(home.bridge.pid, reset=True)
        data = os.urandom(20 * MB)
        if body == "form":
            form = {"file": ("b.bin", data, "application/octet-stream")}
            answer = await sender_client.post("/send/wife", files=form)
        elif body == "ntfy":
            answer = await sender_client.post("/ntfy/wife", data, headers={"filename": "b.bin"})
        else:
            content = data if body == "raw" else in_chunks(data)
            answer = await sender_client.post("/send/wife?name=b.bin", content)
        assert answer.status_code == (200 if body == "ntfy" else 202), answer.text
        assert _peak_kb(home.bridge.pid) - before < 10_000
        line = (await home.control.sent(2))[-1]
        assert line["sha256"] == hashlib.sha256(data).hexdigest()


def _peak_kb(pid: int, *, reset: bool = False) -> int:
    """Returns the peak memory of a process in kB since the last reset."""
    folder = Path(f"/proc/{pid}")
    if reset:
        (folder / "clear_refs").write_text("5")
    lines = (folder / "status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


async def test_each_answered_command_has_one_result_after_a_kill(home: Home):
    await start_with_senders(home, listen=f"127.0.0.1:{free_port()}")
    async with sender_client_of(home) as sender_client:
        answers = [
            await sender_client.post(f"/send/wife?id=k{n}", f"killed {n}", type="text/plain")
            for n in range(5)
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
    async with sender_client_of(home) as sender_client:
        again = await sender_client.post("/send/wife?wait=5&id=k0", "killed 0", type="text/plain")
        assert again.json()["id"] == "k0"
        assert json.dumps(TOKENS["grafana"]) not in again.text
