"""The keys whose feature comes with a later version: read and checked, and without effect.

THE table: delete a line when its feature works. It is empty in the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from wx2mqtt.settings.finding import Finding
from wx2mqtt.settings.layers import FILE_SUFFIX
from wx2mqtt.settings.schema import Settings
from wx2mqtt.settings.values import flatten

NOT_YET: tuple[str, ...] = ()


def not_yet_findings(settings: Settings) -> Iterator[Finding]:
    """A warning for each key that was set away from its default and has no effect yet."""
    changed = {path for path, key, value in flatten(settings) if value != key.default}
    for path in sorted(changed):
        from_file = (*path[:-1], path[-1] + FILE_SUFFIX) in changed  # then the owner wrote only that key
        if _listed(".".join(path)) and not from_file:
            yield Finding(path, "has no effect yet: this comes with a later version", warning=True)


def _listed(key: str) -> bool:
    return any(fnmatchcase(key, row) or fnmatchcase(key, f"{row}.*") for row in NOT_YET)
