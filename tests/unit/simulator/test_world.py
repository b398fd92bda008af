"""The people of the simulation, independent of any login."""

from __future__ import annotations

import pytest

from wx2mqtt.simulator.world import (
    BadPerson,
    PersonKind,
    UnknownPerson,
    WorldGroup,
    WorldPerson,
    fresh_world,
    make_group,
    make_person,
)


def test_a_fresh_world_is_fresh_although_another_was_changed():
    fresh_world().change("wife", {"remark": "changed"})
    fresh_world().group("family").members.clear()
    assert fresh_world().person("wife").remark == "老婆"
    assert len(fresh_world().group("family").members) == 4


def test_everybody_has_a_picture_of_their_own():
    avatars = [contact.avatar for contact in fresh_world()]
    assert len(set(avatars)) == len(avatars)
    world = fresh_world()
    before = world.person("wife").avatar
    assert world.new_avatar("wife").avatar != before


def test_who_is_unknown_is_said_by_name():
    world = fresh_world()
    for find in (world.find, world.person, world.group):
        with pytest.raises(UnknownPerson, match="nobody is named 'nobody'"):
            find("nobody")
    with pytest.raises(UnknownPerson):
        world.person("family")
    with pytest.raises(UnknownPerson):
        world.group("wife")


def test_populating_twice_adds_nobody_twice():
    world = fresh_world()
    world.populate(friends=30, groups=3, members=7)
    count = len(world.contacts)
    world.populate(friends=30, groups=3, members=7)
    assert len(world.contacts) == count
    assert all(len(world.group(f"group{number}").members) == 7 for number in (1, 2, 3))


def test_a_removed_friend_who_is_in_a_group_stays_as_a_stranger():
    world = fresh_world()
    world.remove("mom")
    assert world.person("mom").kind is PersonKind.STRANGER
    world.remove("twin1")
    with pytest.raises(UnknownPerson):
        world.find("twin1")


def test_fields_are_checked_before_any_is_set():
    world = fresh_world()
    for values in ({"remark": 7}, {"strange": 1}, {"id": "x"}, {"remark": "new", "sex": "f"}):
        with pytest.raises(BadPerson):
            world.change("wife", values)
    assert world.person("wife").remark == "老婆"
    with pytest.raises(UnknownPerson):
        world.change("family", {"members": ["me", "nobody"]})


def test_people_and_groups_are_made_from_plain_values():
    person = make_person({"id": "x", "nickname": "新", "kind": "official"})
    assert (person.nickname, person.kind) == ("新", PersonKind.OFFICIAL)
    assert make_group({"id": "g"}).members == ["me"]
    for values in ({}, {"id": 7}, {"id": ""}, {"id": "x", "strange": 1}):
        with pytest.raises(BadPerson):
            make_person(values)


def test_the_owner_cannot_be_added_and_a_group_needs_members_that_exist():
    world = fresh_world()
    with pytest.raises(BadPerson):
        world.add(WorldPerson(id="me", nickname="another"))
    with pytest.raises(UnknownPerson):
        world.add(WorldGroup(id="g", nickname="g", members=["nobody"]))
