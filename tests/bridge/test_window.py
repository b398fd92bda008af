"""While the reply window of a person is closed commands wait, and then go out, the most important first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount, ended
from tests.support.memory_backend import MOM, WIFE, Pause, WindowBackend, with_capabilities
from wx2mqtt.bridge.commands.send_attempts import UNCONFIRMED_WARNING_COUNT
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BackendError, LoggedOut, OutcomeUnknown, Unreachable, WindowClosed
from wx2mqtt.model import Receipt, ReplyWindow

USED, TOO_LATE = (ReplyWindow(open=False, remaining=0, reason=r) for r in ("quota_used", "too_long_ago"))


@pytest.fixture
async def bridge(open_bridge: OpenBridge) -> BridgedAccount:
    """A bridge to which nobody has written yet; each text is a message of its own."""
    return await open_bridge(
        WindowBackend(), ilink={"bundle": False, "reserve": 0}, hold={"ttl": 1800, "max": 99}
    )


async def hold(bridge: BridgedAccount, *commands: Any) -> list[Any]:
    """Gives these commands and returns their events `held`."""
    for command in commands:
        bridge.deliver("wx/out/老婆", command)
    return [await bridge.event("held") for _ in commands]


async def sent_texts(bridge: BridgedAccount, count: int) -> list[str]:
    await bridge.wait_for_sends(count)
    await bridge.pass_time(1)
    return bridge.backend.contents


async def test_a_command_waits_for_the_window_says_so_once_and_is_sent_when_the_person_writes(
    bridge: BridgedAccount,
):
    (event,) = await hold(bridge, {"text": "hi", "id": "a"})
    assert (event["event"], event["user"], event["why"]) == ("held", "老婆", "never_wrote")
    assert (event["command_id"], "'老婆'" in event["hint"], event["until"][-1]) == ("a", True, "Z")
    bridge.backend.windows[WIFE.handle] = USED
    await bridge.kill()
    await bridge.restart()
    assert [event["command_id"] for event in await hold(bridge, {"text": "later", "id": "b"})] == ["b"]
    assert not bridge.backend.sent
    bridge.backend.windows.clear()
    bridge.backend.write(WIFE)
    assert ended(await bridge.result("老婆")) == ("sent", "ok", False)
    assert len(bridge.published("wx/event/held")) == 1, "that of the second command"


@pytest.mark.parametrize(
    ("ttl", "seconds"), [({}, 1800), ({"ttl": 60}, 60)], ids=["that of held commands", "its own"]
)
async def test_a_held_command_expires_after_its_ttl(
    bridge: BridgedAccount, ttl: dict[str, int], seconds: int
):
    began = asyncio.get_running_loop().time()
    assert ended(await bridge.send("老婆", {"text": "hi", **ttl})) == ("expired", "window_closed", False)
    assert asyncio.get_running_loop().time() - began == pytest.approx(seconds, abs=1)
    assert not bridge.backend.sent


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("never_wrote", "window_closed"),
        ("new_binding", "window_closed"),
        ("too_long_ago", "window_closed"),
        ("quota_used", "quota_used"),
        ("rate_limited", "rate_limited"),
    ],
)
async def test_what_ends_unsent_says_what_kept_it(bridge: BridgedAccount, reason: str, code: str):
    until = now_ms() + 9_999_999 if reason == "rate_limited" else None
    bridge.backend.windows[WIFE.handle] = ReplyWindow(open=False, reason=reason, until=until)
    assert ended(await bridge.send("老婆", {"text": "hi", "ttl": 5})) == ("expired", code, False)


async def test_what_waits_while_nobody_is_logged_in_says_that(bridge: BridgedAccount):
    await hold(bridge, {"text": "hi", "ttl": 60})
    bridge.backend.log_in_after(600)
    bridge.backend.fail(LoggedOut("over"))
    assert ended(await bridge.result("老婆")) == ("expired", "logged_out", False)


@pytest.mark.parametrize(("window", "code"), [(TOO_LATE, "window_closed"), (USED, "quota_used")])
async def test_a_command_that_must_not_be_held_fails_at_once(
    bridge: BridgedAccount, window: ReplyWindow, code: str
):
    bridge.backend.windows[WIFE.handle] = window
    await hold(bridge, "waits")
    result = await bridge.send("老婆", {"text": "hi", "hold": False})
    assert ended(result) == ("failed", code, False)
    assert result["message"].endswith(": write to the bot in WeChat again"), "a notice needs no more words"


async def test_a_refusal_for_the_window_is_no_attempt_and_waits(bridge: BridgedAccount):
    bridge.backend.write(WIFE)
    await bridge.next("wx/in/老婆")
    bridge.backend.outcomes.append(WindowClosed(code="quota_used"))
    (event,) = await hold(bridge, "hi")
    assert event["why"] == "quota_used"
    bridge.backend.write(WIFE)
    assert ended(await bridge.result("老婆")) == ("sent", "ok", False)
    assert len(bridge.backend.sent) == 2


async def test_the_closed_window_of_one_chat_delays_no_other_chat(bridge: BridgedAccount):
    await hold(bridge, "hi")
    bridge.backend.write(MOM)
    assert (await bridge.send("妈妈", "m"))["status"] == "sent"
    assert bridge.backend.contents == ["m"]


async def test_after_a_pause_that_wechat_wants_it_goes_on_by_itself(bridge: BridgedAccount):
    until = now_ms() + 30_000
    bridge.backend.write(WIFE)
    bridge.backend.windows[WIFE.handle] = ReplyWindow(open=False, reason="rate_limited", until=until)
    await hold(bridge, "hi")
    bridge.deliver("wx/out/老婆", {"text": "must not be held", "hold": False})
    await bridge.pass_time(1)
    bridge.backend.windows.clear()
    assert [(await bridge.result("老婆"))["status"] for _ in range(2)] == ["sent", "sent"]
    assert 0 <= now_ms() - until < 1000


# The order


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_alarms_go_first_and_equals_in_the_order_of_acceptance(
    bridge: BridgedAccount, is_restarted: bool
):
    asked = {"a": "low", "b": "normal", "c": "high", "d": "low", "e": "high", "f": "normal"}
    await hold(bridge, *({"text": text, "priority": priority} for text, priority in asked.items()))
    if is_restarted:
        await bridge.kill()
        await bridge.restart()
    await hold(bridge, {"text": "g", "priority": "high"})
    bridge.backend.write(WIFE)
    assert await sent_texts(bridge, 7) == ["c", "e", "g", "b", "f", "a", "d"]


@pytest.mark.parametrize(
    ("outcome", "sent"),
    [(OutcomeUnknown(), ["first", "first", "alarm"]), (Unreachable(), ["first", "alarm", "first"])],
)
async def test_only_what_is_in_doubt_is_brought_to_its_end_before_an_alarm(
    bridge: BridgedAccount, outcome: BackendError, sent: list[str]
):
    bridge.backend.write(WIFE)
    bridge.backend.outcomes += [Pause(5), outcome]
    bridge.deliver("wx/out/老婆", "first")
    await bridge.wait_for_sends(1)
    bridge.deliver("wx/out/老婆", {"text": "alarm", "priority": "high"})
    assert await sent_texts(bridge, 3) == sent


async def test_as_many_go_out_as_wechat_takes_and_the_rest_waits_on(bridge: BridgedAccount):
    await hold(bridge, *"01234")
    bridge.backend.write(WIFE, left=2)
    assert await sent_texts(bridge, 2) == ["0", "1"]
    assert (await bridge.operate("health"))["queues"]["held"] == 3
    bridge.backend.write(WIFE)
    assert await sent_texts(bridge, 5) == [*"01234"]


async def test_above_the_limit_the_oldest_of_the_least_important_held_commands_are_given_up(
    bridge: BridgedAccount,
):
    await bridge.reload(hold={"max": 3})
    for number, priority in enumerate(("low", "high", "normal", "low", "high", "normal", "high"), 1):
        await hold(bridge, {"text": f"{number}", "id": f"{number}", "priority": priority})
    displaced = [await bridge.result("老婆") for _ in range(4)]
    assert {ended(result) for result in displaced} == {("expired", "displaced", False)}
    assert sorted(result["id"] for result in displaced) == ["1", "3", "4", "6"]
    bridge.backend.write(WIFE)
    assert await sent_texts(bridge, 3) == ["2", "5", "7"]


# Messages that nobody may see


async def is_muted(bridge: BridgedAccount) -> bool:
    return "muted_suspected" in (await bridge.operate("health"))["problems"]


async def test_messages_without_a_number_in_a_row_look_as_if_nobody_saw_them(bridge: BridgedAccount):
    bridge.backend.write(WIFE)
    await bridge.next("wx/in/老婆")
    bridge.backend.outcomes += [Receipt(message_id="")] * UNCONFIRMED_WARNING_COUNT
    for number in range(1, UNCONFIRMED_WARNING_COUNT + 1):
        assert (await bridge.send("老婆", "x"))["code"] == "unconfirmed"
        assert await is_muted(bridge) is (number == UNCONFIRMED_WARNING_COUNT)
    assert len(bridge.backend.sent) == UNCONFIRMED_WARNING_COUNT, "never tried again"
    await bridge.kill()
    await bridge.restart()
    assert await is_muted(bridge)
    assert (await bridge.send("老婆", "more"))["code"] == "ok"
    assert not await is_muted(bridge)
    bridge.backend.outcomes.append(Receipt(message_id=""))
    await bridge.send("老婆", "x")
    await bridge.kill()
    await bridge.restart()
    assert not await is_muted(bridge)


async def test_without_a_reply_window_nobody_is_taken_for_muted(open_bridge: OpenBridge):
    bridge = await open_bridge(with_capabilities(has_reply_window=False))
    bridge.backend.outcomes += [Receipt(message_id="")] * UNCONFIRMED_WARNING_COUNT
    for _ in range(UNCONFIRMED_WARNING_COUNT):
        await bridge.send("老婆", "x")
    assert not await is_muted(bridge)
