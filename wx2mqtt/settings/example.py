"""Writes configuration files from the schema, with each key's description as a comment."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping

import yaml

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.reference import REFERENCE_TEXTS
from wx2mqtt.settings.formats import format_duration, format_size
from wx2mqtt.settings.key_tree import LIST_KINDS, ConfigKey, KeyKind, KeyPath, keys_of
from wx2mqtt.settings.schema import DEFAULT_ACCOUNT, FIRST_BACKEND, SCHEMA_URL, Pin, Section, Settings
from wx2mqtt.values import frozen

LINE_WIDTH = 110
COMMENT_COLUMN = 40

# An editor with the YAML language server checks the file while it is written, and completes keys.
EXAMPLE_HEADER = f"""\
# yaml-language-server: $schema={SCHEMA_URL}
#
# The configuration of wx2mqtt: every key with its default, and iLink as the backend, which a file must name.
# Keep that and what you change, and delete the rest.
# Without any file there is one account, home, and an embedded broker on 127.0.0.1:1883 (mqtt.url: embedded).
#
# Any key can also come from the environment: mqtt.url is WX2MQTT_MQTT__URL. A secret can stand in a file
# (password_file), in the environment, or be a systemd credential of its name (mqtt.password).
# Sizes: 256kB, 25MB, 1GiB. Durations: 30s, 10m, 24h, 7d. `wx2mqtt check` finds every problem at once.
"""

_EXAMPLE_CONTACTS = {
    "remark": ("wife", "老婆"),
    "alias": ("neighbour", "wangwei_88"),
    "nickname": ("anna", "Anna"),
    "group": ("family", "相亲相爱一家人"),
    "ilink": ("friend", "o9cq8…@im.wechat"),
    "owner": ("me", "true"),
}


_BACKEND_PATH: KeyPath = ("accounts", DEFAULT_ACCOUNT, "backend")
"""The one key of the example without its default: who begins with the file begins with iLink."""


def example_text() -> str:
    """Returns the example file with every key; loading it gives the defaults, and iLink as the backend."""
    return EXAMPLE_HEADER + "\n".join(_section_lines(Settings, (), _KeySelection())) + "\n"


def compose(chosen_values: Mapping[KeyPath, object], header: str, language: Language) -> str:
    """Returns a file with these values; every other key is in it as a comment, with its default.

    `header` is the comment at the top. Loading the file gives just these values.
    """
    return header + "\n".join(_section_lines(Settings, (), _KeySelection(chosen_values, language))) + "\n"


@frozen(kw_only=False)
class _KeySelection:
    """The keys that are not commented out, with their values; None means all keys, with their defaults.

    The comments are in `language`.
    """

    chosen_values: Mapping[KeyPath, object] | None = None
    language: Language = "en"

    def is_active(self, path: KeyPath) -> bool:
        """Returns whether the key is chosen, or is a section that holds a chosen key."""
        return self.chosen_values is None or any(chosen[: len(path)] == path for chosen in self.chosen_values)

    def chosen_below(self, path: KeyPath) -> Iterator[tuple[KeyPath, object]]:
        """Yields the chosen keys below a path, relative to it, with their values."""
        for chosen, value in (self.chosen_values or {}).items():
            if len(chosen) > len(path) and chosen[: len(path)] == path:
                yield chosen[len(path) :], value

    def render_line(self, path: KeyPath, text: str, comment: str, depth: int) -> Iterator[str]:
        yield from _commented_line(text if self.is_active(path) else f"# {text}", comment, depth)

    def translate(self, comment: str) -> str:
        """Returns a description in the language of the file."""
        return REFERENCE_TEXTS[comment] if comment and self.language == "zh" else comment

    def introduce(self, comment: str) -> str:
        """Returns a description that examples follow."""
        return f"{self.translate(comment)}，例如：" if self.language == "zh" else f"{comment}, as in:"

    def render_value(self, path: KeyPath, key: ConfigKey) -> str:
        if self.chosen_values is None and path == _BACKEND_PATH:
            return FIRST_BACKEND
        if self.chosen_values is None or path not in self.chosen_values:
            return default_text(key)
        value = self.chosen_values[path]
        return _flow_text(value) if isinstance(value, (list, tuple)) else _scalar_text(value)


def _section_lines(
    model: type[Section], parent_path: KeyPath, selection: _KeySelection, depth: int = 0
) -> Iterator[str]:
    for key in keys_of(model).values():
        path = (*parent_path, key.name)
        comment = selection.translate(key.description)
        if not parent_path:
            yield ""
        if key.kind is KeyKind.SECTION and key.model is not None:
            yield from selection.render_line(path, f"{key.name}:", comment, depth)
            yield from _section_lines(key.model, path, selection, depth + 1)
        elif key.model is Pin:
            introduction = selection.introduce(key.description)
            yield from selection.render_line(path, f"{key.name}:", introduction, depth)
            for (name, kind, *_), value in selection.chosen_below(path):
                yield f"{'  ' * (depth + 1)}{_scalar_text(name)}: {_flow_text({kind: value})}"
            yield from _example_contact_lines(selection, depth + 1)
        elif key.model is not None:
            yield from selection.render_line(path, f"{key.name}:", "", depth)
            yield from selection.render_line(path, f"{DEFAULT_ACCOUNT}:", comment, depth + 1)
            yield from _section_lines(key.model, (*path, DEFAULT_ACCOUNT), selection, depth + 2)
        else:
            text = f"{key.name}: {selection.render_value(path, key)}"
            yield from selection.render_line(path, text, comment, depth)


def _example_contact_lines(selection: _KeySelection, depth: int) -> Iterator[str]:
    for key in keys_of(Pin).values():
        name, value = _EXAMPLE_CONTACTS[key.name]
        comment = selection.translate(key.description)
        yield from _commented_line(f"# {name}: {{{key.name}: {value}}}", comment, depth)


def _commented_line(text: str, comment: str, depth: int) -> Iterator[str]:
    """Yields a line with its comment behind it, or above it if it would be too long."""
    indent = "  " * depth
    line = f"{indent}{text} ".ljust(COMMENT_COLUMN - _wide_count(text)) + f"# {comment}"
    if not comment:
        yield f"{indent}{text}"
    elif len(line) + _wide_count(line) > LINE_WIDTH:
        yield f"{indent}# {comment}"
        yield f"{indent}{text}"
    else:
        yield line


def _wide_count(text: str) -> int:
    """Returns the number of characters that take two columns."""
    return sum(unicodedata.east_asian_width(character) in {"W", "F"} for character in text)


def default_text(key: ConfigKey) -> str:
    """Returns the default of a key as it is written in the file."""
    value = key.default
    if isinstance(value, tuple) and key.kind in LIST_KINDS:
        return _scalar_text(value[0]) if len(value) == 1 and value[0] != "*" else json.dumps(value)
    if key.kind is KeyKind.SIZE and isinstance(value, int):
        return format_size(value)
    if key.kind is KeyKind.DURATION and isinstance(value, float):
        return format_duration(value)
    return _scalar_text(value)


def _scalar_text(value: object) -> str:
    if isinstance(value, str) and _is_plain(value, value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _flow_text(value: object) -> str:
    """Returns a list or mapping as YAML on one line."""
    if isinstance(value, Mapping):
        entries = (f"{_flow_text(key)}: {_flow_text(content)}" for key, content in value.items())
        return "{" + ", ".join(entries) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow_text, value)) + "]"
    if isinstance(value, str) and _is_plain(f"[{value}]", [value]) and _is_plain(value, value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _is_plain(text: str, value: object) -> bool:
    """Returns whether YAML reads the text, which has no quotes, as this value."""
    try:
        return bool(yaml.safe_load(text) == value)
    except yaml.YAMLError:
        return False
