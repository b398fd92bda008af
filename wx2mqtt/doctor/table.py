"""What was found as people read it: a table at a terminal, lines elsewhere, each with its cure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from wx2mqtt.doctor.chart import Chart, Row, Verdict
from wx2mqtt.doctor.words import say
from wx2mqtt.service.redaction import one_line
from wx2mqtt.words import Language

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

MARKS = {Verdict.OK: "✓", Verdict.WARNING: "!", Verdict.FAILED: "✗", Verdict.NOT_KNOWN: "?"}
STYLES = {
    Verdict.OK: "green",
    Verdict.WARNING: "yellow",
    Verdict.FAILED: "bold red",
    Verdict.NOT_KNOWN: "cyan",
}


def lines(chart: Chart) -> Iterator[str]:
    """One line for each row, one for its cure, and one that says how it is in all."""
    for row in chart.rows:
        yield from row_lines(row, chart.language)
    yield summary(chart)


def row_lines(row: Row, language: Language) -> Iterator[str]:
    """What was found, and below it the cure."""
    verdict = say(language, str(row.verdict))
    yield one_line(f"{MARKS[row.verdict]} {verdict}: {heading(row, language)}: {row.found}")
    if row.cure:
        yield one_line(f"  {say(language, 'cure', cure=row.cure)}")


def table(chart: Chart) -> Table:
    """The rows for a terminal. Loads `rich`."""
    from rich.table import Table  # noqa: PLC0415 - 8 MB, only where a person watches

    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("column_verdict", "column_check", "column_subject", "column_found"):
        shown.add_column(say(chart.language, column), overflow="fold")
    for row in chart.rows:
        shown.add_row(*_cells(row, chart.language))
    return shown


def summary(chart: Chart) -> str:
    """How it is in all."""
    failed = sum(row.verdict is Verdict.FAILED for row in chart.rows)
    return say(chart.language, "some_failed", count=failed) if failed else say(chart.language, "all_well")


def heading(row: Row, language: Language) -> str:
    """What was looked at, and at whom."""
    return one_line(f"{say(language, f'check_{row.check}')} {row.subject}".rstrip())


def _cells(row: Row, language: Language) -> Iterator[Text]:
    from rich.text import Text  # noqa: PLC0415 - as above; a Text obeys no marks that a broker may send

    style = STYLES[row.verdict]
    yield Text(MARKS[row.verdict], style=style)
    yield Text(say(language, f"check_{row.check}"))
    yield Text(one_line(row.subject))
    found = Text(one_line(row.found))
    if row.cure:
        found.append("\n" + one_line(say(language, "cure", cure=row.cure)), style=style)
    yield found
