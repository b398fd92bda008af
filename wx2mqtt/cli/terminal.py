"""What a person at a terminal sees: the QR code, progress, tables. Nothing of it goes into a log.

Names and texts come from strangers: nothing in them may move the cursor or look like a line of ours.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TextIO

from wx2mqtt.app.redaction import one_line
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.memory import block_imports
from wx2mqtt.model import Json
from wx2mqtt.wechat.backend import OnProgress

_OBEYED = re.compile("[\x7f-\x9f]")  # JSON escapes the lower ones by itself


def draw_qr(url: str, stream: TextIO) -> bool:
    """The QR code in half blocks, dark on light whatever the terminal's colours.

    False where `stream` is no terminal: nothing is drawn then, nor is the text of the code shown.
    """
    if not stream.isatty():
        return False
    with block_imports("PIL"):
        import qrcode  # noqa: PLC0415 - a bridge with a saved login never needs it

    code = qrcode.QRCode(border=2)
    code.add_data(url)
    code.make(fit=True)
    code.print_ascii(out=stream, tty=True)
    stream.flush()
    return True


def show_login(account: str, login: LoginStatus, url: str) -> None:
    """The login of `wx2mqtt run` at a terminal: what to do, and the code when there is one."""
    if not sys.stderr.isatty():
        return
    if url:
        draw_qr(url, sys.stderr)
    print(one_line(f"{account}: {login.state}: {login.reason}"), file=sys.stderr, flush=True)


async def read_line() -> str:
    """The next line that a person types at the terminal. No thread stays behind where it is cancelled."""
    loop, fd = asyncio.get_running_loop(), sys.stdin.fileno()
    typed: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        if not typed.done():
            typed.set_result(sys.stdin.readline())

    loop.add_reader(fd, read)
    try:
        return (await typed).strip()
    finally:
        loop.remove_reader(fd)


def contacts_progress() -> OnProgress:
    """Tells how many contacts have come; a moving line at a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda _count: None
    from rich.console import Console  # noqa: PLC0415 - only where a person watches
    from rich.progress import Progress as Bar  # noqa: PLC0415
    from rich.progress import SpinnerColumn, TextColumn  # noqa: PLC0415

    bar = Bar(
        SpinnerColumn(),
        TextColumn("contacts: {task.completed:.0f}"),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("contacts", total=None)

    def show(count: int) -> None:
        if count:
            bar.start()
            bar.update(task, completed=count)
        else:
            bar.stop()

    return show


def format_table(rows: Sequence[Json], columns: Iterable[str]) -> str:
    """Rows of text in columns as wide as they must be; what a row does not have is empty."""
    names = list(columns)
    lines = [names, *([_cell(row, name) for name in names] for row in rows)]
    widths = [max(_width(line[place]) for line in lines) for place in range(len(names))]
    return "\n".join(
        "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def format_json(value: Json) -> str:
    """JSON for people and machines, with nothing in it that a terminal would obey."""
    written = json.dumps(value, ensure_ascii=False, indent=2)
    return _OBEYED.sub(lambda sign: f"\\u{ord(sign[0]):04x}", written)


def _width(text: str) -> int:
    """Columns of a terminal; Chinese takes two for each character."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def _cell(row: Json, name: str) -> str:
    value = row.get(name) if isinstance(row, dict) else None
    if isinstance(value, bool):
        return "yes" if value else ""
    return "" if value is None else one_line(str(value))
