"""Other people's clients as processes that use a simulator with TLS, and report what they see as JSON lines."""

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


class ClientProgram:
    """A client's process; it reports one JSON object a line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def wait_for(self, kind: str) -> dict[str, Any]:
        """Waits for the next report whose `what` is this kind; returns it."""
        assert self._process.stdout is not None
        while True:
            line = (await asyncio.wait_for(self._process.stdout.readline(), MAX_WAIT_SECONDS)).decode()
            assert line, f"it ended before it reported {kind!r}"
            start = line.find("{")
            message: dict[str, Any] = json.loads(line[start:]) if start >= 0 else {}
            assert message.get("what") != "error", message
            if message.get("what") == kind:
                return message

    def send_line(self, line: str = "") -> None:
        """Writes a line to its input; an empty one lets it end."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())


StartProgram = Callable[..., Awaitable[ClientProgram]]


def installed_client(name: str) -> Path:
    """Returns the client's folder; skips the test when the client cannot be installed."""
    problem = CLIENTS[name].install()
    if problem:
        pytest.skip(problem)
    return CLIENTS[name].folder


@asynccontextmanager
async def client_programs(port: int, folder: Path) -> AsyncIterator[StartProgram]:
    """Yields a function that starts programs in `folder`, and ends them all afterwards.

    They connect to the simulator on `port`, whose CA is in `folder/tls`.
    """
    started: list[asyncio.subprocess.Process] = []
    ca = str(folder / "tls" / "ca.pem")

    async def run(*command: str, **environment: str) -> ClientProgram:
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
        return ClientProgram(process)

    try:
        yield run
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
            await process.wait()
