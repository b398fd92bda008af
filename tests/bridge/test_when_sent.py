"""A command is sent when limits, login, connection and stop allow it; else its result names what kept it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount, ended
from tests.support.memory_backend import MOM, WIFE, MemoryBackend, Pause, WindowBackend
from wx2mqtt.bridge.commands.sender import MAX_CONCURRENT_SENDS
from wx2mqtt.clock import Backoff
from wx2mqtt.errors import BackendError, LoggedOut, OutcomeUnknown, ProtocolViolation, Throttled, Unreachable
from wx2mqtt.model import ChatKind, Contact, Handle

SENT, SENT_TWICE = ("sent", "ok", False), ("sent", "ok", True)
FRIENDS = [
    Contact(handle=Handle(f"@friend{n}"), kind=ChatKind.FRIEND, nickname=f"friend{n}", remark=f"friend{n}")
    for n in range(10)
]


@pytest.fixture
def long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes each pause after a failure ten minutes long."""
    monkeypatch.setattr(Backoff, "wait", lambda self, _chance: 600.0 * bool(self.failures))


def loop_time() -> float:
    return asyncio.get_running_loop().time()


async def log_out(bridge: BridgedAccount, seconds: float) -> None:
    """Ends the login; the next one takes so many seconds."""
    bridge.backend.log_in_after(seconds)
    bridge.backend.fail(LoggedOut("over"))
    await bridge.wait_until(lambda: bridge.state != "online")


# Limits


async def test_a_throttling_by_wechat_delays_all_chats_and_then_all_is_sent(bridge: BridgedAccount):
    bridge.backend.outcomes.append(Throttled(retry_after=300))
    bridge.deliver("wx/out/老婆", "x")
    await bridge.wait_until(lambda: bridge.backend.sent)
    bridge.deliver("wx/out/妈妈", "y")
    late = await bridge.send("相亲相爱一家人", {"text": "z", "ttl": 60})
    assert ended(late) == ("expired", "rate_limited", False)
    assert 200 < late["retry_after"] <= 240
    assert len(bridge.backend.sent) == 1
    assert ended(await bridge.result("老婆")) == SENT
    assert ended(await bridge.result("妈妈")) == SENT
    assert {sent.time - bridge.backend.sent[0].time >= 300 for sent in bridge.backend.sent[1:]} == {True}


async def test_the_owners_limit_lets_a_burst_go_and_then_one_after_the_other(open_bridge: OpenBridge):
    bridge = await open_bridge(send={"per_minute": 60, "burst": 3})
    for number in range(6):
        bridge.deliver(f"wx/out/{('老婆', '妈妈')[number % 2]}", f"{number}")
    await bridge.wait_until(lambda: len(bridge.backend.sent) == 6)
    first, *_ = times = [sent.time for sent in bridge.backend.sent]
    assert [round(time - first) for time in times] == [0, 0, 0, 1, 2, 3]


@pytest.mark.parametrize(("per_minute", "ttl", "least", "most"), [(1, 5, 50, 60), (100, 0.01, 0, 1)])
async def test_what_the_owners_limit_does_not_let_through_in_time_says_so(
    open_bridge: OpenBridge, per_minute: float, ttl: float, least: float, most: float
):
    bridge = await open_bridge(send={"per_minute": per_minute, "burst": 1})
    await bridge.send("老婆", "x")
    result = await bridge.send("老婆", {"text": "y", "ttl": ttl})
    assert ended(result) == ("expired", "rate_limited", False)
    assert least < result["retry_after"] <= most
    assert "send.per_minute" in result["message"]


async def test_a_chat_waits_for_its_limit_and_the_others_do_not(bridge: BridgedAccount):
    bridge.backend.full_chats[WIFE.handle] = 60
    bridge.deliver("wx/out/老婆", {"text": "w", "id": "w"})
    assert (await bridge.send("妈妈", "m"))["status"] == "sent"
    result = await bridge.send("老婆", {"text": "late", "ttl": 5})
    assert ended(result) == ("expired", "rate_limited", False)
    assert (result["retry_after"], "this chat" in result["message"]) == (60, True)
    bridge.backend.full_chats.clear()
    assert (await bridge.result("老婆"))["id"] == "w"
    assert bridge.backend.texts == [("@mom", "m"), ("@wife", "w")]


# Logins


