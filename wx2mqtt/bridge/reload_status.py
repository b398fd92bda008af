"""Whether the configuration file was accepted the last time that it was read, and since when it was not."""

from __future__ import annotations

from wx2mqtt.clock import now_ms
from wx2mqtt.errors import Problem
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text


class ReloadStatus:
    """The last reload, or the start where there was none. It outlives a database that is lost.

    Attributes:
        problems: why the last reload was refused; empty if it was accepted.
        accepted: when a file was accepted last, in milliseconds.
    """

    def __init__(self) -> None:
        self.problems: tuple[Problem, ...] = ()
        self.accepted = now_ms()

    def record_accepted(self) -> None:
        self.problems = ()
        self.accepted = now_ms()

    def record_refused(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems

    @property
    def is_refused(self) -> bool:
        return bool(self.problems)

    def sentence(self, language: Language) -> str:
        """Returns what people are told while the file is refused; empty if it is not. No value is in it."""
        if not self.problems:
            return ""
        first = self.problems[0]
        place = f"{first.file}:{first.line}" if first.line else first.file
        return bridge_text(language, "reload_refused", count=len(self.problems), place=place, key=first.key)
