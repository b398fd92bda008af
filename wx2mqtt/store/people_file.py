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
from typing import Any

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

# From `request` on, others share the copy. It may be late: it matters only when the database is lost.
REQUEST_DELAY_SECONDS = 60.0

# From `request_soon` on: the changes of one report of WeChat share the copy.
SOON_DELAY_SECONDS = 1.0

# After a copy there is no other for so long, since each costs as much as there are people.
PAUSE_SECONDS = 60.0

# The whole file, around its accounts; and an account: its name, next person id, topic names and people.
_FILE = b'{"schema":1,"accounts":{\n%b\n}}\n'
_ACCOUNT = b'%b:{"next_id":%d,"levels":%b,"persons":[\n%b\n]}'


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
        """Requests a copy; call it when a change of people is stored."""
        self._outdated.set()

    def request_soon(self) -> None:
        """Requests a copy soon, since a name may have changed."""
        self._outdated.set()
        self._wanted_soon.set()

    async def run(self) -> None:
        """Writes the copy when it is requested, until cancelled. Many requests share one copy:

            request_soon    1 s later
            request         61 s later, or 1 s after a `request_soon` in the meantime

        A copy is followed by a pause of 60 s; the requests of that time count as made at its end.
        """
        while True:
            await self._outdated.wait()
            await wait_at_most(self._wanted_soon, REQUEST_DELAY_SECONDS)
            await asyncio.sleep(SOON_DELAY_SECONDS)
            await retry_until_stored(self.write)
            await asyncio.sleep(PAUSE_SECONDS)

    async def flush(self) -> None:
        """Writes the copy now if it is older than the database. Raises `StoreError`."""
        async with self._lock:  # a writing that goes on has reset the event already, and may fail
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
        accounts = [await self._account_json(name) for name in names]
        await self._file.write(_FILE % b",\n".join(accounts))

    async def _account_json(self, account: str) -> bytes:
        lines: list[bytes] = []
        after = 0
        while page := await self._database.read(partial(_person_lines, account, after)):
            lines += (line for _, line in page)
            after = page[-1][0]
        next_id, topic_names = await self._database.read(partial(_names_of, account))
        return _ACCOUNT % (json.dumps(account).encode(), next_id, topic_names, b",\n".join(lines))

    async def restore(self, accounts: Iterable[str]) -> dict[str, int]:
        """Copies people back into every account that has none; returns how many by account.

        The file is large: it is read only if one of `accounts` has no people.
        """
        with_people = await self._database.read(_accounts_with_people)
        if set(accounts).issubset(with_people):
            return {}
        copied = await asyncio.to_thread(_read, self._file.path)
        restored = await self._database.write("restore", lambda connection: _restore(connection, copied))
        return {account: count for account, count in restored.items() if count}


def _accounts_with_people(connection: Connection) -> list[str]:
    return [name for (name,) in connection.execute(_ACCOUNTS_WITH_PEOPLE)]


def _person_lines(account: str, after: int, connection: Connection) -> list[tuple[int, bytes]]:
    """Returns the id and the line of the next persons."""
    persons = read_persons(connection, account, after=after, limit=PERSONS_PER_READ)
    return [(person.id, encode_payload(person_to_json(person))) for person in persons]


def _names_of(account: str, connection: Connection) -> tuple[int, bytes]:
    """Returns the next person id of an account, and its topic names as JSON."""
    topic_names = dict[str, Json](topic_names_of(connection, account))
    return next_id_of(connection, account), encode_payload(topic_names)


def _restore(connection: Connection, copied: dict[str, CopiedPeople]) -> dict[str, int]:
    """Copies people into each account that never had any; returns how many by account."""
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
    try:
        accounts = load_json(data, PEOPLE_FILE_JSON)["accounts"]
        return {name: _copied_people(part) for name, part in accounts.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        log.error("copy of people damaged, set aside", set_aside=str(quarantine(path)))
        return {}


def _copied_people(part: Any) -> CopiedPeople:
    """Returns what the file says about an account. Raises as `_read` expects when that is damaged."""
    persons = tuple(person_from_json(fields) for fields in part["persons"])
    names = tuple((str(name), PersonId(int(owner))) for name, owner in part["levels"].items())
    return int(part["next_id"]), PeopleChanges(persons=persons, topic_names=names)


# Statements

# Accounts that ever had people.
_ACCOUNTS_WITH_PEOPLE = Statement("SELECT name FROM account WHERE next_person > 1 ORDER BY name")
