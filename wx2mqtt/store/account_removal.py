"""Deletes everything of an account that is no longer wanted.

    data = await removal.stored_data("gone")  # to be shown, and to clear its retained topics
    await removal.delete_rows("gone")
    await removal.delete_account("gone")

The row of the account itself is deleted last, after its files and topics, by a call of its own: a removal
that a crash interrupted can be started again, and nothing is forgotten before it was removed.
"""

from __future__ import annotations

import json
from functools import partial

from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.journal_retention import PRUNE_BATCH_ROWS
from wx2mqtt.store.statements import Statement
from wx2mqtt.values import frozen


@frozen
class StoredData:
    """The stored data of an account."""

    #: The base topic; empty if the account never published.
    base: str = ""
    #: The topics of Home Assistant discovery.
    announced: tuple[str, ...] = ()
    #: The topic names of its people.
    topic_names: tuple[str, ...] = ()
    messages: int = 0
    commands: int = 0
    people: int = 0
    media: int = 0


class AccountRemoval:
    """Removes accounts, each in three steps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_accounts(self) -> list[str]:
        return [name for (name,) in await self._database.fetch(_ACCOUNTS)]

    async def stored_data(self, account: str) -> StoredData:
        """Returns what the store has of an account; zeros if the account is unknown."""
        return await self._database.read(partial(_stored_data, account))

    async def delete_rows(self, account: str) -> None:
        """Deletes all rows of an account but its own. The caller removes files and `people.json` entries."""
        for statement in _REMOVE_STATEMENTS:
            deleted = PRUNE_BATCH_ROWS
            while deleted == PRUNE_BATCH_ROWS:
                deleted = await self._database.execute("purge", statement, (account, PRUNE_BATCH_ROWS))
        await self._database.execute("purge", _FORGET_PEOPLE, (account,))

    async def delete_account(self, account: str) -> None:
        """Deletes the row of the account: the last step of a removal."""
        await self._database.execute("purge", _REMOVE_ACCOUNT, (account,))


def _stored_data(account: str, connection: Connection) -> StoredData:
    row = connection.execute(_ACCOUNT_TOPICS, (account,)).fetchone()
    base, discovery = row or (None, "")
    messages, commands, people, media = connection.execute(_ROW_COUNTS, (account,)).fetchone()
    return StoredData(
        base=base or "",
        announced=tuple(json.loads(discovery)["topics"]) if discovery else (),
        topic_names=tuple(name for (name,) in connection.execute(_TOPIC_NAMES, (account,))),
        messages=messages,
        commands=commands,
        people=people,
        media=media,
    )


# Statements

_ACCOUNTS = Statement("SELECT name FROM account ORDER BY name")

# Makes the next `people.json` leave the account out.
_FORGET_PEOPLE = Statement("UPDATE account SET next_person = 1 WHERE name = ?")

_REMOVE_ACCOUNT = Statement("DELETE FROM account WHERE name = ?")

# The base topic and the discovery record of an account.
_ACCOUNT_TOPICS = Statement("SELECT base_topic, announced FROM account WHERE name = ?")

_ROW_COUNTS = Statement("""
    SELECT
        (SELECT count(*) FROM publication WHERE account = ?1 AND seq IS NOT NULL),
        (SELECT count(*) FROM command WHERE account = ?1),
        (SELECT count(*) FROM person WHERE account = ?1),
        (SELECT count(*) FROM media WHERE account = ?1 AND state = 'ready')
""")

_TOPIC_NAMES = Statement("SELECT level FROM level WHERE account = ? ORDER BY level")

_REMOVE_MESSAGES = Statement("""
    DELETE FROM publication WHERE id IN (
        SELECT id FROM publication WHERE account = ? AND seq IS NOT NULL ORDER BY seq LIMIT ?
    )
""")

_REMOVE_PUBLICATIONS = Statement("""
    DELETE FROM publication WHERE id IN (
        SELECT id FROM publication WHERE account = ? AND seq IS NULL ORDER BY created LIMIT ?
    )
""")

_REMOVE_COMMANDS = Statement("""
    DELETE FROM command WHERE id IN (SELECT id FROM command WHERE account = ? ORDER BY command_id LIMIT ?)
""")

_REMOVE_KEYS = Statement(
    """
    DELETE FROM seen WHERE (account, key) IN (SELECT account, key FROM seen WHERE account = ? LIMIT ?)
    """,
    postgresql="DELETE FROM seen WHERE ctid IN (SELECT ctid FROM seen WHERE account = ? LIMIT ?)",
)

_REMOVE_REQUESTS = Statement("""
    DELETE FROM deed WHERE (account, session, mid) IN (
        SELECT account, session, mid FROM deed WHERE account = ? LIMIT ?
    )
""")

_REMOVE_MEDIA = Statement("""
    DELETE FROM media WHERE id IN (SELECT id FROM media WHERE account = ? ORDER BY id LIMIT ?)
""")

_REMOVE_QUESTIONS = Statement("""
    DELETE FROM question WHERE id IN (SELECT id FROM question WHERE account = ? ORDER BY id LIMIT ?)
""")

_REMOVE_TOPIC_NAMES = Statement("""
    DELETE FROM level WHERE (account, level) IN (SELECT account, level FROM level WHERE account = ? LIMIT ?)
""")

_REMOVE_PERSONS = Statement("""
    DELETE FROM person WHERE (account, id) IN (SELECT account, id FROM person WHERE account = ? LIMIT ?)
""")

# Each deletes up to ?2 rows of an account, so that each commit stays small.
_REMOVE_STATEMENTS = (
    _REMOVE_MESSAGES,
    _REMOVE_PUBLICATIONS,
    _REMOVE_COMMANDS,
    _REMOVE_KEYS,
    _REMOVE_REQUESTS,
    _REMOVE_MEDIA,
    _REMOVE_QUESTIONS,
    _REMOVE_TOPIC_NAMES,
    _REMOVE_PERSONS,
)
