"""What the doctor found: one row for each thing looked at, in the owner's language."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from wx2mqtt.doctor.words import say
from wx2mqtt.model import Json
from wx2mqtt.words import Language


class Verdict(StrEnum):
    """How it is. `failed` is what the bridge cannot do without; `not_known` is what cannot be found out."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_KNOWN = "not_known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`check` names what was looked at, for machines; `subject` is at whom: a broker, a topic, a host.

    `found` and `cure` are sentences; no cure where there is nothing to mend.
    """

    check: str
    subject: str
    verdict: Verdict
    found: str
    cure: str = ""

    def body(self) -> dict[str, Json]:
        """As `--json` prints it."""
        body: dict[str, Json] = {
            "check": self.check,
            "subject": self.subject,
            "verdict": str(self.verdict),
            "found": self.found,
        }
        return {**body, "cure": self.cure} if self.cure else body


class Chart:
    """Takes rows as they are found; `told` hears of each at once."""

    def __init__(self, language: Language, told: Callable[[Row], None] = lambda _row: None) -> None:
        self.language = language
        self.rows: list[Row] = []
        self._told = told

    def ok(self, check: str, subject: str, word: str, /, **facts: object) -> None:
        """All is well."""
        self._add(check, subject, Verdict.OK, word, "", facts)

    def warning(self, check: str, subject: str, word: str, cure: str, /, **facts: object) -> None:
        """It works, but not as well as it could."""
        self._add(check, subject, Verdict.WARNING, word, cure, facts)

    def failed(self, check: str, subject: str, word: str, cure: str, /, **facts: object) -> None:
        """It does not work."""
        self._add(check, subject, Verdict.FAILED, word, cure, facts)

    def not_known(self, check: str, subject: str, word: str, cure: str, /, **facts: object) -> None:
        """It cannot be found out; `cure` says how a person can."""
        self._add(check, subject, Verdict.NOT_KNOWN, word, cure, facts)

    @property
    def well(self) -> bool:
        """Whether nothing failed."""
        return all(row.verdict is not Verdict.FAILED for row in self.rows)

    def _add(
        self, check: str, subject: str, verdict: Verdict, word: str, cure: str, facts: dict[str, object]
    ) -> None:
        row = Row(
            check=check,
            subject=subject,
            verdict=verdict,
            found=say(self.language, word, **facts),
            cure=say(self.language, cure, **facts) if cure else "",
        )
        self.rows.append(row)
        self._told(row)
