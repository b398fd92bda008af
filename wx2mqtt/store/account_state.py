"""What the journal keeps about an account itself: one row of the table `account`, and the id of the store.

base_topic   the base topic that the account first used
session      the number of the MQTT session
login_id     the login whose handles and cursor are stored
cursor       what was received last (written by `ReceivedMessages.record`)
seq          the number of the newest message (written by `ReceivedMessages.record`)
owner        the WeChat account of each backend (written by `JournaledCommands.set_owner`)
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path

from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.folder import new_stream_id
from wx2mqtt.store.journal_part import JournalPart
from wx2mqtt.store.queries import load_queries
from wx2mqtt.store.records import AccountState
from wx2mqtt.store.unsynced_files import MAX_FATAL_MESSAGES, MAX_KILLS, take_marks

_SQL = load_queries("account_state")


class AccountStateRow(JournalPart):
    stream = ""
    """The id of the store, published with each message; empty before `open`."""

    async def open(self) -> AccountState:
        """Returns the stored state of this account; creates the account and the stream id if they are new."""
        self.stream, state = await self._database.write("open", self._open)
        return state

    async def set_base_topic(self, base: str) -> None:
        """Stores the base topic of the account, and moves what waits below the one before to it."""
        await self._database.write("base_topic", partial(self._set_base_topic, base))

    async def set_broker_session(self, session: int) -> None:
        """Stores the number of the MQTT session; packet ids are compared within one session only."""
        await self._database.write(
            "session", lambda db: db.execute(_SQL["set_broker_session"], (session, self._account))
        )

    def _set_base_topic(self, base: str, connection: Connection) -> None:
        (old_base,) = connection.execute(_SQL["base_topic"], (self._account,)).fetchone()
        if old_base:
            below = f"{old_base}/"
            values = (base, len(old_base) + 1, self._account, len(below), below)
            connection.execute(_SQL["move_waiting"], values)
        connection.execute(_SQL["set_base_topic"], (base, self._account))

    def _open(self, connection: Connection) -> tuple[str, AccountState]:
        connection.execute(_SQL["add_stream"], (new_stream_id(),))
        connection.execute(_SQL["add_account"], (self._account,))
        (stream,) = connection.execute(_SQL["stream"]).fetchone()
        base, session, login_id, cursor, seq, owners = connection.execute(
            _SQL["account"], (self._account,)
        ).fetchone()
        newest = connection.execute(_SQL["newest_payload"], (self._account,)).fetchone()
        state = AccountState(
            cursor=cursor,
            login_id=login_id,
            seq=seq,
            last_payload=newest[0] if newest else None,
            base_topic=base,
            broker_session=session,
            owner_ids=json.loads(owners),
        )
        return stream, state


class SharedMarks:
    """Messages that have ended instances while they were processed: rows of the table `mark` in PostgreSQL.

    Each instance has the mark of the message under way in a file of its own. When it starts again after it
    was killed, it counts the message here, so that the one that runs the account by then knows of it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, folder: Path) -> None:
        """Counts what the files of this instance say, and removes them. Raises `StoreError`."""
        # First: to be killed here once more is better than to skip a message without reason.
        for account, mark in await asyncio.to_thread(take_marks, folder):
            await self._database.write("mark", partial(_count_mark, account, mark))

    async def fatal(self, account: str) -> list[str]:
        """Returns the marks of messages that have ended `MAX_KILLS` processes. Raises `StoreError`."""
        return await self._database.read(partial(_fatal_marks, account))


def _count_mark(account: str, mark: str, connection: Connection) -> None:
    connection.execute(
        "INSERT INTO mark (account, mark) VALUES (?, ?)"
        " ON CONFLICT (account, mark) DO UPDATE SET kills = mark.kills + 1, counted = now()",
        (account, mark),
    )
    connection.execute(
        "DELETE FROM mark WHERE account = ?1 AND mark NOT IN"
        " (SELECT mark FROM mark WHERE account = ?1 ORDER BY counted DESC LIMIT ?2)",
        (account, MAX_FATAL_MESSAGES),
    )


def _fatal_marks(account: str, connection: Connection) -> list[str]:
    rows = connection.execute(
        "SELECT mark FROM mark WHERE account = ? AND kills >= ? ORDER BY counted", (account, MAX_KILLS)
    )
    return [mark for (mark,) in rows]
