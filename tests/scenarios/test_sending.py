"""Failures of WeChat and of the network during a send, on the whole bridge: retried, slowed down, or reported."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _clear_faults(shared_home):
    yield
    await shared_home.control.post("fault/clear")
    await shared_home.control.post("settings", rate_limit=0, drop_repeats=True, echo=False)


async def fault(home, kind, *, endpoint="webwxsendmsg", **more):
    await home.control.post("fault", endpoint=endpoint, kind=kind, **more)


async def sent_with_text(home, text):
    """Returns the messages with this text that WeChat got."""
    return [message for message in await home.control.get("sent") if message["text"] == text]


async def count_send_calls(home):
    """Returns how often the bridge has called webwxsendmsg."""
    return (await home.control.get("state"))["calls"].get("webwxsendmsg", 0)


def outcome(result):
    return result["status"], result["code"], result["duplicate_possible"]


# no answer


async def test_a_send_whose_answer_is_lost_is_repeated_once_with_the_same_client_id(shared_home):
    await fault(shared_home, "drop_answer")
    result = await shared_home.send_command("wife", "the answer is lost")
    first, again = await sent_with_text(shared_home, "the answer is lost")
    assert outcome(result) == ("sent", "ok", True)
    assert first["client_msg_id"] == again["client_msg_id"]
    assert (first["delivered"], again["delivered"], again["repeat"]) == (True, False, True)
    assert result["message_id"] == first["msg_id"]


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("truncate", {}),
        ("charset", {"value": "utf-16"}),
        ("garbage", {}),
        ("html", {}),
        ("empty", {}),
        ("bad_status_line", {}),
        ("reset", {}),
        ("hang", {"value": 0.1}),
    ],
)
async def test_an_answer_that_cannot_be_read_may_mean_that_it_was_delivered(shared_home, kind, more):
    text = f"answered with {kind}"
    await fault(shared_home, kind, **more)
    before = await count_send_calls(shared_home)
    assert outcome(await shared_home.send_command("wife", text)) == ("sent", "ok", True)
    assert await count_send_calls(shared_home) == before + 2
    assert sum(message["delivered"] for message in await sent_with_text(shared_home, text)) == 1


async def test_a_send_with_two_lost_answers_is_uncertain_and_never_expired(shared_home):
    await fault(shared_home, "drop_answer", times=2)
    result = await shared_home.send_command("wife", {"text": "both answers are lost", "id": "both"})
    assert outcome(result) == ("uncertain", "no_answer", True)
    assert len(await sent_with_text(shared_home, "both answers are lost")) == 2
    await shared_home.send_command("wife", "the next one")
    assert len(await sent_with_text(shared_home, "both answers are lost")) == 2


async def test_a_second_attempt_that_is_refused_says_that_the_first_may_have_arrived(shared_home):
    await fault(shared_home, "drop_answer")
    await fault(shared_home, "ret", value=1204)
    assert outcome(await shared_home.send_command("wife", "lost and refused")) == (
        "failed",
        "refused_by_wechat",
        True,
    )


# certainly not delivered


@pytest.mark.parametrize(
    ("kind", "value"), [("status", 503), ("status", 500), ("status", 404), ("ret", -1), ("ret", 3)]
)
async def test_a_message_that_was_not_accepted_is_tried_again_and_no_duplicate_is_possible(
    shared_home, kind, value
):
    text = f"not taken: {kind} {value}"
    await fault(shared_home, kind, value=value)
    before = await count_send_calls(shared_home)
    assert outcome(await shared_home.send_command("wife", text)) == ("sent", "ok", False)
    assert await count_send_calls(shared_home) == before + 2
    assert len(await sent_with_text(shared_home, text)) == 1


async def test_a_message_that_is_not_accepted_in_its_time_is_expired(shared_home):
    await fault(shared_home, "status", times=0)
    result = await shared_home.send_command("wife", {"text": "never taken", "ttl": 1.2})
    assert outcome(result) == ("expired", "expired", False)
    assert "1.2 s" in result["message"]
    assert await sent_with_text(shared_home, "never taken") == []


@pytest.mark.parametrize("ret", [1, 1204, 1203, 9999])
async def test_a_refusal_is_failed_with_the_number_that_wechat_gave(shared_home, ret):
    await fault(shared_home, "ret", value=ret)
    before = await count_send_calls(shared_home)
    result = await shared_home.send_command("wife", f"refused with {ret}")
    assert outcome(result) == ("failed", "refused_by_wechat", False)
    assert result["message"]
    assert await count_send_calls(shared_home) == before + 1


async def test_a_send_to_a_group_that_the_owner_has_left_fails(shared_home):
    await shared_home.control.post("say", **{"from": "lilei", "to": "work", "text": "are you all there"})
    received = await shared_home.in_thread(
        shared_home.subscriber.wait, "wx/in/#", lambda message: message.body["text"] == "are you all there"
    )
    assert outcome(await shared_home.send_command(received.body["user"], "I am"))[0] == "sent"
    await shared_home.control.post("people", leave={"group": "work", "id": "me"})
    result = await shared_home.send_command(received.body["user"], "am I still")
    assert outcome(result) in (("failed", "refused_by_wechat", False), ("rejected", "unknown_user", False))
    assert await sent_with_text(shared_home, "am I still") == []


# others go on


async def test_a_chat_in_trouble_does_not_hold_the_others_up_and_keeps_its_order(shared_home):
    await fault(shared_home, "hang", value=2.0)
    texts = [f"behind the hanging one {number}" for number in range(3)]
    for text in texts:
        await shared_home.publish("wx/out/wife", {"text": text, "id": text})
    await shared_home.control.wait(f"calls:webwxsendmsg:{await count_send_calls(shared_home)}")
    others = await shared_home.send_command("妈妈", "goes on meanwhile")
    assert outcome(others) == ("sent", "ok", False)
    assert [
        message for message in shared_home.subscriber.on("wx/result/wife") if message.body["id"] in texts
    ] == []
    await shared_home.body("wx/result/wife", id=texts[-1])
    order = [
        message["text"]
        for message in await shared_home.control.get("sent")
        if message["text"] in texts and message["delivered"]
    ]
    assert order == texts


# the login ends in a send


async def test_a_send_that_ends_the_login_waits_for_the_next_one_and_is_sent_once(shared_home):
    since = shared_home.subscriber.count
    await fault(shared_home, "ret", value=1101)
    await shared_home.publish("wx/out/wife", {"text": "across two logins", "id": "across"})
    await shared_home.publish("wx/out/妈妈", {"text": "across two logins too", "id": "across-too"})
    await shared_home.body("wx/login/state", state="logged_out", since=since)
    waiting = await shared_home.body("wx/login/state", state="waiting_for_scan", since=since)
    assert waiting["needs"] == "scan"
    expired = await shared_home.send_command("filehelper", {"text": "too short a life", "ttl": 0.05})
    assert outcome(expired) == ("expired", "logged_out", False)
    await shared_home.control.post("scan")
    await shared_home.control.post("confirm")
    for topic, ident in (("wx/result/wife", "across"), ("wx/result/妈妈", "across-too")):
        assert outcome(await shared_home.body(topic, id=ident, since=since)) == ("sent", "ok", False)
    for text in ("across two logins", "across two logins too"):
        assert len(await sent_with_text(shared_home, text)) == 1
    assert await sent_with_text(shared_home, "too short a life") == []
    await shared_home.control.wait("polling")


# many


async def test_many_for_many_while_answers_are_lost_and_refused_are_all_sent_once(shared_home):
    for kind in ("drop_answer", "status", "reset", "drop_answer", "status"):
        await fault(shared_home, kind)
    users = ("wife", "妈妈", "family", "filehelper")
    idents = [f"many-{number}" for number in range(40)]
    await asyncio.gather(
        *(
            shared_home.publish(f"wx/out/{users[number % 4]}", {"text": ident, "id": ident})
            for number, ident in enumerate(idents)
        )
    )
    for number, ident in enumerate(idents):
        result = await shared_home.body(f"wx/result/{users[number % 4]}", id=ident)
        assert result["status"] == "sent"
        assert sum(message["delivered"] for message in await sent_with_text(shared_home, ident)) == 1
