"""Who is in the simulated enterprise."""

from __future__ import annotations

from wx2mqtt.simulator.wecom import people
from wx2mqtt.simulator.world import fresh_world


def test_everybody_has_a_handle_of_their_own_that_leads_back():
    world = fresh_world()
    staff = people.staff(world)
    handles = [people.handle_of(person) for person in staff]
    assert len({*handles}) == len(staff)
    for person, handle in zip(staff, handles, strict=True):
        found = people.find_person(world, handle) or people.find_group(world, handle)
        assert found is person


def test_upper_and_lower_case_matter():
    world = fresh_world()
    assert people.find_person(world, "WangXiaoMing") is world.owner
    assert people.find_person(world, "wangxiaoming") is None
    assert people.find_group(world, people.chatid_of("family").upper()) is None


def test_official_accounts_are_not_in_the_enterprise():
    ids = {person.id for person in people.staff(fresh_world())}
    assert {"me", "wife", "family"} <= ids
    assert not {"news", "filehelper", "weixin"} & ids
