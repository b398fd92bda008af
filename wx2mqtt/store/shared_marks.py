"""Which messages have ended instances of the bridge, counted for all instances that share a PostgreSQL.

an instance is killed at a message    its file has the mark of the message (`mapped_files.py`)
it starts again                       `count` counts the mark in the table `mark`, and removes the file
an instance takes the account         `fatal` says which messages it must leave out
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.mapped_files import MARKS_SUFFIX, MAX_FATAL_MESSAGES, MAX_KILLS, read_marks
from wx2mqtt.store.statements import Statement


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
        for account, mark in await asyncio.to_thread(_take_marks, folder):
            await self._database.write("mark", partial(_count_mark, account, mark))

    async def fatal(self, account: str) -> list[str]:
        """Returns the marks of messages that have ended `MAX_KILLS` processes. Raises `StoreError`."""
        rows = await self._database.fetch(_FATAL_MARKS, (account, MAX_KILLS))
        return [mark for (mark,) in rows]


def _count_mark(account: str, mark: str, connection: Connection) -> None:
    connection.execute(_COUNT_MARK, (account, mark))
    connection.execute(_FORGET_OLD_MARKS, (account, MAX_FATAL_MESSAGES))


def _take_marks(folder: Path) -> list[tuple[str, str]]:
    """Returns accounts whose process was killed at a message, with its mark; removes the files."""
    taken: list[tuple[str, str]] = []
    for path in sorted(folder.glob(f"*{MARKS_SUFFIX}")):
        mark, kills, _ = read_marks(path)
        path.unlink(missing_ok=True)
        if kills:
            taken.append((path.name.removesuffix(MARKS_SUFFIX), mark))
    return taken


# Statements

_FATAL_MARKS = Statement("SELECT mark FROM mark WHERE account = ? AND kills >= ? ORDER BY counted")

_COUNT_MARK = Statement("""
    INSERT INTO mark (account, mark) VALUES (?, ?)
    ON CONFLICT (account, mark) DO UPDATE SET kills = mark.kills + 1, counted = now()
""")

# All but the newest marks.
_FORGET_OLD_MARKS = Statement("""
    DELETE FROM mark WHERE account = ?1 AND mark NOT IN
        (SELECT mark FROM mark WHERE account = ?1 ORDER BY counted DESC LIMIT ?2)
""")
