"""The roster: indexes that agree, and changes that are told once."""

from __future__ import annotations

from typing import Any

from wx2mqtt.bridge.people.roster import NOTHING, Roster
from wx2mqtt.model import ChatKind, Handle, PersonId
from wx2mqtt.store.people import Person


def person(number: int, **values: Any) -> Person:
    facts: dict[str, Any] = {"level": f"p{number}", "kind": ChatKind.FRIEND, "handle": Handle(f"@{number}")}
    return Person(id=PersonId(number), login_id="1", matched_by="new", **{**facts, **values})


def roster(*people: Person) -> Roster:
    return Roster(people, {}, 1)


def test_numbers_go_on_after_the_highest_that_anybody_had() -> None:
    assert Roster([person(3)], {"old": PersonId(8)}, 5).new_id() == 9
    assert Roster([], {}, 5).new_id() == 5
    assert Roster([], {}, 1).new_id() == 1


def test_what_is_as_it_was_before_is_no_change() -> None:
    people = roster(person(1))
    people.change(PersonId(1), handle=None)
    people.change(PersonId(1), handle=Handle("@1"))
    assert people.take() == NOTHING
    assert not people.dirty


def test_a_change_is_told_once_and_the_handle_follows() -> None:
    people = roster(person(1))
    people.change(PersonId(1), handle=Handle("@new"), permanent_id="x")
    assert people.by_handle(Handle("@1")) is None
    assert people.by_handle(Handle("@new")) is people.by_permanent_id("x") is people.get(PersonId(1))
    assert [one.handle for one in people.take().people.persons] == ["@new"]
    assert people.take() is NOTHING


def test_nobody_has_the_empty_permanent_id() -> None:
    assert roster(person(1)).by_permanent_id("") is None


def test_the_levels_of_the_forgotten_are_free_and_not_told_as_given() -> None:
    people = roster(person(1))
    people.put(person(2, level="", permanent_id="x"))
    people.call(PersonId(2), "new")
    people.forget(PersonId(2))
    changes = people.take().people
    assert (changes.persons, changes.levels, changes.forgotten) == ((), (), (2,))
    assert people.levels == {"p1": 1}
    assert people.by_level("new") is people.by_handle(Handle("@2")) is people.by_permanent_id("x") is None


def test_who_was_joined_twice_is_found_by_every_number() -> None:
    people = roster(person(1), person(2), person(3))
    people.join(PersonId(1), PersonId(2))
    people.join(PersonId(2), PersonId(3))
    assert people.get(PersonId(1)) is people.get(PersonId(2)) is people.get(PersonId(3))
    assert people.levels == {"p1": 3, "p2": 3, "p3": 3}
    assert dict(people.take().people.levels) == {"p1": 3, "p2": 3}


def test_a_level_of_somebody_who_is_not_there_is_taken_and_leads_nowhere() -> None:
    people = Roster([], {"gone": PersonId(4)}, 1)
    assert people.by_level("gone") is None
    assert "gone" in people.levels


def test_events_name_people_as_they_are_called_in_the_end() -> None:
    people = roster(person(1), person(2))
    people.tell("unresolved", PersonId(1), {"reason": "x"}, [PersonId(2), PersonId(2)])
    people.tell("unresolved", "a name", None, [PersonId(9)])
    people.tell("contact_added", PersonId(9))
    people.call(PersonId(1), "one")
    people.call(PersonId(2), "two")
    told = [(event.user, event.fields) for event in people.take().events]
    assert told == [("one", {"reason": "x", "candidates": ["two"]}), ("a name", {"candidates": []}), ("", {})]
