"""A tree of texts becomes `Settings`, with every fault that stands in the way, not only the first."""

from __future__ import annotations

from copy import deepcopy

from pydantic import ValidationError

from wx2mqtt.errors import Problem
from wx2mqtt.settings.schema import Pin, Settings
from wx2mqtt.settings.shape import BRANCHES, LISTS, Key, KeyPath, Kind, children, locate
from wx2mqtt.settings.tree import Tree, Value
from wx2mqtt.settings.wording import null, read_as_flag, sentence

_TEXTUAL = frozenset({Kind.TEXT, Kind.PATH, Kind.SECRET}) | LISTS


def validate(tree: Tree) -> tuple[Settings, list[Problem]]:
    """The settings and all problems; what has a problem is left out, so that the rest can still be judged."""
    rest = Tree(tree.file, data=deepcopy(tree.data), places=tree.places)
    problems = _tidy(rest, (), dict(rest.data))
    while True:
        try:
            return Settings.model_validate(rest.data), problems
        except ValidationError as error:
            faults = {_place(rest, fault["loc"]): fault for fault in error.errors(include_url=False)}
            problems += [
                tree.problem(_as_written(tree, path), sentence(fault, path)) for path, fault in faults.items()
            ]
            _leave_out(rest, list(faults))


def _place(tree: Tree, loc: KeyPath) -> KeyPath:
    """Where a fault is; pydantic says `[key]` after the name that is itself at fault."""
    return loc[:-1] if loc[-1] == "[key]" and tree.get(loc) is None else loc


def _leave_out(tree: Tree, paths: list[KeyPath]) -> None:
    """Take the faulty values away; of a list with a faulty item the whole list."""
    removed = [path for path in paths if tree.remove(_key_of(path))]
    assert removed, f"a fault that lies nowhere in the tree: {paths}"  # each round must be smaller
    for path in removed:
        _drop_emptied(tree, path[:-1])


def _drop_emptied(tree: Tree, path: KeyPath) -> None:
    """A pin, or all accounts, that was emptied here and not by the owner: no more is to be said of it."""
    key = locate(path) if path else None
    if key is not None and (key.model is Pin or key.kind is Kind.MAP) and tree.get(path) == {}:
        tree.remove(path)


def _as_written(tree: Tree, path: KeyPath) -> KeyPath:
    """Without the number of an item where one text stands for a list."""
    *above, last = path
    return path if isinstance(tree.get(tuple(above)), list) or isinstance(last, str) else tuple(above)


def _key_of(path: KeyPath) -> KeyPath:
    while isinstance(path[-1], int):
        path = path[:-1]
    return path


def _tidy(tree: Tree, path: KeyPath, section: dict[str, Value]) -> list[Problem]:
    """Settle what YAML leaves open: empty sections, missing values, `yes` where a text belongs."""
    problems: list[Problem] = []
    for name, value in section.items():
        below = (*path, name)
        key = locate(below)
        if key is None:
            continue
        if value is None:
            problems += _no_value(tree, below, key)
        elif isinstance(value, dict) and key.kind in BRANCHES:
            problems += _tidy(tree, below, dict(value))
        elif key.kind in _TEXTUAL:
            problems += _flags_as_text(tree, below, value)
    return problems


def _no_value(tree: Tree, path: KeyPath, key: Key) -> list[Problem]:
    if key.optional:
        return []
    place = tree.place(path)
    tree.remove(path)
    if key.kind in BRANCHES:
        if not children(path[:-1]) and key.kind is Kind.SECTION:
            tree.put(tuple(map(str, path)), {}, place)
        return []
    return [tree.problem(path, null(key))]


def _flags_as_text(tree: Tree, path: KeyPath, value: Value) -> list[Problem]:
    problems = []
    items = enumerate(value) if isinstance(value, list) else [(None, value)]
    for number, item in items:
        where = path if number is None else (*path, number)
        if tree.place(where).tag == "bool" and isinstance(item, str):
            problems.append(tree.problem(where, read_as_flag(item)))
    if problems:
        tree.remove(path)
    return problems
