"""Messages that have ended instances, counted in the database that the instances share."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.mapped_files import MAX_FATAL_MESSAGES, MAX_KILLS, take_marks


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
        rows = await self._database.fetch(
            "SELECT mark FROM mark WHERE account = ? AND kills >= ? ORDER BY counted", (account, MAX_KILLS)
        )
        return [mark for (mark,) in rows]


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
