"""Servers and configurations that the doctor examines, and its results by check and subject."""

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
async def wechat_server(ahead: float | None = 0.0, answer: bytes | None = None) -> AsyncIterator[str]:
    """Runs a server in WeChat's place; yields its address. Its clock is `ahead` by seconds; None: it sends no time."""

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
async def silent_server() -> AsyncIterator[int]:
    """Runs a server that accepts connections and sends nothing; yields its port."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for writer in writers:
            writer.transport.abort()
        server.close()
        await server.wait_closed()


async def examine(folder: Path, url: str | list[str], endpoint: str, **more: Any) -> CheckReport:
    """Runs the doctor with this configuration; `mqtt`, `account` and others replace keys of the usual one."""
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


def statuses(report: CheckReport, *without: str) -> dict[str, str]:
    """Returns the status of each check, with the subject for rights, but for the checks in `without`."""
    return {
        f"{row.check} {row.subject}" if row.check in ("publish", "receive") else row.check: str(row.status)
        for row in report.results
        if row.check not in without
    }


def row(report: CheckReport, check: str, subject: str = "") -> CheckResult:
    """Returns the only result of this check, and of this subject if one is named."""
    (found,) = [row for row in report.results if row.check == check and subject in ("", row.subject)]
    return found
