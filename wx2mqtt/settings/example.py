"""The schema for people: the commented example file."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator

import yaml

from wx2mqtt.settings.schema import FIRST_ACCOUNT, Pin, Section, Settings
from wx2mqtt.settings.shape import LISTS, Key, Kind, keys
from wx2mqtt.settings.units import write_duration, write_size

WIDTH = 110
COLUMN = 40

HEAD = """\
# The configuration of wx2mqtt: every key with its default. Keep what you change and delete the rest.
# Without any file there is one account, home, and a broker of our own on 127.0.0.1:1883 (mqtt.url: embedded).
#
# Any key can also come from the environment: mqtt.url is WX2MQTT_MQTT__URL. A secret can stand in a file
# (password_file), in the environment, or be a systemd credential of its name (mqtt.password).
# Sizes: 256kB, 25MB, 1GiB. Durations: 30s, 10m, 24h, 7d. `wx2mqtt check` finds every problem at once.
"""

_PINS = {
    "remark": ("wife", "老婆"),
    "alias": ("neighbour", "wangwei_88"),
    "nickname": ("anna", "Anna"),
    "group": ("family", "相亲相爱一家人"),
    "ilink": ("friend", "o9cq8…@im.wechat"),
    "owner": ("me", "true"),
}


def example() -> str:
    """The whole example file; loading it gives the defaults."""
    return HEAD + "\n".join(_lines(Settings, 0)) + "\n"


def _lines(model: type[Section], depth: int) -> Iterator[str]:
    for key in keys(model).values():
        if depth == 0:
            yield ""
        if key.kind is Kind.SECTION and key.model is not None:
            yield from _line(f"{key.name}:", key.description, depth)
            yield from _lines(key.model, depth + 1)
        elif key.model is Pin:
            yield from _line(f"{key.name}:", f"{key.description}, as in:", depth)
            yield from _pins(depth + 1)
        elif key.model is not None:
            yield from _line(f"{key.name}:", "", depth)
            yield from _line(f"{FIRST_ACCOUNT}:", key.description, depth + 1)
            yield from _lines(key.model, depth + 2)
        else:
            yield from _line(f"{key.name}: {_written(key)}", key.description, depth)


def _pins(depth: int) -> Iterator[str]:
    for key in keys(Pin).values():
        name, value = _PINS[key.name]
        yield from _line(f"# {name}: {{{key.name}: {value}}}", key.description, depth)


def _line(text: str, comment: str, depth: int) -> Iterator[str]:
    """One line, with its comment behind it where it fits and above it where not."""
    indent = "  " * depth
    both = f"{indent}{text} ".ljust(COLUMN - _wide(text)) + f"# {comment}"
    if not comment:
        yield f"{indent}{text}"
    elif len(both) > WIDTH:
        yield f"{indent}# {comment}"
        yield f"{indent}{text}"
    else:
        yield both


def _wide(text: str) -> int:
    """How many characters of a text take two columns."""
    return sum(unicodedata.east_asian_width(mark) in {"W", "F"} for mark in text)


def _written(key: Key) -> str:
    """The default as it stands in the file."""
    value = key.default
    if isinstance(value, tuple) and key.kind in LISTS:
        return _scalar(value[0]) if len(value) == 1 and value[0] != "*" else json.dumps(value)
    if key.kind is Kind.SIZE and isinstance(value, int):
        return write_size(value)
    if key.kind is Kind.DURATION and isinstance(value, float):
        return write_duration(value)
    return _scalar(value)


def _scalar(value: object) -> str:
    if isinstance(value, str) and yaml.safe_load(value) == value:
        return value
    return json.dumps(value)
