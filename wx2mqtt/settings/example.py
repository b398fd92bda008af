"""The schema for people: the commented example file."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

from wx2mqtt.settings.schema import FIRST_ACCOUNT, Pin, Section, Settings
from wx2mqtt.settings.shape import LISTS, Key, KeyPath, Kind, keys
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
    return HEAD + "\n".join(_lines(Settings, (), _Page())) + "\n"


def composed(chosen: Mapping[KeyPath, object], head: str) -> str:
    """A file with these values; every other key stands in it as a comment, with its default.

    `head` is comment lines for its beginning. Loading it gives just these values.
    """
    return head + "\n".join(_lines(Settings, (), _Page(chosen))) + "\n"


@dataclass(frozen=True, slots=True)
class _Page:
    """What of the schema is alive: the `chosen` keys and the sections that lead to them; without any, all."""

    chosen: Mapping[KeyPath, object] | None = None

    def lives(self, path: KeyPath) -> bool:
        return self.chosen is None or any(one[: len(path)] == path for one in self.chosen)

    def below(self, path: KeyPath) -> Iterator[tuple[KeyPath, object]]:
        """The chosen keys below a path, each from there on."""
        for one, value in (self.chosen or {}).items():
            if len(one) > len(path) and one[: len(path)] == path:
                yield one[len(path) :], value

    def line(self, path: KeyPath, text: str, comment: str, depth: int) -> Iterator[str]:
        yield from _line(text if self.lives(path) else f"# {text}", comment, depth)

    def value(self, path: KeyPath, key: Key) -> str:
        if self.chosen is None or path not in self.chosen:
            return _written(key)
        value = self.chosen[path]
        return _flow(value) if isinstance(value, (list, tuple)) else _scalar(value)


def _lines(model: type[Section], above: KeyPath, page: _Page, depth: int = 0) -> Iterator[str]:
    for key in keys(model).values():
        path = (*above, key.name)
        if not above:
            yield ""
        if key.kind is Kind.SECTION and key.model is not None:
            yield from page.line(path, f"{key.name}:", key.description, depth)
            yield from _lines(key.model, path, page, depth + 1)
        elif key.model is Pin:
            yield from page.line(path, f"{key.name}:", f"{key.description}, as in:", depth)
            for (name, kind, *_), value in page.below(path):
                yield f"{'  ' * (depth + 1)}{_scalar(name)}: {_flow({kind: value})}"
            yield from _pins(depth + 1)
        elif key.model is not None:
            yield from page.line(path, f"{key.name}:", "", depth)
            yield from page.line(path, f"{FIRST_ACCOUNT}:", key.description, depth + 1)
            yield from _lines(key.model, (*path, FIRST_ACCOUNT), page, depth + 2)
        else:
            yield from page.line(path, f"{key.name}: {page.value(path, key)}", key.description, depth)


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
    if isinstance(value, str) and _is_plain(value, value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _flow(value: object) -> str:
    """A list or mapping on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str) and _is_plain(f"[{value}]", [value]) and _is_plain(value, value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _is_plain(written: str, value: object) -> bool:
    """Whether a text can stand in the file as it is, without quotes."""
    try:
        return bool(yaml.safe_load(written) == value)
    except yaml.YAMLError:
        return False
