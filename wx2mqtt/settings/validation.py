"""pydantic's findings as sentences that say what to do. No sentence repeats a value that may be a secret.

A tree of texts becomes `Settings`, with every fault that stands in the way, not only the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from wx2mqtt.errors import Problem
from wx2mqtt.settings.key_tree import (
    BRANCH_KINDS,
    LIST_KINDS,
    ConfigKey,
    KeyKind,
    KeyPath,
    children,
    closest,
    dotted,
    locate,
    suggest,
)
from wx2mqtt.settings.schema import Pin, Settings
from wx2mqtt.settings.yaml_tree import YamlTree, YamlValue

MAX_SHOWN_CHARACTERS = 40


_SHOWABLE = frozenset({KeyKind.CHOICE, KeyKind.FLAG, KeyKind.NUMBER, KeyKind.SIZE, KeyKind.DURATION})


def fault_text(fault: ErrorDetails, path: KeyPath) -> str:
    """What is wrong at `path`, and how to mend it."""
    kind = fault["type"]
    if kind == "extra_forbidden":
        return _unknown(path)
    if kind == "value_error":
        return _own(fault, path)
    if kind == "literal_error":
        return _choice(fault, path)
    word = _SENTENCES.get(kind)
    return shown_value(fault, path) + (
        word(fault.get("ctx", {})) if word else f"cannot be used: {fault['msg']}"
    )


def _unknown(path: KeyPath) -> str:
    guesses = suggest(path)
    if not guesses:
        return f"unknown key; known here: {', '.join(children(path[:-1]))}"
    meant = [str(guess[-1]) if guess[:-1] == path[:-1] else dotted(guess) for guess in guesses]
    return "unknown key, did you mean '{}'?".format("' or '".join(meant))


def _own(fault: ErrorDetails, path: KeyPath) -> str:
    said = str(fault["ctx"]["error"])
    return f"{shown_value(fault, path)}{said}"


def _choice(fault: ErrorDetails, path: KeyPath) -> str:
    choices = str(fault["ctx"]["expected"]).replace("'", "")
    value = str(fault["input"])
    close = closest(value, choices.replace(" or ", ", ").split(", "))
    hint = f", did you mean '{close}'?" if close else ""
    return f"{shown_value(fault, path)}must be {choices}{hint}"


def shown_value(fault: ErrorDetails, path: KeyPath) -> str:
    """The value in front of a sentence, where it cannot be a secret: `'abc' `."""
    key = locate(path)
    value = fault["input"]
    if key is None or key.kind not in _SHOWABLE or not isinstance(value, (str, int, float)):
        return ""
    text = str(value)
    return f"'{text[:MAX_SHOWN_CHARACTERS]}{'…' if len(text) > MAX_SHOWN_CHARACTERS else ''}' "


def null_fault(key: ConfigKey) -> str:
    """What to say about a key that has no value and needs one."""
    what = "write [] for none" if key.kind in LIST_KINDS else "give one"
    return f"has no value; {what}, or take the key away for the default"


def read_as_flag(text: str) -> str:
    """What to say about `yes` where a text belongs."""
    return (
        f'YAML reads {text} as a truth value and a text belongs here; write "{text}" in quotes if it is meant'
    )


_SentenceBuilder = Callable[[Mapping[str, object]], str]


_SENTENCES: dict[str, _SentenceBuilder] = {
    "missing": lambda _: "is missing",
    "string_type": lambda _: "must be one text: neither empty nor a list nor a section",
    "int_type": lambda _: "must be a whole number",
    "bool_type": lambda _: "must be true or false",
    "bool_parsing": lambda _: "must be true or false",
    "tuple_type": lambda _: "must be a list: [a, b]",
    "path_type": lambda _: "must be the path of a file or folder",
    "model_type": lambda _: "must be a section: keys with values below it, or {key: value}",
    "dict_type": lambda _: "must be a section: names with values below it, or {name: value}",
    "mapping_type": lambda _: "must be a section: names with values below it, or {name: value}",
    "greater_than_equal": lambda limit: f"must be at least {limit['ge']}",
    "less_than_equal": lambda limit: f"must be at most {limit['le']}",
    "too_short": lambda limit: f"must have at least {limit['min_length']} entry",
}


_TEXTUAL = frozenset({KeyKind.TEXT, KeyKind.PATH, KeyKind.SECRET}) | LIST_KINDS


def validate(tree: YamlTree) -> tuple[Settings, list[Problem]]:
    """The settings and all problems; what has a problem is left out, so that the rest can still be judged."""
    rest = YamlTree(tree.file, data=deepcopy(tree.data), positions=tree.positions)
    problems = _tidy(rest, (), dict(rest.data))
    while True:
        try:
            return Settings.model_validate(rest.data), problems
        except ValidationError as error:
            faults = {_place(rest, fault["loc"]): fault for fault in error.errors(include_url=False)}
            problems += [
                tree.problem(_as_written(tree, path), fault_text(fault, path))
                for path, fault in faults.items()
            ]
            _leave_out(rest, list(faults))


def _place(tree: YamlTree, loc: KeyPath) -> KeyPath:
    """Where a fault is; pydantic says `[key]` after the name that is itself at fault."""
    return loc[:-1] if loc[-1] == "[key]" and tree.get(loc) is None else loc


def _leave_out(tree: YamlTree, paths: list[KeyPath]) -> None:
    """Take the faulty values away; of a list with a faulty item the whole list."""
    removed = [path for path in paths if tree.remove(_key_of(path))]
    assert removed, f"a fault that lies nowhere in the tree: {paths}"  # each round must be smaller
    for path in removed:
        _drop_emptied(tree, path[:-1])


def _drop_emptied(tree: YamlTree, path: KeyPath) -> None:
    """A pin, or all accounts, that was emptied here and not by the owner: no more is to be said of it."""
    key = locate(path) if path else None
    if key is not None and (key.model is Pin or key.kind is KeyKind.MAP) and tree.get(path) == {}:
        tree.remove(path)


def _as_written(tree: YamlTree, path: KeyPath) -> KeyPath:
    """Without the number of an item where one text stands for a list."""
    *above, last = path
    return path if isinstance(tree.get(tuple(above)), list) or isinstance(last, str) else tuple(above)


def _key_of(path: KeyPath) -> KeyPath:
    while isinstance(path[-1], int):
        path = path[:-1]
    return path


def _tidy(tree: YamlTree, path: KeyPath, section: dict[str, YamlValue]) -> list[Problem]:
    """Settle what YAML leaves open: empty sections, missing values, `yes` where a text belongs."""
    problems: list[Problem] = []
    for name, value in section.items():
        below = (*path, name)
        key = locate(below)
        if key is None:
            continue
        if value is None:
            problems += _no_value(tree, below, key)
        elif isinstance(value, dict) and key.kind in BRANCH_KINDS:
            problems += _tidy(tree, below, dict(value))
        elif key.kind in _TEXTUAL:
            problems += _flags_as_text(tree, below, value)
    return problems


def _no_value(tree: YamlTree, path: KeyPath, key: ConfigKey) -> list[Problem]:
    if key.optional:
        return []
    place = tree.position_of(path)
    tree.remove(path)
    if key.kind in BRANCH_KINDS:
        if not children(path[:-1]) and key.kind is KeyKind.SECTION:
            tree.set(tuple(map(str, path)), {}, place)
        return []
    return [tree.problem(path, null_fault(key))]


def _flags_as_text(tree: YamlTree, path: KeyPath, value: YamlValue) -> list[Problem]:
    problems = []
    items = enumerate(value) if isinstance(value, list) else [(None, value)]
    for number, item in items:
        where = path if number is None else (*path, number)
        if tree.position_of(where).tag == "bool" and isinstance(item, str):
            problems.append(tree.problem(where, read_as_flag(item)))
    if problems:
        tree.remove(path)
    return problems
