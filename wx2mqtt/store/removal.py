"""All that a store knows of an account that is no longer wanted: told, and taken away for good.

The row of the account itself goes last, by a call of its own: what a crash cut off can be begun again, and
nothing is forgotten before it was taken away. In small commits, so that messages of others pass in between.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from functools import partial

from wx2mqtt.store.database import Database
from wx2mqtt.store.queries import queries

_SQL = queries("removal")
_CHUNK = 500  # rows of one commit
_ROWS = ("messages", "publications", "commands", "keys", "deeds", "media", "given_levels", "persons")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What there is of an account. `announced` are topics; with `base` empty where nothing was ever said."""

    base: str = ""
    announced: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    messages: int = 0
    commands: int = 0
    people: int = 0
    media: int = 0


class Removal:
    """Looks at accounts and takes them away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accounts(self) -> list[str]:
        """Accounts that have rows here."""
        return await self._database.read(
            lambda db: [name for (name,) in db.execute(_SQL["accounts"]).fetchall()]
        )

    async def remains(self, account: str) -> Remains:
        """What there is of one; nothing where it was never heard of."""
        return await self._database.read(partial(_remains, account))

    async def empty(self, account: str) -> None:
        """Take all rows away but its own. Files and copies to which they led are for others to take away."""
        for rows in _ROWS:
            while await self._database.write("purge", partial(_delete, rows, account)) == _CHUNK:
                pass
        await self._database.write("purge", lambda db: db.execute(_SQL["nobody"], (account,)))

    async def forget(self, account: str) -> None:
        """The end of it."""
        await self._database.write("purge", lambda db: db.execute(_SQL["account"], (account,)))


def _remains(account: str, connection: sqlite3.Connection) -> Remains:
    row = connection.execute(_SQL["base_topic"], (account,)).fetchone() or (None, "")
    messages, commands, people, media = connection.execute(_SQL["counts"], (account,)).fetchone()
    return Remains(
        base=row[0] or "",
        announced=tuple(json.loads(row[1])["topics"]) if row[1] else (),
        levels=tuple(level for (level,) in connection.execute(_SQL["levels"], (account,))),
        messages=messages,
        commands=commands,
        people=people,
        media=media,
    )


def _delete(rows: str, account: str, connection: sqlite3.Connection) -> int:
    return connection.execute(_SQL[rows], (account, _CHUNK)).rowcount
