"""The files as people import them: alone and together."""

from __future__ import annotations

import pytest

from tests.node_red.environment import NAMES, NodeRedEnvironment

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("name", NAMES)
async def test_each_file_runs_alone_and_node_red_keeps_it_as_it_is(environment: NodeRedEnvironment, name):
    await environment.load(name)
    stored_nodes = environment.red.http.get("/flows").json()
    assert {node["id"]: node for node in stored_nodes} == {node["id"]: node for node in environment.flow}
    assert environment.red.complaints() == []


async def test_all_flows_together_are_one_client_of_the_broker_and_get_each_message_once(
    environment: NodeRedEnvironment,
):
    home, before, since, seen = (
        environment.home,
        await environment.sent_count(),
        len(environment.red.output),
        len(environment.home.broker.log),
    )
    await environment.load(*NAMES, ANSWER="echo: ", EXCEPT_WORDS="关灯")
    connected = [line for line in home.broker.log[seen:] if " as nodered" in line]
    assert len(connected) == 1
    await home.control.say("me", "关灯", to="filehelper")
    lines = (await home.control.sent(before + 2))[before:]
    assert sorted(line["text"] for line in lines) == ["echo: 关灯", "好，关灯"]
    await environment.press("picture without a camera")
    assert await environment.shown("sent", since=since) == "Picture sent to wife"
    assert len(environment.red.all_shown("each once, in order", since=since)) == 1
    switched = [message for message in home.subscriber.received if message.topic == "home/light/set"]
    assert len(switched) == 1