async def test_a_send_that_finds_the_login_over_waits_for_the_next_one(bridge: BridgedAccount):
    bridge.backend.outcomes.append(LoggedOut("by the phone"))
    bridge.backend.log_in_after(60)
    bridge.deliver("wx/out/老婆", "x")
    await bridge.wait_until(lambda: bridge.state != "online")
    bridge.deliver("wx/out/妈妈", "y")
    assert ended(await bridge.result("老婆")) == SENT
    assert ended(await bridge.result("妈妈")) == SENT
    assert sorted(bridge.backend.texts) == [("@mom", "y"), ("@wife", "x"), ("@wife", "x")]
    assert {sent.time > 60 for sent in bridge.backend.sent[1:]} == {True}


async def test_a_command_expires_in_its_time_while_nobody_is_logged_in_and_others_wait(
    bridge: BridgedAccount,
):
    await log_out(bridge, 60)
    for name, ttl in (("a", 600), ("b", 5), ("c", 600)):
        bridge.deliver("wx/out/老婆", {"text": name, "id": name, "ttl": ttl})
    result = await bridge.result("老婆")
    assert (result["id"], *ended(result)) == ("b", "expired", "logged_out", False)
    assert "5 s" in result["message"]
    assert [(await bridge.result("老婆"))["id"] for _ in "ac"] == ["a", "c"]
    assert bridge.backend.texts == [("@wife", "a"), ("@wife", "c")]


async def test_in_the_next_login_commands_wait_for_its_contacts_and_go_to_its_handles(
    bridge: BridgedAccount,
):
    bridge.backend.preparations.append(Pause(30))
    bridge.deliver("wx/out/老婆/file/a.txt", b"x")
    await bridge.wait_until(lambda: bridge.backend.prepared)
    await log_out(bridge, 10)
    bridge.backend.contacts, bridge.backend.contacts_seconds = [replace(WIFE, handle=Handle("@wife2"))], 60
    bridge.deliver("wx/out/老婆", "x")
    bridge.deliver("wx/out/妈妈", "y")
    await bridge.pass_time(50)
    assert not bridge.published("wx/result/老婆") + bridge.published("wx/result/妈妈")
    assert [ended(await bridge.result("老婆")) for _ in range(2)] == [SENT, SENT]
    assert (await bridge.result("妈妈"))["status"] == "rejected"
    assert bridge.backend.texts == [("@wife2", ""), ("@wife2", "x")]
    assert [draft.chat for draft in bridge.backend.prepared] == ["@wife", "@wife2"]


async def test_after_the_end_of_the_login_sends_go_on_until_wechat_refuses_one(open_bridge: OpenBridge):
    bridge = await open_bridge(WindowBackend(sends_after_login_end=True))
    bridge.backend.write(WIFE)
    await bridge.next("wx/in/老婆")
    await log_out(bridge, 60)
    assert ended(await bridge.send("老婆", "smoke")) == SENT
    bridge.backend.outcomes.append(LoggedOut("over"))
    bridge.deliver("wx/out/老婆", "fire")
    await bridge.wait_until(lambda: len(bridge.backend.sent) == 2)
    assert ended(await bridge.send("老婆", {"text": "flood", "ttl": 5})) == ("expired", "logged_out", False)
    assert ended(await bridge.result("老婆")) == SENT
    assert [text for _, text in bridge.backend.texts] == ["smoke", "fire", "fire"]


# Outages


@pytest.mark.usefixtures("long_pauses")
@pytest.mark.parametrize("outcome", [Unreachable(), OutcomeUnknown(), ProtocolViolation()])
async def test_when_the_account_is_online_again_every_chat_goes_on_at_once_and_in_order(
    bridge: BridgedAccount, outcome: BackendError
):
    bridge.backend.outcomes += [outcome] * 2
    for text in "ab":
        for user in ("老婆", "妈妈"):
            bridge.deliver(f"wx/out/{user}", text)
    await bridge.wait_until(lambda: len(bridge.backend.sent) == 2)
    await bridge.pass_time(5)
    await log_out(bridge, 10)
    began = loop_time()
    for user in ("老婆", "妈妈"):
        results = [ended(await bridge.result(user)) for _ in "ab"]
        assert results == [SENT_TWICE if isinstance(outcome, OutcomeUnknown) else SENT, SENT]
    assert loop_time() - began < 300
    for contact in (WIFE, MOM):
        assert [text for chat, text in bridge.backend.texts if chat == contact.handle] == ["a", "a", "b"]


