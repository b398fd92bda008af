"""What the backend lets a chat have (`Capabilities.chat_limits`): never more, and never later than that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.bridge.conftest import PassTime
from tests.unit.bridge.outgoing import CAPABILITIES, WeChat, running
from wx2mqtt.bridge.commands.send_limits import ChatLimits
from wx2mqtt.errors import Rejected, Unreachable
from wx2mqtt.model import PersonId

PAUSES = st.lists(st.floats(0, 120), min_size=1, max_size=60)


def wanted(pauses):
    total = 0.0
    for pause in pauses:
        total += pause
        yield total


LIMITS = st.lists(st.tuples(st.integers(1, 6), st.floats(1, 100)), min_size=1, max_size=3)


@given(LIMITS, PAUSES)
def test_no_chat_gets_more_than_its_limits_in_any_span(limits, pauses):
    counted, gone, now = ChatLimits(limits), [], 0.0
    for time in wanted(pauses):
        now = max(now, time)
        now += counted.seconds_until_allowed(PersonId(1), now)
        assert counted.seconds_until_allowed(PersonId(1), now) < 1e-6
        counted.record(PersonId(1), 1, now)
        gone.append(now)
        for count, seconds in limits:
            assert sum(time > now - seconds + 1e-6 for time in gone) <= count
    assert counted.seconds_until_allowed(PersonId(2), now) == 0.0


def test_chats_that_got_nothing_for_long_are_forgotten():
    counted = ChatLimits([(2, 60.0)])
    for number in range(1000):
        counted.record(PersonId(number), 1, 100.0 * number)
    assert len(counted._times) == 1


def test_a_backend_without_limits_counts_nothing():
    counted = ChatLimits(())
    counted.record(PersonId(1), 1, 0.0)
    assert counted.seconds_until_allowed(PersonId(1), 0.0) == 0.0
    assert not counted._times


@pytest.fixture
def three_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    able = replace(CAPABILITIES, chat_limits=((3, 60.0), (5, 3600.0)))
    monkeypatch.setattr(WeChat, "capabilities", able)


@pytest.mark.usefixtures("three_a_minute")
async def test_a_chat_waits_for_its_limit_and_the_others_do_not(tmp_path: Path, pass_time: PassTime):
    async with running(tmp_path) as here:
        for number in range(6):
            here.say(text=f"w{number}", id=f"w{number}")
        await here.sent(3)
        here.say(user="mom", text="m", id="m")
        await here.result("m", "mom")
        assert here.wechat.texts("wife") == ["w0", "w1", "w2"]
        pass_time(61)
        here.sender.recheck()
        await here.result("w4")
        assert here.wechat.texts("wife") == ["w0", "w1", "w2", "w3", "w4"]  # of the hour no more
        here.say(text="late", id="late", ttl=5)
        here.say(user="mom", text="after it", id="after it")
        await here.result("after it", "mom")
        pass_time(6)
        here.sender.recheck()
        result = await here.result("late")
        assert (result["status"], result["code"]) == ("expired", "rate_limited")
        assert "this chat" in result["message"]
        assert 3400 < result["retry_after"] < 3600


@pytest.mark.usefixtures("three_a_minute")
async def test_what_was_refused_counts_and_what_was_never_written_does_not_hold_others(tmp_path: Path):
    async with running(tmp_path) as here:
        here.wechat.answer("a", Rejected("no"))
        here.wechat.answer("b", Unreachable())
        here.say(text="a", id="a")
        here.say(text="b", id="b")
        assert (await here.result("b"))["status"] == "sent"
        here.say(text="c", id="c")
        here.say(user="mom", text="m", id="m")
        await here.result("m", "mom")
        assert here.wechat.texts("wife") == ["a", "b", "b"]


@pytest.mark.usefixtures("three_a_minute")
async def test_the_limit_of_a_chat_survives_a_restart(tmp_path: Path, pass_time: PassTime):
    async with running(tmp_path) as here:
        for number in range(4):
            here.say(text=f"w{number}", id=f"w{number}")
        await here.result("w2")
    async with running(tmp_path) as here:
        here.say(user="mom", text="m", id="m")
        await here.result("m", "mom")
        assert here.wechat.texts("wife") == []
        pass_time(61)
        here.sender.recheck()
        await here.result("w3")
        assert here.wechat.texts("wife") == ["w3"]
