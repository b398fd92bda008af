"""The people and groups of one account as rows, and every topic name that was ever given to them.

    person 1 has the topic name "wife"      a row of `person`, and the row ("wife", 1) of `level`
    the owner calls person 1 "anna" now     the row of `person` changes, the row ("anna", 1) is added

What `bridge/people` decided is stored here, mostly in the commit of the messages that led to it
(`apply_changes`). One thing only is refused: a topic name with two owners. An id is never given again. Nor is
the topic name of a person who wrote once, even after the person was removed, until another bot brings other
people (`forget_people`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from wx2mqtt.errors import StoreError
from wx2mqtt.model import ChatKind, Json, PersonId
from wx2mqtt.store.column_values import compact, storable_text
from wx2mqtt.store.database import Connection, Database, json_list
from wx2mqtt.store.person_records import NO_CHANGES, PeopleChanges, Person, shared_profile
from wx2mqtt.store.statements import Statement, chunks, insert_rows

# Rows that are built and inserted at a time.
CHUNK_ROWS = 250

PERSON_FIELDS = tuple(item.name for item in fields(Person))

# A topic name is called `level` in `people.json` and in the tables.
_JSON_KEYS = {"topic_name": "level"}

_ALL_PERSONS = 2**31  # as a limit

# The fields of `Person` that the columns hold as 0 and 1.
_BOOLEAN_FIELDS = ("trusted", "closed", "removed", "stranger", "wrote")


class StoredPeople:
    """The people of one account."""

    def __init__(self, database: Database, account: str) -> None:
        self._database = database
        self._account = account
        #: An id that was never given; set by `load`.
        self.next_id = PersonId(1)

    async def load(self) -> tuple[list[Person], dict[str, PersonId]]:
        """Returns all persons, and the owner of each topic name. Sets `next_id`."""
        persons, topic_names, self.next_id = await self._database.read(self._load)
        return persons, topic_names

    async def save(self, changes: PeopleChanges) -> None:
        """Stores changes in a commit of their own. Raises `StoreError` for a topic name with two owners."""
        await self._database.write("people", lambda db: apply_changes(db, self._account, changes))

    def _load(self, connection: Connection) -> tuple[list[Person], dict[str, PersonId], PersonId]:
        persons = read_persons(connection, self._account, after=0, limit=_ALL_PERSONS)
        return persons, topic_names_of(connection, self._account), next_id_of(connection, self._account)


def read_persons(connection: Connection, account: str, *, after: int, limit: int) -> list[Person]:
    """Returns the next persons after the id `after`, in order of id."""
    return [person_from_row(row) for row in connection.execute(_PERSONS_AFTER, (account, after, limit))]


def topic_names_of(connection: Connection, account: str) -> dict[str, PersonId]:
    """Returns every topic name with the person who has or had it."""
    return dict(connection.execute(_TOPIC_NAMES, (account,)).fetchall())


def next_id_of(connection: Connection, account: str) -> PersonId:
    """Returns an id that no person of the account ever had; 1 if it never had people."""
    row = connection.execute(_NEXT_ID, (account,)).fetchone()
    return PersonId(row[0] if row else 1)


def raise_next_id(connection: Connection, account: str, next_id: int) -> None:
    """Stores an id from which on none was given, unless a higher one is stored."""
    connection.execute(_RAISE_NEXT_ID, (account, next_id))


def apply_changes(connection: Connection, account: str, changes: PeopleChanges) -> None:
    """Stores changes as a part of a write job. Raises `StoreError` for a topic name with two owners.

    1. Store the new values of the persons.
    2. Give the topic names in the changes to their owners, and to each person the current one.
    3. Delete the persons that were removed.
    4. Check that nobody has another person's topic name.
    """
    if changes == NO_CHANGES:
        return
    for persons in chunks(changes.persons, CHUNK_ROWS):
        rows = [(account, *person_columns(person)) for person in persons]
        insert_rows(connection, _PUT_PERSON, rows)
    for topic_names in chunks(changes.topic_names, CHUNK_ROWS):
        insert_rows(connection, _PUT_TOPIC_NAME, [(account, name, owner) for name, owner in topic_names])
    for persons in chunks(changes.persons, CHUNK_ROWS):
        own_names = [(account, person.topic_name, person.id) for person in persons]
        insert_rows(connection, _PUT_OWN_TOPIC_NAME, own_names)
    removed = [(account, person_id) for person_id in changes.removed]
    connection.executemany(_DELETE_TOPIC_NAMES, removed)
    connection.executemany(_DELETE_PERSON, removed)
    ids = [*(person.id for person in changes.persons), *(owner for _, owner in changes.topic_names)]
    if ids:
        raise_next_id(connection, account, max(ids) + 1)
    _refuse_two_owners(connection, account, changes)


def forget_people(connection: Connection, account: str) -> None:
    """Deletes all persons and topic names, also of persons who wrote: they were another bot's."""
    connection.execute(_FORGET_PERSONS, (account,))
    connection.execute(_FORGET_TOPIC_NAMES, (account,))


