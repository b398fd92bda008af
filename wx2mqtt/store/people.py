"""The people and groups of one account, and every topic level that was ever given.

It stores what the identity ladder decided and decides nothing, but one thing: a level that is somebody's is
never given to another.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import structlog

from wx2mqtt.errors import StoreError
from wx2mqtt.model import ChatKind, Handle, Json, PersonId
from wx2mqtt.store.bulk import insert
from wx2mqtt.store.database import Database
from wx2mqtt.store.encoding import compact, listed, storable
from wx2mqtt.store.files import WholeFile, put_aside, read_whole
from wx2mqtt.store.queries import queries

log = structlog.get_logger(__name__)

_SQL = queries("people")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody, or a group, for ever.

    `handle` is good within the login `login_id` only. `members` are sorted 4-byte crc32 of the nicknames of a
    group's members. `wrote` says that a message of this chat was ever published.
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
_FIELDS = tuple(item.name for item in fields(Person))


class People:
    """The stored people of one account; `copy` is the file that survives a lost database."""

    def __init__(self, database: Database, account: str, copy: Path) -> None:
        self._database = database
        self._account = account
        self._copy = WholeFile(copy)
        self.next_id = PersonId(1)

    async def load(self) -> tuple[list[Person], dict[str, PersonId]]:
        """All persons, and whose each level is or was. `next_id` is then a number that nobody ever had."""
        persons, levels, self.next_id = await self._database.read(self._all)
        return persons, levels

    async def save(self, changes: PeopleChanges) -> None:
        """Store changes in a commit of their own."""
        await self._database.write("people", lambda connection: self.apply(connection, changes))

    def apply(self, connection: sqlite3.Connection, changes: PeopleChanges) -> None:
        """Store changes inside of a write job. Raises `StoreError` when a level would have two owners."""
        apply_changes(connection, self._account, changes)

    async def write_copy(self) -> None:
        """Write the copy anew: whole or not at all, mode 0600."""
        everything = await self._database.read(self._all)
        await self._copy.write(await asyncio.to_thread(_copy_of, self._account, *everything))

    async def restore_copy(self) -> int:
        """Take the people of the copy into an account that has none; returns how many there are."""
        copied = await asyncio.to_thread(_read_copy, self._copy.path)
        if copied is None:
            return 0
        return await self._database.write("restore", lambda connection: self._restore(connection, *copied))

    def _all(self, connection: sqlite3.Connection) -> tuple[list[Person], dict[str, PersonId], PersonId]:
        persons = [_person(row) for row in connection.execute(_SQL["persons"], (self._account,))]
        levels = dict(connection.execute(_SQL["levels"], (self._account,)).fetchall())
        found = connection.execute(_SQL["next_id"], (self._account,)).fetchone()
        return persons, levels, PersonId(found[0] if found else 1)

    def _restore(self, connection: sqlite3.Connection, next_id: int, changes: PeopleChanges) -> int:
        if connection.execute(_SQL["next_id"], (self._account,)).fetchone():
            return 0
        self.apply(connection, changes)
        connection.execute(_SQL["count"], (self._account, next_id))
        return len(changes.persons)


def apply_changes(connection: sqlite3.Connection, account: str, changes: PeopleChanges) -> None:
    """As `People.apply`, for a commit that holds more than people."""
    if changes == NO_CHANGES:
        return
    insert(connection, _SQL["put_person"], [_values(account, one) for one in changes.persons])
    insert(connection, _SQL["put_level"], [(account, *level) for level in changes.levels])
    insert(connection, _SQL["put_own_level"], [(account, one.level, one.id) for one in changes.persons])
    for statement in ("free_levels", "forget"):
        connection.executemany(_SQL[statement], [(account, one) for one in changes.forgotten])
    _count(connection, account, changes)
    _refuse_two_owners(connection, account, changes)


def _count(connection: sqlite3.Connection, account: str, changes: PeopleChanges) -> None:
    ids = [*(one.id for one in changes.persons), *(owner for _, owner in changes.levels)]
    if ids:
        connection.execute(_SQL["count"], (account, max(ids) + 1))


def _refuse_two_owners(connection: sqlite3.Connection, account: str, changes: PeopleChanges) -> None:
    touched = {*(one.level for one in changes.persons), *(level for level, _ in changes.levels)}
    found = connection.execute(_SQL["two_owners"], (account, listed(touched))).fetchone()
    if found:
        raise StoreError(f"The topic level of person {found[0]} belongs to person {found[1]} already.")


def _copy_of(
    account: str, persons: Sequence[Person], levels: Mapping[str, PersonId], next_id: PersonId
) -> bytes:
    """One line a person, for readers, and so that no long step keeps the event loop from running."""
    lines = ",\n".join(compact(_copy(one)) for one in persons)
    head = compact({"schema": 1, "account": account, "next_id": next_id, "levels": dict(levels)})
    return f'{head[:-1]},"persons":[\n{lines}\n]}}\n'.encode("utf-8", "replace")


def _copy(person: Person) -> dict[str, Json]:
    values = {name: getattr(person, name) for name in _FIELDS}
    return {**values, "profile": dict(person.profile), "members": person.members.hex()}


def _read_copy(path: Path) -> tuple[int, PeopleChanges] | None:
    """The next number and all people and levels; None when there is no copy that can be read."""
    data = read_whole(path)
    if data is None:
        return None
    try:
        return _parsed(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError):
        log.error("copy of people damaged, set aside", set_aside=str(put_aside(path)))
        return None


def _parsed(whole: dict[str, Any]) -> tuple[int, PeopleChanges]:
    changes = PeopleChanges(
        persons=tuple(_copied(one) for one in whole["persons"]),
        levels=tuple((str(level), PersonId(int(owner))) for level, owner in whole["levels"].items()),
    )
    return int(whole["next_id"]), changes


def _copied(one: dict[str, Any]) -> Person:
    known = {name: value for name, value in one.items() if name in _FIELDS}
    return Person(**{**known, "kind": ChatKind(one["kind"]), "members": bytes.fromhex(one["members"])})


def _values(account: str, person: Person) -> tuple[object, ...]:
    return (account, *_columns(person))


def _columns(person: Person) -> Iterator[object]:
    for name in _FIELDS:
        value = getattr(person, name)
        if name == "profile":
            value = compact(dict(value))
        yield storable(value) if isinstance(value, str) else value


def _person(row: tuple[Any, ...]) -> Person:
    values = dict(zip(_FIELDS, row, strict=True))
    profile: Json = json.loads(values["profile"])
    flags = {name: bool(values[name]) for name in ("trusted", "closed", "removed", "wrote")}
    return Person(**{**values, **flags, "kind": ChatKind(values["kind"]), "profile": profile})
