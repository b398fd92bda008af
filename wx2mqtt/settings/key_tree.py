"""The keys of the schema as a tree: looks them up, compares two versions, suggests the key that was meant.

A `KeyPath` is a key part by part; `dotted` writes it for people:

    ("mqtt", "url", 0)                   mqtt.url[0]            an item of a list
    ("accounts", "home", "backend")      accounts.home.backend  `accounts` is a map, `home` an entry of it
    ("web", "senders", 0, "token")       web.senders[0].token   `web.senders` is a list of sections
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from enum import Enum, auto
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import SecretStr

from wx2mqtt.limits import MAX_CONFIG_LEVELS
from wx2mqtt.settings.field_types import LIVE
from wx2mqtt.settings.schema import Pin, Plain, Section, Settings, known_backend
from wx2mqtt.settings.sizes_and_durations import parse_duration, parse_size
from wx2mqtt.values import frozen

KeyPath = tuple[str | int, ...]


class KeyKind(Enum):
    """What the value of a key is in the file."""

    #: Known keys below it: `mqtt`.
    SECTION = auto()
    #: Names that the owner chooses, each with a section below it: `accounts`.
    MAP = auto()
    #: A list of sections: `web.senders`.
    SECTIONS = auto()
    #: A list of texts: `mqtt.url`.
    LIST = auto()
    #: A list of files or folders.
    PATHS = auto()
    #: A list of secrets.
    SECRETS = auto()
    TEXT = auto()
    PATH = auto()
    SECRET = auto()
    #: One of some words: `language`.
    CHOICE = auto()
    FLAG = auto()
    NUMBER = auto()
    #: Bytes: `25MB`.
    SIZE = auto()
    #: Seconds: `10m`.
    DURATION = auto()


# The value is a list whose items have no keys below them.
LIST_KINDS = frozenset({KeyKind.LIST, KeyKind.PATHS, KeyKind.SECRETS})

# The value is a mapping, with keys or names below it.
BRANCH_KINDS = frozenset({KeyKind.SECTION, KeyKind.MAP})

# In a path that `walk` yields: any name of a map, `accounts.*.backend`, and any item of a list of sections,
# `web.senders.[].token`.
ANY_NAME = "*"
ANY_ITEM = "[]"


@frozen
class ConfigKey:
    """One key of a section."""

    name: str
    #: Its name in Python, which differs from `name` if that is a Python keyword.
    attribute: str
    kind: KeyKind
    optional: bool
    description: str
    default: object
    #: The class of a section, of the entries of a map, or of the items of a list of sections.
    model: type[Section] | None = None
    #: Whether a reload changes it, and all below it, in the running program (`field_types.Live`).
    is_live: bool = False


@cache
def keys_of(model: type[Section]) -> dict[str, ConfigKey]:
    """Returns the keys of a section by their name in the file, in the order of the schema."""
    keys: dict[str, ConfigKey] = {}
    for attribute, field in model.model_fields.items():
        name = field.alias or attribute
        kind, inner = _kind_of(field.annotation)
        parsers = (getattr(validator, "func", None) for validator in field.metadata)
        kind = next((_CHECKED_KINDS[parser] for parser in parsers if parser in _CHECKED_KINDS), kind)
        keys[name] = ConfigKey(
            name=name,
            attribute=attribute,
            kind=kind,
            optional=type(None) in get_args(field.annotation),
            description=field.description or (inner.__doc__ if inner else "") or "",
            default=None if field.is_required() else field.get_default(call_default_factory=True),
            model=inner,
            is_live=LIVE in field.metadata,
        )
    return keys


def locate(path: KeyPath) -> ConfigKey | None:
    """Returns the key at a path, or None.

    An entry of a map is a section, so is an item of a list of sections; any other item of a list is its list.
    """
    key: ConfigKey | None = None
    for name in path:
        key = keys_of(Settings).get(str(name)) if key is None else _key_below(key, name)
        if key is None:
            return None
    return key


def _key_below(key: ConfigKey, name: str | int) -> ConfigKey | None:
    is_index = isinstance(name, int)
    if is_index and key.kind in LIST_KINDS:
        return key
    if key.kind is KeyKind.MAP or (is_index and key.kind is KeyKind.SECTIONS):
        return entry_key(key, str(name))
    if key.model is not None:
        return keys_of(key.model).get(str(name))
    return None


def entry_key(map_key: ConfigKey, name: str) -> ConfigKey:
    """Returns the entry `name` of a map, or the item of a list of sections, as a section."""
    return replace(map_key, name=name, attribute=name, kind=KeyKind.SECTION, optional=False, default=None)


def children(path: KeyPath) -> dict[str, ConfigKey]:
    """Returns the keys below a section or an entry of a map; no keys below anything else."""
    if not path:
        return keys_of(Settings)
    key = locate(path)
    if key is None or key.kind is not KeyKind.SECTION or key.model is None:
        return {}
    return keys_of(key.model)


def walk(
    model: type[Section] = Settings, parent_path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], ConfigKey]]:
    """Yields every key with its path, in which `ANY_NAME` and `ANY_ITEM` stand for names and items."""
    for name, key in keys_of(model).items():
        path = (*parent_path, name)
        yield path, key
        if key.model is not None:
            yield from walk(key.model, (*path, *_ENTRY_SIGNS.get(key.kind, ())))


_ENTRY_SIGNS = {KeyKind.MAP: (ANY_NAME,), KeyKind.SECTIONS: (ANY_ITEM,)}


def dotted(path: KeyPath) -> str:
    """Returns a path as text: `accounts.home.send.allow[0]`."""
    text = ""
    for name in path:
        if isinstance(name, int):
            text += f"[{name}]"
        else:
            text += f".{name}" if text else name
    return text


_SCALAR_KINDS: dict[object, KeyKind] = {
    str: KeyKind.TEXT,
    bool: KeyKind.FLAG,
    int: KeyKind.NUMBER,
    float: KeyKind.NUMBER,
    Path: KeyKind.PATH,
    SecretStr: KeyKind.SECRET,
}
# Kinds of texts, by the function that checks them.
_CHECKED_KINDS: dict[object, KeyKind] = {
    parse_size: KeyKind.SIZE,
    parse_duration: KeyKind.DURATION,
    known_backend: KeyKind.CHOICE,
}
_LIST_KIND_BY_ITEM = {
    KeyKind.TEXT: KeyKind.LIST,
    KeyKind.PATH: KeyKind.PATHS,
    KeyKind.SECRET: KeyKind.SECRETS,
    KeyKind.SECTION: KeyKind.SECTIONS,
}


def _kind_of(annotation: Any) -> tuple[KeyKind, type[Section] | None]:
    """Returns the kind for a type annotation, with the class of the section or of the map's entries."""
    inner = _unwrap(annotation)
    origin = get_origin(inner)
    if origin is Literal:
        return KeyKind.CHOICE, None
    if origin is tuple:
        item_kind, item_model = _kind_of(get_args(inner)[0])
        return _LIST_KIND_BY_ITEM[item_kind], item_model
    if origin is not None and issubclass(origin, Mapping):
        return KeyKind.MAP, get_args(inner)[1]
    if issubclass(inner, Section):
        return KeyKind.SECTION, inner
    return _SCALAR_KINDS[inner], None