def _refuse_two_owners(connection: Connection, account: str, changes: PeopleChanges) -> None:
    changed = {person.topic_name for person in changes.persons}
    changed |= {name for name, _ in changes.topic_names}
    conflict = connection.execute(_TOPIC_NAME_CONFLICT, (account, json_list(changed))).fetchone()
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
    """Returns the person of a row, whose columns are in the order of `PERSON_FIELDS`."""
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


# Statements

# The tables call a topic name `level`.

# The next persons after the id ?2. The columns are the fields of `Person`, in their order.
_PERSONS_AFTER = Statement("""
    SELECT id, level, kind, handle, login_id, matched_by, pin, trusted, permanent_id, alias, remark, nickname,
           avatar, profile, members, closed, removed, stranger, wrote, created, seen
    FROM person WHERE account = ?1 AND id > ?2 ORDER BY id LIMIT ?3
""")

# Every topic name and the person who has or had it.
_TOPIC_NAMES = Statement("SELECT level, person FROM level WHERE account = ?")

# An id that no person of this account ever had.
_NEXT_ID = Statement("SELECT next_person FROM account WHERE name = ? AND next_person > 1")

_PUT_PERSON = Statement("""
    INSERT INTO person
        (account, id, level, kind, handle, login_id, matched_by, pin, trusted, permanent_id, alias, remark,
         nickname, avatar, profile, members, closed, removed, stranger, wrote, created, seen)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (account, id) DO UPDATE SET
        (level, kind, handle, login_id, matched_by, pin, trusted, permanent_id, alias, remark, nickname,
         avatar, profile, members, closed, removed, stranger, wrote, created, seen)
        = (excluded.level, excluded.kind, excluded.handle, excluded.login_id, excluded.matched_by,
           excluded.pin, excluded.trusted, excluded.permanent_id, excluded.alias, excluded.remark,
           excluded.nickname, excluded.avatar, excluded.profile, excluded.members, excluded.closed,
           excluded.removed, excluded.stranger, excluded.wrote, excluded.created, excluded.seen)
""")

# Gives a topic name to a person, or moves it when the owner joins two persons.
_PUT_TOPIC_NAME = Statement("""
    INSERT INTO level (account, level, person) VALUES (?, ?, ?)
    ON CONFLICT (account, level) DO UPDATE SET person = excluded.person
""")

# Gives a person their current topic name, unless another person has it; `_TOPIC_NAME_CONFLICT` finds that.
_PUT_OWN_TOPIC_NAME = Statement("INSERT OR IGNORE INTO level (account, level, person) VALUES (?, ?, ?)")

# Deletes the topic names of a removed person who never wrote: no automation can know them.
_DELETE_TOPIC_NAMES = Statement("""
    DELETE FROM level WHERE account = ?1 AND person = ?2
        AND EXISTS (SELECT 1 FROM person WHERE account = ?1 AND id = ?2 AND wrote = 0)
""")

_DELETE_PERSON = Statement("DELETE FROM person WHERE account = ? AND id = ?")

# Stores the highest id that was given plus one.
_RAISE_NEXT_ID = Statement("""
    INSERT INTO account (name, next_person) VALUES (?1, ?2)
    ON CONFLICT (name) DO UPDATE SET next_person = excluded.next_person
    WHERE account.next_person < excluded.next_person
""")

# Deletes everybody: another bot of WeCom has other people, whatever their ids.
_FORGET_PERSONS = Statement("DELETE FROM person WHERE account = ?")

_FORGET_TOPIC_NAMES = Statement("DELETE FROM level WHERE account = ?")

# A person whose topic name belongs to another person, among the topic names that have just changed.
_TOPIC_NAME_CONFLICT = Statement("""
    SELECT person.id, level.person
    FROM person JOIN level ON level.account = person.account AND level.level = person.level
    WHERE person.account = ?1 AND person.level IN (SELECT value FROM json_each(?2))
        AND level.person <> person.id
    LIMIT 1
""")
