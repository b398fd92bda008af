"""iLink: sending, and when it is allowed (ilink 6, 7, 10)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.ilink_client import ILinkClient, text
from wx2mqtt.simulator.server import Simulator

CLOSED = {"ret": -2, "errmsg": "prepare failed"}
USED_UP = {"ret": -2}


async def texts_on_phone(client: ILinkClient) -> list[str]:
    """Returns the texts of the bot that the phone shows."""
    lines = (await client.seen("feed"))["lines"]
    return [line["text"] for line in lines if line["by"] == "bot"]


async def test_a_message_arrives_and_gets_its_id(greeted_client: ILinkClient):
    result = await greeted_client.send(text("ok ☀\nzweite Zeile"), client_id="wx2mqtt:1")
    assert result["ret"] == 0
    assert result["message_id"] > 2**53
    [sent] = await greeted_client.seen("sent")
    assert (sent["person"], sent["text"], sent["client_id"]) == ("me", "ok ☀\nzweite Zeile", "wx2mqtt:1")
    assert (sent["msg_id"], sent["token"]) == (str(result["message_id"]), "newest")
    assert (sent["delivered"], sent["confirmed"], sent["repeat"]) == (True, True, False)
    assert await texts_on_phone(greeted_client) == ["ok ☀\nzweite Zeile"]
    assert await greeted_client.violations() == []


# when it is allowed


async def test_nothing_can_be_sent_before_the_person_has_written(bound_client: ILinkClient):
    assert await bound_client.send(text("x")) == CLOSED
    assert await bound_client.seen("sent") == []


async def test_nothing_can_be_sent_after_24_hours_until_the_person_writes_again(greeted_client: ILinkClient):
    await greeted_client.control("clock", forward=24 * 3600 - 60)
    assert (await greeted_client.send(text("x")))["ret"] == 0
    await greeted_client.control("clock", forward=120)
    assert await greeted_client.send(text("x")) == CLOSED
    await greeted_client.control("say", text="ok")
    await greeted_client.new()
    assert (await greeted_client.send(text("x")))["ret"] == 0


async def test_the_length_of_the_window_is_a_setting(greeted_client: ILinkClient):
    await greeted_client.control("settings", window_hours=1)
    await greeted_client.control("window", ago=3700)
    assert await greeted_client.send(text("x")) == CLOSED


async def test_each_message_of_the_person_allows_ten_messages(greeted_client: ILinkClient):
    result = [await greeted_client.send(text(str(n))) for n in range(11)]
    assert [answer["ret"] for answer in result] == [0] * 10 + [-2]
    assert result[-1] == USED_UP
    await greeted_client.control("say", text="weiter")
    await greeted_client.new()
    assert (await greeted_client.send(text("x")))["ret"] == 0


async def test_an_order_can_use_up_the_quota_but_for_some_messages(greeted_client: ILinkClient):
    assert (await greeted_client.control("window", replies=9))["left"] == 1
    assert [(await greeted_client.send(text("x")))["ret"] for _ in range(2)] == [0, -2]


@pytest.mark.parametrize("words", ["rate limited", "freq limit"])
async def test_messages_that_come_too_fast_are_refused(greeted_client: ILinkClient, words: str):
    await greeted_client.control("settings", rate_limit=2, rate_words=words)
    result = [await greeted_client.send(text("x")) for _ in range(3)]
    assert result[2] == {"ret": -2, "errmsg": words}


async def test_a_message_to_a_person_who_muted_the_bot_is_accepted_and_not_shown(greeted_client: ILinkClient):
    await greeted_client.control("mute")
    assert await greeted_client.send(text("x")) == {"ret": 0}
    [sent] = await greeted_client.seen("sent")
    assert (sent["delivered"], sent["confirmed"]) == (False, False)
    assert await texts_on_phone(greeted_client) == []
    await greeted_client.control("mute", on=False)
    assert "message_id" in await greeted_client.send(text("x"))


async def test_muting_is_checked_before_the_window_and_the_window_before_the_quota(
    greeted_client: ILinkClient,
):
    await greeted_client.control("window", replies=10)
    await greeted_client.control("clock", forward=25 * 3600)
    assert await greeted_client.send(text("x")) == CLOSED
    await greeted_client.control("mute")
    assert await greeted_client.send(text("x")) == {"ret": 0}


# what the answer looks like


@pytest.mark.parametrize(
    ("mode", "keys"),
    [("id", {"ret", "message_id"}), ("only_id", {"message_id"}), ("ret", {"ret"}), ("object", set())],
)
async def test_the_answer_to_a_message_has_an_id_or_not(
    greeted_client: ILinkClient, mode: str, keys: set[str]
):
    await greeted_client.control("settings", answer=mode)
    assert (await greeted_client.send(text("x"))).keys() == keys
    assert await texts_on_phone(greeted_client) == ["x"]


async def test_an_answer_can_have_no_body(greeted_client: ILinkClient):
    await greeted_client.control("settings", answer="empty")
    answer = await greeted_client.post("sendmessage", msg=greeted_client.message(text("x")))
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await greeted_client.seen("sent"))[0]["confirmed"] is False


@pytest.mark.parametrize(
    ("where", "answer"),
    [
        ("errcode", {"errcode": -2, "errmsg": "prepare failed"}),
        ("both", {"ret": -2, "errcode": -2, "errmsg": "prepare failed"}),
    ],
)
async def test_the_number_of_a_refusal_stands_in_ret_in_errcode_or_in_both(
    bound_client: ILinkClient, where: str, answer: Any
):
    await bound_client.control("settings", code_in=where)
    assert await bound_client.send(text("x")) == answer


async def test_a_repeat_is_answered_and_not_shown_again(greeted_client: ILinkClient):
    first = await greeted_client.send(text("x"), client_id="wx2mqtt:1")
    assert await greeted_client.send(text("x"), client_id="wx2mqtt:1") == first
    assert [message["repeat"] for message in await greeted_client.seen("sent")] == [False, True]
    assert await texts_on_phone(greeted_client) == ["x"]
    assert await greeted_client.violations() == []


async def test_repeats_may_be_shown_again(greeted_client: ILinkClient):
    await greeted_client.control("settings", drop_repeats=False)
    for _ in range(2):
        await greeted_client.send(text("x"), client_id="wx2mqtt:1")
    assert await texts_on_phone(greeted_client) == ["x", "x"]


async def test_another_message_under_a_known_client_id_is_a_violation(greeted_client: ILinkClient):
    await greeted_client.send(text("x"), client_id="wx2mqtt:1")
    await greeted_client.send(text("y"), client_id="wx2mqtt:1")
    assert await greeted_client.violations() == ["sendmessage: client_id is that of another message"]


async def test_a_message_whose_answer_is_lost_was_sent(greeted_client: ILinkClient):
    await greeted_client.http.post("/sim/fault", json={"endpoint": "sendmessage", "kind": "drop_answer"})
    with pytest.raises(Exception, match="disconnected"):
        await greeted_client.send(text("x"), client_id="wx2mqtt:1")
    assert "message_id" in await greeted_client.send(text("x"), client_id="wx2mqtt:1")
    assert await texts_on_phone(greeted_client) == ["x"]


async def test_any_answer_can_be_ordered(greeted_client: ILinkClient):
    body = '{"ret":-2,"errmsg":"freq limit"}'
    await greeted_client.http.post(
        "/sim/fault", json={"endpoint": "sendmessage", "kind": "garbage", "value": body}
    )
    assert await greeted_client.send(text("x")) == {"ret": -2, "errmsg": "freq limit"}
    for ret, answer in ((-14, {"errcode": -14, "errmsg": "session timeout"}), (-12, {"ret": -12})):
        await greeted_client.http.post(
            "/sim/fault", json={"endpoint": "sendmessage", "kind": "ret", "value": ret}
        )
        assert await greeted_client.send(text("x")) == answer


# context tokens


async def test_an_older_token_passes_and_is_an_oddity(greeted_client: ILinkClient):
    older = greeted_client.context_token
    await greeted_client.control("say", text="noch etwas")
    assert (await greeted_client.send(text("x"), context_token=older))["ret"] == 0
    assert await greeted_client.violations() == [
        "sendmessage: tolerated, but: context_token is not the newest"
    ]
    assert (await greeted_client.seen("sent"))[0]["token"] == "older"


async def test_a_message_without_a_context_token_is_accepted_and_an_oddity(greeted_client: ILinkClient):
    greeted_client.context_token = ""
    assert (await greeted_client.send(text("x")))["ret"] == 0
    assert await greeted_client.violations() == ["sendmessage: tolerated, but: no context_token"]


async def test_the_servers_may_want_a_token(greeted_client: ILinkClient):
    await greeted_client.control("settings", need_token=True)
    greeted_client.context_token = ""
    assert await greeted_client.send(text("x")) == CLOSED


async def test_the_servers_may_take_only_messages_without_one(greeted_client: ILinkClient):
    await greeted_client.control("settings", refuse_tokens="prepare failed")
    assert await greeted_client.send(text("x")) == CLOSED
    greeted_client.context_token = ""
    assert (await greeted_client.send(text("x")))["ret"] == 0


async def test_an_unknown_context_token_is_refused(greeted_client: ILinkClient):
    result = await greeted_client.send(text("x"), context_token="AARzJWx")
    assert result == {"ret": -2, "errmsg": "unknown error"}
    assert await greeted_client.violations() == ["sendmessage: context_token is none of this bot"]


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
async def test_a_malformed_message_is_refused_and_recorded(
    greeted_client: ILinkClient, fields: dict[str, Any]
):
    assert await greeted_client.send(text("x"), **fields) == {"ret": -2, "errmsg": "invalid arguments"}
    assert len(await greeted_client.violations()) == 1
    assert await greeted_client.seen("sent") == []


@pytest.mark.parametrize("fields", [{"from_user_id": "me"}, {"message_state": 1}, {"mood": "good"}])
async def test_fields_that_the_official_client_does_not_send_are_an_oddity(
    greeted_client: ILinkClient, fields: dict[str, Any]
):
    assert (await greeted_client.send(text("x"), **fields))["ret"] == 0
    assert len(await greeted_client.violations()) == 1


async def test_a_text_has_at_most_16384_bytes(greeted_client: ILinkClient):
    assert (await greeted_client.send(text("长" * 5461 + "x")))["ret"] == 0
    assert await greeted_client.send(text("长" * 5461 + "xx")) == {"ret": -2}
    assert await greeted_client.violations() == ["sendmessage: the text is longer than the servers take"]


async def test_a_voice_and_notes_of_tools_are_taken_and_never_shown(greeted_client: ILinkClient):
    for item in ({"type": 3, "voice_item": {}}, {"type": 11, "tool_call_start_item": {}}):
        assert "message_id" in await greeted_client.send(item)
    assert await texts_on_phone(greeted_client) == []
    assert [message["delivered"] for message in await greeted_client.seen("sent")] == [False, False]


# the typing indicator


async def test_the_phone_shows_that_the_bot_types_until_it_sends(greeted_client: ILinkClient):
    result = await greeted_client.call(
        "getconfig", ilink_user_id=greeted_client.user_id, context_token=greeted_client.context_token
    )
    assert result["ret"] == 0
    values = {"ilink_user_id": greeted_client.user_id, "typing_ticket": result["typing_ticket"]}
    assert await greeted_client.call("sendtyping", **values, status=1) == {"ret": 0}
    assert (await greeted_client.seen("state"))["bots"]["me"]["typing"]
    assert await greeted_client.call("sendtyping", **values, status=2) == {"ret": 0}
    assert not (await greeted_client.seen("state"))["bots"]["me"]["typing"]
    await greeted_client.call("sendtyping", **values, status=1)
    await greeted_client.send(text("x"))
    assert not (await greeted_client.seen("state"))["bots"]["me"]["typing"]
    assert await greeted_client.violations() == []


async def test_there_is_no_ticket_before_the_person_wrote(bound_client: ILinkClient):
    result = await bound_client.call("getconfig", ilink_user_id=bound_client.user_id)
    assert result == {"ret": -4, "errmsg": "GetTypingTicket rpc failed"}


@pytest.mark.parametrize(
    "fields", [{"typing_ticket": "x"}, {"status": 3}, {"ilink_user_id": "o9cq80somebody@im.wechat"}]
)
async def test_a_wrong_ticket_status_or_person_is_refused(
    greeted_client: ILinkClient, fields: dict[str, Any]
):
    result = await greeted_client.call("getconfig", ilink_user_id=greeted_client.user_id)
    values = {
        "ilink_user_id": greeted_client.user_id,
        "typing_ticket": result["typing_ticket"],
        "status": 1,
        **fields,
    }
    assert (await greeted_client.call("sendtyping", **values))["ret"] == -2
    assert len(await greeted_client.violations()) == 1


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
async def test_an_order_that_cannot_be_carried_out_is_refused(
    greeted_client: ILinkClient, name: str, order: dict[str, Any], status: int
):
    answer = await greeted_client.http.post(f"/sim/ilink/{name}", json=order)
    assert (answer.status_code, "error" in answer.json()) == (status, True)


async def test_waiting_for_something_unknown_says_what_is_known(greeted_client: ILinkClient):
    answer = await greeted_client.http.get("/sim/ilink/wait?for=rain")
    assert answer.status_code == 400
    assert "polling" in answer.json()["error"]
    assert (await greeted_client.http.get("/sim/ilink/sent?after=x")).status_code == 400


async def test_the_state_lists_everything(sim: Simulator, greeted_client: ILinkClient):
    state = await greeted_client.seen("state")
    assert state["user_ids"]["me"] == greeted_client.user_id
    assert state["bots"]["me"]["left"] == 10
    assert state["settings"]["quota"] == 10
    all_of_it = (await greeted_client.http.get("/sim/state")).json()["ilink"]
    assert "user_ids" not in all_of_it
    assert all_of_it["bots"].keys() == {"me"}
