"""The parts that are recorded, by the names of their files."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from tests.golden import conversations, documents

RECORDED = Path(__file__).with_name("recorded")

Record = Callable[[Path], str]


def _run(record: Callable[[Path], Awaitable[str]]) -> Record:
    async def recorded(folder: Path) -> str:
        return await record(folder)

    return lambda folder: asyncio.run(recorded(folder))


PARTS: Mapping[str, Record] = {
    "webwx.json": _run(conversations.record_webwx),
    "ilink.json": _run(conversations.record_ilink),
    "wecom.json": _run(conversations.record_wecom),
    "sentences.json": lambda _: documents.sentences(),
    "configuration_problems.txt": documents.configuration_problems,
    "command_lines.txt": documents.command_lines,
}
