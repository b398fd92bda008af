"""WeChat delivers what the bridge has sent as an own message, too: that is not published, and all else is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount
from tests.support.memory_backend import WIFE, MemoryBackend
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import OutcomeUnknown, Rejected, Throttled, Unreachable
from wx2mqtt.model import Receipt

HOUR = 3_600_000


@pytest.fixture
async def bridge(open_bridge: OpenBridge) -> BridgedAccount:
    """A bridge that publishes what the owner writes on the phone; a restart resumes its login."""
    return await open_bridge(MemoryBackend(keeps_login=True), receive={"own": True})


async def published_ids(bridge: BridgedAccount) -> list[str]:
    """Returns the ids of the messages of the chat that were published, once all of them are stored."""
    bridge.backend.write(WIFE, "the last one")
    await bridge.wait_until(
        lambda: any(body["text"] == "the last one" for body in bridge.published("wx/in/老婆"))
    )
    return [body["id"] for body in bridge.published("wx/in/老婆") if body["text"] != "the last one"]


@pytest.mark.parametrize(
    ("outcomes", "texts", "published"),
    [
        pytest.param(
            [Receipt(message_id="m1")], {"m1": "WeChat changed it", "m2": "hi"}, ["m2"], id="by its id"
        ),
        pytest.param(
            [Receipt(message_id="")], {"m1": "hi", "m2": "hi"}, ["m2"], id="without an id by its text"
        ),
        pytest.param([OutcomeUnknown()] * 2, dict.fromkeys(["m1", "m2", "m3"], "hi"), ["m3"], id="in doubt"),
        pytest.param([Receipt(message_id=None)], {"m1": "hi"}, ["m1"], id="a backend without ids"),
        pytest.param([Rejected("no")], {"m1": "hi"}, ["m1"], id="refused"),
        pytest.param([Unreachable(), Rejected("no")], {"m1": "hi"}, ["m1"], id="not delivered"),
    ],
)
async def test_an_own_message_is_an_echo_for_each_attempt_that_may_have_arrived(
    bridge: BridgedAccount, outcomes: list[Any], texts: dict[str, str], published: list[str]
):
    bridge.backend.outcomes += outcomes
    await bridge.send("老婆", "hi")
    for message_id, text in texts.items():
        bridge.backend.write_as_owner(WIFE, text, message_id)
    assert await published_ids(bridge) == published


@pytest.mark.parametrize("delay", [-HOUR // 3, HOUR], ids=["before the attempt", "long after it"])
async def test_what_the_owner_writes_at_another_time_is_no_echo(bridge: BridgedAccount, delay: int):
    bridge.backend.outcomes += [Throttled(retry_after=3000), OutcomeUnknown(), OutcomeUnknown()]
    await bridge.send("老婆", {"text": "hi", "ttl": 86_400})
    bridge.backend.write_as_owner(WIFE, "hi", "phone", time=now_ms() + delay)
    bridge.backend.write_as_owner(WIFE, "hi", "ours")
    assert await published_ids(bridge) == ["phone"]


async def test_the_echo_of_an_attempt_that_a_crash_cut_off_is_known(bridge: BridgedAccount):
    bridge.backend.slow_chats[WIFE.handle] = 60
    bridge.deliver("wx/out/老婆", "hi")
    await bridge.wait_until(lambda: bridge.backend.sent)
    sent_at = now_ms()
    await bridge.kill()
    bridge.backend.slow_chats.clear()
    bridge.backend.write_as_owner(WIFE, "hi", "lost", time=sent_at)  # it comes at once in the next process
    await bridge.restart()
    assert (await bridge.result("老婆"))["status"] == "sent"
    assert await published_ids(bridge) == []
    await bridge.stop()
    bridge.backend.write_as_owner(WIFE, "hi", "lost", time=sent_at)
    bridge.backend.write_as_owner(WIFE, "hi", "lost", time=sent_at)
    await bridge.restart()
    assert await published_ids(bridge) == [], "known after its command has ended, and when it comes twice"


async def test_both_attempts_of_an_uncertain_command_may_echo_after_a_restart(bridge: BridgedAccount):
    bridge.backend.outcomes += [OutcomeUnknown(), OutcomeUnknown()]
    await bridge.send("老婆", "hi")
    await bridge.stop()
    for message_id in ("first", "second", "third"):
        bridge.backend.write_as_owner(WIFE, "hi", message_id)
    await bridge.restart()
    assert await published_ids(bridge) == ["third"]
