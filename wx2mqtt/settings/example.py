"""The schema for people: the commented example file."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

from wx2mqtt.settings.formats import format_duration, format_size
from wx2mqtt.settings.key_tree import LIST_KINDS, ConfigKey, KeyKind, KeyPath, keys_of
from wx2mqtt.settings.schema import DEFAULT_ACCOUNT, Pin, Section, Settings

LINE_WIDTH = 110
COMMENT_COLUMN = 40

EXAMPLE_HEADER = """\
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


def example_text() -> str:
    """The whole example file; loading it gives the defaults."""
    return EXAMPLE_HEADER + "\n".join(_lines(Settings, (), _KeySelection())) + "\n"


def compose(chosen_values: Mapping[KeyPath, object], header: str) -> str:
    """A file with these values; every other key stands in it as a comment, with its default.

    `head` is comment lines for its beginning. Loading it gives just these values.
    """
    return header + "\n".join(_lines(Settings, (), _KeySelection(chosen_values))) + "\n"


@dataclass(frozen=True, slots=True)
class _KeySelection:
    """What of the schema is alive: the `chosen` keys and the sections that lead to them; without any, all."""

    chosen_values: Mapping[KeyPath, object] | None = None

    def is_active(self, path: KeyPath) -> bool:
        return self.chosen_values is None or any(one[: len(path)] == path for one in self.chosen_values)

    def chosen_below(self, path: KeyPath) -> Iterator[tuple[KeyPath, object]]:
        """The chosen keys below a path, each from there on."""
        for one, value in (self.chosen_values or {}).items():
            if len(one) > len(path) and one[: len(path)] == path:
                yield one[len(path) :], value

    def render_line(self, path: KeyPath, text: str, comment: str, depth: int) -> Iterator[str]:
        yield from _line(text if self.is_active(path) else f"# {text}", comment, depth)

    def render_value(self, path: KeyPath, key: ConfigKey) -> str:
        if self.chosen_values is None or path not in self.chosen_values:
            return _written(key)
        value = self.chosen_values[path]
        return _flow(value) if isinstance(value, (list, tuple)) else _scalar(value)


def _lines(
    model: type[Section], parent_path: KeyPath, selection: _KeySelection, depth: int = 0
) -> Iterator[str]:
    for key in keys_of(model).values():
        path = (*parent_path, key.name)
        if not parent_path:
            yield ""
        if key.kind is KeyKind.SECTION and key.model is not None:
            yield from selection.render_line(path, f"{key.name}:", key.description, depth)
            yield from _lines(key.model, path, selection, depth + 1)
        elif key.model is Pin:
            yield from selection.render_line(path, f"{key.name}:", f"{key.description}, as in:", depth)
            for (name, kind, *_), value in selection.chosen_below(path):
                yield f"{'  ' * (depth + 1)}{_scalar(name)}: {_flow({kind: value})}"
            yield from _pins(depth + 1)
        elif key.model is not None:
            yield from selection.render_line(path, f"{key.name}:", "", depth)
            yield from selection.render_line(path, f"{DEFAULT_ACCOUNT}:", key.description, depth + 1)
            yield from _lines(key.model, (*path, DEFAULT_ACCOUNT), selection, depth + 2)
        else:
            yield from selection.render_line(
                path, f"{key.name}: {selection.render_value(path, key)}", key.description, depth
            )


def _pins(depth: int) -> Iterator[str]:
    for key in keys_of(Pin).values():
        name, value = _PINS[key.name]
        yield from _line(f"# {name}: {{{key.name}: {value}}}", key.description, depth)


def _line(text: str, comment: str, depth: int) -> Iterator[str]:
    """One line, with its comment behind it where it fits and above it where not."""
    indent = "  " * depth
    both = f"{indent}{text} ".ljust(COMMENT_COLUMN - _wide(text)) + f"# {comment}"
    if not comment:
        yield f"{indent}{text}"
    elif len(both) > LINE_WIDTH:
        yield f"{indent}# {comment}"
        yield f"{indent}{text}"
    else:
        yield both


def _wide(line_text: str) -> int:
    """How many characters of a text take two columns."""
    return sum(unicodedata.east_asian_width(mark) in {"W", "F"} for mark in line_text)


def _written(key: ConfigKey) -> str:
    """The default as it stands in the file."""
    value = key.default
    if isinstance(value, tuple) and key.kind in LIST_KINDS:
        return _scalar(value[0]) if len(value) == 1 and value[0] != "*" else json.dumps(value)
    if key.kind is KeyKind.SIZE and isinstance(value, int):
        return format_size(value)
    if key.kind is KeyKind.DURATION and isinstance(value, float):
        return format_duration(value)
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
