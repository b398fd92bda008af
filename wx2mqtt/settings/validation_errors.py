"""Turns a tree of texts into `Settings`, and every error of pydantic into a sentence that says what to do.

    mqtt: {urll: "…"}  ->  mqtt.urll: unknown key, did you mean 'url'?

`validate` lets pydantic check the tree, removes each value that has a fault, and repeats this until nothing
is wrong. So `Settings` is complete but for these values, and every fault is reported, also one that another
had hidden. What pydantic would take for something else is removed before (`_normalize`). No sentence repeats
a value that may be a secret.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from wx2mqtt.settings.cross_key_rules import BackendRules
from wx2mqtt.settings.key_tree import (
    BRANCH_KINDS,
    LIST_KINDS,
    ConfigKey,
    KeyKind,
    KeyPath,
    children,
    closest,
    locate,
    suggest,
)
from wx2mqtt.settings.schema import Pin, Settings
from wx2mqtt.settings.yaml_tree import YamlTree, YamlValue, key_text

# Characters of a value that a sentence quotes.
MAX_SHOWN_CHARACTERS = 40

# Kinds of keys whose value is certainly no secret.
_SHOWABLE = frozenset({KeyKind.CHOICE, KeyKind.FLAG, KeyKind.NUMBER, KeyKind.SIZE, KeyKind.DURATION})

# Kinds of keys whose value is a text, or a list of texts.
_TEXT_KINDS = frozenset({KeyKind.TEXT, KeyKind.PATH, KeyKind.SECRET}) | LIST_KINDS


def validate(tree: YamlTree, backends: BackendRules) -> Settings:
    """Returns the settings, without the values that have a problem; adds the problems to the tree.

    `backends` loads a backend of another package when the configuration names it.
    """
    rest = replace(tree, data=deepcopy(tree.data))  # adds to the same problems
    _normalize(rest, (), dict(rest.data))
    while True:
        try:
            return Settings.model_validate(rest.data, context=backends)
        except ValidationError as error:
            faults = {_fault_path(rest, fault["loc"]): fault for fault in error.errors(include_url=False)}
        for path, fault in faults.items():
            # A list may be written as one text, which has no items.
            is_text = isinstance(path[-1], int) and not isinstance(tree.get(path[:-1]), list)
            tree.add_problem(path[:-1] if is_text else path, _fault_text(fault, path))
        _remove_faulty(rest, list(faults))


def _fault_path(tree: YamlTree, loc: KeyPath) -> KeyPath:
    """Returns the path of an error; pydantic adds `[key]` if not the value but the key itself is wrong."""
    return loc[:-1] if loc[-1] == "[key]" and tree.get(loc) is None else loc


def _remove_faulty(tree: YamlTree, paths: list[KeyPath]) -> None:
    """Removes the faulty values; for anything faulty in a list the whole list.

    Where a removed value was the only one of a section that must not be empty, the section goes as well: it
    would be reported for that.
    """
    removed = [path for path in paths if tree.remove(_without_items(path))]
    assert removed, f"no faulty value is in the tree: {paths}"  # each round of `validate` must remove some
    for path in removed:
        section_path = path[:-1]
        if tree.get(section_path) == {} and _must_not_be_empty(section_path):
            tree.remove(section_path)


def _must_not_be_empty(path: KeyPath) -> bool:
    """Returns whether the schema refuses an empty section at a path: a pin, or a map."""
    key = locate(path)
    return key is not None and (key.model is Pin or key.kind is KeyKind.MAP)


def _without_items(path: KeyPath) -> KeyPath:
    """Returns the path of the list in which a path leads, else the path itself."""
    indexes = [position for position, part in enumerate(path) if isinstance(part, int)]
    return path[: indexes[0]] if indexes else path


# Before pydantic: what YAML leaves open


def _normalize(tree: YamlTree, path: KeyPath, section: dict[str, YamlValue]) -> None:
    """Handles what pydantic cannot: empty sections, keys without value, `yes` in a text field.

    Values that have a problem are removed from the tree.
    """
    for name, value in section.items():
        key_path = (*path, name)
        key = locate(key_path)
        if key is None:
            continue
        if value is None:
            _normalize_null(tree, key_path, key)
        elif isinstance(value, dict) and key.kind in BRANCH_KINDS:
            _normalize(tree, key_path, dict(value))
        elif isinstance(value, list) and key.kind is KeyKind.SECTIONS:
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    _normalize(tree, (*key_path, index), dict(item))
        elif key.kind in _TEXT_KINDS:
            _refuse_flags(tree, key_path, value)


def _normalize_null(tree: YamlTree, path: KeyPath, key: ConfigKey) -> None:
    """Handles a key without a value, such as `url:`.

    - One that may be null keeps it.
    - An entry of a map, such as `home:` below `accounts`, exists: it becomes an empty section.
    - Any other section, or a map, is as if it were not written.
    - Any other key has a problem.
    """
    if key.optional:
        return
    position = tree.position_of(path)
    tree.remove(path)
    is_map_entry = key.kind is KeyKind.SECTION and not children(path[:-1])
    if is_map_entry:
        tree.set(tuple(map(str, path)), {}, position)
    elif key.kind not in BRANCH_KINDS:
        is_list = key.kind in LIST_KINDS or key.kind is KeyKind.SECTIONS
        advice = "write [] for none" if is_list else "give one"
        tree.add_problem(path, f"has no value; {advice}, or remove the key for the default")


def _refuse_flags(tree: YamlTree, path: KeyPath, value: YamlValue) -> None:
    """Refuses a bare `yes` or `off` where a text belongs: YAML reads it as a truth value."""
    if isinstance(value, list):
        items = {(*path, index): item for index, item in enumerate(value)}
    else:
        items = {path: value}
    for item_path, item in items.items():
        if tree.position_of(item_path).tag == "bool" and isinstance(item, str):
            tree.add_problem(
                item_path,
                f"YAML reads {item} as a truth value and a text belongs here; write "
                f'"{item}" in quotes if it is meant',
            )
            tree.remove(path)


# Sentences about errors of pydantic


def _fault_text(fault: ErrorDetails, path: KeyPath) -> str:
    kind = fault["type"]
    if kind == "extra_forbidden":
        return _unknown_key_text(path)
    if kind == "literal_error":
        sentence = _choice_text(fault)
    elif kind == "value_error":  # raised by a check of the schema, which wrote the sentence
        sentence = str(fault["ctx"]["error"])
    elif kind in _SENTENCES:
        sentence = _SENTENCES[kind].format(**fault.get("ctx", {}))
    else:
        sentence = f"cannot be used: {fault['msg']}"
    return _shown_value(fault, path) + sentence


def _shown_value(fault: ErrorDetails, path: KeyPath) -> str:
    """Returns the value to put before a sentence, such as `'abc' `; empty if it may be a secret."""
    key = locate(path)
    value = fault["input"]
    if key is None or key.kind not in _SHOWABLE or not isinstance(value, (str, int, float)):
        return ""
    text = str(value)
    return f"'{text[:MAX_SHOWN_CHARACTERS]}{'…' if len(text) > MAX_SHOWN_CHARACTERS else ''}' "


def _unknown_key_text(path: KeyPath) -> str:
    guesses = suggest(path)
    if not guesses:
        return f"unknown key; known here: {', '.join(children(path[:-1]))}"
    names = [str(guess[-1]) if guess[:-1] == path[:-1] else key_text(guess) for guess in guesses]
    return "unknown key, did you mean '{}'?".format("' or '".join(names))


def _choice_text(fault: ErrorDetails) -> str:
    choices = str(fault["ctx"]["expected"]).replace("'", "")
    similar = closest(str(fault["input"]), choices.replace(" or ", ", ").split(", "))
    hint = f", did you mean '{similar}'?" if similar else ""
    return f"must be {choices}{hint}"


# By the type of an error of pydantic, with values of its context in braces.
_SENTENCES = {
    "missing": "is missing",
    "string_type": "must be one text: neither empty nor a list nor a section",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "tuple_type": "must be a list: [a, b]",
    "path_type": "must be the path of a file or folder",
    "model_type": "must be a section: keys with values below it, or {{key: value}}",
    "dict_type": "must be a section: names with values below it, or {{name: value}}",
    "mapping_type": "must be a section: names with values below it, or {{name: value}}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} entry",
}
