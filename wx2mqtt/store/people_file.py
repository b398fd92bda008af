"""`people.json`: a copy of all people and topic names, so that these survive a lost database.

    {"schema":1,"accounts":{
    "home":{"next_id":3,"levels":{"wife":1,"family":2},"persons":[
    {"id":1,"level":"wife","kind":"friend",…},
    {"id":2,"level":"family","kind":"group",…}
    ]}
    }}

Each person is one line, so that people and tools can compare two copies.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import structlog

from wx2mqtt.aio import retry_until_stored, wait_at_most
from wx2mqtt.bounded_json import load_json
from wx2mqtt.limits import PEOPLE_FILE_JSON
from wx2mqtt.model import Json, PersonId
from wx2mqtt.store.atomic_files import AtomicFile, quarantine, read_file
from wx2mqtt.store.column_values import encode_payload
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.people import (
    apply_changes,
    next_id_of,
    person_from_json,
    person_to_json,
    raise_next_id,
    read_persons,
    topic_names_of,
)
from wx2mqtt.store.person_records import PeopleChanges
from wx2mqtt.store.statements import Statement

log = structlog.get_logger(__name__)

# The next person id of an account, and all its people and topic names.
CopiedPeople = tuple[int, PeopleChanges]

PERSONS_PER_READ = 500

# A change on which no name depends is copied within this time, together with those that follow it. The copy
# matters only when the database is lost.
MAX_COPY_AGE_SECONDS = 60.0

# A change on which a name depends is copied after this time, together with those that follow it.
GATHER_SECONDS = 1.0


class PeopleFile:
    """The copy beside the database: mode 0600, and either complete or absent."""

    def __init__(self, database: Database, path: Path) -> None:
        self._database = database
        self._file = AtomicFile(path)
        #: Held while the copy is written.
        self._lock = asyncio.Lock()
        #: The database has a change that the copy has not.
        self._outdated = asyncio.Event()
        #: A name may depend on such a change.
        self._wanted_soon = asyncio.Event()

    def request(self) -> None:
        """Has the copy written within `MAX_COPY_AGE_SECONDS`; call it when a change of people is stored."""
        self._outdated.set()

    def request_soon(self) -> None:
        """Has the copy written soon, since a name may have changed; not more often than `request` does."""
        self._outdated.set()
        self._wanted_soon.set()

    async def run(self) -> None:
        """Writes the copy when it is requested, until cancelled.

        It costs as much as there are people, so that many changes share one writing.
        """
        while True:
            await self._outdated.wait()
            await wait_at_most(self._wanted_soon, MAX_COPY_AGE_SECONDS)
            await asyncio.sleep(GATHER_SECONDS)
            await retry_until_stored(self.write)
            await asyncio.sleep(MAX_COPY_AGE_SECONDS)

    async def flush(self) -> None:
        """Writes the copy now if it is older than the database. Raises `StoreError`."""
        async with self._lock:
            is_outdated = self._outdated.is_set()
        if is_outdated:
            await self.write()

    async def write(self) -> None:
        """Rewrites the whole copy. Raises `StoreError`.

        Reads the database page by page, so that other reads can run in between.
        """
        async with self._lock:  # otherwise an older reading could be written after a newer one
            self._outdated.clear()
            self._wanted_soon.clear()
            try:
                await self._write_all()
            except BaseException:
                self._outdated.set()
                raise

    async def _write_all(self) -> None:
        names = await self._database.read(_accounts_with_people)
        parts = [await self._account_json(name) for name in names]
        await self._file.write(b'{"schema":1,"accounts":{\n' + b",\n".join(parts) + b"\n}}\n")

    async def restore(self, accounts: Iterable[str]) -> dict[str, int]:
        """Copies people back into every account that has none; returns how many by account.

        The file is large: it is read only if one of `accounts` has no people.
        """
        if set(accounts) <= set(await self._database.read(_accounts_with_people)):
            return {}
        copied = await asyncio.to_thread(_read, self._file.path)
        restored = await self._database.write("restore", lambda connection: _restore(connection, copied))
        return {account: count for account, count in restored.items() if count}

    async def _account_json(self, account: str) -> bytes:
        lines: list[bytes] = []
        after = 0
        while page := await self._database.read(partial(_person_lines, account, after)):
            lines += (line for _, line in page)
            after = page[-1][0]
        head = await self._database.read(partial(_account_head, account))
        people = b",\n".join(lines)
        return b"".join((json.dumps(account).encode(), b":", head[:-1], b',"persons":[\n', people, b"\n]}"))


def _accounts_with_people(connection: Connection) -> list[str]:
    return [name for (name,) in connection.execute(_ACCOUNTS_WITH_PEOPLE)]


def _person_lines(account: str, after: int, connection: Connection) -> list[tuple[int, bytes]]:
    """Returns the id and the line of the next persons."""
    persons = read_persons(connection, account, after=after, limit=PERSONS_PER_READ)
    return [(person.id, encode_payload(person_to_json(person))) for person in persons]


def _account_head(account: str, connection: Connection) -> bytes:
    levels = dict[str, Json](topic_names_of(connection, account))
    return encode_payload({"next_id": next_id_of(connection, account), "levels": levels})


def _restore(connection: Connection, copied: dict[str, CopiedPeople]) -> dict[str, int]:
    restored: dict[str, int] = {}
    for account, (next_id, changes) in copied.items():
        if next_id_of(connection, account) == 1:
            apply_changes(connection, account, changes)
            raise_next_id(connection, account, next_id)
            restored[account] = len(changes.persons)
    return restored


def _read(path: Path) -> dict[str, CopiedPeople]:
    """Returns the content of the copy; nothing if it is missing or damaged."""
    data = read_file(path)
    if data is None:
        return {}
    copied: dict[str, CopiedPeople] = {}
    try:
        for account, part in load_json(data, PEOPLE_FILE_JSON)["accounts"].items():
            names = part["levels"].items()
            changes = PeopleChanges(
                persons=tuple(person_from_json(fields) for fields in part["persons"]),
                topic_names=tuple((str(name), PersonId(int(owner))) for name, owner in names),
            )
            copied[account] = int(part["next_id"]), changes
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        log.error("copy of people damaged, set aside", set_aside=str(quarantine(path)))
        return {}
    return copied


# Statements

# Accounts that ever had people.
_ACCOUNTS_WITH_PEOPLE = Statement("SELECT name FROM account WHERE next_person > 1 ORDER BY name")
