"""The people and groups of one account as rows, and every topic level that was ever given to them.

Stores what `bridge/people` decided, mostly in the commit of the messages that led to it (`apply_changes`). It
refuses one thing only: a level that would have two owners. Ids are never given again, nor is the level of a
person who wrote once, also after the person has been removed, except when another bot brings others
(`forget_people`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from wx2mqtt.errors import StoreError
from wx2mqtt.model import ChatKind, Json, PersonId
from wx2mqtt.store.database import Connection, Database, json_list
from wx2mqtt.store.person_records import NO_CHANGES, PeopleChanges, Person, shared_profile
from wx2mqtt.store.queries import chunks, compact, insert_rows, load_queries, storable_text

# Rows that are built and inserted at a time.
CHUNK_ROWS = 250

PERSON_FIELDS = tuple(item.name for item in fields(Person))

# The names of fields in `people.json` that differ from those of `Person`, as the names of the columns do.
_JSON_KEYS = {"topic_name": "level"}

_SQL = load_queries("people")
_ALL_PERSONS = 2**31
_BOOLEAN_FIELDS = ("trusted", "closed", "removed", "stranger", "wrote")


class StoredPeople:
    def __init__(self, database: Database, account: str) -> None:
        self._database = database
        self._account = account
        self.next_id = PersonId(1)

    async def load(self) -> tuple[list[Person], dict[str, PersonId]]:
        """Returns all persons, and the owner of each level. Sets `next_id` to an id that was never given."""
        persons, levels, self.next_id = await self._database.read(self._load)
        return persons, levels

    async def save(self, changes: PeopleChanges) -> None:
        """Stores changes in a commit of their own. Raises `StoreError` if a level would have two owners."""
        await self._database.write("people", lambda db: apply_changes(db, self._account, changes))

    def _load(self, connection: Connection) -> tuple[list[Person], dict[str, PersonId], PersonId]:
        rows = connection.execute(_SQL["persons"], (self._account, 0, _ALL_PERSONS))
        persons = [person_from_row(row) for row in rows]
        return persons, topic_names_of(connection, self._account), next_id_of(connection, self._account)


def topic_names_of(connection: Connection, account: str) -> dict[str, PersonId]:
    """Returns every level with the person who has or had it."""
    return dict(connection.execute(_SQL["levels"], (account,)).fetchall())


def next_id_of(connection: Connection, account: str) -> PersonId:
    """Returns an id that no person of the account ever had; 1 if it never had people."""
    row = connection.execute(_SQL["next_id"], (account,)).fetchone()
    return PersonId(row[0] if row else 1)


def apply_changes(connection: Connection, account: str, changes: PeopleChanges) -> None:
    """Stores changes as a part of a write job. Raises `StoreError` if a level would have two owners."""
    if changes == NO_CHANGES:
        return
    removed = [(account, person_id) for person_id in changes.removed]
    for persons in chunks(changes.persons, CHUNK_ROWS):
        rows = [(account, *person_columns(person)) for person in persons]
        insert_rows(connection, _SQL["put_person"], rows)
    for levels in chunks(changes.topic_names, CHUNK_ROWS):
        insert_rows(connection, _SQL["put_level"], [(account, *level) for level in levels])
    for persons in chunks(changes.persons, CHUNK_ROWS):
        own_levels = [(account, person.topic_name, person.id) for person in persons]
        insert_rows(connection, _SQL["put_own_level"], own_levels)
    connection.executemany(_SQL["delete_levels"], removed)
    connection.executemany(_SQL["delete_person"], removed)
    ids = [*(person.id for person in changes.persons), *(owner for _, owner in changes.topic_names)]
    if ids:
        connection.execute(_SQL["raise_next_id"], (account, max(ids) + 1))
    _refuse_two_owners(connection, account, changes)


def forget_people(connection: Connection, account: str) -> None:
    """Deletes all persons and levels, also those of persons who wrote: they were another bot's."""
    connection.execute(_SQL["forget_persons"], (account,))
    connection.execute(_SQL["forget_levels"], (account,))


def _refuse_two_owners(connection: Connection, account: str, changes: PeopleChanges) -> None:
    levels = {person.topic_name for person in changes.persons}
    levels |= {level for level, _ in changes.topic_names}
    conflict = connection.execute(_SQL["level_conflict"], (account, json_list(levels))).fetchone()
    if conflict:
        person_id, owner = conflict
        raise StoreError(f"The topic level of person {person_id} belongs to person {owner} already.")


def person_columns(person: Person) -> Iterator[object]:
    """Yields the values of a row, in the order of `PERSON_FIELDS`."""
    for name in PERSON_FIELDS:
        value = getattr(person, name)
        if name == "profile":
            value = compact(dict(value))
        yield storable_text(value) if isinstance(value, str) else value


def person_from_row(row: tuple[Any, ...]) -> Person:
    values = dict(zip(PERSON_FIELDS, row, strict=True))
    flags = {name: bool(values[name]) for name in _BOOLEAN_FIELDS}
    # Nearly all of the thousands of persons share these values: each is kept in memory once.
    shared: dict[str, Any] = {name: sys.intern(values[name]) for name in ("login_id", "matched_by")}
    shared |= {
        "kind": ChatKind(values["kind"]),
        "profile": shared_profile(json.loads(values["profile"]).items()),
    }
    return Person(**{**values, **flags, **shared})


def person_to_json(person: Person) -> dict[str, Json]:
    """Returns the JSON object of a person in `people.json`; the members are hex."""
    values = {_JSON_KEYS.get(name, name): getattr(person, name) for name in PERSON_FIELDS}
    return {**values, "profile": dict(person.profile), "members": person.members.hex()}


def person_from_json(fields: dict[str, Any]) -> Person:
    """Returns the person of a JSON object in `people.json`, without fields that a newer version added.

    Raises `ValueError`, `KeyError`, `TypeError`, `AttributeError` or `OverflowError` if it is damaged.
    """
    known = {name: value for name, value in fields.items() if name in PERSON_FIELDS}
    checked = {
        "id": PersonId(int(fields["id"])),
        "topic_name": str(fields["level"]),
        "profile": dict(fields["profile"]),
        "kind": ChatKind(fields["kind"]),
        "members": bytes.fromhex(fields["members"]),
    }
    return Person(**{**known, **checked})
