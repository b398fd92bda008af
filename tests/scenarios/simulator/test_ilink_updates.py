"""iLink: receiving (ilink 4, 5)."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.ilink_client import ILinkClient
from wx2mqtt.simulator.ilink import updates
from wx2mqtt.simulator.server import Simulator

STALE = {"errcode": -14, "errmsg": "session timeout"}


def texts(messages):
    return [message["item_list"][0]["text_item"]["text"] for message in messages]


async def start_held_poll(sim: Simulator, client: ILinkClient) -> asyncio.Task[dict[str, object]]:
    """Starts a poll; returns it when the server holds it."""
    sim.wechat.ilink.settings.hold_updates = 30.0
    poll = asyncio.create_task(client.poll())
    bot = next(iter(sim.wechat.ilink.bots.values()))
    assert await sim.wechat.ilink.changes.wait_for(lambda: bot.polling, MAX_WAIT_SECONDS)
    return poll


async def test_a_message_has_every_field_and_its_id_is_a_number_above_2_53(bound_client: ILinkClient):
    [msg_id] = (await bound_client.control("say", text="开灯 ☀\n第二行"))["msg_ids"]
    result = await bound_client.poll()
    [message] = result["msgs"]
    assert message["message_id"] == int(msg_id) > 2**53
    assert len(msg_id) == 19
    assert message["from_user_id"] == bound_client.user_id
    assert message["to_user_id"] == bound_client.bot_id
    assert (message["message_type"], message["message_state"], message["group_id"]) == (1, 2, "")
    assert message["context_token"].startswith("AARzJW")
    assert len(message["context_token"]) == 136
    assert message["item_list"] == [{"type": 1, "text_item": {"text": "开灯 ☀\n第二行"}}]
    assert await bound_client.violations() == []


async def test_a_poll_is_held_until_somebody_writes(sim: Simulator, bound_client: ILinkClient):
    poll = await start_held_poll(sim, bound_client)
    await bound_client.control("say", text="jetzt")
    assert texts((await asyncio.wait_for(poll, MAX_WAIT_SECONDS))["msgs"]) == ["jetzt"]


async def test_the_same_cursor_brings_the_same_messages_and_what_came_since(bound_client: ILinkClient):
    await bound_client.control("say", text="eins")
    assert texts((await bound_client.poll())["msgs"]) == ["eins"]
    await bound_client.control("say", text="zwei")
    assert texts((await bound_client.poll())["msgs"]) == ["eins", "zwei"]
    assert texts(await bound_client.new()) == ["eins", "zwei"]
    assert await bound_client.new() == []


async def test_acknowledged_messages_do_not_come_again(bound_client: ILinkClient):
    await bound_client.control("say", text="eins")
    await bound_client.new()
    await bound_client.new()
    bound_client.cursor = ""
    assert await bound_client.new() == []


async def test_an_empty_cursor_can_bring_everything_that_is_kept(bound_client: ILinkClient):
    await bound_client.control("settings", empty_cursor="all")
    await bound_client.control("say", text="eins")
    await bound_client.new()
    await bound_client.new()
    bound_client.cursor = ""
    assert texts(await bound_client.new()) == ["eins"]


async def test_a_cursor_that_nobody_gave_is_refused(bound_client: ILinkClient):
    bound_client.cursor = "Q1VSU09SMg=="
    assert (await bound_client.poll())["ret"] == -2
    assert await bound_client.violations() == ["getupdates: get_updates_buf is none that this bot was given"]


async def test_the_cursor_of_an_earlier_bot_is_refused_for_the_new_one(bound_client: ILinkClient):
    await bound_client.control("say", text="eins")
    await bound_client.new()
    cursor = bound_client.cursor
    await bound_client.log_in()
    bound_client.cursor = cursor
    assert (await bound_client.poll())["ret"] == -2
    assert len(await bound_client.violations()) == 1


async def test_many_messages_come_in_several_answers(bound_client: ILinkClient):
    await bound_client.control("settings", updates_batch=3)
    await bound_client.control("say", text="{n}", count=7)
    assert [texts(await bound_client.new()) for _ in range(4)] == [
        ["1", "2", "3"],
        ["4", "5", "6"],
        ["7"],
        [],
    ]


async def test_ret_and_the_time_of_the_next_poll_are_left_out_of_every_other_answer(
    bound_client: ILinkClient,
):
    seen = []
    for _ in range(4):
        await bound_client.control("say", text="x")
        result = await bound_client.poll()
        bound_client.cursor = result["get_updates_buf"]
        seen.append((result.get("ret"), result.get("longpolling_timeout_ms")))
    assert seen == [(0, 35000), (None, None)] * 2


async def test_an_answer_without_messages_is_an_empty_object_or_has_an_empty_list(bound_client: ILinkClient):
    bare, listed = await bound_client.poll(), await bound_client.poll()
    assert bare == {}
    assert listed == {"get_updates_buf": "", "msgs": []}


async def test_a_second_poller_is_refused(sim: Simulator, bound_client: ILinkClient):
    poll = await start_held_poll(sim, bound_client)
    assert (await bound_client.post("getupdates", get_updates_buf="")).status_code == 403
    assert await bound_client.violations() == ["getupdates: another getupdates of this bot is still open"]
    poll.cancel()


async def test_a_poll_that_the_program_left_does_not_count(sim: Simulator, bound_client: ILinkClient):
    poll = await start_held_poll(sim, bound_client)
    poll.cancel()
    await asyncio.gather(poll, return_exceptions=True)
    await bound_client.control("say", text="x")
    assert len(await bound_client.new()) == 1
    assert await bound_client.violations() == []


async def test_a_lost_answer_is_given_again(bound_client: ILinkClient):
    await bound_client.control("say", text="x")
    await bound_client.http.post("/sim/fault", json={"endpoint": "getupdates", "kind": "drop_answer"})
    with pytest.raises(Exception, match="disconnected"):
        await bound_client.poll()
    assert texts(await bound_client.new()) == ["x"]


async def test_a_held_poll_and_every_later_call_are_answered_that_the_token_is_dead(
    sim: Simulator, bound_client: ILinkClient
):
    poll = await start_held_poll(sim, bound_client)
    await bound_client.control("kill")
    assert await asyncio.wait_for(poll, MAX_WAIT_SECONDS) == STALE
    for name in ("msg/notifystart", "msg/notifystop", "getupdates", "sendmessage", "getconfig"):
        assert await bound_client.call(name) == STALE
    assert (await bound_client.http.post("/sim/ilink/say", json={"text": "x"})).status_code == 409


async def test_the_same_message_comes_again_under_a_new_id(bound_client: ILinkClient):
    await bound_client.control("say", text="licht")
    [first] = await bound_client.new()
    again = await bound_client.control("redeliver", shift_ms=400)
    [second] = await bound_client.new()
    assert str(second["message_id"]) == again["msg_id"] != str(first["message_id"])
    assert second["context_token"] != first["context_token"]
    assert second["create_time_ms"] == first["create_time_ms"] + 400
    assert second["item_list"] == first["item_list"]


async def test_every_message_can_come_again_by_itself_once(sim: Simulator, bound_client: ILinkClient):
    sim.wechat.ilink.settings.redeliver_after = 0.01
    await bound_client.control("say", text="licht")
    assert texts(await bound_client.new()) == ["licht"]
    sim.wechat.ilink.settings.hold_updates = 5.0
    assert texts(await bound_client.new()) == ["licht"]
    sim.wechat.ilink.settings.hold_updates = 0.05
    assert await bound_client.new() == []


@pytest.fixture
def long_busy_loop_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the time in which polls count as a busy loop longer, since a busy machine is slow."""
    monkeypatch.setattr(updates, "_BUSY_LOOP_SECONDS", MAX_WAIT_SECONDS)


