"""A YAML file as a tree of texts, lists and mappings that remembers where each value stands.

Every scalar stays the text that was written; what it means is decided by the schema, so that `0123` in a
text field is what it looks like. Bounded in size, depth and what aliases multiply. Holds no value back
from the caller, but puts none into a message: it may be a password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import yaml

from wx2mqtt.errors import Problem
from wx2mqtt.settings.formats import printable
from wx2mqtt.settings.key_tree import KeyPath, dotted

MAX_DEPTH = 20
MAX_VALUES = 50_000

YamlValue = None | str | list["YamlValue"] | dict[str, "YamlValue"]

_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset({"str", "int", "float", "bool", "null", "timestamp", "seq", "map", "merge", "value"})


@dataclass(frozen=True, slots=True)
class SourcePosition:
    """Where a value was written. `line` is 0 and `name` the variable for what is not from a file.

    `tag` is what YAML takes the value for: `bool`, `int`, `str` and so on.
    """

    file: str
    line: int
    tag: str = "str"
    name: str = ""


@dataclass(slots=True)
class YamlTree:
    """Values and their places. `first_line` is where a fault of the whole stands."""

    file: str
    first_line: int = 1
    data: dict[str, YamlValue] = field(default_factory=dict)
    positions: dict[KeyPath, SourcePosition] = field(default_factory=dict)

    def position_of(self, path: KeyPath) -> SourcePosition:
        """Where the value stands, or what it would stand in."""
        while path and path not in self.positions:
            path = path[:-1]
        return self.positions.get(path, SourcePosition(self.file, self.first_line))

    def problem(self, path: KeyPath, message: str) -> Problem:
        """One problem with the value at this path."""
        place = self.position_of(path)
        key = f"{place.name} ({dotted(path)})" if place.name else dotted(path)
        return Problem(place.file, place.line, printable(key) or "file", printable(message))

    def get(self, path: KeyPath) -> YamlValue:
        """The value at this path, None where there is none."""
        here: YamlValue = self.data
        for name in path:
            if not isinstance(here, dict) or not isinstance(name, str):
                return None
            here = here.get(name)
        return here

    def set(self, path: tuple[str, ...], value: YamlValue, position: SourcePosition) -> bool:
        """Set a value; false when something on the way is no mapping."""
        here = self.data
        for name in path[:-1]:
            below = here.setdefault(name, {})
            if below is None:
                below = here[name] = {}
            if not isinstance(below, dict):
                return False
            here = below
        here[path[-1]] = value
        self.remove_positions(path)
        self.positions[path] = position
        return True

    def replace(self, path: tuple[str, ...], value: YamlValue) -> None:
        """Write the same value in another way; what is known of its place stays."""
        holder = self.get(path[:-1])
        assert isinstance(holder, dict), "only what is there can be written in another way"
        holder[path[-1]] = value

    def remove(self, path: KeyPath) -> bool:
        """Take a value away; false when there is none."""
        *above, last = path
        here: YamlValue = self.data
        for name in above:
            here = _step(here, name)
        if isinstance(here, dict) and isinstance(last, str) and last in here:
            del here[last]
            return True
        return False

    def remove_positions(self, path: KeyPath) -> None:
        """The value is new: what stood below the old one is gone."""
        for known in [known for known in self.positions if known[: len(path)] == path]:
            del self.positions[known]


def _step(here: YamlValue, name: str | int) -> YamlValue:
    if isinstance(here, dict) and isinstance(name, str):
        return here.get(name)
    if isinstance(here, list) and isinstance(name, int) and name < len(here):
        return here[name]
    return None


def parse(text: str, file: str) -> tuple[YamlTree, list[Problem]]:
    """The tree of one YAML document. With a fault of syntax the tree is empty."""
    reader = _YamlReader(YamlTree(file))
    try:
        _check_depth(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            reader.read_root(root)
    except _DocumentTooLargeError as much:
        reader.tree.data.clear()
        reader.add_problem((), much.line, str(much))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reader.add_problem((), mark.line + 1 if mark else 1, _syntax(error))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        reader.add_problem(
            (), line, f"holds a character that YAML forbids (number {error.character}); take it out"
        )
    return reader.tree, reader.problems


def parse_value(text: str) -> YamlValue:
    """A YAML list or mapping on one line, as environment variables hold it; ValueError for anything else."""
    tree, problems = parse(f"value: {text}", "")
    if problems:
        raise ValueError(problems[0].message)
    return tree.data["value"]


class _DocumentTooLargeError(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def _check_depth(text: str) -> None:
    """Before anything recursive looks at it."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _DocumentTooLargeError(_line(event), f"is nested deeper than {MAX_DEPTH} levels")


