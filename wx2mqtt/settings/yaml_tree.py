"""Reads a YAML file into a tree of texts, lists and mappings that knows the line of each value.

    mqtt:               data       {"mqtt": {"username": "0123"}}
      username: 0123    positions  {("mqtt",): line 1, tag "map"; ("mqtt", "username"): line 2, tag "int"}

Every scalar stays the text that was written; the schema decides what it means. Depth and number of values are
limited, as aliases can multiply them. No message quotes a value: it may be a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import yaml

from wx2mqtt.errors import Problem
from wx2mqtt.limits import MAX_CONFIG_LEVELS, MAX_CONFIG_VALUES
from wx2mqtt.names import printable
from wx2mqtt.settings.key_tree import KeyPath, dotted
from wx2mqtt.values import frozen

YamlValue = None | str | list["YamlValue"] | dict[str, "YamlValue"]

# A key in the path that a problem shows is cut to so many characters.
MAX_SHOWN_NAME_CHARACTERS = 64

_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset({"str", "int", "float", "bool", "null", "timestamp", "seq", "map", "merge", "value"})


@frozen(kw_only=False)
class SourcePosition:
    """Where a value comes from."""

    file: str
    #: 0 for a value from a variable.
    line: int
    #: The type that YAML gives the value: `bool`, `int`, `str` and so on.
    tag: str = "str"
    #: The name of the variable or credential; empty for a value of the file.
    name: str = ""


@dataclass(slots=True)
class YamlTree:
    """Values and their positions, and what is wrong with them."""

    file: str
    #: The line of problems that concern the whole file.
    first_line: int = 1
    data: dict[str, YamlValue] = field(default_factory=dict)
    positions: dict[KeyPath, SourcePosition] = field(default_factory=dict)
    #: Refuse the settings.
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def position_of(self, path: KeyPath) -> SourcePosition:
        """Returns the position of a value; if it has none, that of the nearest section around it."""
        while path and path not in self.positions:
            path = path[:-1]
        return self.positions.get(path, SourcePosition(self.file, self.first_line))

    def add_problem(self, path: KeyPath, message: str) -> None:
        self.problems.append(self.problem(path, message))

    def problem(self, path: KeyPath, message: str) -> Problem:
        position = self.position_of(path)
        key = f"{position.name} ({key_text(path)})" if position.name else key_text(path)
        return Problem(position.file, position.line, key, printable(message), path=path)

    def get(self, path: KeyPath) -> YamlValue:
        value: YamlValue = self.data
        for name in path:
            if isinstance(value, dict) and isinstance(name, str):
                value = value.get(name)
            elif isinstance(value, list) and isinstance(name, int) and name < len(value):
                value = value[name]
            else:
                return None
        return value

    def set(self, path: KeyPath, value: YamlValue, position: SourcePosition) -> bool:
        """Sets a value and makes the sections above it; returns False if one of those is no mapping.

        An item of a list is never made.
        """
        section = self._make_section(path[:-1])
        if section is None:
            return False
        last = str(path[-1])
        self.remove_positions(path, section.get(last))
        section[last] = value
        self.positions[path] = position
        return True

    def _make_section(self, path: KeyPath) -> dict[str, YamlValue] | None:
        """Returns the section at a path, made where there is none; None where something else is there."""
        value: YamlValue = self.data
        for name in path:
            below: YamlValue = None
            if isinstance(value, dict):
                below = value.get(str(name))
                if below is None:
                    below = value[str(name)] = {}
            elif isinstance(value, list) and isinstance(name, int) and name < len(value):
                below = value[name]
            value = below
        return value if isinstance(value, dict) else None

    def replace(self, path: KeyPath, value: YamlValue) -> None:
        """Replaces an existing value and keeps its position."""
        section = self.get(path[:-1])
        assert isinstance(section, dict), "only an existing value can be replaced"
        section[str(path[-1])] = value

    def remove(self, path: KeyPath) -> bool:
        """Removes a value; returns False if there is none."""
        section, last = self.get(path[:-1]), path[-1]
        if not isinstance(section, dict) or last not in section:
            return False
        del section[str(last)]
        return True

    def remove_positions(self, path: KeyPath, value: YamlValue) -> None:
        """Forgets the position of the value at `path`, which is replaced, and of everything below it."""
        self.positions.pop(path, None)
        children: Iterable[tuple[str | int, YamlValue]] = ()
        if isinstance(value, dict):
            children = value.items()
        elif isinstance(value, list):
            children = enumerate(value)
        for name, child in children:
            self.remove_positions((*path, name), child)


def key_text(path: KeyPath) -> str:
    """Returns a path as the key of a problem; `file` stands for the file as a whole.

    Each problem repeats its whole path, so long names are cut.
    """
    shown = tuple(
        f"{name[:MAX_SHOWN_NAME_CHARACTERS]}…"
        if isinstance(name, str) and len(name) > MAX_SHOWN_NAME_CHARACTERS
        else name
        for name in path
    )
    return printable(dotted(shown)) or "file"


def parse(text: str, file: str) -> YamlTree:
    """Reads one YAML document; the tree is empty after a syntax error."""
    tree = YamlTree(file)
    reader = _YamlReader(tree)
    try:
        _check_depth(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if isinstance(root, yaml.MappingNode):
            tree.data = reader.read_mapping(root, ())
        elif root is not None and not (isinstance(root, yaml.ScalarNode) and root.tag == f"{_TAG}null"):
            reader.add_problem(
                (), _line(root), "must hold keys and values, such as `mqtt:` and below it `  url: …`"
            )
    except _DocumentTooLargeError as error:
        tree.data.clear()
        reader.add_problem((), error.line, str(error))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reader.add_problem((), mark.line + 1 if mark else 1, _syntax_message(error))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        reader.add_problem(
            (), line, f"holds a character that YAML forbids (number {error.character}); remove it"
        )
    return tree


def parse_value(text: str) -> YamlValue:
    """Reads a YAML list or mapping on one line, as in environment variables; raises ValueError."""
    tree = parse(f"value: {text}", "")
    if tree.problems:
        raise ValueError(tree.problems[0].message)
    return tree.data["value"]


class _DocumentTooLargeError(Exception):
    """The document is nested too deeply or holds too many values."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def _check_depth(text: str) -> None:
    """Raises `_DocumentTooLargeError` for a nesting that recursive code could not follow."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_CONFIG_LEVELS:
            raise _DocumentTooLargeError(_line(event), f"is nested deeper than {MAX_CONFIG_LEVELS} levels")


@dataclass(slots=True)
class _YamlReader:
    tree: YamlTree
    #: Limits what aliases can multiply.
    remaining_values: int = MAX_CONFIG_VALUES
    merge_depth: int = 0

    def add_problem(self, path: KeyPath, line: int, message: str) -> None:
        self.tree.problems.append(Problem(self.tree.file, line, key_text(path), message, path=path))

    def read_value(self, node: yaml.Node, path: KeyPath) -> YamlValue:
        self.remaining_values -= 1
        if self.remaining_values < 0 or len(path) > MAX_CONFIG_LEVELS:
            raise _DocumentTooLargeError(
                _line(node), f"holds more than {MAX_CONFIG_VALUES} values, or aliases that hold themselves"
            )
        tag = node.tag.removeprefix(_TAG)
        self.tree.positions.setdefault(path, SourcePosition(self.tree.file, _line(node), tag))
        if tag not in _PLAIN_TAGS:
            self.add_problem(
                path,
                _line(node),
                "YAML tags (!name) are not used here; a text that begins with ! needs quotes",
            )
            return None
        if isinstance(node, yaml.MappingNode):
            return self.read_mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read_value(child, (*path, index)) for index, child in enumerate(node.value)]
        return None if tag == "null" else str(node.value)

    def read_mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, YamlValue]:
        values = self.read_merged(node, path)
        first_lines: dict[str, int] = {}
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                continue
            if not isinstance(key, yaml.ScalarNode):
                self.add_problem(path, _line(key), "a key must be a plain text")
            elif key.value in first_lines:
                self.add_problem(
                    (*path, key.value),
                    _line(key),
                    f"is there twice; it was set in line {first_lines[key.value]} already",
                )
            else:
                first_lines[key.value] = _line(key)
                if key.value in values:
                    self.tree.remove_positions((*path, key.value), values[key.value])
                # Its position is the key's line, not that of an anchor it refers to.
                tag = value.tag.removeprefix(_TAG)
                position = SourcePosition(self.tree.file, _line(key), tag)
                self.tree.positions[*path, key.value] = position
                values[key.value] = self.read_value(value, (*path, key.value))
        return values

    def read_merged(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, YamlValue]:
        """Returns what `<<: *name` merges in; the mapping's own keys will override it."""
        merged: dict[str, YamlValue] = {}
        for key, value in node.value:
            if key.tag != f"{_TAG}merge":
                continue
            for source in value.value if isinstance(value, yaml.SequenceNode) else (value,):
                self.remaining_values -= 1
                if not isinstance(source, yaml.MappingNode) or self.remaining_values <= 0:
                    self.add_problem(path, _line(key), "<< merges a mapping that has an anchor: <<: *name")
                    continue
                self.merge_depth += 1  # `path` does not grow by a merge
                if self.merge_depth > MAX_CONFIG_LEVELS:
                    raise _DocumentTooLargeError(
                        _line(source),
                        f"merges over {MAX_CONFIG_LEVELS} mappings into each other, or one into itself",
                    )
                merged = self.read_mapping(source, path) | merged
                self.merge_depth -= 1
        return merged


