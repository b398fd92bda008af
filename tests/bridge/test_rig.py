"""A message comes in and a command goes out; a killed bridge goes on where it was."""

from __future__ import annotations

from tests.support.account_rig import BridgedAccount
from tests.support.memory_backend import WIFE
from wx2mqtt.errors import OutcomeUnknown


async def test_a_message_is_published(bridge: BridgedAccount):
    bridge.backend.write(WIFE, "开灯")
    message = await bridge.next("wx/in/老婆")
    assert (message["text"], message["seq"], message["trusted"]) == ("开灯", 1, False)


async def test_a_command_is_sent_once_and_has_one_result(bridge: BridgedAccount):
    result = await bridge.send("老婆", {"text": "hi", "id": "a"})
    assert (result["status"], result["id"]) == ("sent", "a")
    assert bridge.backend.texts == [("@wife", "hi")]
    await bridge.pass_time(600)
    assert len(bridge.published("wx/result/老婆")) == 1


async def test_what_was_in_doubt_at_a_kill_is_sent_once_more_with_the_same_key(bridge: BridgedAccount):
    bridge.backend.outcomes.append(OutcomeUnknown("no answer"))
    bridge.deliver("wx/out/老婆", {"text": "hi", "id": "a"})
    await bridge.wait_until(lambda: bridge.backend.sent)
    await bridge.kill()
    await bridge.restart()
    result = await bridge.result("老婆")
    assert (result["status"], result["duplicate_possible"]) == ("sent", True)
    first, second = bridge.backend.sent
    assert first.key == second.key
