"""An index of the texts of messages in a file of its own, so that a search does not read all of them.

It holds the characters of each text and the pairs of neighbouring ones: words of Chinese have mostly two
characters, and SQLite's own index of substrings needs three. A search asks it for the messages that have all
pairs, and compares these with the text itself: so the result is the same as without an index.

    the message "开灯了"  is stored as the tokens  开 灯 了 开灯 灯了
    a search for "灯了"   asks for the token       灯了

New messages are added in the background when there are enough of them; until then they are searched one by
one. The file can be deleted at any time. Where SQLite has no FTS5, every search reads all messages.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from string import ascii_uppercase
from typing import TypeVar

import structlog

from wx2mqtt.store.atomic_files import make_private_file
from wx2mqtt.store.database import Database
from wx2mqtt.store.sqlite_database import WAL_SUFFIXES
from wx2mqtt.store.statements import Statement

log = structlog.get_logger(__name__)

T = TypeVar("T")

# The index is extended when so many publications are new. To search them one by one takes some milliseconds.
MIN_NEW_ROWS = 2000

# Messages that are added to the index in one transaction.
ROWS_PER_STEP = 500

# So many of the oldest publications say nothing about how far the store was pruned: the newest message of
# each account stays however old it is, and so does what waits for the broker.
OLD_ROWS = 1000

# A search asks for so many pairs of its text. With more of them hardly fewer messages would be found.
MAX_SEARCHED_PAIRS = 16

# Stands for all ASCII characters that are no letters or digits: in FTS5 they would separate words.
_PUNCTUATION = "\ue000"

# By code: as what an ASCII character is stored and searched. Capital letters become small ones.
_FOLDED = {code: _PUNCTUATION for code in range(128) if not chr(code).isalnum()}
_FOLDED |= {ord(letter): letter.lower() for letter in ascii_uppercase}


class SearchIndex:
    """The index of all accounts."""

    def __init__(self, database: Database, path: Path) -> None:
        self._database = database
        self._path = path
        #: The connection to the file of the index; None until `extend` opens it, and after `delete`.
        self._connection: sqlite3.Connection | None = None
        #: Held while a thread uses the connection.
        self._lock = asyncio.Lock()
        #: An error of the file ended its use for this process.
        self._is_broken = False
        #: The oldest publication in the index; 0 while it is empty or not open.
        self._first_id = 0
        #: The newest publication in the index; 0 while it is empty or not open.
        self.indexed_id = 0

    async def extend(self) -> None:
        """Adds the messages that are not in the index yet, if there are enough of them. Raises `StoreError`.

        The first call opens the file. An index that is mostly of deleted messages begins anew.
        """
        if self._is_broken:
            return
        ((oldest_id, newest_id),) = await self._database.fetch(_STORED_IDS, (OLD_ROWS,))
        if newest_id is None or newest_id - self.indexed_id < MIN_NEW_ROWS:
            return
        if self._connection is None:
            stream = await self._stream()
            await self._run(partial(self._open_file, stream))
        middle_id = (self._first_id + self.indexed_id) // 2
        if oldest_id is None or oldest_id > middle_id:  # None: nothing but the `OLD_ROWS` is stored
            await self._run(self._begin_anew)
        while rows := await self._database.fetch(_NEW_ROWS, (self.indexed_id, ROWS_PER_STEP)):
            was_added = await self._run(partial(self._add, rows))
            if not was_added:
                return
        self.indexed_id = max(self.indexed_id, newest_id)  # the last publications may have no text

    async def _stream(self) -> str:
        """Returns the id of the store; empty if it has none yet."""
        rows = await self._database.fetch(_READ_STREAM)
        return str(rows[0][0]) if rows else ""

    async def delete(self) -> None:
        """Deletes the index, since an account was removed; `extend` makes it again."""
        await self._run(self._delete)

    async def close(self) -> None:
        async with self._lock:
            await asyncio.to_thread(self._close)

    async def candidates(self, text: str, ids: range, limit: int) -> Sequence[int] | None:
        """Returns the first publications within `ids` that may contain `text`, in the order of `ids`.

        Returns None if the index cannot be used; `ids` are at most `indexed_id`.
        """
        statement = _OLDEST_MATCHES if ids.step > 0 else _NEWEST_MATCHES
        values = _expression(text), min(ids[0], ids[-1]), max(ids[0], ids[-1]), limit

        def find() -> list[int] | None:
            if self._connection is None:
                return None
            return [row_id for (row_id,) in self._connection.execute(statement, values)]

        return await self._run(find)

    def _begin_anew(self) -> None:
        if self._connection is not None:
            self._connection.execute(_CLEAR)
            self._connection.execute(_SET_INDEXED, (0, 0))
            self._first_id = self.indexed_id = 0

    def _add(self, rows: Sequence[tuple[int, str]]) -> bool:
        """Adds rows; returns False if the index was deleted meanwhile."""
        if (connection := self._connection) is None:
            return False
        first_id = self._first_id or rows[0][0]
        last_id = rows[-1][0]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_ADD_TEXT, [(row_id, " ".join(pairs(text))) for row_id, text in rows])
        connection.execute(_SET_INDEXED, (first_id, last_id))
        connection.execute("COMMIT")
        self._first_id = first_id
        self.indexed_id = last_id
        return True

    def _open_file(self, stream: str) -> None:
        """Opens the file; begins a new one if it is that of another store, whose ids mean other messages."""
        self._connection = _connect(self._path)
        row = self._connection.execute(_READ_STATE).fetchone()
        if row is not None and row[0] != stream:
            self._delete()
            self._connection = _connect(self._path)
            row = None
        if row is None:
            self._connection.execute(_ADD_STATE, (stream,))
        else:
            _, self._first_id, self.indexed_id = row

    def _close(self) -> None:
        """Closes the file; the ids are those of an open file only."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._first_id = self.indexed_id = 0

    def _delete(self) -> None:
        self._close()
        for suffix in ("", *WAL_SUFFIXES):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    async def _run(self, work: Callable[[], T]) -> T | None:
        """Runs work in a thread. After an error the index is deleted and used no more, and None returned."""
        async with self._lock:
            try:
                return await asyncio.to_thread(work)
            except (sqlite3.Error, OSError) as error:
                log.warning("texts are searched without an index", problem=str(error))
                self._is_broken = True
                await asyncio.to_thread(self._delete)
                return None


