"""`people.json` is a copy from which topic names are restored after the loss of the database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.pauseless_loop import run_without_pauses
from tests.unit.store.make import contents, modes, person
from wx2mqtt.errors import StoreError
from wx2mqtt.model import PersonId
from wx2mqtt.store import people_file as people_file_module
from wx2mqtt.store.database import Database
from wx2mqtt.store.people import StoredPeople
from wx2mqtt.store.people_file import PeopleFile
from wx2mqtt.store.person_records import PeopleChanges
from wx2mqtt.store.sqlite_database import SqliteDatabase

WIFE, BOB, GONE = person(1, "wife", remark="老婆"), person(2, "bob"), person(3, "gone", wrote=True)


def changes(*persons: Any) -> PeopleChanges:
    return PeopleChanges(
        persons=persons, topic_names=tuple((entry.topic_name, entry.id) for entry in persons)
    )


@pytest.fixture
def home(database: Database) -> StoredPeople:
    return StoredPeople(database, "home")


@pytest.fixture
def work(database: Database) -> StoredPeople:
    return StoredPeople(database, "work")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.json"


@pytest.fixture
def people_file(database: Database, path: Path) -> PeopleFile:
    return PeopleFile(database, path)


@pytest.fixture
async def new_database(tmp_path: Path) -> AsyncIterator[Database]:
    """The new database of a store whose database was lost."""
    opened = await SqliteDatabase.open(tmp_path / "fresh.db")
    yield opened
    await opened.close()


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def make_folder(path: Path) -> None:
    path.mkdir()


def remove_folder(path: Path) -> None:
    path.rmdir()


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


async def test_the_file_is_for_its_owner_only_and_has_every_account(
    home: StoredPeople, work: StoredPeople, people_file: PeopleFile, path: Path, tmp_path: Path
) -> None:
    await home.save(changes(WIFE, BOB, GONE))
    await home.save(PeopleChanges(removed=(GONE.id,)))
    await work.save(changes(person(1, "boss")))
    await people_file.write()
    assert modes(tmp_path)["people.json"] == 0o600
    document = read(path)
    assert document["schema"] == 1
    assert list(document["accounts"]) == ["home", "work"]
    account = document["accounts"]["home"]
    assert account["next_id"] == 4
    assert account["levels"] == {"wife": 1, "bob": 2, "gone": 3}
    assert [entry["level"] for entry in account["persons"]] == ["wife", "bob"]
    lines = contents(tmp_path)["people.json"][0].splitlines()
    assert sum(line.startswith(b'{"id":') for line in lines) == 3, "every person has a line"


async def test_many_people_are_read_in_pages(
    home: StoredPeople, people_file: PeopleFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people_file_module, "PERSONS_PER_READ", 3)
    await home.save(changes(*(person(number, f"p{number}") for number in range(1, 8))))
    await people_file.write()
    account = read(path)["accounts"]["home"]
    assert [entry["id"] for entry in account["persons"]] == list(range(1, 8))


async def test_of_two_writes_at_once_the_newer_content_stays(
    home: StoredPeople, people_file: PeopleFile, path: Path
) -> None:
    await home.save(changes(WIFE))

    async def later() -> None:
        await home.save(changes(BOB))
        await people_file.write()

    await asyncio.gather(people_file.write(), later(), people_file.write())
    assert len(read(path)["accounts"]["home"]["persons"]) == 2


async def test_where_all_accounts_have_people_the_file_is_not_read(
    home: StoredPeople, people_file: PeopleFile, path: Path, tmp_path: Path
) -> None:
    await home.save(changes(WIFE))
    put(path, b"nonsense")
    assert await people_file.restore(["home"]) == {}
    assert contents(tmp_path)["people.json"][0] == b"nonsense"


async def test_an_account_without_people_gets_them_and_one_with_people_keeps_its_own(
    home: StoredPeople, work: StoredPeople, people_file: PeopleFile, path: Path, new_database: Database
) -> None:
    await home.save(changes(WIFE))
    await work.save(changes(person(1, "boss")))
    await people_file.write()
    await StoredPeople(new_database, "work").save(changes(person(1, "other")))
    assert await PeopleFile(new_database, path).restore(["work"]) == {}, "the account has people"
    assert await PeopleFile(new_database, path).restore(["home", "work"]) == {"home": 1}
    assert (await StoredPeople(new_database, "work").load())[1] == {"other": 1}


async def test_a_file_without_people_is_written_and_read(people_file: PeopleFile, path: Path) -> None:
    assert await people_file.restore(["home"]) == {}
    await people_file.write()
    assert read(path) == {"schema": 1, "accounts": {}}
    assert await people_file.restore(["home"]) == {}


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"accounts":[]}', b'{"accounts":{"home":{}}}'),
        b'{"accounts":{"home":{"persons":[{}],"levels":{},"next_id":1}}}',
        b'{"accounts":{"home":{"persons":[],"levels":{},"next_id":1e401}}}',
        b"[" * 100_000,
    ],
)
async def test_a_damaged_file_is_quarantined(
    people_file: PeopleFile, path: Path, tmp_path: Path, content: bytes
) -> None:
    put(path, content)
    assert await people_file.restore(["home"]) == {}
    quarantined = {name: data for name, (data, _) in contents(tmp_path).items() if name.startswith("people")}
    assert [name.startswith("people.json.damaged-") for name in quarantined] == [True]
    assert [*quarantined.values()] == [content]


async def test_unknown_keys_of_a_newer_version_are_ignored(
    home: StoredPeople, people_file: PeopleFile, path: Path, new_database: Database
) -> None:
    await home.save(changes(BOB))
    await people_file.write()
    document = read(path)
    document["accounts"]["home"]["persons"][0]["colour"] = "red"
    put(path, json.dumps(document).encode())
    assert await PeopleFile(new_database, path).restore(["home"]) == {"home": 1}
    assert (await StoredPeople(new_database, "home").load())[0] == [BOB]


async def test_names_and_ids_survive_a_lost_database(
    home: StoredPeople, work: StoredPeople, people_file: PeopleFile, path: Path, new_database: Database
) -> None:
    await home.save(changes(WIFE, BOB, GONE, person(4, "never wrote")))
    await home.save(PeopleChanges(removed=(GONE.id, PersonId(4))))
    await work.save(changes(person(1, "boss")))
    await people_file.write()
    assert await PeopleFile(new_database, path).restore(["home"]) == {"home": 2, "work": 1}
    for account, before in (("home", home), ("work", work)):
        restored = StoredPeople(new_database, account)
        assert await restored.load() == await before.load()
        assert restored.next_id == before.next_id
    assert home.next_id == 5


class TimedPeopleFile(PeopleFile):
    """Keeps the times when the file was written."""

    def __init__(self, path: Path) -> None:
        database: Any = None
        super().__init__(database, path)
        self.times: list[float] = []

    async def _write_all(self) -> None:
        self.times.append(round(asyncio.get_running_loop().time()))


def test_changes_share_one_write_and_a_change_of_names_is_written_soon(path: Path) -> None:
    """A write takes the longer, the more people there are: not each change may cause one."""

    async def scenario() -> list[float]:
        loop, people_file = asyncio.get_running_loop(), TimedPeopleFile(path)
        running = asyncio.create_task(people_file.run())
        loop.call_at(100, people_file.request_soon)
        for second in (110, 111, 150, 200):
            loop.call_at(second, people_file.request)
        for second in (500, 510, 520):
            loop.call_at(second, people_file.request_soon)
        await asyncio.sleep(1000)
        running.cancel()
        return people_file.times

    assert run_without_pauses(scenario()) == [101, 222, 501, 562]


def test_a_flush_writes_the_changes_that_the_file_lacks(path: Path) -> None:
    async def scenario() -> list[float]:
        people_file = TimedPeopleFile(path)
        await people_file.flush()
        assert people_file.times == []
        people_file.request()
        await people_file.flush()
        await people_file.flush()
        return people_file.times

    assert run_without_pauses(scenario()) == [0]


async def test_after_a_failed_write_the_next_flush_writes_the_file(
    people_file: PeopleFile, path: Path
) -> None:
    make_folder(path)
    people_file.request()
    with pytest.raises(StoreError):
        await people_file.flush()
    remove_folder(path)
    await people_file.flush()
    assert read(path)["schema"] == 1
