"""`wx2mqtt check --connect`: have the doctor look, and show what was found."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping

from wx2mqtt.cli.terminal import as_json
from wx2mqtt.doctor.chart import Chart
from wx2mqtt.doctor.examination import examine
from wx2mqtt.doctor.table import heading, lines, summary, table
from wx2mqtt.model import Json
from wx2mqtt.settings.load import Loaded


def connect(loaded: Loaded, env: Mapping[str, str], *, machine: bool) -> bool:
    """Examine broker and WeChat and print what is found, as JSON for a `machine`. Whether nothing failed."""
    # `rich` is there only where a person watches (see `__main__`)
    watched = not machine and sys.stdout.isatty() and sys.stderr.isatty()
    chart = asyncio.run(_watched(loaded, env) if watched else examine(loaded, env))
    if machine:
        rows: list[Json] = [row.body() for row in chart.rows]
        print(as_json({"ok": chart.well, "file": str(loaded.path or ""), "rows": rows}))
    elif watched:
        _draw(chart)
    else:
        print("\n".join(lines(chart)))
    return chart.well


async def _watched(loaded: Loaded, env: Mapping[str, str]) -> Chart:
    """With a moving line that says what is looked at."""
    from rich.console import Console  # noqa: PLC0415 - 8 MB, only where a person watches
    from rich.text import Text  # noqa: PLC0415

    with Console(stderr=True).status("") as status:
        language = loaded.settings.language
        return await examine(loaded, env, lambda row: status.update(Text(heading(row, language))))


def _draw(chart: Chart) -> None:
    from rich.console import Console  # noqa: PLC0415 - as above

    console = Console(highlight=False)
    console.print(table(chart))
    console.print(summary(chart))
