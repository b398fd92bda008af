"""`wx2mqtt check --connect`: runs the checks of broker and WeChat and prints their results."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping

from wx2mqtt.cli.terminal import format_json
from wx2mqtt.diagnostics.report import CheckReport, report_lines, report_summary, report_table, result_heading
from wx2mqtt.diagnostics.runner import run_checks
from wx2mqtt.model import Json
from wx2mqtt.settings.loader import LoadedSettings


def check_connections(loaded: LoadedSettings, env: Mapping[str, str], *, as_json: bool) -> bool:
    """Runs all checks and prints the results; returns whether none failed."""
    # only a terminal gets a table: `rich` may be blocked elsewhere (see `__main__`)
    is_terminal = not as_json and sys.stdout.isatty() and sys.stderr.isatty()
    report = asyncio.run(_run_with_progress(loaded, env) if is_terminal else run_checks(loaded, env))
    if as_json:
        rows: list[Json] = [result.body() for result in report.results]
        print(format_json({"ok": report.is_passed, "file": str(loaded.path or ""), "rows": rows}))
    elif is_terminal:
        _print_table(report)
    else:
        print("\n".join(report_lines(report)))
    return report.is_passed


async def _run_with_progress(loaded: LoadedSettings, env: Mapping[str, str]) -> CheckReport:
    from rich.console import Console  # noqa: PLC0415 - 8 MB, only where a person watches
    from rich.text import Text  # noqa: PLC0415

    with Console(stderr=True).status("") as status:
        language = loaded.settings.language
        return await run_checks(
            loaded, env, lambda result: status.update(Text(result_heading(result, language)))
        )


def _print_table(report: CheckReport) -> None:
    from rich.console import Console  # noqa: PLC0415 - 8 MB, only where a person watches

    console = Console(highlight=False)
    console.print(report_table(report))
    console.print(report_summary(report))
