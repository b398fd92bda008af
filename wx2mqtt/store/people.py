"""A person or group as the store knows them, and how they are written into rows and into the copy.

The people and groups of one account, and every topic level that was ever given.

It stores what the identity ladder decided and decides nothing, but one thing: a level that is somebody's is
never given to another.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

from wx2mqtt.errors import StoreError
from wx2mqtt.model import ChatKind, Handle, Json, PersonId
from wx2mqtt.store.database import Database
from wx2mqtt.store.queries import compact, insert_rows, json_list, load_queries, storable_text


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
    removed: tuple[PersonId, ...] = ()

    def merged(self, later: PeopleChanges) -> PeopleChanges:
        """Both, as one after the other."""
        persons = {person.id: person for person in (*self.persons, *later.persons)}
        for forgotten in later.removed:
            persons.pop(forgotten, None)
        return PeopleChanges(
            persons=tuple(persons.values()),
            levels=tuple(dict((*self.levels, *later.levels)).items()),
            removed=tuple(dict.fromkeys((*self.removed, *later.removed))),
        )


NO_CHANGES = PeopleChanges()


PERSON_FIELDS = tuple(item.name for item in fields(Person))


_FLAGS = ("trusted", "closed", "removed", "stranger", "wrote")


def person_columns(person: Person) -> Iterator[object]:
    """The values of a row, in the order of `PERSON_FIELDS`."""
    for name in PERSON_FIELDS:
        value = getattr(person, name)
        if name == "profile":
            value = compact(dict(value))
        yield storable_text(value) if isinstance(value, str) else value


def person_from_row(row: tuple[Any, ...]) -> Person:
    """The person of a row."""
    values = dict(zip(PERSON_FIELDS, row, strict=True))
    flags = {name: bool(values[name]) for name in _FLAGS}
    # Equal for nearly everybody, of whom there may be thousands: once in memory is enough.
    shared: dict[str, Any] = {name: sys.intern(values[name]) for name in ("login_id", "matched_by")}
    shared |= {"kind": ChatKind(values["kind"]), "profile": _profile(values["profile"])}
    return Person(**{**values, **flags, **shared})


@lru_cache(maxsize=4096)
def _profile(written: str) -> Mapping[str, str]:
    profile: dict[str, str] = json.loads(written)
    return profile


def person_to_json(person: Person) -> dict[str, Json]:
    """A person in the copy."""
    values = {name: getattr(person, name) for name in PERSON_FIELDS}
    return {**values, "profile": dict(person.profile), "members": person.members.hex()}


def person_from_json(fields: dict[str, Any]) -> Person:
    """A person of the copy; what a newer version wrote is left out. A damaged copy raises as JSON does."""
    known = {name: value for name, value in fields.items() if name in PERSON_FIELDS}
    checked = {
        "id": PersonId(int(fields["id"])),
        "level": str(fields["level"]),
        "profile": dict(fields["profile"]),
    }
    read = {"kind": ChatKind(fields["kind"]), "members": bytes.fromhex(fields["members"])}
    return Person(**{**known, **checked, **read})


_SQL = load_queries("people")


class StoredPeople:
    """The stored people of one account."""

    def __init__(self, database: Database, account: str) -> None:
        self._database = database
        self._account = account
        self.next_id = PersonId(1)

    async def load(self) -> tuple[list[Person], dict[str, PersonId]]:
        """All persons, and whose each level is or was. `next_id` is then a number that nobody ever had."""
        persons, levels, self.next_id = await self._database.read(self._read_all)
        return persons, levels

    async def save(self, changes: PeopleChanges) -> None:
        """Store changes in a commit of their own."""
        await self._database.write("people", lambda connection: self.apply(connection, changes))

    def apply(self, connection: sqlite3.Connection, changes: PeopleChanges) -> None:
        """Store changes inside of a write job. Raises `StoreError` when a level would have two owners."""
        apply_changes(connection, self._account, changes)

    def _read_all(self, connection: sqlite3.Connection) -> tuple[list[Person], dict[str, PersonId], PersonId]:
        persons = [
            person_from_row(row) for row in connection.execute(_SQL["persons"], (self._account, 0, -1))
        ]
        return persons, levels_of(connection, self._account), next_id_of(connection, self._account)


def levels_of(connection: sqlite3.Connection, account: str) -> dict[str, PersonId]:
    """Whose each level is or was."""
    return dict(connection.execute(_SQL["levels"], (account,)).fetchall())


def next_id_of(connection: sqlite3.Connection, account: str) -> PersonId:
    """A number that nobody of the account ever had; 1 where there never was anybody."""
    found = connection.execute(_SQL["next_id"], (account,)).fetchone()
    return PersonId(found[0] if found else 1)


def apply_changes(connection: sqlite3.Connection, account: str, changes: PeopleChanges) -> None:
    """As `People.apply`, for a commit that holds more than people."""
    if changes == NO_CHANGES:
        return
    insert_rows(connection, _SQL["put_person"], [_values(account, one) for one in changes.persons])
    insert_rows(connection, _SQL["put_level"], [(account, *level) for level in changes.levels])
    insert_rows(connection, _SQL["put_own_level"], [(account, one.level, one.id) for one in changes.persons])
    for statement in ("free_levels", "forget"):
        connection.executemany(_SQL[statement], [(account, one) for one in changes.removed])
    _count(connection, account, changes)
    _refuse_two_owners(connection, account, changes)


def _count(connection: sqlite3.Connection, account: str, changes: PeopleChanges) -> None:
    ids = [*(one.id for one in changes.persons), *(owner for _, owner in changes.levels)]
    if ids:
        connection.execute(_SQL["count"], (account, max(ids) + 1))


def _refuse_two_owners(connection: sqlite3.Connection, account: str, changes: PeopleChanges) -> None:
    touched = {*(one.level for one in changes.persons), *(level for level, _ in changes.levels)}
    found = connection.execute(_SQL["two_owners"], (account, json_list(touched))).fetchone()
    if found:
        raise StoreError(f"The topic level of person {found[0]} belongs to person {found[1]} already.")


def _values(account: str, person: Person) -> tuple[object, ...]:
    return (account, *person_columns(person))
