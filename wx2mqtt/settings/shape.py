"""The keys of the schema as a tree to walk: for environment, secrets, suggestions and the example."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr

from wx2mqtt.settings.schema import Section, Settings
from wx2mqtt.settings.units import duration, size

KeyPath = tuple[str | int, ...]


class Kind(Enum):
    """What stands behind a key."""

    SECTION = auto()
    MAP = auto()
    LIST = auto()
    PATHS = auto()
    SECRETS = auto()
    TEXT = auto()
    PATH = auto()
    SECRET = auto()
    CHOICE = auto()
    FLAG = auto()
    NUMBER = auto()
    SIZE = auto()
    DURATION = auto()


LISTS = frozenset({Kind.LIST, Kind.PATHS, Kind.SECRETS})
BRANCHES = frozenset({Kind.SECTION, Kind.MAP})


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of a section. `model` holds the keys of a section, or those of each entry of a map.

    `attribute` is its name in Python, which differs where the key is a word of the language.
    """

    name: str
    attribute: str
    kind: Kind
    optional: bool
    description: str
    default: object
    model: type[Section] | None = None


@cache
def keys(model: type[Section]) -> dict[str, Key]:
    """The keys of a section by the name that stands in the file, in the order of the schema."""
    found: dict[str, Key] = {}
    for attribute, field in model.model_fields.items():
        name = field.alias or attribute
        kind, inner = _kind(field.annotation)
        kind = next(
            (_UNITS[mark.func] for mark in field.metadata if getattr(mark, "func", None) in _UNITS), kind
        )
        found[name] = Key(
            name=name,
            attribute=attribute,
            kind=kind,
            optional=type(None) in get_args(field.annotation),
            description=field.description or (inner.__doc__ if inner else "") or "",
            default=field.get_default(call_default_factory=True),
            model=inner,
        )
    return found


def locate(path: KeyPath) -> Key | None:
    """The key that a path leads to; an entry of a map counts as a section, an item of a list as its list."""
    key: Key | None = None
    model: type[Section] | None = Settings
    entry_of: Key | None = None
    for name in path:
        if entry_of is not None:
            key, model, entry_of = entry(entry_of, str(name)), entry_of.model, None
            continue
        if model is None:
            return key if key is not None and key.kind in LISTS and isinstance(name, int) else None
        key = keys(model).get(str(name))
        if key is None:
            return None
        model = key.model if key.kind is Kind.SECTION else None
        entry_of = key if key.kind is Kind.MAP else None
    return key


def entry(of: Key, name: str) -> Key:
    """One entry of a map, as a section."""
    return replace(of, name=name, attribute=name, kind=Kind.SECTION, optional=False, default=None)


def children(path: KeyPath) -> dict[str, Key]:
    """The keys below a section or an entry of a map; none below anything else."""
    if not path:
        return keys(Settings)
    key = locate(path)
    return keys(key.model) if key is not None and key.kind is Kind.SECTION and key.model else {}


def walk(
    model: type[Section] = Settings, above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Key]]:
    """Every key with its path; the name of an entry of a map is written `*`."""
    for name, key in keys(model).items():
        path = (*above, name)
        yield path, key
        if key.model is not None:
            yield from walk(key.model, (*path, "*") if key.kind is Kind.MAP else path)


def dotted(path: KeyPath) -> str:
    """A path as people write it: `accounts.home.send.allow[0]`."""
    text = ""
    for name in path:
        text += f"[{name}]" if isinstance(name, int) else f".{name}" if text else name
    return text


_SIMPLE: dict[object, Kind] = {str: Kind.TEXT, bool: Kind.FLAG, int: Kind.NUMBER, float: Kind.NUMBER}
_SIMPLE |= {Path: Kind.PATH, SecretStr: Kind.SECRET}
_UNITS = {size: Kind.SIZE, duration: Kind.DURATION}
_ITEMS = {Kind.TEXT: Kind.LIST, Kind.PATH: Kind.PATHS, Kind.SECRET: Kind.SECRETS}


def _kind(annotation: Any) -> tuple[Kind, type[Section] | None]:
    bare = _bare(annotation)
    origin = get_origin(bare)
    if origin is Literal:
        return Kind.CHOICE, None
    if origin is tuple:
        return _ITEMS[_kind(get_args(bare)[0])[0]], None
    if origin is not None and issubclass(origin, Mapping):
        return Kind.MAP, get_args(bare)[1]
    if issubclass(bare, Section):
        return Kind.SECTION, bare
    return _SIMPLE[bare], None


def _bare(annotation: Any) -> Any:
    """Without `Annotated` and without `| None`."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        return _bare(next(one for one in get_args(annotation) if one is not type(None)))
    return annotation
