"""The results of the checks, and how people read them: as a table at a terminal, as lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.diagnostics import diagnostics_text
from wx2mqtt.model import Json
from wx2mqtt.names import printable
from wx2mqtt.values import frozen

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


class CheckStatus(StrEnum):
    #: It works.
    OK = "ok"
    #: It works, but not as well as it could.
    WARNING = "warning"
    #: The bridge needs it, and it does not work.
    FAILED = "failed"
    #: It could not be checked; the remedy says how a person can.
    NOT_KNOWN = "not_known"


@frozen
class CheckResult:
    """The result of one check, with sentences in the owner's language."""

    #: Its key for programs.
    check: str
    #: A broker, a topic or a host.
    subject: str
    status: CheckStatus
    finding: str
    #: Empty if nothing is to be fixed.
    remedy: str = ""

    def body(self) -> dict[str, Json]:
        """Returns the row that `--json` prints."""
        body: dict[str, Json] = {
            "check": self.check,
            "subject": self.subject,
            "verdict": str(self.status),
            "found": self.finding,
        }
        return {**body, "cure": self.remedy} if self.remedy else body


class CheckReport:
    """Collects results, and calls `on_result` with each. It has one method for each `CheckStatus`.

        report.failed("tcp", "broker:1883", "tcp_refused")   the texts `tcp_refused` and `tcp_refused_cure`
        report.ok("tcp", "broker:1883", "tcp_ok", ms=3)      the text `tcp_ok`, with its `{ms}`

    The texts are in `i18n/diagnostics.py`. A `remedy_key` names another remedy than that of the finding.
    """

    def __init__(
        self, language: Language, on_result: Callable[[CheckResult], None] = lambda _result: None
    ) -> None:
        self.language = language
        self.results: list[CheckResult] = []
        self._on_result = on_result

    def ok(self, check: str, subject: str, finding_key: str, /, **facts: object) -> None:
        self._add(CheckStatus.OK, check, subject, finding_key, "", facts)

    def warning(
        self, check: str, subject: str, finding_key: str, remedy_key: str = "", /, **facts: object
    ) -> None:
        self._add(CheckStatus.WARNING, check, subject, finding_key, remedy_key, facts)

    def failed(
        self, check: str, subject: str, finding_key: str, remedy_key: str = "", /, **facts: object
    ) -> None:
        self._add(CheckStatus.FAILED, check, subject, finding_key, remedy_key, facts)

    def not_known(
        self, check: str, subject: str, finding_key: str, remedy_key: str = "", /, **facts: object
    ) -> None:
        self._add(CheckStatus.NOT_KNOWN, check, subject, finding_key, remedy_key, facts)

    @property
    def is_passed(self) -> bool:
        return all(result.status is not CheckStatus.FAILED for result in self.results)

    def _add(
        self,
        status: CheckStatus,
        check: str,
        subject: str,
        finding_key: str,
        remedy_key: str,
        facts: dict[str, object],
    ) -> None:
        finding, remedy = diagnostics_text(self.language, finding_key, **facts), ""
        if status is not CheckStatus.OK:
            remedy = diagnostics_text(self.language, remedy_key or f"{finding_key}_cure", **facts)
        result = CheckResult(check=check, subject=subject, status=status, finding=finding, remedy=remedy)
        self.results.append(result)
        self._on_result(result)


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
    for result in report.results:
        yield from result_lines(result, report.language)
    yield report_summary(report)


def result_lines(result: CheckResult, language: Language) -> Iterator[str]:
    status = diagnostics_text(language, str(result.status))
    heading = result_heading(result, language)
    line = diagnostics_text(language, "result_line", status=status, heading=heading, finding=result.finding)
    yield printable(f"{STATUS_MARKS[result.status]} {line}")
    if result.remedy:
        yield printable(f"  {diagnostics_text(language, 'cure_line', cure=result.remedy)}")


def report_table(report: CheckReport) -> Table:
    """Returns the results as a table for a terminal. Loads `rich`."""
    from rich.table import Table  # noqa: PLC0415 - 8 MB, only where a person watches

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("column_verdict", "column_check", "column_subject", "column_found"):
        table.add_column(diagnostics_text(report.language, column), overflow="fold")
    for result in report.results:
        table.add_row(*_cells(result, report.language))
    return table


def report_summary(report: CheckReport) -> str:
    failed_count = sum(result.status is CheckStatus.FAILED for result in report.results)
    if not failed_count:
        return diagnostics_text(report.language, "nothing_failed")
    return diagnostics_text(report.language, "some_failed", count=failed_count)


def result_heading(result: CheckResult, language: Language) -> str:
    return printable(f"{diagnostics_text(language, f'check_{result.check}')} {result.subject}".rstrip())


def _cells(result: CheckResult, language: Language) -> Iterator[Text]:
    from rich.text import Text  # noqa: PLC0415 - as above; a Text ignores markup that a broker may send

    style = STATUS_STYLES[result.status]
    yield Text(STATUS_MARKS[result.status], style=style)
    yield Text(diagnostics_text(language, f"check_{result.check}"))
    yield Text(printable(result.subject))
    finding = Text(printable(result.finding))
    if result.remedy:
        finding.append(
            "\n" + printable(diagnostics_text(language, "cure_line", cure=result.remedy)), style=style
        )
    yield finding
