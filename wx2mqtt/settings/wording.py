"""pydantic's findings as sentences that say what to do. No sentence repeats a value that may be a secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic_core import ErrorDetails

from wx2mqtt.settings.shape import LISTS, Key, KeyPath, Kind, children, dotted, locate
from wx2mqtt.settings.suggest import closest, suggest

SHOWN = 40
_SHOWABLE = frozenset({Kind.CHOICE, Kind.FLAG, Kind.NUMBER, Kind.SIZE, Kind.DURATION})


def sentence(fault: ErrorDetails, path: KeyPath) -> str:
    """What is wrong at `path`, and how to mend it."""
    kind = fault["type"]
    if kind == "extra_forbidden":
        return _unknown(path)
    if kind == "value_error":
        return _own(fault, path)
    if kind == "literal_error":
        return _choice(fault, path)
    word = _SENTENCES.get(kind)
    return shown(fault, path) + (word(fault.get("ctx", {})) if word else f"cannot be used: {fault['msg']}")


def _unknown(path: KeyPath) -> str:
    guesses = suggest(path)
    if not guesses:
        return f"unknown key; known here: {', '.join(children(path[:-1]))}"
    meant = [str(guess[-1]) if guess[:-1] == path[:-1] else dotted(guess) for guess in guesses]
    return "unknown key, did you mean '{}'?".format("' or '".join(meant))


def _own(fault: ErrorDetails, path: KeyPath) -> str:
    said = str(fault["ctx"]["error"])
    return f"{shown(fault, path)}{said}"


def _choice(fault: ErrorDetails, path: KeyPath) -> str:
    choices = str(fault["ctx"]["expected"]).replace("'", "")
    value = str(fault["input"])
    close = closest(value, choices.replace(" or ", ", ").split(", "))
    hint = f", did you mean '{close}'?" if close else ""
    return f"{shown(fault, path)}must be {choices}{hint}"


def shown(fault: ErrorDetails, path: KeyPath) -> str:
    """The value in front of a sentence, where it cannot be a secret: `'abc' `."""
    key = locate(path)
    value = fault["input"]
    if key is None or key.kind not in _SHOWABLE or not isinstance(value, (str, int, float)):
        return ""
    text = str(value)
    return f"'{text[:SHOWN]}{'…' if len(text) > SHOWN else ''}' "


def null(key: Key) -> str:
    """What to say about a key that has no value and needs one."""
    what = "write [] for none" if key.kind in LISTS else "give one"
    return f"has no value; {what}, or take the key away for the default"


def read_as_flag(text: str) -> str:
    """What to say about `yes` where a text belongs."""
    return (
        f'YAML reads {text} as a truth value and a text belongs here; write "{text}" in quotes if it is meant'
    )


_Words = Callable[[Mapping[str, object]], str]

_SENTENCES: dict[str, _Words] = {
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