def pairs(text: str) -> set[str]:
    """Returns the pairs of neighbouring characters of a text, and each character alone."""
    folded = text.translate(_FOLDED)
    return {folded[index : index + 2] for index in range(len(folded) - 1)} | set(folded)


def _expression(text: str) -> str:
    """Returns the FTS5 expression for the messages that have all pairs of `text`."""
    tokens = pairs(text)
    # A text of one character has no pair.
    searched = [token for token in tokens if len(token) == 2] or list(tokens)
    return " AND ".join(f'"{token}"' for token in searched[:MAX_SEARCHED_PAIRS])


def _connect(path: Path) -> sqlite3.Connection:
    make_private_file(path)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.executescript(_CREATE_INDEX)
    except BaseException:  # a damaged file is deleted next
        connection.close()
        raise
    return connection


# Statements

# These three run in the database, the others in the file of the index.
# The oldest publication after the first ?1 (null if there are no more), and the newest one.
_STORED_IDS = Statement("""
    SELECT (SELECT id FROM publication ORDER BY id LIMIT 1 OFFSET ?1), (SELECT max(id) FROM publication)
""")

_READ_STREAM = Statement("SELECT value FROM meta WHERE name = 'stream'")

_NEW_ROWS = Statement("""
    SELECT id, text FROM publication WHERE id > ?1 AND seq IS NOT NULL AND text <> '' ORDER BY id LIMIT ?2
""")

_NEWEST_MATCHES = Statement("""
    SELECT rowid FROM text_pair
    WHERE text_pair MATCH ?1 AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid DESC LIMIT ?4
""")

_OLDEST_MATCHES = Statement("""
    SELECT rowid FROM text_pair WHERE text_pair MATCH ?1 AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid LIMIT ?4
""")

_CLEAR = Statement("INSERT INTO text_pair (text_pair) VALUES ('delete-all')")

_SET_INDEXED = Statement("UPDATE state SET first_id = ?1, indexed_id = ?2")

_ADD_TEXT = Statement("INSERT INTO text_pair (rowid, pairs) VALUES (?, ?)")

_READ_STATE = Statement("SELECT stream, first_id, indexed_id FROM state")

_ADD_STATE = Statement("INSERT INTO state (stream, first_id, indexed_id) VALUES (?, 0, 0)")

# The first character of a pair may be any but a space; the tokens are compared as
# they are.
_CREATE_INDEX = Statement("""
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA cache_size = -500;
    CREATE VIRTUAL TABLE IF NOT EXISTS text_pair
        USING fts5 (pairs, content = '', columnsize = 0, detail = none, tokenize = 'ascii');
    CREATE TABLE IF NOT EXISTS state
        (stream TEXT NOT NULL, first_id INTEGER NOT NULL, indexed_id INTEGER NOT NULL)
""")
