"""A person or group as the store knows them, and how they are written into rows and into the copy."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

from wx2mqtt.model import ChatKind, Handle, Json, PersonId
from wx2mqtt.store.encoding import compact, storable


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody, or a group, for ever.

    `handle` is good within the login `login_id` only. `members` are sorted 4-byte crc32 of the nicknames of a
    group's members. `wrote` says that a message of this chat was ever published. A `stranger` is no contact
    of the owner's but was met somewhere: in a group, or among the phone's recent chats.
    """

    id: PersonId
    level: str
    kind: ChatKind
    handle: Handle | None
    login_id: str
    matched_by: str
    pin: str = ""
    trusted: bool = False
    permanent_id: str = ""
    alias: str = ""
    remark: str = ""
    nickname: str = ""
    avatar: str = ""
    profile: Mapping[str, str] = field(default_factory=dict)
    members: bytes = b""
    closed: bool = False
    removed: bool = False
    stranger: bool = False
    wrote: bool = False
    created: int = 0
    seen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleChanges:
    """What is to be stored: persons as they are now, levels given for ever, persons forgotten."""

    persons: tuple[Person, ...] = ()
    levels: tuple[tuple[str, PersonId], ...] = ()
    forgotten: tuple[PersonId, ...] = ()

    def joined(self, later: PeopleChanges) -> PeopleChanges:
        """Both, as one after the other."""
        persons = {person.id: person for person in (*self.persons, *later.persons)}
        for forgotten in later.forgotten:
            persons.pop(forgotten, None)
        return PeopleChanges(
            persons=tuple(persons.values()),
            levels=tuple(dict((*self.levels, *later.levels)).items()),
            forgotten=tuple(dict.fromkeys((*self.forgotten, *later.forgotten))),
        )


NO_CHANGES = PeopleChanges()
FIELDS = tuple(item.name for item in fields(Person))
_FLAGS = ("trusted", "closed", "removed", "stranger", "wrote")


def columns(person: Person) -> Iterator[object]:
    """The values of a row, in the order of `FIELDS`."""
    for name in FIELDS:
        value = getattr(person, name)
        if name == "profile":
            value = compact(dict(value))
        yield storable(value) if isinstance(value, str) else value


def from_row(row: tuple[Any, ...]) -> Person:
    """The person of a row."""
    values = dict(zip(FIELDS, row, strict=True))
    flags = {name: bool(values[name]) for name in _FLAGS}
    # Equal for nearly everybody, of whom there may be thousands: once in memory is enough.
    shared: dict[str, Any] = {name: sys.intern(values[name]) for name in ("login_id", "matched_by")}
    shared |= {"kind": ChatKind(values["kind"]), "profile": _profile(values["profile"])}
    return Person(**{**values, **flags, **shared})


@lru_cache(maxsize=4096)
def _profile(written: str) -> Mapping[str, str]:
    profile: dict[str, str] = json.loads(written)
    return profile


def to_json(person: Person) -> dict[str, Json]:
    """A person in the copy."""
    values = {name: getattr(person, name) for name in FIELDS}
    return {**values, "profile": dict(person.profile), "members": person.members.hex()}


def from_json(one: dict[str, Any]) -> Person:
    """A person of the copy; what a newer version wrote is left out. A damaged copy raises as JSON does."""
    known = {name: value for name, value in one.items() if name in FIELDS}
    checked = {"id": PersonId(int(one["id"])), "level": str(one["level"]), "profile": dict(one["profile"])}
    read = {"kind": ChatKind(one["kind"]), "members": bytes.fromhex(one["members"])}
    return Person(**{**known, **checked, **read})
