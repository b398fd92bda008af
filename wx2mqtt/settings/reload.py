"""Compares two versions of the settings: which changed keys take effect at once, which need a restart."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from wx2mqtt.settings.key_tree import ConfigKey, KeyKind, keys_of
from wx2mqtt.settings.schema import Section, Settings

LIVE_KEYS: tuple[str, ...] = (
    "accounts.*.contacts",
    "accounts.*.send.*",
    "accounts.*.hold.*",
    "accounts.*.ilink.bundle",
    "accounts.*.ilink.reserve",
    "accounts.*.ilink.remind.*",
    "accounts.*.ilink.renew.*",
    "accounts.*.fallback.*",
    "accounts.*.receive.*",
    "accounts.*.media.*",
    "accounts.*.history.keep",
    "accounts.*.plain",
    "mqtt.response_topics",
    "homeassistant.expose",
    "log.level",
    "language",
    "storage.max_size",
    "storage.key",
    "storage.key_file",
)
"""Patterns of keys that take effect at once; every other key needs a restart."""


def reload_diff(old: Settings, new: Settings) -> tuple[list[str], list[str]]:
    """Returns the changed keys as (takes effect at once, needs a restart); each list is sorted.

    An account that was added or removed, or whose configured base topic or client id changed, is one entry,
    `accounts.<name>`. Its position in the file does not count: it keeps the base topic that it first used.
    """
    changed = _changed_keys(old, new)
    live = sorted(key for key in changed if _is_live(key))
    return live, sorted(changed.difference(live))


def flatten(
    section: Section, parent_path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], ConfigKey, object]]:
    """Yields path, key and value of every key that is no section or map, also of those within."""
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


def _changed_keys(old: Settings, new: Settings) -> set[str]:
    before, after = _values_by_key(old), _values_by_key(new)
    moved_accounts = {
        f"accounts.{name}"
        for name in {*old.accounts, *new.accounts}
        if _base(old, name) != _base(new, name) or old.client_ids().get(name) != new.client_ids().get(name)
    }
    differing = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    return moved_accounts | {
        key for key in differing if not any(key.startswith(f"{account}.") for account in moved_accounts)
    }


def _base(settings: Settings, name: str) -> str | None:
    account = settings.accounts.get(name)
    return None if account is None else account.base_topic


def _values_by_key(settings: Settings) -> dict[str, object]:
    """Returns all values by dotted key; `contacts` and `plain` of an account are one value each."""
    values: dict[str, object] = {}
    for path, _, value in flatten(settings):
        if path[0] == "accounts" and path[2] == "contacts":
            values[f"accounts.{path[1]}.contacts"] = settings.accounts[path[1]].contacts
        elif path[0] == "accounts" and path[2] == "plain":  # most files have its short form, true or false
            values[f"accounts.{path[1]}.plain"] = value
        else:
            values[".".join(path)] = value
    return values


def _is_live(key: str) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in LIVE_KEYS)
