"""Settings as a flat list of keys and values.

What a changed file changes: which keys a running bridge takes over at once, and which need a restart.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from wx2mqtt.settings.key_tree import ConfigKey, KeyKind, keys_of
from wx2mqtt.settings.schema import Section, Settings


def flatten(
    section: Section, parent_path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], ConfigKey, object]]:
    """Every key that holds a value, with its path; sections and entries of maps are gone into."""
    for name, key in keys_of(type(section)).items():
        value = getattr(section, key.attribute)
        path = (*parent_path, name)
        if key.kind is KeyKind.SECTION:
            yield from flatten(value, path)
        elif key.kind is KeyKind.MAP:
            for entry, content in value.items():
                yield from flatten(content, (*path, entry))
        else:
            yield path, key, value


LIVE_KEYS: tuple[str, ...] = (
    "accounts.*.contacts",
    "accounts.*.send.*",
    "accounts.*.hold.*",
    "accounts.*.receive.*",
    "accounts.*.media.*",
    "accounts.*.history.keep",
    "accounts.*.plain",
    "homeassistant.expose",
    "log.level",
    "language",
    "storage.max_size",
)
"""The keys that count at once; every other key needs a restart."""


def reload_diff(old: Settings, new: Settings) -> tuple[list[str], list[str]]:
    """The changed keys, as (applied at once, in need of a restart); each list is sorted.

    An account that came or went, or is to have another base topic or client id, is one entry,
    `accounts.<name>`. Its place in the file means nothing: it keeps the base that it first used.
    """
    changed = _changed(old, new)
    return sorted(key for key in changed if _live(key)), sorted(key for key in changed if not _live(key))


def _changed(old: Settings, new: Settings) -> set[str]:
    before, after = _flat(old), _flat(new)
    moved = {
        f"accounts.{name}"
        for name in {*old.accounts, *new.accounts}
        if _base(old, name) != _base(new, name) or old.client_ids().get(name) != new.client_ids().get(name)
    }
    differing = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    return moved | {key for key in differing if not any(key.startswith(f"{account}.") for account in moved)}


def _base(settings: Settings, name: str) -> str | None:
    account = settings.accounts.get(name)
    return None if account is None else account.base_topic


def _flat(settings: Settings) -> dict[str, object]:
    flat: dict[str, object] = {}
    for path, _, value in flatten(settings):
        if path[0] == "accounts" and path[2] == "contacts":
            flat[f"accounts.{path[1]}.contacts"] = settings.accounts[path[1]].contacts
        else:
            flat[".".join(path)] = value
    return flat


def _live(key: str) -> bool:
    return any(fnmatchcase(key, row) for row in LIVE_KEYS)
