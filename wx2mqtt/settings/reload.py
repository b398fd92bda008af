"""Compares two versions of the settings: which changed keys take effect at once, which need a restart."""

from __future__ import annotations

from collections.abc import Iterator

from wx2mqtt.settings.key_tree import KeyKind, keys_of
from wx2mqtt.settings.schema import Pin, Plain, Section, Settings
from wx2mqtt.values import frozen


@frozen
class _Value:
    value: object
    #: Whether a reload changes it in the running program.
    is_live: bool


def reload_diff(old: Settings, new: Settings) -> tuple[list[str], list[str]]:
    """Returns the changed keys as (takes effect at once, needs a restart); each list is sorted.

    An account that was added or removed, or whose configured base topic or client id changed, is one entry,
    `accounts.<name>`. Its position in the file does not count: it keeps the base topic that it first used.
    """
    before, after = dict(_values(old)), dict(_values(new))
    changed = [key for key in {*before, *after} if before.get(key) != after.get(key)]
    moved = [f"accounts.{name}" for name in {*old.accounts, *new.accounts} if _has_moved(old, new, name)]
    changed = [key for key in changed if not key.startswith(tuple(f"{account}." for account in moved))]
    live = {key for key in changed if (after.get(key) or before[key]).is_live}
    return sorted(live), sorted({*changed, *moved} - live)


def _has_moved(old: Settings, new: Settings, name: str) -> bool:
    before, after = old.accounts.get(name), new.accounts.get(name)
    if before is None or after is None or before.base_topic != after.base_topic:
        return True
    return old.client_ids()[name] != new.client_ids()[name]


def _values(
    section: Section, parent_path: str = "", *, is_live: bool = False
) -> Iterator[tuple[str, _Value]]:
    """Yields every key with its dotted path, also of the sections within.

    `contacts` and `plain` of an account are one value each: most files have the short form of `plain`.
    """
    for name, key in keys_of(type(section)).items():
        value = getattr(section, key.attribute)
        path = f"{parent_path}{name}"
        is_key_live = is_live or key.is_live
        if key.model is None or key.model in {Pin, Plain}:
            yield path, _Value(value=value, is_live=is_key_live)
        elif key.kind is KeyKind.SECTION:
            yield from _values(value, f"{path}.", is_live=is_key_live)
        else:
            for entry, content in value.items():
                yield from _values(content, f"{path}.{entry}.", is_live=is_key_live)
