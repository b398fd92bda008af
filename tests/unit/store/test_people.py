"""Stored people: ids and levels that are never given to another person."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.store.make import person
from wx2mqtt.errors import StoreError
from wx2mqtt.model import ChatKind, PersonId
from wx2mqtt.store import people as people_module
from wx2mqtt.store.database import Database
from wx2mqtt.store.people import PERSON_FIELDS, StoredPeople
from wx2mqtt.store.person_records import NO_CHANGES, PeopleChanges

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
    levels = tuple((one.topic_name, one.id) for one in persons)  # type: ignore[attr-defined]
    return PeopleChanges(persons=persons, topic_names=levels, **more)  # type: ignore[arg-type]


async def test_a_new_account_knows_nobody(people: StoredPeople) -> None:
    assert await people.load() == ([], {})
    assert people.next_id == 1


async def test_people_come_back_as_they_were(people: StoredPeople) -> None:
    await people.save(_changes(WIFE, BOB))
    assert await people.load() == ([WIFE, BOB], {"wife": 1, "bob": 2})
    assert people.next_id == 3


async def test_a_change_replaces_the_person(people: StoredPeople) -> None:
    await people.save(_changes(WIFE, BOB))
    newer = person(2, "bob", nickname="Bobby", wrote=True)
    await people.save(PeopleChanges(persons=(newer,)))
    persons, _ = await people.load()
    assert persons == [WIFE, newer]


async def test_a_renamed_topic_keeps_the_old_level_for_its_person(people: StoredPeople) -> None:
    await people.save(_changes(BOB))
    await people.save(_changes(person(2, "bobby")))
    assert (await people.load())[1] == {"bob": 2, "bobby": 2}


async def test_a_level_is_a_persons_own_even_when_nobody_says_so(people: StoredPeople) -> None:
    await people.save(PeopleChanges(persons=(BOB,)))
    assert (await people.load())[1] == {"bob": 2}


@pytest.mark.parametrize(
    "thief",
    [
        PeopleChanges(persons=(person(3, "bob"),)),
        _changes(person(3, "bob")),
        PeopleChanges(persons=(person(3, "eve"),), topic_names=(("bob", PersonId(3)),)),
    ],
    ids=["takes", "is given", "is given as a second one"],
)
async def test_nobody_takes_a_level_that_is_somebodys(people: StoredPeople, thief: PeopleChanges) -> None:
    await people.save(_changes(BOB))
    with pytest.raises(StoreError, match="level"):
        await people.save(thief)
    assert await people.load() == ([BOB], {"bob": 2})


async def test_an_old_level_moves_when_two_persons_are_joined(people: StoredPeople) -> None:
    await people.save(_changes(WIFE, person(3, "newcomer", wrote=True)))
    await people.save(PeopleChanges(topic_names=(("newcomer", WIFE.id),), removed=(PersonId(3),)))
    assert await people.load() == ([WIFE], {"wife": 1, "newcomer": 1})


async def test_who_never_wrote_is_forgotten_with_their_level(people: StoredPeople) -> None:
    await people.save(_changes(WIFE, BOB))
    await people.save(PeopleChanges(removed=(BOB.id,)))
    assert await people.load() == ([WIFE], {"wife": 1})


async def test_the_level_of_somebody_who_wrote_outlives_them(people: StoredPeople) -> None:
    await people.save(_changes(WIFE, BOB))
    await people.save(PeopleChanges(removed=(WIFE.id,)))
    assert await people.load() == ([BOB], {"wife": 1, "bob": 2})


async def test_a_number_is_never_given_again(people: StoredPeople) -> None:
    await people.save(_changes(WIFE, BOB))
    await people.save(PeopleChanges(removed=(BOB.id,)))
    await people.load()
    assert people.next_id == 3


async def test_accounts_have_their_own_people(database: Database, people: StoredPeople) -> None:
    other = StoredPeople(database, "work")
    await people.save(_changes(WIFE, BOB))
    await other.save(_changes(person(1, "bob")))
    await other.save(PeopleChanges(removed=(PersonId(2),)))
    assert (await other.load())[1] == {"bob": 1}
    assert (await people.load())[1] == {"wife": 1, "bob": 2}


async def test_a_name_that_no_encoding_can_hold_is_stored_all_the_same(people: StoredPeople) -> None:
    await people.save(_changes(person(1, "a", nickname="x\ud83d", profile={"city": "y\ud83d"})))
    ((found,), _) = await people.load()
    assert (found.nickname, found.profile) == ("x?", {"city": "y?"})


numbers = st.integers(1, 4)
some_changes = st.builds(
    lambda persons, forgotten: PeopleChanges(
        persons=tuple({one.id: one for one in persons}.values()), removed=tuple(forgotten)
    ),
    st.lists(st.builds(lambda n, name: person(n, f"p{n}", nickname=name), numbers, st.sampled_from("abc"))),
    st.just(()),
)


@given(some_changes, some_changes)
def test_joined_changes_are_one_after_the_other(first: PeopleChanges, later: PeopleChanges) -> None:
    expected = {one.id: one for one in (*first.persons, *later.persons)}
    assert {one.id: one for one in PeopleChanges.merged((first, later)).persons} == expected


def test_who_is_forgotten_later_is_not_stored_before() -> None:
    joined = PeopleChanges.merged((_changes(WIFE, BOB), PeopleChanges(removed=(BOB.id,))))
    assert joined.persons == (WIFE,)
    assert joined.removed == (BOB.id,)
    assert PeopleChanges.merged(()) == NO_CHANGES


def test_the_columns_are_the_fields() -> None:
    columns = people_module._PERSONS_AFTER.partition("SELECT")[2].partition("FROM")[0]
    names = tuple(name.strip() for name in columns.split(","))
    assert tuple("topic_name" if name == "level" else name for name in names) == PERSON_FIELDS


async def test_many_people_are_stored_in_parts(people: StoredPeople, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people_module, "CHUNK_ROWS", 2)
    crowd = [person(number, f"user{number}") for number in range(1, 6)]
    await people.save(_changes(*crowd))
    persons, levels = await people.load()
    assert persons == crowd
    assert levels == {one.topic_name: one.id for one in crowd}
