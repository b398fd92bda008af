"""The files as people import them: alone and together."""

from __future__ import annotations

import pytest

from tests.node_red.house import NAMES, House

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("name", NAMES)
async def test_each_file_runs_alone_and_node_red_keeps_it_as_it_is(house: House, name):
    await house.load(name)
    kept = house.red.http.get("/flows").json()
    assert {node["id"]: node for node in kept} == {node["id"]: node for node in house.flow}
    assert house.red.complaints() == []


async def test_all_together_are_one_client_of_the_broker_and_hear_each_message_once(house: House):
    home, before, since, seen = (
        house.home,
        await house.count(),
        len(house.red.told),
        len(house.home.broker.log),
    )
    await house.load(*NAMES, ANSWER="echo: ")
    connected = [line for line in home.broker.log[seen:] if " as nodered" in line]
    assert len(connected) == 1
    await home.phone.say("me", "关灯", to="filehelper")
    lines = (await home.phone.sent(before + 2))[before:]
    assert sorted(line["text"] for line in lines) == ["echo: 关灯", "好，关灯"]
    await house.press("picture without a camera")
    assert await house.shown("sent", since=since) == "Picture sent to wife"
    assert len(house.red.all_shown("each once, in order", since=since)) == 1
    switched = [one for one in home.ear.heard if one.topic == "home/light/set"]
    assert len(switched) == 1