async def test_a_busy_loop_is_stopped(bound_client: ILinkClient, long_busy_loop_time: None):
    await bound_client.control("settings", hold_updates=0, poll_limit=3)
    statuses = [(await bound_client.post("getupdates", get_updates_buf="")).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 503]
    assert await bound_client.violations() == ["getupdates: a busy loop of getupdates"]


async def test_polls_that_are_held_to_their_end_are_no_busy_loop(sim: Simulator, bound_client: ILinkClient):
    await bound_client.control("settings", hold_updates=0.001, poll_limit=3)
    for _ in range(5):
        assert await bound_client.new() == []
    assert await bound_client.violations() == []


async def test_polls_that_the_program_leaves_at_once_are_one(
    sim: Simulator, bound_client: ILinkClient, long_busy_loop_time: None
):
    sim.wechat.ilink.settings.poll_limit = 2
    bot = sim.wechat.ilink.active_bot_of("me")
    assert bot is not None
    for number in range(1, 3):
        poll = await start_held_poll(sim, bound_client)
        poll.cancel()
        await asyncio.gather(poll, return_exceptions=True)
        await bound_client.control("say", text="x")  # wakes what was left
        assert await sim.wechat.ilink.changes.wait_for(
            lambda n=number: len(bot.empty_poll_times) == n,  # type: ignore[misc]
            MAX_WAIT_SECONDS,
        )
        assert number == 2 or texts(await bound_client.new()) == ["x"]
    assert (await bound_client.post("getupdates", get_updates_buf="")).status_code == 503


async def test_stuck_servers_bring_nothing_and_the_same_cursor(bound_client: ILinkClient):
    await bound_client.control("say", text="x")
    for name in ("getupdates", "sendmessage"):
        await bound_client.http.post("/sim/fault", json={"endpoint": name, "kind": "stuck"})
    assert await bound_client.poll() == {"ret": 0, "msgs": [], "get_updates_buf": ""}
    assert texts(await bound_client.new()) == ["x"]
    assert "message_id" in await bound_client.send(
        {"type": 1, "text_item": {"text": "sends are never stuck"}}
    )


@pytest.mark.parametrize(
    ("where", "answer"),
    [("ret", {"ret": -14}), ("both", {"ret": -14, "errcode": -14})],
)
async def test_the_number_of_a_dead_token_may_stand_elsewhere(
    bound_client: ILinkClient, where: str, answer: dict[str, int]
):
    await bound_client.control("settings", stale_in=where)
    await bound_client.control("kill")
    assert await bound_client.poll() == {**answer, "errmsg": "session timeout"}


