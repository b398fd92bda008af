"""iLink: sending, and when it is allowed (ilink 6, 7, 10)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.ilink_client import ILinkClient, text
from wx2mqtt.simulator.server import Simulator

CLOSED = {"ret": -2, "errmsg": "prepare failed"}
USED_UP = {"ret": -2}


async def shown(client: ILinkClient) -> list[str]:
    """What the phone shows of the bot."""
    lines = (await client.seen("feed"))["lines"]
    return [line["text"] for line in lines if line["by"] == "bot"]


async def test_a_message_arrives_and_gets_its_id(talking: ILinkClient):
    result = await talking.send(text("ok ☀\nzweite Zeile"), client_id="wx2mqtt:1")
    assert result["ret"] == 0
    assert result["message_id"] > 2**53
    [sent] = await talking.seen("sent")
    assert (sent["person"], sent["text"], sent["client_id"]) == ("me", "ok ☀\nzweite Zeile", "wx2mqtt:1")
    assert (sent["msg_id"], sent["token"]) == (str(result["message_id"]), "newest")
    assert (sent["delivered"], sent["confirmed"], sent["repeat"]) == (True, True, False)
    assert await shown(talking) == ["ok ☀\nzweite Zeile"]
    assert await talking.violations() == []


# when it is allowed


async def test_nothing_before_the_person_wrote(bound: ILinkClient):
    assert await bound.send(text("x")) == CLOSED
    assert await bound.seen("sent") == []


async def test_nothing_after_24_hours_until_the_person_writes_again(talking: ILinkClient):
    await talking.control("clock", forward=24 * 3600 - 60)
    assert (await talking.send(text("x")))["ret"] == 0
    await talking.control("clock", forward=120)
    assert await talking.send(text("x")) == CLOSED
    await talking.control("say", text="ok")
    await talking.new()
    assert (await talking.send(text("x")))["ret"] == 0


async def test_the_length_of_the_window_is_a_setting(talking: ILinkClient):
    await talking.control("settings", window_hours=1)
    await talking.control("window", ago=3700)
    assert await talking.send(text("x")) == CLOSED


async def test_ten_for_each_message_of_theirs(talking: ILinkClient):
    result = [await talking.send(text(str(n))) for n in range(11)]
    assert [one["ret"] for one in result] == [0] * 10 + [-2]
    assert result[-1] == USED_UP
    await talking.control("say", text="weiter")
    await talking.new()
    assert (await talking.send(text("x")))["ret"] == 0


async def test_the_quota_can_be_nearly_used_up_by_order(talking: ILinkClient):
    assert (await talking.control("window", replies=9))["left"] == 1
    assert [(await talking.send(text("x")))["ret"] for _ in range(2)] == [0, -2]


@pytest.mark.parametrize("words", ["rate limited", "freq limit"])
async def test_too_fast(talking: ILinkClient, words: str):
    await talking.control("settings", rate_limit=2, rate_words=words)
    result = [await talking.send(text("x")) for _ in range(3)]
    assert result[2] == {"ret": -2, "errmsg": words}


async def test_a_muted_person_sees_nothing_and_nobody_says_so(talking: ILinkClient):
    await talking.control("mute")
    assert await talking.send(text("x")) == {"ret": 0}
    [sent] = await talking.seen("sent")
    assert (sent["delivered"], sent["confirmed"]) == (False, False)
    assert await shown(talking) == []
    await talking.control("mute", on=False)
    assert "message_id" in await talking.send(text("x"))


async def test_muting_is_looked_at_before_the_window_and_the_window_before_the_quota(talking: ILinkClient):
    await talking.control("window", replies=10)
    await talking.control("clock", forward=25 * 3600)
    assert await talking.send(text("x")) == CLOSED
    await talking.control("mute")
    assert await talking.send(text("x")) == {"ret": 0}


# what the answer looks like


@pytest.mark.parametrize(
    ("mode", "keys"),
    [("id", {"ret", "message_id"}), ("only_id", {"message_id"}), ("ret", {"ret"}), ("object", set())],
)
async def test_answers_with_and_without_an_id(talking: ILinkClient, mode: str, keys: set[str]):
    await talking.control("settings", answer=mode)
    assert (await talking.send(text("x"))).keys() == keys
    assert await shown(talking) == ["x"]


async def test_an_answer_without_a_body(talking: ILinkClient):
    await talking.control("settings", answer="empty")
    answer = await talking.post("sendmessage", msg=talking.message(text("x")))
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await talking.seen("sent"))[0]["confirmed"] is False


@pytest.mark.parametrize(
    ("where", "answer"),
    [
        ("errcode", {"errcode": -2, "errmsg": "prepare failed"}),
        ("both", {"ret": -2, "errcode": -2, "errmsg": "prepare failed"}),
    ],
)
async def test_the_number_of_a_refusal_stands_in_ret_in_errcode_or_in_both(
    bound: ILinkClient, where: str, answer: Any
):
    await bound.control("settings", code_in=where)
    assert await bound.send(text("x")) == answer


async def test_a_repeat_is_answered_and_not_shown_again(talking: ILinkClient):
    first = await talking.send(text("x"), client_id="wx2mqtt:1")
    assert await talking.send(text("x"), client_id="wx2mqtt:1") == first
    assert [one["repeat"] for one in await talking.seen("sent")] == [False, True]
    assert await shown(talking) == ["x"]
    assert await talking.violations() == []


async def test_repeats_may_be_shown_again(talking: ILinkClient):
    await talking.control("settings", drop_repeats=False)
    for _ in range(2):
        await talking.send(text("x"), client_id="wx2mqtt:1")
    assert await shown(talking) == ["x", "x"]


async def test_another_message_under_a_known_client_id_is_a_violation(talking: ILinkClient):
    await talking.send(text("x"), client_id="wx2mqtt:1")
    await talking.send(text("y"), client_id="wx2mqtt:1")
    assert await talking.violations() == ["sendmessage: client_id is that of another message"]


async def test_a_lost_answer_was_carried_out(talking: ILinkClient):
    await talking.http.post("/sim/fault", json={"endpoint": "sendmessage", "kind": "drop_answer"})
    with pytest.raises(Exception, match="disconnected"):
        await talking.send(text("x"), client_id="wx2mqtt:1")
    assert "message_id" in await talking.send(text("x"), client_id="wx2mqtt:1")
    assert await shown(talking) == ["x"]


async def test_any_answer_can_be_ordered(talking: ILinkClient):
    body = '{"ret":-2,"errmsg":"freq limit"}'
    await talking.http.post("/sim/fault", json={"endpoint": "sendmessage", "kind": "garbage", "value": body})
    assert await talking.send(text("x")) == {"ret": -2, "errmsg": "freq limit"}
    for ret, answer in ((-14, {"errcode": -14, "errmsg": "session timeout"}), (-12, {"ret": -12})):
        await talking.http.post("/sim/fault", json={"endpoint": "sendmessage", "kind": "ret", "value": ret})
        assert await talking.send(text("x")) == answer


# context tokens


async def test_an_older_token_passes_and_is_an_oddity(talking: ILinkClient):
    older = talking.context_token
    await talking.control("say", text="noch etwas")
    assert (await talking.send(text("x"), context_token=older))["ret"] == 0
    assert await talking.violations() == ["sendmessage: tolerated, but: context_token is not the newest"]
    assert (await talking.seen("sent"))[0]["token"] == "older"


async def test_without_a_token_it_passes_and_is_an_oddity(talking: ILinkClient):
    talking.context_token = ""
    assert (await talking.send(text("x")))["ret"] == 0
    assert await talking.violations() == ["sendmessage: tolerated, but: no context_token"]


async def test_the_servers_may_want_a_token(talking: ILinkClient):
    await talking.control("settings", need_token=True)
    talking.context_token = ""
    assert await talking.send(text("x")) == CLOSED


async def test_the_servers_may_take_only_messages_without_one(talking: ILinkClient):
    await talking.control("settings", refuse_tokens="prepare failed")
    assert await talking.send(text("x")) == CLOSED
    talking.context_token = ""
    assert (await talking.send(text("x")))["ret"] == 0


async def test_a_token_that_nobody_gave(talking: ILinkClient):
    result = await talking.send(text("x"), context_token="AARzJWx")
    assert result == {"ret": -2, "errmsg": "unknown error"}
    assert await talking.violations() == ["sendmessage: context_token is none of this bot"]


# its form


@pytest.mark.parametrize(
    "fields",
    [
        {"to_user_id": "o9cq80somebody@im.wechat"},
        {"to_user_id": None},
        {"message_type": 1},
        {"client_id": ""},
        {"client_id": 7},
        {"item_list": []},
        {"item_list": [text("a"), text("b")]},
        {"item_list": None},
        {"item_list": ["x"]},
        {"item_list": [text("")]},
        {"item_list": [{"type": 1}]},
        {"item_list": [{"type": 99}]},
        {"context_token": 7},
    ],
)
async def test_what_is_no_message_is_refused_and_recorded(talking: ILinkClient, fields: dict[str, Any]):
    assert await talking.send(text("x"), **fields) == {"ret": -2, "errmsg": "invalid arguments"}
    assert len(await talking.violations()) == 1
    assert await talking.seen("sent") == []


@pytest.mark.parametrize("fields", [{"from_user_id": "me"}, {"message_state": 1}, {"mood": "good"}])
async def test_what_the_official_client_does_not_send_is_an_oddity(
    talking: ILinkClient, fields: dict[str, Any]
):
    assert (await talking.send(text("x"), **fields))["ret"] == 0
    assert len(await talking.violations()) == 1


async def test_a_text_has_at_most_16384_bytes(talking: ILinkClient):
    assert (await talking.send(text("长" * 5461 + "x")))["ret"] == 0
    assert await talking.send(text("长" * 5461 + "xx")) == {"ret": -2}
    assert await talking.violations() == ["sendmessage: the text is longer than the servers take"]


async def test_a_voice_and_notes_of_tools_are_taken_and_never_shown(talking: ILinkClient):
    for item in ({"type": 3, "voice_item": {}}, {"type": 11, "tool_call_start_item": {}}):
        assert "message_id" in await talking.send(item)
    assert await shown(talking) == []
    assert [one["delivered"] for one in await talking.seen("sent")] == [False, False]


# the typing indicator


async def test_the_phone_shows_that_the_bot_types_until_it_sends(talking: ILinkClient):
    result = await talking.call(
        "getconfig", ilink_user_id=talking.user_id, context_token=talking.context_token
    )
    assert result["ret"] == 0
    values = {"ilink_user_id": talking.user_id, "typing_ticket": result["typing_ticket"]}
    assert await talking.call("sendtyping", **values, status=1) == {"ret": 0}
    assert (await talking.seen("state"))["bots"]["me"]["typing"]
    assert await talking.call("sendtyping", **values, status=2) == {"ret": 0}
    assert not (await talking.seen("state"))["bots"]["me"]["typing"]
    await talking.call("sendtyping", **values, status=1)
    await talking.send(text("x"))
    assert not (await talking.seen("state"))["bots"]["me"]["typing"]
    assert await talking.violations() == []


async def test_there_is_no_ticket_before_the_person_wrote(bound: ILinkClient):
    result = await bound.call("getconfig", ilink_user_id=bound.user_id)
    assert result == {"ret": -4, "errmsg": "GetTypingTicket rpc failed"}


@pytest.mark.parametrize(
    "fields", [{"typing_ticket": "x"}, {"status": 3}, {"ilink_user_id": "o9cq80somebody@im.wechat"}]
)
async def test_a_wrong_ticket_status_or_person_is_refused(talking: ILinkClient, fields: dict[str, Any]):
    result = await talking.call("getconfig", ilink_user_id=talking.user_id)
    values = {
        "ilink_user_id": talking.user_id,
        "typing_ticket": result["typing_ticket"],
        "status": 1,
        **fields,
    }
    assert (await talking.call("sendtyping", **values))["ret"] == -2
    assert len(await talking.violations()) == 1


# the control


@pytest.mark.parametrize(
    ("name", "order", "status"),
    [
        ("settings", {"quota": "ten"}, 400),
        ("settings", {"colour": 1}, 400),
        ("clock", {"back": 1}, 400),
        ("clock", {"forward": "x"}, 400),
        ("window", {"ago": "x"}, 400),
        ("window", {"person": "wife"}, 409),
        ("kill", {"person": "wife"}, 409),
        ("redeliver", {"msg_id": "1"}, 409),
        ("redeliver", {"shift_ms": "x"}, 400),
        ("scan", {"qrcode": "x"}, 409),
        ("expire", {}, 409),
        ("raw", {"messages": 1}, 400),
        ("mute", {"person": "nobody"}, 404),
        ("media", {"msg_id": "1"}, 404),
    ],
)
async def test_orders_that_cannot_be_carried_out(
    talking: ILinkClient, name: str, order: dict[str, Any], status: int
):
    answer = await talking.http.post(f"/sim/ilink/{name}", json=order)
    assert (answer.status_code, "error" in answer.json()) == (status, True)


async def test_waiting_for_something_unknown_says_what_is_known(talking: ILinkClient):
    answer = await talking.http.get("/sim/ilink/wait?for=rain")
    assert answer.status_code == 400
    assert "polling" in answer.json()["error"]
    assert (await talking.http.get("/sim/ilink/sent?after=x")).status_code == 400


async def test_everything_at_a_glance(sim: Simulator, talking: ILinkClient):
    state = await talking.seen("state")
    assert state["user_ids"]["me"] == talking.user_id
    assert state["bots"]["me"]["left"] == 10
    assert state["settings"]["quota"] == 10
    all_of_it = (await talking.http.get("/sim/state")).json()["ilink"]
    assert "user_ids" not in all_of_it
    assert all_of_it["bots"].keys() == {"me"}
