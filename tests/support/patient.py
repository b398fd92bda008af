"""Brokers and accounts for the doctor to examine, and what it found, by check and subject."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import yaml

from wx2mqtt.diagnostics.all_checks import run_checks
from wx2mqtt.diagnostics.check_report import CheckReport, CheckResult
from wx2mqtt.settings.loader import load
from wx2mqtt.wechat.registry import BACKENDS


@contextlib.asynccontextmanager
async def wechat(ahead: float | None = 0.0, answer: bytes | None = None) -> AsyncIterator[str]:
    """A server in WeChat's place; its clock is `ahead` of ours, None: it tells no time. Gives its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            date = "" if ahead is None else f"Date: {formatdate(time.time() + ahead, usegmt=True)}\r\n"
            whole = f"HTTP/1.1 404 Not Found\r\n{date}Content-Length: 0\r\n\r\n".encode()
            writer.write(whole if answer is None else answer)
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def hanging() -> AsyncIterator[int]:
    """A port that takes every connection and never says a word."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for writer in writers:
            writer.transport.abort()
        server.close()
        await server.wait_closed()


async def examined(folder: Path, url: str | list[str], endpoint: str, **more: Any) -> CheckReport:
    """What the doctor finds with this configuration; `mqtt`, `account` and others are laid over the usual."""
    mqtt, account = more.pop("mqtt", {}), more.pop("account", {})
    settings = {
        "mqtt": {"url": url, **mqtt},
        "accounts": {"home": {"endpoint": endpoint, **account}},
        "storage": {"path": str(folder / "store")},
        **more,
    }
    file = folder / "wx2mqtt.yaml"
    file.write_text(yaml.safe_dump(settings, allow_unicode=True))
    return await run_checks(load(file, {}, BACKENDS), {})


def verdicts(chart: CheckReport, *but: str) -> dict[str, str]:
    """By check; of rights also their subject. Without those named in `but`."""
    return {
        f"{row.check} {row.subject}" if row.check in ("publish", "receive") else row.check: str(row.status)
        for row in chart.results
        if row.check not in but
    }


def row(chart: CheckReport, check: str, subject: str = "") -> CheckResult:
    """The one row of this check, of this subject if one is named."""
    (found,) = [one for one in chart.results if one.check == check and subject in ("", one.subject)]
    return found