def _unwrap(annotation: Any) -> Any:
    if get_origin(annotation) is Annotated:
        return _unwrap(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        return _unwrap(next(member for member in get_args(annotation) if member is not type(None)))
    return annotation


def reload_diff(old: Settings, new: Settings) -> tuple[list[str], list[str]]:
    """Returns the changed keys as (takes effect at once, needs a restart); each list is sorted.

    A secret takes effect at once, unless the bot, or the broker or its user, has changed with it.

    An account that was added or removed, or whose configured base topic or client id changed, is one entry,
    `accounts.<name>`. Its position in the file does not count: it keeps the base topic that it first used.
    """
    before, after = _values_by_key(old), _values_by_key(new)
    topics_before, topics_after = _account_topics(old), _account_topics(new)
    moved = {
        f"accounts.{name}"
        for name in {*old.accounts, *new.accounts}
        if topics_before.get(name) != topics_after.get(name)
    }
    below_moved = tuple(f"{account}." for account in moved)
    values = before | after
    changed = {key for key in values if before.get(key) != after.get(key) and not key.startswith(below_moved)}
    new_secrets = [key.removesuffix("bot_id") for key in changed if key.endswith(".wecom.bot_id")]
    if changed & {"mqtt.url", "mqtt.username"}:
        new_secrets.append("mqtt.password")
    live = {key for key in changed if values[key].is_live and not key.startswith(tuple(new_secrets))}
    return sorted(live), sorted(changed - live | moved)


def _account_topics(settings: Settings) -> dict[str, tuple[str | None, str]]:
    """Returns the base topic and the client id of each account."""
    client_ids = settings.client_ids()
    return {name: (account.base_topic, client_ids[name]) for name, account in settings.accounts.items()}


class _KeyValue(NamedTuple):
    value: object
    is_live: bool


def _values_by_key(section: Section, parent_path: str = "", *, is_live: bool = False) -> dict[str, _KeyValue]:
    """Returns the value of every key by its dotted path.

    `plain` of an account is one value, since most files write `plain: true` instead of a section. So are a
    contact, and a list of sections, whose items have no names.
    """
    values: dict[str, _KeyValue] = {}
    for name, key in keys_of(type(section)).items():
        path, value = f"{parent_path}{name}", getattr(section, key.attribute)
        is_key_live = is_live or key.is_live
        if key.model is None or key.model in {Pin, Plain} or key.kind is KeyKind.SECTIONS:
            values[path] = _KeyValue(value, is_key_live)
            continue
        sections = {path: value}
        if key.kind is KeyKind.MAP:
            sections = {f"{path}.{entry}": content for entry, content in value.items()}
        for section_path, content in sections.items():
            values |= _values_by_key(content, f"{section_path}.", is_live=is_key_live)
    return values


MAX_SUGGESTIONS = 3

# Of 0 to 1, as `difflib` counts it.
MIN_SIMILARITY = 0.6


def suggest(path: KeyPath) -> tuple[KeyPath, ...]:
    """Returns the paths of existing keys that may have been meant; none if nothing resembles this path.

    Looks for a similar name in the same section, then for the same name in other sections.
    """
    if len(path) > MAX_CONFIG_LEVELS:  # a variable `WX2MQTT_` with thousands of `__`
        return ()
    parent = _corrected(path[:-1])
    name = str(path[-1])
    if similar := closest(name, children(parent)):
        return ((*parent, similar),)
    namesakes = [known for known, _ in walk() if known[-1] == name]
    return tuple(namesakes) if len(namesakes) <= MAX_SUGGESTIONS else ()


def closest(name: str, candidates: Iterable[str]) -> str:
    """Returns the candidate that resembles the name most, or the empty text."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for a file with a mistake in it

    normalized = name.lower().replace("-", "_")
    return next(iter(get_close_matches(normalized, list(candidates), n=1, cutoff=MIN_SIMILARITY)), "")


def _corrected(path: KeyPath) -> KeyPath:
    """Replaces each unknown part of a path with the most similar key, if there is one."""
    corrected: KeyPath = ()
    for part in path:
        known = children(corrected)
        exists = locate((*corrected, part)) is not None
        corrected = (*corrected, part if exists else closest(str(part), known) or part)
    return corrected


@frozen(kw_only=False)
class SettingsFinding:
    """A fault of the value at `path`, and how to fix it. A warning does not refuse the settings."""

    path: KeyPath
    message: str
    is_warning: bool = False


def warning(path: KeyPath, message: str) -> SettingsFinding:
    return SettingsFinding(path, message, is_warning=True)
