"""The people and groups of one account, and every topic level that was ever given.

It stores what the identity ladder decided and decides nothing, but one thing: a level that is somebody's is
never given to another.
"""

from __future__ import annotations

import sqlite3

from wx2mqtt.errors import StoreError
from wx2mqtt.model import PersonId
from wx2mqtt.store.bulk import insert
from wx2mqtt.store.database import Database
from wx2mqtt.store.encoding import listed
from wx2mqtt.store.persons import NO_CHANGES, PeopleChanges, Person, columns, from_row
from wx2mqtt.store.queries import queries

_SQL = queries("people")


class People:
    """The stored people of one account."""

    def __init__(self, database: Database, account: str) -> None:
        self._database = database
        self._account = account
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

    def _all(self, connection: sqlite3.Connection) -> tuple[list[Person], dict[str, PersonId], PersonId]:
        persons = [from_row(row) for row in connection.execute(_SQL["persons"], (self._account, 0, -1))]
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


def _values(account: str, person: Person) -> tuple[object, ...]:
    return (account, *columns(person))


__all__ = ["NO_CHANGES", "People", "PeopleChanges", "Person", "apply_changes"]
