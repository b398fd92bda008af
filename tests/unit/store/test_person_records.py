"""Several changes of people become one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.store.make import person
from wx2mqtt.model import ChatKind
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


def _changes(*persons: object, **more: object) -> PeopleChanges:
    topic_names = tuple((record.topic_name, record.id) for record in persons)  # type: ignore[attr-defined]
    return PeopleChanges(persons=persons, topic_names=topic_names, **more)  # type: ignore[arg-type]


numbers = st.integers(1, 4)


some_changes = st.builds(
    lambda persons, forgotten: PeopleChanges(
        persons=tuple({record.id: record for record in persons}.values()), removed=tuple(forgotten)
    ),
    st.lists(st.builds(lambda n, name: person(n, f"p{n}", nickname=name), numbers, st.sampled_from("abc"))),
    st.just(()),
)


@given(some_changes, some_changes)
def test_merged_changes_are_applied_one_after_the_other(first: PeopleChanges, later: PeopleChanges) -> None:
    expected = {record.id: record for record in (*first.persons, *later.persons)}
    assert {record.id: record for record in PeopleChanges.merged((first, later)).persons} == expected


def test_a_person_who_is_removed_later_is_not_stored_before() -> None:
    joined = PeopleChanges.merged((_changes(WIFE, BOB), PeopleChanges(removed=(BOB.id,))))
    assert joined.persons == (WIFE,)
    assert joined.removed == (BOB.id,)
    assert PeopleChanges.merged(()) == NO_CHANGES
