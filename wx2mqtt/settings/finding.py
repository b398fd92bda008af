"""What is found on the way to the settings: by one rule, and all together."""

from __future__ import annotations

from dataclasses import dataclass, field

from wx2mqtt.errors import Problem
from wx2mqtt.settings.shape import KeyPath


@dataclass(frozen=True, slots=True)
class Finding:
    """`message` says what is wrong with the value at `path` and how to mend it; a warning stops nobody."""

    path: KeyPath
    message: str
    warning: bool = False


@dataclass(slots=True)
class Report:
    """What was found so far. Problems forbid the settings, warnings do not."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