@pytest.mark.usefixtures("long_pauses")
async def test_without_a_connection_nothing_is_tried_and_then_all_goes_in_order(bridge: BridgedAccount):
    bridge.backend.outcomes += [Pause(5), Unreachable()]
    bridge.deliver("wx/out/老婆", "refused")
    await bridge.wait_until(lambda: bridge.backend.sent)
    bridge.backend.has_connection = False
    bridge.deliver("wx/out/老婆", "after it")
    bridge.deliver("wx/out/妈妈", {"text": "meanwhile", "id": "m"})
    assert (await bridge.send("妈妈", {"text": "too late", "ttl": 20}))["status"] == "expired"
    assert len(bridge.backend.sent) == 1
    bridge.backend.has_connection = True
    await log_out(bridge, 10)
    began = loop_time()
    assert (await bridge.result("妈妈"))["id"] == "m"
    assert [ended(await bridge.result("老婆")) for _ in range(2)] == [SENT, SENT]
    assert loop_time() - began < 300, "without a pause"
    wifes = [text for chat, text in bridge.backend.texts if chat == WIFE.handle]
    assert wifes == ["refused", "refused", "after it"]


# Slots, and the stop


async def test_a_command_that_expires_while_it_waits_for_a_slot_is_not_sent(open_bridge: OpenBridge):
    bridge = await open_bridge(MemoryBackend(contacts=[WIFE, *FRIENDS]))
    for friend in FRIENDS[:MAX_CONCURRENT_SENDS]:
        bridge.backend.slow_chats[friend.handle] = 700
        bridge.deliver(f"wx/out/{friend.remark}", "x")
    await bridge.wait_until(lambda: len(bridge.backend.sent) == MAX_CONCURRENT_SENDS)
    assert (await bridge.send("老婆", {"text": "dinner", "ttl": 600}))["status"] == "expired"
    await bridge.pass_time(200)
    assert len(bridge.backend.sent) == MAX_CONCURRENT_SENDS


async def test_a_stop_begins_nothing_and_lets_the_attempts_under_way_end(open_bridge: OpenBridge):
    bridge = await open_bridge(MemoryBackend(contacts=FRIENDS))
    for friend in FRIENDS:
        bridge.backend.slow_chats[friend.handle] = 1.0
        bridge.deliver(f"wx/out/{friend.remark}", "x")
    await bridge.wait_until(lambda: len(bridge.backend.sent) == MAX_CONCURRENT_SENDS)
    await bridge.stop()
    assert len(bridge.backend.sent) == MAX_CONCURRENT_SENDS
    await bridge.restart()
    for friend in FRIENDS[MAX_CONCURRENT_SENDS:]:
        assert ended(await bridge.result(friend.remark)) == SENT
    assert len(bridge.backend.sent) == len(FRIENDS)


@pytest.mark.parametrize("is_stopped", [True, False], ids=["at the stop", "at a crash"])
async def test_an_attempt_that_was_marked_ahead_and_not_begun_is_in_doubt_after_a_crash_only(
    open_bridge: OpenBridge, is_stopped: bool
):
    bridge = await open_bridge(MemoryBackend(contacts=[WIFE, MOM, *FRIENDS]))
    friends = FRIENDS[: MAX_CONCURRENT_SENDS - 1]
    bridge.backend.slow_chats = {contact.handle: 999.0 for contact in (MOM, *friends)}
    bridge.backend.slow_chats[WIFE.handle] = 5
    for user in (*(friend.remark for friend in friends), "老婆", "妈妈"):
        bridge.deliver(f"wx/out/{user}", "first")
    bridge.deliver("wx/out/老婆", "second")  # marked with the result of the first, whose slot the mother gets
    assert ended(await bridge.result("老婆")) == SENT
    await bridge.wait_until(lambda: bridge.backend.sent[-1].draft.chat == MOM.handle)
    await (bridge.stop() if is_stopped else bridge.kill())
    bridge.backend.slow_chats.clear()
    await bridge.restart()
    assert ended(await bridge.result("老婆")) == (SENT if is_stopped else SENT_TWICE)
    assert ended(await bridge.result("妈妈")) == SENT_TWICE
