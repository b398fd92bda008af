"""Builds the models of the settings at its import, for the server of forks (`tests.support.forks`).

The product builds them when it reads a file: a fifth of the CPU time that a bridge takes in a short test.
"""

from __future__ import annotations

from collections.abc import Iterator

from wx2mqtt.settings.schema import Section


def _with_subclasses(section: type[Section]) -> Iterator[type[Section]]:
    yield section
    for subclass in section.__subclasses__():
        yield from _with_subclasses(subclass)


for _section in _with_subclasses(Section):
    _section.model_rebuild()
