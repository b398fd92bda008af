"""A chat waits for what its backend says that WeChat takes (`Backend.seconds_until_sendable`)."""

from __future__ import annotations

from pathlib import Path

from tests.unit.bridge.commands_harness import running
from tests.unit.bridge.conftest import PassTime
from wx2mqtt.model import Handle


async def test_a_chat_waits_for_its_limit_and_the_others_do_not(tmp_path: Path, pass_time: PassTime):
    async with running(tmp_path) as harness:
        wife = Handle("@wife")
        harness.wechat.full_chats[wife] = 60.0
        harness.deliver_command(text="w", id="w")
        harness.deliver_command(text="late", id="late", ttl=5)
        harness.deliver_command(user="mom", text="m", id="m")
        await harness.result("m", "mom")
        assert harness.wechat.texts("wife") == []
        pass_time(6)
        harness.sender.recheck()
        result = await harness.result("late")
        assert (result["status"], result["code"]) == ("expired", "rate_limited")
        assert "this chat" in result["message"]
        assert result["retry_after"] == 60
        del harness.wechat.full_chats[wife]
        harness.sender.recheck()
        await harness.result("w")
        assert harness.wechat.texts("wife") == ["w"]