@dataclass(slots=True)
class _YamlReader:
    """Turns nodes into values; `left` bounds what aliases can multiply."""

    tree: YamlTree
    problems: list[Problem] = field(default_factory=list)
    remaining_values: int = MAX_VALUES

    def add_problem(self, path: KeyPath, line: int, message: str) -> None:
        self.problems.append(Problem(self.tree.file, line, printable(dotted(path)) or "file", message))

    def read_root(self, node: yaml.Node) -> None:
        if isinstance(node, yaml.MappingNode):
            self.tree.data = self.read_mapping(node, ())
        elif not (isinstance(node, yaml.ScalarNode) and node.tag == f"{_TAG}null"):
            self.add_problem(
                (), _line(node), "must hold keys and values, such as `mqtt:` and below it `  url: …`"
            )

    def read_value(self, node: yaml.Node, path: KeyPath) -> YamlValue:
        self.remaining_values -= 1
        if self.remaining_values < 0 or len(path) > MAX_DEPTH:
            raise _DocumentTooLargeError(
                _line(node), f"holds more than {MAX_VALUES} values, or aliases that hold themselves"
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
            return [self.read_value(child, (*path, place)) for place, child in enumerate(node.value)]
        return None if tag == "null" else str(node.value)

    def read_mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, YamlValue]:
        found = self.read_merged(node, path)
        first: dict[str, int] = {}
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                continue
            if not isinstance(key, yaml.ScalarNode):
                self.add_problem(path, _line(key), "a key must be a plain text")
            elif key.value in first:
                again = (*path, key.value)
                self.add_problem(
                    again, _line(key), f"stands a second time; the first is in line {first[key.value]}"
                )
            else:
                first[key.value] = _line(key)
                if key.value in found:
                    self.tree.remove_positions((*path, key.value))
                found[key.value] = self.read_entry(key, value, (*path, key.value))
        return found

    def read_entry(self, key: yaml.ScalarNode, value: yaml.Node, path: KeyPath) -> YamlValue:
        """The place of a key is its own line, not that of an alias that it takes its value from."""
        self.tree.positions[path] = SourcePosition(self.tree.file, _line(key), value.tag.removeprefix(_TAG))
        return self.read_value(value, path)

    def read_merged(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, YamlValue]:
        """What `<<: *name` brings in; what stands in the mapping itself will win."""
        found: dict[str, YamlValue] = {}
        for key, value in node.value:
            if key.tag != f"{_TAG}merge":
                continue
            for source in value.value if isinstance(value, yaml.SequenceNode) else (value,):
                self.remaining_values -= 1
                if isinstance(source, yaml.MappingNode) and self.remaining_values > 0:
                    found = self.read_mapping(source, path) | found
                else:
                    self.add_problem(path, _line(key), "<< takes in a mapping that has an anchor: <<: *name")
        return found


def _line(node: yaml.Node | yaml.Event) -> int:
    return node.start_mark.line + 1 if node.start_mark else 1


_ADVICE = (
    ("'\\t'", "indent with spaces, never with tabs"),
    (
        "mapping values are not allowed",
        "a text that holds ': ' needs quotes, or the line is indented wrongly",
    ),
    ("alias", "a text that begins with * needs quotes"),
    ("anchor", "a text that begins with & needs quotes"),
    ("cannot start any token", "a text that begins with @, ` or % needs quotes"),
    ("expected a single document", "the file must hold one document; take the second --- away"),
    ("could not find expected ':'", "a key needs ': ' and a value; a text over several lines needs quotes"),
    ("expected <block end>", "the indentation of this line fits nothing above it"),
    ("quoted scalar", "a quote is opened and not closed"),
    ("flow", "a [ or { is opened and not closed, or a comma is missing"),
)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    """What YAML says, without what it quotes from the file, and how to mend it."""
    said = f"{error.problem or ''} {error.context or ''}"
    advice = next(
        (words for sign, words in _ADVICE if sign in said), "look at this line and the one above it"
    )
    problem = re.sub(r"'[^']*'|\"[^\"]*\"", _short_only, error.problem or "cannot be read")
    return f"is no YAML: {problem}; {advice}"


def _short_only(match: re.Match[str]) -> str:
    """Single characters and YAML's own <tokens> may be repeated, what the owner wrote not."""
    return match[0] if len(match[0]) == 3 or match[0][1] == "<" else "…"
