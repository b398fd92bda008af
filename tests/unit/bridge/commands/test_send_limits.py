"""A chat gets no more messages than `Capabilities.chat_limits`, and each as soon as that allows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.bridge.commands_harness import CAPABILITIES, FakeBackend, running
from tests.unit.bridge.conftest import PassTime
from wx2mqtt.bridge.commands.send_limits import ChatLimits
from wx2mqtt.errors import Rejected, Unreachable
from wx2mqtt.model import PersonId

PAUSES = st.lists(st.floats(0, 120), min_size=1, max_size=60)


def times_of(pauses):
    total = 0.0
    for pause in pauses:
        total += pause
        yield total


LIMITS = st.lists(st.tuples(st.integers(1, 6), st.floats(1, 100)), min_size=1, max_size=3)


@given(LIMITS, PAUSES)
def test_no_chat_gets_more_than_its_limits_in_any_span(limits, pauses):
    chat_limits, sent_times, now = ChatLimits(limits), [], 0.0
    for time in times_of(pauses):
        now = max(now, time)
        now += chat_limits.seconds_until_allowed(PersonId(1), now)
        assert chat_limits.seconds_until_allowed(PersonId(1), now) < 1e-6
        chat_limits.record(PersonId(1), 1, now)
        sent_times.append(now)
        for count, seconds in limits:
            assert sum(time > now - seconds + 1e-6 for time in sent_times) <= count
    assert chat_limits.seconds_until_allowed(PersonId(2), now) == 0.0


def test_chats_that_got_nothing_for_long_are_forgotten():
    chat_limits = ChatLimits([(2, 60.0)])
    for number in range(1000):
        chat_limits.record(PersonId(number), 1, 100.0 * number)
    assert len(chat_limits._times) == 1


def test_a_backend_without_limits_counts_nothing():
    chat_limits = ChatLimits(())
    chat_limits.record(PersonId(1), 1, 0.0)
    assert chat_limits.seconds_until_allowed(PersonId(1), 0.0) == 0.0
    assert not chat_limits._times


@pytest.fixture
def three_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    capabilities = replace(CAPABILITIES, chat_limits=((3, 60.0), (5, 3600.0)))
    monkeypatch.setattr(FakeBackend, "capabilities", capabilities)


@pytest.mark.usefixtures("three_a_minute")
async def test_a_chat_waits_for_its_limit_and_the_others_do_not(tmp_path: Path, pass_time: PassTime):
    async with running(tmp_path) as harness:
        for number in range(6):
            harness.deliver_command(text=f"w{number}", id=f"w{number}")
        await harness.wait_for_sent_texts(3)
        harness.deliver_command(user="mom", text="m", id="m")
        await harness.result("m", "mom")
        assert harness.wechat.texts("wife") == ["w0", "w1", "w2"]
        pass_time(61)
        harness.sender.recheck()
        await harness.result("w4")
        assert harness.wechat.texts("wife") == ["w0", "w1", "w2", "w3", "w4"]  # of the hour no more
        harness.deliver_command(text="late", id="late", ttl=5)
        harness.deliver_command(user="mom", text="after it", id="after it")
        await harness.result("after it", "mom")
        pass_time(6)
        harness.sender.recheck()
        result = await harness.result("late")
        assert (result["status"], result["code"]) == ("expired", "rate_limited")
        assert "this chat" in result["message"]
        assert 3400 < result["retry_after"] < 3600


@pytest.mark.usefixtures("three_a_minute")
async def test_what_was_refused_counts_and_what_was_never_written_does_not_hold_others(tmp_path: Path):
    async with running(tmp_path) as harness:
        harness.wechat.answer("a", Rejected("no"))
        harness.wechat.answer("b", Unreachable())
        harness.deliver_command(text="a", id="a")
        harness.deliver_command(text="b", id="b")
        assert (await harness.result("b"))["status"] == "sent"
        harness.deliver_command(text="c", id="c")
        harness.deliver_command(user="mom", text="m", id="m")
        await harness.result("m", "mom")
        assert harness.wechat.texts("wife") == ["a", "b", "b"]


@pytest.mark.usefixtures("three_a_minute")
async def test_the_limit_of_a_chat_survives_a_restart(tmp_path: Path, pass_time: PassTime):
    async with running(tmp_path) as harness:
        for number in range(4):
            harness.deliver_command(text=f"w{number}", id=f"w{number}")
        await harness.result("w2")
    async with running(tmp_path) as harness:
        harness.deliver_command(user="mom", text="m", id="m")
        await harness.result("m", "mom")
        assert harness.wechat.texts("wife") == []
        pass_time(61)
        harness.sender.recheck()
        await harness.result("w3")
        assert harness.wechat.texts("wife") == ["w3"]
