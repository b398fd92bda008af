"""Writes a configuration file: chosen keys with their values, all others as comments with their defaults.

    mqtt:                                  # the broker
      url: mqtt://192.168.1.10:1883        # a chosen key
      # username: null                     # one with its default

Each key has its description from the schema as a comment behind it, or above it where the line would be long.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.reference import REFERENCE_TEXTS
from wx2mqtt.settings.key_tree import LIST_KINDS, ConfigKey, KeyKind, KeyPath, keys_of
from wx2mqtt.settings.schema import DEFAULT_ACCOUNT, SCHEMA_URL, Account, Pin, Section, Sender, Settings
from wx2mqtt.settings.sizes_and_durations import format_duration, format_size

# An editor with the YAML language server checks the file while it is written, and completes keys.
EDITOR_LINE = f"# yaml-language-server: $schema={SCHEMA_URL}\n"

LINE_WIDTH = 110
COMMENT_COLUMN = 40

# By the kind of a contact: a name for it, and whom it means.
_EXAMPLE_CONTACTS = {
    "remark": ("wife", "老婆"),
    "alias": ("neighbour", "wangwei_88"),
    "nickname": ("anna", "Anna"),
    "group": ("family", "相亲相爱一家人"),
    "ilink": ("friend", "o9cq8…@im.wechat"),
    "wecom": ("colleague", "zhangsan"),
    "owner": ("me", "true"),
}

# The default of `allow`, written as a list, as people will write the names that they put in its place.
_EVERYBODY = ("*",)

_EXAMPLE_SENDER = {
    "name": "grafana",
    "token": "null",
    "token_file": "grafana.token",
    "to": "me",
    "users": "[me, family]",
    "rate": "60",
}


def compose(chosen_values: Mapping[KeyPath, object], header: str, language: Language) -> str:
    """Returns the text of the file; loading it gives just the chosen values.

    `header` is the comment at the top, below the line for editors; `language` is that of the other comments.
    """
    writer = _Writer(chosen_values, language)
    writer.add_section(Settings, (), 0)
    return EDITOR_LINE + header + "\n".join(writer.lines) + "\n"


@dataclass(eq=False)
class _Writer:
    """Collects the lines of the file; `depth` is the indentation in steps."""

    chosen_values: Mapping[KeyPath, object]
    language: Language
    lines: list[str] = field(default_factory=list)

    def add_section(self, model: type[Section], parent_path: KeyPath, depth: int) -> None:
        for key in keys_of(model).values():
            path = (*parent_path, key.name)
            comment = self._translated(key.description)
            if not parent_path:
                self.lines.append("")
            if key.model is None:
                self._add_key(path, f"{key.name}: {self._written_value(path, key)}", comment, depth)
            elif key.model is Account:
                self._add_key(path, f"{key.name}:", "", depth)
                self._add_key(path, f"{DEFAULT_ACCOUNT}:", comment, depth + 1)
                self.add_section(Account, (*path, DEFAULT_ACCOUNT), depth + 2)
            elif key.model is Pin:
                self._add_contacts(path, key.name, comment, depth)
            elif key.model is Sender:
                self._add_example_sender(key.name, comment, depth)
            else:
                assert key.kind is KeyKind.SECTION  # of keys that all files have
                self._add_key(path, f"{key.name}:", comment, depth)
                self.add_section(key.model, path, depth + 1)

    def _add_contacts(self, path: KeyPath, name: str, comment: str, depth: int) -> None:
        """Adds the chosen contacts, and an example of each kind as a comment."""
        introduction = f"{comment}，例如：" if self.language == "zh" else f"{comment}, as in:"
        self._add_key(path, f"{name}:", introduction, depth)
        for chosen, value in self.chosen_values.items():
            if chosen[:-2] == path:
                contact, kind = chosen[-2:]
                self._add_line(f"{_scalar(contact)}: {_in_brackets({kind: value})}", "", depth + 1)
        for pin in keys_of(Pin).values():
            contact, example = _EXAMPLE_CONTACTS[pin.name]
            comment = self._translated(pin.description)
            self._add_line(f"# {contact}: {{{pin.name}: {example}}}", comment, depth + 1)

    def _add_example_sender(self, name: str, comment: str, depth: int) -> None:
        """Adds the list of senders with one example, as comments; no file is written with a sender."""
        self._add_line(f"# {name}:", comment, depth)
        sign = "-"
        for key in keys_of(Sender).values():
            comment = self._translated(key.description)
            self._add_line(f"#   {sign} {key.name}: {_EXAMPLE_SENDER[key.name]}", comment, depth)
            sign = " "

    def _add_key(self, path: KeyPath, text: str, comment: str, depth: int) -> None:
        """Adds a key, as a comment unless it is chosen, or is a section that holds a chosen key."""
        is_chosen = any(chosen[: len(path)] == path for chosen in self.chosen_values)
        self._add_line(text if is_chosen else f"# {text}", comment, depth)

    def _add_line(self, text: str, comment: str, depth: int) -> None:
        indent = "  " * depth
        column = COMMENT_COLUMN - _count_wide(text)
        line = f"{indent}{text} ".ljust(column) + f"# {comment}"
        if not comment:
            self.lines.append(f"{indent}{text}")
        elif len(line) + _count_wide(line) <= LINE_WIDTH:
            self.lines.append(line)
        else:
            self.lines += [f"{indent}# {comment}", f"{indent}{text}"]

    def _translated(self, comment: str) -> str:
        return REFERENCE_TEXTS[comment] if comment and self.language == "zh" else comment

    def _written_value(self, path: KeyPath, key: ConfigKey) -> str:
        value = self.chosen_values.get(path, key.default)
        if value == key.default:
            return default_text(key)
        return _in_brackets(value) if isinstance(value, (list, tuple)) else _scalar(value)


def _count_wide(text: str) -> int:
    """Returns the number of characters that take two columns."""
    return sum(unicodedata.east_asian_width(character) in {"W", "F"} for character in text)


def default_text(key: ConfigKey) -> str:
    """Returns the default of a key as it is written in the file."""
    value = key.default
    if isinstance(value, tuple) and key.kind in LIST_KINDS:
        is_single = len(value) == 1 and value != _EVERYBODY
        return _scalar(value[0]) if is_single else _in_brackets(value)
    if key.kind is KeyKind.SIZE and isinstance(value, int):
        return format_size(value)
    if key.kind is KeyKind.DURATION and isinstance(value, float):
        return format_duration(value)
    return _scalar(value)


def _scalar(value: object) -> str:
    """Returns a value that is no list and no mapping: a text without quotes where YAML needs none."""
    if isinstance(value, str) and _reads_as(value, value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _in_brackets(value: object) -> str:
    """Returns a list or mapping on one line, `[a, b]` or `{a: b}`, in which more texts need quotes."""
    if isinstance(value, Mapping):
        entries = (f"{_in_brackets(key)}: {_in_brackets(content)}" for key, content in value.items())
        return "{" + ", ".join(entries) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_in_brackets, value)) + "]"
    if isinstance(value, str) and not _reads_as(f"[{value}]", [value]):
        return json.dumps(value, ensure_ascii=False)
    return _scalar(value)


def _reads_as(text: str, value: object) -> bool:
    """Returns whether YAML reads a text as this value."""
    try:
        return bool(yaml.safe_load(text) == value)
    except yaml.YAMLError:
        return False
