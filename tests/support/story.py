"""Somebody else's client in a process of its own: led to a simulator with TLS, telling what it sees as JSON lines."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import CLIENTS
from tests.support.deadlines import MAX_WAIT_SECONDS

PROGRAMS = Path(__file__).parents[1] / "scenarios" / "clients"
"""The programs, one for each client."""


class Story:
    """A client's program and what it tells, one JSON object a line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def until(self, what: str) -> dict[str, Any]:
        """What it tells next of that kind."""
        assert self._process.stdout is not None
        while True:
            line = (await asyncio.wait_for(self._process.stdout.readline(), MAX_WAIT_SECONDS)).decode()
            assert line, f"it ended before it told of {what!r}"
            start = line.find("{")
            told: dict[str, Any] = json.loads(line[start:]) if start >= 0 else {}
            assert told.get("what") != "error", told
            if told.get("what") == what:
                return told

    def go_on(self, line: str = "") -> None:
        """Let it come to its end, or give it what it asks for."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())


Start = Callable[..., Awaitable[Story]]


def installed(name: str) -> Path:
    """The client's folder; skips, by name, when it is not to be had."""
    problem = CLIENTS[name].install()
    if problem:
        pytest.skip(problem)
    return CLIENTS[name].folder


@asynccontextmanager
async def starting(port: int, folder: Path) -> AsyncIterator[Start]:
    """Starts programs in `folder`, led to the simulator on `port` whose CA is in `folder/tls`; ends them."""
    started: list[asyncio.subprocess.Process] = []
    ca = str(folder / "tls" / "ca.pem")

    async def run(*command: str, **environment: str) -> Story:
        trust = dict.fromkeys(("REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"), ca)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=folder,
            env={**os.environ, "SIMULATOR_PORT": str(port), **trust, **environment},
        )
        started.append(process)
        return Story(process)

    try:
        yield run
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
            await process.wait()
