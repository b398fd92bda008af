"""Which message a process was killed at: its mark in a small file, and how often that has happened.

    a message is read          its mark is in the file until it is stored
    the process is killed      the next one finds the mark, and counts: `MAX_KILLS` make the message fatal
    a fatal message comes      the bridge leaves it out, so that it does not end the process again

The files outlive a killed process, but not a power cut. With PostgreSQL the kills of all instances count
together (`SharedMarks`).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from typing_extensions import override

from wx2mqtt.aio import Signal
from wx2mqtt.clock import boot_time
from wx2mqtt.store.atomic_files import open_to_read
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.mapped_files import MappedFile
from wx2mqtt.store.statements import Statement

# Behind the name of an account; a purge removes the file with the saved login.
MARKS_SUFFIX = ".json.processing"

# In a row. A message that was being processed at so many is not processed again. Fewer would cost a message
# that is not at fault: a process that is killed again and again from outside meets one twice now and then.
MAX_KILLS = 3

# Of those that are remembered; the oldest is forgotten first.
MAX_FATAL_MESSAGES = 64

# How often progress is reported at most.
PROGRESS_INTERVAL_SECONDS = 1.0

_NO_MESSAGE = "-"
_DIGEST_BYTES = 16
_MARK_CHARACTERS = 2 * _DIGEST_BYTES
_MARK = re.compile(rf"[0-9a-f]{{{_MARK_CHARACTERS}}}", re.ASCII)

# Of the first line; the fatal messages follow, one on a line.
_MARK_BYTES = 64
_FATAL_BYTES = MAX_FATAL_MESSAGES * (_MARK_CHARACTERS + 1)

# Of the file, which may be damaged.
_MAX_READ_BYTES = 65_536


class ProcessingMarks(AbstractContextManager[object]):
    """Marks the message that is being processed, in a file, so that one that ends the process is found.

    A message is read in one block of `processing` and stored in another. The mark in the file:

        a block begins    that of its message, with the number of kills in a row so far
        the block ends    the same; it is removed in the next turn of the event loop, or by `clear`

    The suspect is the message at which the last process was killed. Its mark is removed with its block: the
    next kills are decisive, and one right after the block is not its fault.

    The file is not synchronised: that costs microseconds, and a message that ends the process does not end
    the machine. A file that cannot be written, or no `path`, marks nothing. `fatal` are the marks of messages
    that ended processes elsewhere (`SharedMarks`).
    """

    def __init__(self, path: Path | None = None, fatal: Sequence[str] = ()) -> None:
        #: Emitted about once a second while messages are processed.
        self.progressed: Signal[[]] = Signal()
        warning = "messages are not marked while they are processed"
        self._file = MappedFile(path, _MARK_BYTES + _FATAL_BYTES, warning)
        #: Key and mark of the message of the last block; None before the first one.
        self._key: str | None = None
        self._mark = _NO_MESSAGE
        self._is_last_block = True
        #: The mark that is in the file.
        self._written = _NO_MESSAGE
        #: The call that removes the mark in the next turn of the event loop; None while none is planned.
        self._clearing: asyncio.Handle | None = None
        #: When `progressed` was emitted last (`boot_time`).
        self._reported_at = 0.0
        #: The mark of the suspect, its kills in a row, and the marks of fatal messages.
        self._suspect, self._kills, self._fatal = _read_marks(path)
        self._fatal += fatal
        if self._kills >= MAX_KILLS:
            self._fatal = [*self._fatal, self._suspect][-MAX_FATAL_MESSAGES:]
            fatal_lines = "".join(f"{mark}\n" for mark in self._fatal)
            self._file.write(fatal_lines.ljust(_FATAL_BYTES, "\0").encode(), _MARK_BYTES)
            self._write_mark(_NO_MESSAGE, 0)

    def is_fatal(self, key: str) -> bool:
        """Returns whether `MAX_KILLS` processes in a row were killed while they processed this message."""
        return bool(self._fatal) and _mark_of(key) in self._fatal

    def processing(self, key: str, *, is_last: bool = False) -> AbstractContextManager[object]:
        """Marks a message in a block without `await`: of one process, one message is marked at a time.

        A message has been processed when its block with `is_last` ends without an error.
        """
        if key != self._key:
            self._key, self._mark = key, _mark_of(key)
        self._is_last_block = is_last
        if self._written != self._mark:
            self._write_mark(self._mark, self._kills if self._mark == self._suspect else 0)
        return self

    @override
    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._mark == self._suspect:
            self._write_mark(_NO_MESSAGE, 0)
        if self._clearing is None:
            try:
                self._clearing = asyncio.get_running_loop().call_soon(self.clear)
            except RuntimeError:  # no event loop runs
                self._write_mark(_NO_MESSAGE, 0)
        if kind is not None:  # an error of the block: the message is not processed yet
            return
        if self._is_last_block and self._mark == self._suspect:
            self._suspect, self._kills = _NO_MESSAGE, 0
        now = boot_time()
        if now - self._reported_at >= PROGRESS_INTERVAL_SECONDS:
            self._reported_at = now
            self.progressed.emit()

    def clear(self) -> None:
        """Removes the mark of the last message: what follows is not its fault."""
        if self._clearing is not None:
            self._clearing.cancel()
            self._clearing = None
            self._write_mark(_NO_MESSAGE, 0)

    def close(self) -> None:
        """Closes the file; nothing is marked any more."""
        self.clear()
        self._file.close()

    def _write_mark(self, mark: str, kills: int) -> None:
        self._written = mark
        self._file.write(f"{mark} {kills}".ljust(_MARK_BYTES - 1).encode() + b"\n", 0)


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
        mark, kills, _ = _read_marks(path)
        path.unlink(missing_ok=True)
        if kills:
            taken.append((path.name.removesuffix(MARKS_SUFFIX), mark))
    return taken


def _read_marks(path: Path | None) -> tuple[str, int, list[str]]:
    """Returns the message that was marked when the last process ended, how often by now, and fatal ones."""
    if path is None:
        return _NO_MESSAGE, 0, []
    try:
        # Damaged bytes are left out: a file that cannot be read at all would never mark anything again.
        with open_to_read(path) as file:
            text = file.read(_MAX_READ_BYTES).decode("ascii", "ignore").replace("\0", "")
    except OSError:
        return _NO_MESSAGE, 0, []
    first, *fatal = text.split("\n")
    mark, _, kills = first.strip().partition(" ")
    fatal = [line for line in fatal if _MARK.fullmatch(line)][:MAX_FATAL_MESSAGES]
    if not _MARK.fullmatch(mark) or kills not in map(str, range(MAX_KILLS)):
        return _NO_MESSAGE, 0, fatal
    return mark, int(kills) + 1, fatal


def _mark_of(key: str) -> str:
    return hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=_DIGEST_BYTES).hexdigest()


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