def _line(node: yaml.Node | yaml.Event) -> int:
    return node.start_mark.line + 1 if node.start_mark else 1


# Remedies by a part of the parser's message; the first that matches is used.
_SYNTAX_ADVICE = (
    ("'\\t'", "indent with spaces, never with tabs"),
    (
        "mapping values are not allowed",
        "a text that holds ': ' needs quotes, or the line is indented wrongly",
    ),
    ("alias", "a text that begins with * needs quotes"),
    ("anchor", "a text that begins with & needs quotes"),
    ("cannot start any token", "a text that begins with @, ` or % needs quotes"),
    ("expected a single document", "the file must hold one document; remove the second ---"),
    ("could not find expected ':'", "a key needs ': ' and a value; a text over several lines needs quotes"),
    ("expected <block end>", "the indentation of this line fits nothing above it"),
    ("quoted scalar", "a quote is opened and not closed"),
    ("flow", "a [ or { is opened and not closed, or a comma is missing"),
)


def _syntax_message(error: yaml.MarkedYAMLError) -> str:
    """Returns the parser's message without quotations from the file, and what to do."""
    parser_message = f"{error.problem or ''} {error.context or ''}"
    advice = next(
        (advice for part, advice in _SYNTAX_ADVICE if part in parser_message),
        "look at this line and the one above it",
    )
    problem = re.sub(r"'[^']*'|\"[^\"]*\"", _hide_quotation, error.problem or "cannot be read")
    return f"is no YAML: {problem}; {advice}"


def _hide_quotation(match: re.Match[str]) -> str:
    """Keeps single characters and YAML's own <tokens>; hides other quotations, which are the owner's text."""
    return match[0] if len(match[0]) == 3 or match[0][1] == "<" else "…"
