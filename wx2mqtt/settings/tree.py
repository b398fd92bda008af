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
from wx2mqtt.settings.names import printable
from wx2mqtt.settings.shape import KeyPath, dotted

DEPTH = 20
VALUES = 50_000

Value = None | str | list["Value"] | dict[str, "Value"]

_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset({"str", "int", "float", "bool", "null", "timestamp", "seq", "map", "merge", "value"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value was written. `line` is 0 and `name` the variable for what is not from a file.

    `tag` is what YAML takes the value for: `bool`, `int`, `str` and so on.
    """

    file: str
    line: int
    tag: str = "str"
    name: str = ""


@dataclass(slots=True)
class Tree:
    """Values and their places. `first_line` is where a fault of the whole stands."""

    file: str
    first_line: int = 1
    data: dict[str, Value] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=dict)

    def place(self, path: KeyPath) -> Place:
        """Where the value stands, or what it would stand in."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(self.file, self.first_line))

    def problem(self, path: KeyPath, message: str) -> Problem:
        """One problem with the value at this path."""
        place = self.place(path)
        key = f"{place.name} ({dotted(path)})" if place.name else dotted(path)
        return Problem(place.file, place.line, printable(key) or "file", printable(message))

    def get(self, path: KeyPath) -> Value:
        """The value at this path, None where there is none."""
        here: Value = self.data
        for name in path:
            if not isinstance(here, dict) or not isinstance(name, str):
                return None
            here = here.get(name)
        return here

    def put(self, path: tuple[str, ...], value: Value, place: Place) -> bool:
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
        self.forget_places(path)
        self.places[path] = place
        return True

    def replace(self, path: tuple[str, ...], value: Value) -> None:
        """Write the same value in another way; what is known of its place stays."""
        holder = self.get(path[:-1])
        assert isinstance(holder, dict), "only what is there can be written in another way"
        holder[path[-1]] = value

    def remove(self, path: KeyPath) -> bool:
        """Take a value away; false when there is none."""
        *above, last = path
        here: Value = self.data
        for name in above:
            here = _step(here, name)
        if isinstance(here, dict) and isinstance(last, str) and last in here:
            del here[last]
            return True
        return False

    def forget_places(self, path: KeyPath) -> None:
        """The value is new: what stood below the old one is gone."""
        for known in [known for known in self.places if known[: len(path)] == path]:
            del self.places[known]


def _step(here: Value, name: str | int) -> Value:
    if isinstance(here, dict) and isinstance(name, str):
        return here.get(name)
    if isinstance(here, list) and isinstance(name, int) and name < len(here):
        return here[name]
    return None


def parse(text: str, file: str) -> tuple[Tree, list[Problem]]:
    """The tree of one YAML document. With a fault of syntax the tree is empty."""
    reader = _Reader(Tree(file))
    try:
        _check_depth(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            reader.root(root)
    except _TooMuchError as much:
        reader.tree.data.clear()
        reader.say((), much.line, str(much))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reader.say((), mark.line + 1 if mark else 1, _syntax(error))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        reader.say((), line, f"holds a character that YAML forbids (number {error.character}); take it out")
    return reader.tree, reader.problems


def parse_value(text: str) -> Value:
    """A YAML list or mapping on one line, as environment variables hold it; ValueError for anything else."""
    tree, problems = parse(f"value: {text}", "")
    if problems:
        raise ValueError(problems[0].message)
    return tree.data["value"]


class _TooMuchError(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def _check_depth(text: str) -> None:
    """Before anything recursive looks at it."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise _TooMuchError(_line(event), f"is nested deeper than {DEPTH} levels")


@dataclass(slots=True)
class _Reader:
    """Turns nodes into values; `left` bounds what aliases can multiply."""

    tree: Tree
    problems: list[Problem] = field(default_factory=list)
    left: int = VALUES

    def say(self, path: KeyPath, line: int, message: str) -> None:
        self.problems.append(Problem(self.tree.file, line, printable(dotted(path)) or "file", message))

    def root(self, node: yaml.Node) -> None:
        if isinstance(node, yaml.MappingNode):
            self.tree.data = self.mapping(node, ())
        elif not (isinstance(node, yaml.ScalarNode) and node.tag == f"{_TAG}null"):
            self.say((), _line(node), "must hold keys and values, such as `mqtt:` and below it `  url: …`")

    def value(self, node: yaml.Node, path: KeyPath) -> Value:
        self.left -= 1
        if self.left < 0 or len(path) > DEPTH:
            raise _TooMuchError(
                _line(node), f"holds more than {VALUES} values, or aliases that hold themselves"
            )
        tag = node.tag.removeprefix(_TAG)
        self.tree.places.setdefault(path, Place(self.tree.file, _line(node), tag))
        if tag not in _PLAIN_TAGS:
            self.say(
                path,
                _line(node),
                "YAML tags (!name) are not used here; a text that begins with ! needs quotes",
            )
            return None
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, place)) for place, child in enumerate(node.value)]
        return None if tag == "null" else str(node.value)

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Value]:
        found = self.merged(node, path)
        first: dict[str, int] = {}
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                continue
            if not isinstance(key, yaml.ScalarNode):
                self.say(path, _line(key), "a key must be a plain text")
            elif key.value in first:
                again = (*path, key.value)
                self.say(again, _line(key), f"stands a second time; the first is in line {first[key.value]}")
            else:
                first[key.value] = _line(key)
                if key.value in found:
                    self.tree.forget_places((*path, key.value))
                found[key.value] = self.entry(key, value, (*path, key.value))
        return found

    def entry(self, key: yaml.ScalarNode, value: yaml.Node, path: KeyPath) -> Value:
        """The place of a key is its own line, not that of an alias that it takes its value from."""
        self.tree.places[path] = Place(self.tree.file, _line(key), value.tag.removeprefix(_TAG))
        return self.value(value, path)

    def merged(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Value]:
        """What `<<: *name` brings in; what stands in the mapping itself will win."""
        found: dict[str, Value] = {}
        for key, value in node.value:
            if key.tag != f"{_TAG}merge":
                continue
            for source in value.value if isinstance(value, yaml.SequenceNode) else (value,):
                self.left -= 1
                if isinstance(source, yaml.MappingNode) and self.left > 0:
                    found = self.mapping(source, path) | found
                else:
                    self.say(path, _line(key), "<< takes in a mapping that has an anchor: <<: *name")
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


def _short_only(quoted: re.Match[str]) -> str:
    """Single characters and YAML's own <tokens> may be repeated, what the owner wrote not."""
    return quoted[0] if len(quoted[0]) == 3 or quoted[0][1] == "<" else "…"
