"""The docstring of `Journal` lists all its methods, each under the module that defines it."""

from __future__ import annotations

import inspect
import re

from tests.unit.store.make import publication
from wx2mqtt.store.journal import Journal


def _listed() -> dict[str, str]:
    """The module by public name, as the docstring says."""
    listed: dict[str, str] = {}
    module = ""
    for line in (inspect.getdoc(Journal) or "").splitlines():
        if heading := re.match(r"(\w+): ", line):
            module = heading[1]
        elif entry := re.match(r"    (\w+) +\S", line):
            listed[entry[1]] = module
    return listed


def _defined() -> dict[str, str]:
    """The module by public name, as the classes say."""
    return {
        name: part.__module__.rpartition(".")[2]
        for part in reversed(Journal.__mro__[:-1])
        for name in vars(part)
        if not name.startswith("_")
    }


def test_the_journal_lists_every_method_under_its_module() -> None:
    assert _listed() == _defined()


def test_no_two_parts_of_the_journal_define_the_same_name() -> None:
    names = [name for part in Journal.__bases__ for name in vars(part) if not name.startswith("__")]
    assert len(names) == len(set(names))


async def test_what_waits_moves_with_the_base_topic(journal: Journal) -> None:
    await journal.set_base_topic("old")
    await journal.enqueue([publication("old/result/wife"), publication("older/result/wife")])
    await journal.set_base_topic("new/base")
    waiting = await journal.list_waiting(0, 10, [])
    assert [row.topic for row in waiting] == ["new/base/result/wife", "older/result/wife"]