async def test_the_control_tells_when_everything_has_arrived(bound_client: ILinkClient):
    await bound_client.control("say", text="x")
    assert await bound_client.seen("wait", **{"for": "seen", "seconds": 0}) == {"ready": False}
    await bound_client.new()
    await bound_client.new()
    assert await bound_client.seen("wait", **{"for": "seen", "seconds": 0}) == {"ready": True}


async def test_a_client_reports_its_start_and_its_stop(bound_client: ILinkClient):
    assert await bound_client.call("msg/notifystart") == {"ret": 0}
    assert (await bound_client.seen("state"))["bots"]["me"]["started"]
    assert await bound_client.call("msg/notifystop") == {"ret": 0}
    assert not (await bound_client.seen("state"))["bots"]["me"]["started"]


async def test_a_test_can_give_the_next_messages_word_for_word(bound_client: ILinkClient):
    odd = [{"message_id": 2**64 - 1, "item_list": None}, "no object", 7]
    await bound_client.control("raw", messages=odd)
    assert (await bound_client.poll())["msgs"] == odd


async def test_fields_of_a_message_can_be_anything(bound_client: ILinkClient):
    await bound_client.control("say", text="x", raw={"message_id": 1, "from_user_id": "other@im.wechat"})
    [message] = await bound_client.new()
    assert (message["message_id"], message["from_user_id"]) == (1, "other@im.wechat")


# what people send


async def test_a_message_of_a_bot_a_new_kind_and_an_empty_one(bound_client: ILinkClient):
    for kind in ("bot", "unknown", "empty"):
        await bound_client.control("say", kind=kind, text="x")
    bot_message, unknown, empty = await bound_client.new()
    assert bot_message["message_type"] == 2
    assert unknown["item_list"] == [{"type": 99, "new_item": {"text": "x"}}]
    assert empty["item_list"] == []


async def test_a_quote_with_the_message_itself(greeted_client: ILinkClient):
    sent = await greeted_client.send({"type": 1, "text_item": {"text": "Fenster offen"}})
    await greeted_client.control("say", kind="quote", text="schließen")
    [message] = await greeted_client.new()
    [item] = message["item_list"]
    assert item["text_item"]["text"] == "schließen"
    quoted = item["ref_msg"]["message_item"]
    assert item["ref_msg"]["title"] == quoted["text_item"]["text"] == "Fenster offen"
    assert quoted["msg_id"] == str(sent["message_id"])


async def test_a_quote_with_only_the_id(greeted_client: ILinkClient):
    sent = await greeted_client.send({"type": 1, "text_item": {"text": "Fenster offen"}})
    await greeted_client.control("say", kind="quote_id", text="schließen")
    [message] = await greeted_client.new()
    assert message["item_list"][0]["ref_msg"] == {"svr_id": sent["message_id"]}


async def test_a_quote_of_a_part(greeted_client: ILinkClient):
    sent = await greeted_client.send({"type": 1, "text_item": {"text": "Fenster offen, Tür offen"}})
    await greeted_client.control(
        "say", kind="quote_partial", text="schließen", detail={"part": "offen", "occurrence": 1}
    )
    [message] = await greeted_client.new()
    ref = message["item_list"][0]["ref_msg"]
    assert ref["svr_id"] == sent["message_id"]
    assert ref["partial_text"] == {
        "start": "of",
        "end": "en",
        "startindex": 1,
        "endindex": 2,
        "quotemd5": hashlib.md5(b"offen").hexdigest(),
    }


async def test_a_quote_before_anything_was_sent_cannot_be(bound_client: ILinkClient):
    answer = await bound_client.http.post("/sim/ilink/say", json={"kind": "quote_id", "text": "x"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "order",
    [
        {"kind": "smell"},
        {"count": -1},
        {"colour": "red"},
        {"text": 1},
        {"kind": "text", "data": ""},
        {"kind": "image", "data": "%"},
        {"kind": "image", "detail": {"key": "7"}},
        {"kind": "file", "detail": {"size": "big"}},
    ],
)
async def test_an_impossible_order_is_refused_with_a_reason(
    bound_client: ILinkClient, order: dict[str, object]
):
    answer = await bound_client.http.post("/sim/ilink/say", json=order)
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_an_unknown_person_cannot_write(bound_client: ILinkClient):
    assert (await bound_client.http.post("/sim/ilink/say", json={"from": "nobody"})).status_code == 404


async def test_the_log_of_a_bot_says_what_the_program_has_confirmed(greeted_client: ILinkClient):
    bot_logs = await greeted_client.seen("logs")
    assert [log["confirmed"] for log in bot_logs] == [0]
    ids = (await greeted_client.control("say", text="later"))["msg_ids"]
    await greeted_client.new()
    await greeted_client.control("kill")
    assert await greeted_client.seen("logs") == [
        {"active": False, "messages": bot_logs[0]["messages"] + ids, "confirmed": 1}
    ]
