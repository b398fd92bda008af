"""The keys of the schema as a tree to walk: for environment, secrets, suggestions and the example.

Which key somebody probably meant.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import Enum, auto
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr

from wx2mqtt.settings.formats import parse_duration, parse_size
from wx2mqtt.settings.schema import Section, Settings

KeyPath = tuple[str | int, ...]


class KeyKind(Enum):
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


LIST_KINDS = frozenset({KeyKind.LIST, KeyKind.PATHS, KeyKind.SECRETS})


BRANCH_KINDS = frozenset({KeyKind.SECTION, KeyKind.MAP})


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigKey:
    """One key of a section. `model` holds the keys of a section, or those of each entry of a map.

    `attribute` is its name in Python, which differs where the key is a word of the language.
    """

    name: str
    attribute: str
    kind: KeyKind
    optional: bool
    description: str
    default: object
    model: type[Section] | None = None


@cache
def keys_of(model: type[Section]) -> dict[str, ConfigKey]:
    """The keys of a section by the name that stands in the file, in the order of the schema."""
    found: dict[str, ConfigKey] = {}
    for attribute, field in model.model_fields.items():
        name = field.alias or attribute
        kind, inner = _kind(field.annotation)
        kind = next(
            (_UNITS[mark.func] for mark in field.metadata if getattr(mark, "func", None) in _UNITS), kind
        )
        found[name] = ConfigKey(
            name=name,
            attribute=attribute,
            kind=kind,
            optional=type(None) in get_args(field.annotation),
            description=field.description or (inner.__doc__ if inner else "") or "",
            default=field.get_default(call_default_factory=True),
            model=inner,
        )
    return found


def locate(path: KeyPath) -> ConfigKey | None:
    """The key that a path leads to; an entry of a map counts as a section, an item of a list as its list."""
    key: ConfigKey | None = None
    model: type[Section] | None = Settings
    entry_of: ConfigKey | None = None
    for name in path:
        if entry_of is not None:
            key, model, entry_of = entry_key(entry_of, str(name)), entry_of.model, None
            continue
        if model is None:
            return key if key is not None and key.kind in LIST_KINDS and isinstance(name, int) else None
        key = keys_of(model).get(str(name))
        if key is None:
            return None
        model = key.model if key.kind is KeyKind.SECTION else None
        entry_of = key if key.kind is KeyKind.MAP else None
    return key


def entry_key(map_key: ConfigKey, name: str) -> ConfigKey:
    """One entry of a map, as a section."""
    return replace(map_key, name=name, attribute=name, kind=KeyKind.SECTION, optional=False, default=None)


def children(path: KeyPath) -> dict[str, ConfigKey]:
    """The keys below a section or an entry of a map; none below anything else."""
    if not path:
        return keys_of(Settings)
    key = locate(path)
    return keys_of(key.model) if key is not None and key.kind is KeyKind.SECTION and key.model else {}


def walk(
    model: type[Section] = Settings, parent_path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], ConfigKey]]:
    """Every key with its path; the name of an entry of a map is written `*`."""
    for name, key in keys_of(model).items():
        path = (*parent_path, name)
        yield path, key
        if key.model is not None:
            yield from walk(key.model, (*path, "*") if key.kind is KeyKind.MAP else path)


def dotted(path: KeyPath) -> str:
    """A path as people write it: `accounts.home.send.allow[0]`."""
    text = ""
    for name in path:
        text += f"[{name}]" if isinstance(name, int) else f".{name}" if text else name
    return text


_SIMPLE: dict[object, KeyKind] = {
    str: KeyKind.TEXT,
    bool: KeyKind.FLAG,
    int: KeyKind.NUMBER,
    float: KeyKind.NUMBER,
}


_SIMPLE |= {Path: KeyKind.PATH, SecretStr: KeyKind.SECRET}


_UNITS = {parse_size: KeyKind.SIZE, parse_duration: KeyKind.DURATION}


_ITEMS = {KeyKind.TEXT: KeyKind.LIST, KeyKind.PATH: KeyKind.PATHS, KeyKind.SECRET: KeyKind.SECRETS}


def _kind(annotation: Any) -> tuple[KeyKind, type[Section] | None]:
    bare = _bare(annotation)
    origin = get_origin(bare)
    if origin is Literal:
        return KeyKind.CHOICE, None
    if origin is tuple:
        return _ITEMS[_kind(get_args(bare)[0])[0]], None
    if origin is not None and issubclass(origin, Mapping):
        return KeyKind.MAP, get_args(bare)[1]
    if issubclass(bare, Section):
        return KeyKind.SECTION, bare
    return _SIMPLE[bare], None


def _bare(annotation: Any) -> Any:
    """Without `Annotated` and without `| None`."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        return _bare(next(one for one in get_args(annotation) if one is not type(None)))
    return annotation


MAX_SUGGESTIONS = 3


def suggest(path: KeyPath) -> tuple[KeyPath, ...]:
    """The paths of keys that exist and resemble this one; none when nothing does.

    First among the neighbours, then the same name elsewhere (`password` instead of `mqtt.password`).
    """
    above = _mended(path[:-1])
    name = str(path[-1])
    if close := closest(name, children(above)):
        return ((*above, close),)
    homes = [known for known, _ in walk() if known[-1] == name]
    return tuple(homes) if len(homes) <= MAX_SUGGESTIONS else ()


def closest(name: str, candidates: Iterable[str]) -> str:
    """The one of `words` that resembles most, or the empty text."""
    return next(
        iter(get_close_matches(name.lower().replace("-", "_"), list(candidates), n=1, cutoff=0.6)), ""
    )


def _mended(path: KeyPath) -> KeyPath:
    """The same path with each unknown part replaced by its nearest neighbour, where there is one."""
    mended: KeyPath = ()
    for part in path:
        known = children(mended)
        mended = (*mended, part if locate((*mended, part)) else closest(str(part), known) or part)
    return mended
