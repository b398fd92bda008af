"""Output for a person at a terminal, and its language: QR codes, progress, tables, JSON. None of it is a log.

Names and texts come from strangers: they must not move the cursor or look like a line of the program.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.settings import sentence_text
from wx2mqtt.i18n.setup import column_lines
from wx2mqtt.memory import block_imports
from wx2mqtt.model import Json
from wx2mqtt.names import printable
from wx2mqtt.settings.loader import find_config
from wx2mqtt.wechat.backend_options import OnProgress

LANGUAGE_VARIABLE = "WX2MQTT_LANGUAGE"

_LANGUAGE_LINE = re.compile(r"^language:\s*[\"']?(en|zh)\b", re.MULTILINE)  # language: zh
_CONTROL = re.compile("[\x7f-\x9f]")  # control characters that JSON does not escape


def show(line: str) -> None:
    """Prints a line of the answer."""
    print(printable(line), flush=True)


def complain(line: str) -> None:
    """Prints a line that is no part of the answer, on standard error."""
    print(printable(line), file=sys.stderr, flush=True)


def draw_qr(url: str, stream: TextIO) -> bool:
    """Draws the QR code in half blocks, dark on light whatever the terminal's colours.

    Returns False if `stream` is no terminal; then nothing is written, not even the URL.
    """
    if not stream.isatty():
        return False
    with block_imports("PIL"):
        import qrcode  # noqa: PLC0415 - a bridge with a saved login never needs it

    qr_code = qrcode.QRCode(border=2)
    qr_code.add_data(url)
    qr_code.make(fit=True)
    qr_code.print_ascii(out=stream, tty=True)
    stream.flush()
    return True


def show_login(account: str, login: LoginStatus, url: str) -> None:
    """Prints the login state of `wx2mqtt run`, with the QR code of `url` if there is one."""
    if not sys.stderr.isatty():
        return
    if url:
        draw_qr(url, sys.stderr)
    complain(f"{account}: {login.state}: {login.reason}")


async def read_line() -> str:
    """Returns the next line that is typed at the terminal. Uses no thread, so it can be cancelled."""
    loop, fd = asyncio.get_running_loop(), sys.stdin.fileno()
    line: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        if not line.done():
            line.set_result(sys.stdin.readline())

    loop.add_reader(fd, read)
    try:
        return (await line).strip()
    finally:
        loop.remove_reader(fd)


def contacts_progress(language: Language) -> OnProgress:
    """Returns a callback that shows the number of loaded contacts; it does nothing without a terminal."""
    if not sys.stderr.isatty():
        return lambda _count: None
    from rich.console import Console  # noqa: PLC0415 - only where a person watches
    from rich.progress import Progress, SpinnerColumn, TextColumn  # noqa: PLC0415

    progress = Progress(
        SpinnerColumn(),
        TextColumn(sentence_text("contacts: {task.completed:.0f}", language)),
        console=Console(stderr=True),
        transient=True,
    )
    task = progress.add_task("contacts", total=None)

    def show(count: int) -> None:
        if count:
            progress.start()
            progress.update(task, completed=count)
        else:
            progress.stop()

    return show


def format_table(rows: Sequence[Json], columns: Iterable[str]) -> str:
    """Returns the rows as a table with a heading; a key that a row lacks gives an empty cell."""
    names = list(columns)
    return "\n".join(column_lines([names, *([_cell(row, name) for name in names] for row in rows)]))


def format_json(value: Json) -> str:
    """Returns indented JSON in which control characters are escaped: a terminal would obey them."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _cell(row: Json, name: str) -> str:
    value = row.get(name) if isinstance(row, dict) else None
    if isinstance(value, bool):
        return "yes" if value else ""
    return "" if value is None else printable(str(value))


def command_language(config: Path | None, env: Mapping[str, str]) -> Language:
    """Returns the language of a command before the configuration is loaded, or when it cannot be.

    It is that of the environment variable, else of the file, else of the terminal's locale; else English.
    """
    chosen = env.get(LANGUAGE_VARIABLE) or _language_of_file(config or find_config())
    if chosen in {"en", "zh"}:
        return "zh" if chosen == "zh" else "en"
    return preferred_language(env)


def preferred_language(env: Mapping[str, str]) -> Language:
    """Returns the language of the terminal's locale; English unless that is Chinese."""
    locale = next((env[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if env.get(name)), "")
    return "zh" if locale.lower().startswith("zh") else "en"


def _language_of_file(path: Path | None) -> str:
    try:
        text = "" if path is None or not path.is_file() else path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
    line = _LANGUAGE_LINE.search(text)
    return line[1] if line else ""


def print_answer(
    answer: Json, tables: Mapping[str, Sequence[str]] | None = None, language: Language = "en"
) -> None:
    """Prints an answer as JSON. With `tables`, the lists of the answer by name, prints these as tables.

    `tables` has the columns of each table.
    """
    if tables is None or not isinstance(answer, dict):
        print(format_json(answer))
        return
    for name, columns in tables.items():
        rows = answer.get(name)
        if isinstance(rows, list) and rows:
            print(format_table(rows, columns))
        elif name != "set_aside":  # that there are none is nothing to tell
            print(sentence_text(f"no {name}", language))
