"""People are stored with ids and topic names that are never given to another person."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.store.make import person
from wx2mqtt.errors import StoreError
from wx2mqtt.model import ChatKind, PersonId
from wx2mqtt.store import people as people_module
from wx2mqtt.store.database import Database
from wx2mqtt.store.people import PERSON_FIELDS, StoredPeople
from wx2mqtt.store.person_records import PeopleChanges

WIFE = person(
    1,
    "wife",
    kind=ChatKind.GROUP,
    handle=None,
    pin="wife",
    trusted=True,
    permanent_id="p",
    alias="a",
    remark="老婆",
    nickname="小红 🌹",
    avatar="7",
    profile={"sex": "2", "city": "上海"},
    members=bytes(range(8)),
    closed=True,
    removed=True,
    wrote=True,
    created=5,
    seen=6,
)
BOB = person(2, "bob")


@pytest.fixture
def people(database: Database, tmp_path: Path) -> StoredPeople:
    return StoredPeople(database, "home")


def _changes(*persons: object, **more: object) -> PeopleChanges:
    topic_names = tuple((new.topic_name, new.id) for new in persons)  # type: ignore[attr-defined]
    return PeopleChanges(persons=persons, topic_names=topic_names, **more)  # type: ignore[arg-type]


async def test_people_are_read_as_they_were_saved(people: StoredPeople) -> None:
    assert await people.load() == ([], {})
    assert people.next_id == 1
    await people.save(_changes(WIFE, BOB))
    assert await people.load() == ([WIFE, BOB], {"wife": 1, "bob": 2})
    assert people.next_id == 3


async def test_a_change_replaces_the_person(people: StoredPeople) -> None:
    await people.save(_changes(WIFE, BOB))
    newer = person(2, "bob", nickname="Bobby", wrote=True)
    await people.save(PeopleChanges(persons=(newer,)))
    persons, _ = await people.load()
    assert persons == [WIFE, newer]


async def test_after_a_rename_the_old_topic_name_still_belongs_to_its_person(people: StoredPeople) -> None:
    await people.save(_changes(BOB))
    await people.save(_changes(person(2, "bobby")))
    assert (await people.load())[1] == {"bob": 2, "bobby": 2}


async def test_a_saved_person_has_its_topic_name_also_without_a_list_of_topic_names(
    people: StoredPeople,
) -> None:
    await people.save(PeopleChanges(persons=(BOB,)))
    assert (await people.load())[1] == {"bob": 2}


@pytest.mark.parametrize(
    "conflict",
    [
        PeopleChanges(persons=(person(3, "bob"),)),
        _changes(person(3, "bob")),
        PeopleChanges(persons=(person(3, "eve"),), topic_names=(("bob", PersonId(3)),)),
    ],
    ids=["as its own", "as its own and listed", "as a second one"],
)
async def test_the_topic_name_of_another_person_is_refused(
    people: StoredPeople, conflict: PeopleChanges
) -> None:
    await people.save(_changes(BOB))
    with pytest.raises(StoreError, match="level"):
        await people.save(conflict)
    assert await people.load() == ([BOB], {"bob": 2})


async def test_an_old_topic_name_moves_when_two_persons_are_merged(people: StoredPeople) -> None:
    await people.save(_changes(WIFE, person(3, "newcomer", wrote=True)))
    await people.save(PeopleChanges(topic_names=(("newcomer", WIFE.id),), removed=(PersonId(3),)))
    assert await people.load() == ([WIFE], {"wife": 1, "newcomer": 1})


async def test_a_removed_person_keeps_the_topic_name_only_after_writing_and_no_id_is_given_again(
    people: StoredPeople,
) -> None:
    await people.save(_changes(WIFE, BOB))
    await people.save(PeopleChanges(removed=(BOB.id,)))
    assert await people.load() == ([WIFE], {"wife": 1})
    assert people.next_id == 3
    await people.save(PeopleChanges(removed=(WIFE.id,)))
    assert await people.load() == ([], {"wife": 1})


async def test_accounts_have_their_own_people(database: Database, people: StoredPeople) -> None:
    other = StoredPeople(database, "work")
    await people.save(_changes(WIFE, BOB))
    await other.save(_changes(person(1, "bob")))
    await other.save(PeopleChanges(removed=(PersonId(2),)))
    assert (await other.load())[1] == {"bob": 1}
    assert (await people.load())[1] == {"wife": 1, "bob": 2}


async def test_a_name_that_no_encoding_can_hold_is_stored_all_the_same(people: StoredPeople) -> None:
    await people.save(_changes(person(1, "a", nickname="x\ud83d", profile={"city": "y\ud83d"})))
    ((stored,), _) = await people.load()
    assert (stored.nickname, stored.profile) == ("x?", {"city": "y?"})


def test_the_columns_are_the_fields() -> None:
    columns = people_module._PERSONS_AFTER.partition("SELECT")[2].partition("FROM")[0]
    names = tuple(name.strip() for name in columns.split(","))
    assert tuple("topic_name" if name == "level" else name for name in names) == PERSON_FIELDS


async def test_many_people_are_stored_in_parts(people: StoredPeople, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people_module, "CHUNK_ROWS", 2)
    many = [person(number, f"user{number}") for number in range(1, 6)]
    await people.save(_changes(*many))
    persons, topic_names = await people.load()
    assert persons == many
    assert topic_names == {stored.topic_name: stored.id for stored in many}
