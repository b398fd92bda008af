"""What the doctor found: one row for each thing looked at, in the owner's language.

What was found as people read it: a table at a terminal, lines elsewhere, each with its cure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from wx2mqtt.app.redaction import one_line
from wx2mqtt.i18n.bridge import Language
from wx2mqtt.i18n.diagnostics import diagnostics_text
from wx2mqtt.model import Json

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


class CheckStatus(StrEnum):
    """How it is. `failed` is what the bridge cannot do without; `not_known` is what cannot be found out."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_KNOWN = "not_known"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """`check` names what was looked at, for machines; `subject` is at whom: a broker, a topic, a host.

    `found` and `cure` are sentences; no cure where there is nothing to mend.
    """

    check: str
    subject: str
    status: CheckStatus
    finding: str
    remedy: str = ""

    def body(self) -> dict[str, Json]:
        """As `--json` prints it."""
        body: dict[str, Json] = {
            "check": self.check,
            "subject": self.subject,
            "verdict": str(self.status),
            "found": self.finding,
        }
        return {**body, "cure": self.remedy} if self.remedy else body


class CheckReport:
    """Takes rows as they are found; `told` hears of each at once."""

    def __init__(
        self, language: Language, on_result: Callable[[CheckResult], None] = lambda _row: None
    ) -> None:
        self.language = language
        self.results: list[CheckResult] = []
        self._on_result = on_result

    def ok(self, check: str, subject: str, message_key: str, /, **facts: object) -> None:
        """All is well."""
        self._add(check, subject, CheckStatus.OK, message_key, "", facts)

    def warning(
        self, check: str, subject: str, message_key: str, remedy_key: str, /, **facts: object
    ) -> None:
        """It works, but not as well as it could."""
        self._add(check, subject, CheckStatus.WARNING, message_key, remedy_key, facts)

    def failed(self, check: str, subject: str, message_key: str, remedy_key: str, /, **facts: object) -> None:
        """It does not work."""
        self._add(check, subject, CheckStatus.FAILED, message_key, remedy_key, facts)

    def not_known(
        self, check: str, subject: str, message_key: str, remedy_key: str, /, **facts: object
    ) -> None:
        """It cannot be found out; `cure` says how a person can."""
        self._add(check, subject, CheckStatus.NOT_KNOWN, message_key, remedy_key, facts)

    @property
    def is_passed(self) -> bool:
        """Whether nothing failed."""
        return all(row.status is not CheckStatus.FAILED for row in self.results)

    def _add(
        self,
        check: str,
        subject: str,
        status: CheckStatus,
        message_key: str,
        remedy_key: str,
        facts: dict[str, object],
    ) -> None:
        row = CheckResult(
            check=check,
            subject=subject,
            status=status,
            finding=diagnostics_text(self.language, message_key, **facts),
            remedy=diagnostics_text(self.language, remedy_key, **facts) if remedy_key else "",
        )
        self.results.append(row)
        self._on_result(row)


STATUS_MARKS = {
    CheckStatus.OK: "✓",
    CheckStatus.WARNING: "!",
    CheckStatus.FAILED: "✗",
    CheckStatus.NOT_KNOWN: "?",
}


STATUS_STYLES = {
    CheckStatus.OK: "green",
    CheckStatus.WARNING: "yellow",
    CheckStatus.FAILED: "bold red",
    CheckStatus.NOT_KNOWN: "cyan",
}


def report_lines(report: CheckReport) -> Iterator[str]:
    """One line for each row, one for its cure, and one that says how it is in all."""
    for row in report.results:
        yield from result_lines(row, report.language)
    yield report_summary(report)


def result_lines(result: CheckResult, language: Language) -> Iterator[str]:
    """What was found, and below it the cure."""
    verdict = diagnostics_text(language, str(result.status))
    yield one_line(
        f"{STATUS_MARKS[result.status]} {verdict}: {result_heading(result, language)}: {result.finding}"
    )
    if result.remedy:
        yield one_line(f"  {diagnostics_text(language, 'cure', cure=result.remedy)}")


def report_table(report: CheckReport) -> Table:
    """The rows for a terminal. Loads `rich`."""
    from rich.table import Table  # noqa: PLC0415 - 8 MB, only where a person watches

    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("column_verdict", "column_check", "column_subject", "column_found"):
        shown.add_column(diagnostics_text(report.language, column), overflow="fold")
    for row in report.results:
        shown.add_row(*_cells(row, report.language))
    return shown


def report_summary(report: CheckReport) -> str:
    """How it is in all."""
    failed = sum(row.status is CheckStatus.FAILED for row in report.results)
    return (
        diagnostics_text(report.language, "some_failed", count=failed)
        if failed
        else diagnostics_text(report.language, "all_well")
    )


def result_heading(result: CheckResult, language: Language) -> str:
    """What was looked at, and at whom."""
    return one_line(f"{diagnostics_text(language, f'check_{result.check}')} {result.subject}".rstrip())


def _cells(result: CheckResult, language: Language) -> Iterator[Text]:
    from rich.text import Text  # noqa: PLC0415 - as above; a Text obeys no marks that a broker may send

    style = STATUS_STYLES[result.status]
    yield Text(STATUS_MARKS[result.status], style=style)
    yield Text(diagnostics_text(language, f"check_{result.check}"))
    yield Text(one_line(result.subject))
    found = Text(one_line(result.finding))
    if result.remedy:
        found.append("\n" + one_line(diagnostics_text(language, "cure", cure=result.remedy)), style=style)
    yield found
