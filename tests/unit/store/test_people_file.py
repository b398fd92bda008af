"""`people.json`: names survive the loss of the database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.pauseless_loop import run_without_pauses
from tests.unit.store.make import names, person
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
    return PeopleChanges(persons=persons, topic_names=tuple((one.topic_name, one.id) for one in persons))


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
def copy(database: Database, path: Path) -> PeopleFile:
    return PeopleFile(database, path)


@pytest.fixture
async def fresh(tmp_path: Path) -> AsyncIterator[Database]:
    """The database that is begun where the old one was lost."""
    opened = await SqliteDatabase.open(tmp_path / "fresh.db")
    yield opened
    await opened.close()


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def raw(path: Path) -> bytes:
    return path.read_bytes()


def lines_of_people(path: Path) -> int:
    return sum(line.startswith('{"id":') for line in path.read_text().splitlines())


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def make_folder(path: Path) -> None:
    path.mkdir()


def remove_folder(path: Path) -> None:
    path.rmdir()


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


async def test_it_is_for_its_owner_only_and_has_every_account(
    home: StoredPeople, work: StoredPeople, copy: PeopleFile, path: Path
) -> None:
    await home.save(changes(WIFE, BOB, GONE))
    await home.save(PeopleChanges(removed=(GONE.id,)))
    await work.save(changes(person(1, "boss")))
    await copy.write()
    assert mode(path) == 0o600
    whole = read(path)
    assert whole["schema"] == 1
    assert list(whole["accounts"]) == ["home", "work"]
    part = whole["accounts"]["home"]
    assert part["next_id"] == 4
    assert part["levels"] == {"wife": 1, "bob": 2, "gone": 3}
    assert [one["level"] for one in part["persons"]] == ["wife", "bob"]


async def test_every_person_has_a_line(home: StoredPeople, copy: PeopleFile, path: Path) -> None:
    await home.save(changes(WIFE, BOB))
    await copy.write()
    assert lines_of_people(path) == 2


async def test_many_are_read_in_pages(
    home: StoredPeople, copy: PeopleFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people_file_module, "PERSONS_PER_READ", 3)
    await home.save(changes(*(person(number, f"p{number}") for number in range(1, 8))))
    await copy.write()
    part = read(path)["accounts"]["home"]
    assert [one["id"] for one in part["persons"]] == list(range(1, 8))


async def test_a_copy_that_is_written_twice_at_once_is_the_newer_one(
    home: StoredPeople, copy: PeopleFile, path: Path
) -> None:
    await home.save(changes(WIFE))

    async def later() -> None:
        await home.save(changes(BOB))
        await copy.write()

    await asyncio.gather(copy.write(), later(), copy.write())
    assert len(read(path)["accounts"]["home"]["persons"]) == 2


async def test_names_survive_a_lost_database(
    home: StoredPeople, work: StoredPeople, copy: PeopleFile, path: Path, fresh: Database
) -> None:
    await home.save(changes(WIFE, BOB, GONE))
    await home.save(PeopleChanges(removed=(GONE.id,)))
    await work.save(changes(person(1, "boss")))
    await copy.write()
    assert await PeopleFile(fresh, path).restore(["home"]) == {"home": 2, "work": 1}
    for account, before in (("home", home), ("work", work)):
        restored = StoredPeople(fresh, account)
        assert await restored.load() == await before.load()
        assert restored.next_id == before.next_id


async def test_a_copy_that_nobody_needs_is_not_read(home: StoredPeople, copy: PeopleFile, path: Path) -> None:
    await home.save(changes(WIFE))
    put(path, b"nonsense")
    assert await copy.restore(["home"]) == {}
    assert raw(path) == b"nonsense"


async def test_who_is_there_is_never_overwritten(
    home: StoredPeople, work: StoredPeople, copy: PeopleFile
) -> None:
    await home.save(changes(WIFE))
    await copy.write()
    await home.save(changes(BOB))
    assert await copy.restore(["home"]) == {}
    assert (await home.load())[0] == [WIFE, BOB]


async def test_an_account_that_lost_its_people_gets_them_beside_one_that_has_some(
    home: StoredPeople, work: StoredPeople, copy: PeopleFile, path: Path, fresh: Database
) -> None:
    await home.save(changes(WIFE))
    await work.save(changes(person(1, "boss")))
    await copy.write()
    await StoredPeople(fresh, "work").save(changes(person(1, "other")))
    assert await PeopleFile(fresh, path).restore(["work"]) == {}, "nobody misses anybody"
    assert await PeopleFile(fresh, path).restore(["home", "work"]) == {"home": 1}
    assert (await StoredPeople(fresh, "work").load())[1] == {"other": 1}


async def test_nobody_at_all_is_copied_and_read(copy: PeopleFile, path: Path) -> None:
    assert await copy.restore(["home"]) == {}
    await copy.write()
    assert read(path) == {"schema": 1, "accounts": {}}
    assert await copy.restore(["home"]) == {}


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"accounts":[]}', b'{"accounts":{"home":{}}}'),
        b'{"accounts":{"home":{"persons":[{}],"levels":{},"next_id":1}}}',
        b'{"accounts":{"home":{"persons":[],"levels":{},"next_id":1e401}}}',
        b"[" * 100_000,
    ],
)
async def test_a_damaged_copy_is_set_aside(
    copy: PeopleFile, path: Path, tmp_path: Path, content: bytes
) -> None:
    put(path, content)
    assert await copy.restore(["home"]) == {}
    (aside,) = (name for name in names(tmp_path) if name.startswith("people.json"))
    assert aside.startswith("people.json.damaged-")
    assert raw(tmp_path / aside) == content


async def test_a_copy_of_a_newer_version_is_read_as_far_as_it_is_known(
    home: StoredPeople, copy: PeopleFile, path: Path, fresh: Database
) -> None:
    await home.save(changes(BOB))
    await copy.write()
    whole = read(path)
    whole["accounts"]["home"]["persons"][0]["colour"] = "red"
    put(path, json.dumps(whole).encode())
    assert await PeopleFile(fresh, path).restore(["home"]) == {"home": 1}
    assert (await StoredPeople(fresh, "home").load())[0] == [BOB]


async def test_a_number_that_was_given_is_not_given_again_after_a_loss(
    home: StoredPeople, copy: PeopleFile, path: Path, fresh: Database
) -> None:
    await home.save(changes(WIFE, BOB))
    await home.save(PeopleChanges(removed=(PersonId(2),)))
    await copy.write()
    await PeopleFile(fresh, path).restore(["home"])
    restored = StoredPeople(fresh, "home")
    await restored.load()
    assert restored.next_id == 3


class TimedCopy(PeopleFile):
    """Notes when the copy was written."""

    def __init__(self, path: Path) -> None:
        database: Any = None
        super().__init__(database, path)
        self.times: list[float] = []

    async def _write_all(self) -> None:
        self.times.append(round(asyncio.get_running_loop().time()))


def test_changes_share_one_writing_and_a_name_is_copied_soon(path: Path) -> None:
    """A writing costs as much as there are people: not each change may bring one."""

    async def story() -> list[float]:
        loop, copy = asyncio.get_running_loop(), TimedCopy(path)
        running = asyncio.create_task(copy.run())
        loop.call_at(100, copy.request_soon)
        for second in (110, 111, 150, 200):
            loop.call_at(second, copy.request)
        for second in (500, 510, 520):
            loop.call_at(second, copy.request_soon)
        await asyncio.sleep(1000)
        running.cancel()
        return copy.times

    assert run_without_pauses(story()) == [101, 222, 501, 562]


def test_an_orderly_end_writes_what_the_copy_lacks(path: Path) -> None:
    async def story() -> list[float]:
        copy = TimedCopy(path)
        await copy.flush()
        assert copy.times == []
        copy.request()
        await copy.flush()
        await copy.flush()
        return copy.times

    assert run_without_pauses(story()) == [0]


async def test_a_copy_that_could_not_be_written_is_still_to_be_written(copy: PeopleFile, path: Path) -> None:
    make_folder(path)
    copy.request()
    with pytest.raises(StoreError):
        await copy.flush()
    remove_folder(path)
    await copy.flush()
    assert read(path)["schema"] == 1
