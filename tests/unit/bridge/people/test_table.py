"""The table of people: consistent indexes, and changes that are collected once."""

from __future__ import annotations

from typing import Any

from wx2mqtt.bridge.people.table import NO_UPDATE, PeopleTable
from wx2mqtt.model import ChatKind, Handle, PersonId
from wx2mqtt.store.person_records import Person


def person(number: int, **values: Any) -> Person:
    facts: dict[str, Any] = {
        "topic_name": f"p{number}",
        "kind": ChatKind.FRIEND,
        "handle": Handle(f"@{number}"),
    }
    return Person(id=PersonId(number), login_id="1", matched_by="new", **{**facts, **values})


def table_of(*people: Person) -> PeopleTable:
    return PeopleTable(people, {}, 1)


def test_numbers_go_on_after_the_highest_that_anybody_had() -> None:
    assert PeopleTable([person(3)], {"old": PersonId(8)}, 5).new_id() == 9
    assert PeopleTable([], {}, 5).new_id() == 5
    assert PeopleTable([], {}, 1).new_id() == 1


def test_what_is_as_it_was_before_is_no_change() -> None:
    people = table_of(person(1))
    people.change(PersonId(1), handle=None)
    people.change(PersonId(1), handle=Handle("@1"))
    assert people.collect_update() == NO_UPDATE
    assert not people.is_dirty


def test_a_change_is_collected_once_and_the_handle_index_follows() -> None:
    people = table_of(person(1))
    people.change(PersonId(1), handle=Handle("@new"), permanent_id="x")
    assert people.by_handle(Handle("@1")) is None
    assert people.by_handle(Handle("@new")) is people.by_permanent_id("x") is people.get(PersonId(1))
    assert [person.handle for person in people.collect_update().people.persons] == ["@new"]
    assert people.collect_update() is NO_UPDATE


def test_nobody_has_the_empty_permanent_id() -> None:
    assert table_of(person(1)).by_permanent_id("") is None


def test_the_topic_names_of_removed_people_are_free_and_no_change() -> None:
    people = table_of(person(1))
    people.add(person(2, topic_name="", permanent_id="x"))
    people.set_topic_name(PersonId(2), "new")
    people.remove(PersonId(2))
    changes = people.collect_update().people
    assert (changes.persons, changes.topic_names, changes.removed) == ((), (), (2,))
    assert people.topic_names == {"p1": 1}
    assert (
        people.by_topic_name("new") is people.by_handle(Handle("@2")) is people.by_permanent_id("x") is None
    )


def test_who_was_joined_twice_is_found_by_every_number() -> None:
    people = table_of(person(1), person(2), person(3))
    people.merge(PersonId(1), PersonId(2))
    people.merge(PersonId(2), PersonId(3))
    assert people.get(PersonId(1)) is people.get(PersonId(2)) is people.get(PersonId(3))
    assert people.topic_names == {"p1": 3, "p2": 3, "p3": 3}
    assert dict(people.collect_update().people.topic_names) == {"p1": 3, "p2": 3}


def test_a_level_of_somebody_who_is_not_there_is_taken_and_leads_nowhere() -> None:
    people = PeopleTable([], {"gone": PersonId(4)}, 1)
    assert people.by_topic_name("gone") is None
    assert "gone" in people.topic_names


def test_events_name_people_as_they_are_called_in_the_end() -> None:
    people = table_of(person(1), person(2))
    people.add_event("unresolved", PersonId(1), {"reason": "x"}, [PersonId(2), PersonId(2)])
    people.add_event("unresolved", "a name", None, [PersonId(9)])
    people.add_event("contact_added", PersonId(9))
    people.set_topic_name(PersonId(1), "one")
    people.set_topic_name(PersonId(2), "two")
    reported = [(event.user, event.fields) for event in people.collect_update().events]
    assert reported == [
        ("one", {"reason": "x", "candidates": ["two"]}),
        ("a name", {"candidates": []}),
        ("", {}),
    ]


def test_a_level_that_is_assigned_alone_is_a_change() -> None:
    people = table_of(person(1))
    people.assign_topic_name("former", PersonId(1))
    assert people.is_dirty
    changes = people.collect_update().people
    assert (changes.persons, changes.topic_names, changes.removed) == ((), (("former", 1),), ())
