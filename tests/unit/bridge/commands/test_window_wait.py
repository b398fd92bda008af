"""What WeChat takes only after the person wrote: held, told once, the most important first, within its time."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.conftest import PassTime
from tests.unit.bridge.contexts import context, settings
from tests.unit.bridge.rows import row_of
from tests.unit.bridge.sender_support import SenderHarness, sender_harness
from wx2mqtt.bridge.commands.chat_queue import ChatQueue
from wx2mqtt.bridge.commands.next_step import NextStepPolicy
from wx2mqtt.bridge.commands.waiting_commands import WaitingCommands
from wx2mqtt.bridge.commands.window_wait import WindowWait
from wx2mqtt.bridge.text_split import split_text
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import OutcomeUnknown, Rejected, Unreachable
from wx2mqtt.model import PersonId, Receipt, ReplyWindow, Status
from wx2mqtt.settings.schema import Hold
from wx2mqtt.store.command_records import CommandRow

SHUT = ReplyWindow(open=False, remaining=0, reason="too_long_ago")
USED = ReplyWindow(open=False, remaining=0, reason="quota_used")
OPEN = ReplyWindow(open=True, remaining=10)
HOUR = 3_600_000


class Windowed(SenderHarness):
    """A room whose WeChat has a window for the wife, shut at first, and takes texts of 20 characters."""

    def __init__(self, made: SenderHarness) -> None:
        self.__dict__.update(made.__dict__)
        self.wire.capabilities = replace(
            self.wire.capabilities, has_reply_window=True, part_limit=20, text_limit=10**6
        )
        self.window(SHUT)

    def window(self, window: ReplyWindow) -> None:
        """As WeChat tells it, when it tells it."""
        self.wire.windows[self.address_book.handle("wife")] = window

    def writes(self) -> None:
        """She writes."""
        self.window(OPEN)
        self.sender.recheck()

    def asked(self, text: str = "", **more: Any) -> Any:
        """A command to her."""
        new = self.command("wife", text, accepted=now_ms())
        return replace(new, command=replace(new.command, **more))

    async def held(self, count: int) -> list[dict[str, Any]]:
        """The events, once there are so many."""
        return await self.events("held", count)

    async def waits(self) -> None:
        """Waits until the sender, too, knows that a command is held, which the journal knows a moment earlier."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while not self.sender.window_wait.count:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Windowed]:
    async with sender_harness(tmp_path, "wife", "mom") as made:
        yield Windowed(made)


# outside of the window


async def test_outside_of_the_window_a_command_waits_and_is_sent_when_the_person_writes(here: Windowed):
    async with here.running():
        await here.accept(here.asked("hi"))
        await here.held(1)
        assert not here.wire.drafts
        here.writes()
        result = await here.result("c1")
    assert (result.status, result.code) == (Status.SENT, "ok")


async def test_a_command_that_waits_says_so_once_and_what_the_person_must_do(here: Windowed):
    async with here.running() as sender:
        new = here.asked("hi")
        await here.accept(new)
        (event,) = await here.held(1)
        sender.recheck()
        here.window(USED)
        sender.recheck()
    async with here.running():
        await here.accept(here.asked("later"))
        events = await here.held(2)
    assert [one["command_id"] for one in events] == ["c1", "c2"]
    assert (event["event"], event["user"], event["why"]) == ("held", "wife", "too_long_ago")
    assert "'wife'" in event["hint"]
    assert event["until"].endswith("Z")


async def test_it_waits_as_long_as_the_owner_lets_what_waits_wait_and_not_only_as_long_as_others(
    here: Windowed,
):
    here.hold = Hold(ttl=7200.0)
    async with here.running():
        new = here.asked("hi")
        await here.accept(new)
        await here.held(1)
        row = await here.journal.commands.get("c1")
    assert row is not None
    assert row.expires == new.accepted + 2 * HOUR
    assert row.window_reason == "too_long_ago"


async def test_a_time_of_its_own_counts_more(here: Windowed):
    async with here.running():
        new = here.asked("hi", ttl=0.2)
        await here.accept(replace(new, expires=new.accepted + 200))
        result = await here.result("c1")
    assert (result.status, result.code) == (Status.EXPIRED, "window_closed")
    assert not here.wire.drafts


@pytest.mark.parametrize(
    ("window", "code"),
    [
        (ReplyWindow(open=False, reason="never_wrote"), "window_closed"),
        (ReplyWindow(open=False, reason="new_binding"), "window_closed"),
        (SHUT, "window_closed"),
        (USED, "quota_used"),
        (ReplyWindow(open=False, reason="rate_limited", until=now_ms() + HOUR), "rate_limited"),
    ],
)
async def test_what_ends_unsent_says_what_kept_it(here: Windowed, window: ReplyWindow, code: str):
    here.window(window)
    here.hold = Hold(ttl=0.1)
    async with here.running():
        await here.accept(here.asked("hi"))
        result = await here.result("c1")
    assert (result.status, result.code) == (Status.EXPIRED, code)


async def test_what_waits_while_nobody_is_logged_in_says_that(here: Windowed, pass_time: PassTime):
    here.hold = Hold(ttl=600.0)
    async with here.running() as sender:
        await here.accept(here.asked("hi"))
        await here.held(1)
        sender.set_online(online=False)
        await here.waits()
        pass_time(601)
        sender.recheck()
        assert (await here.result("c1")).code == "logged_out"


@pytest.mark.parametrize(("window", "code"), [(SHUT, "window_closed"), (USED, "quota_used")])
async def test_a_command_that_must_not_be_held_fails_at_once(here: Windowed, window: ReplyWindow, code: str):
    here.window(window)
    async with here.running():
        await here.accept(here.asked("waits"), here.asked("hi", hold=False))
        result = await here.result("c2")
        assert (result.status, result.code) == (Status.FAILED, code)
        assert result.message.endswith(": write to the bot in WeChat again"), "a notice needs no more words"
        assert await here.unsettled() == ["c1"]


async def test_a_held_command_survives_a_restart_and_is_announced_once(here: Windowed):
    async with here.running():
        await here.accept(here.asked("hi"))
        await here.held(1)
    here.window(OPEN)
    async with here.running():
        assert (await here.result("c1")).status is Status.SENT
    assert len(await here.held(1)) == 1


async def test_a_refusal_for_the_window_is_no_attempt_and_waits(here: Windowed):
    here.window(OPEN)
    here.wire.outcomes.append(lambda _: here.refuse(USED, "quota_used"))
    async with here.running():
        await here.accept(here.asked("hi"))
        (event,) = await here.held(1)
        assert event["why"] == "quota_used"
        here.writes()
        result = await here.result("c1")
    assert (result.status, result.duplicate_possible) == (Status.SENT, False)
    assert len(here.wire.drafts) == 2


async def test_the_window_of_one_shuts_nobody_else_out(here: Windowed):
    async with here.running():
        await here.accept(here.asked("hi"), here.command("mom", accepted=now_ms()))
        assert (await here.result("c2")).status is Status.SENT
        assert await here.unsettled() == ["c1"]


async def test_after_a_pause_that_wechat_wants_it_goes_on_by_itself(here: Windowed):
    here.window(ReplyWindow(open=False, reason="rate_limited", until=now_ms() + 200))
    async with here.running():
        await here.accept(here.asked("hi"))
        await here.held(1)
        here.window(OPEN)  # nobody says so
        assert (await here.result("c1")).status is Status.SENT


# the order


async def test_alarms_go_first_and_equals_in_the_order_of_acceptance(here: Windowed):
    asked = [("a", "low"), ("b", "normal"), ("c", "high"), ("d", "low"), ("e", "high"), ("f", "normal")]
    async with here.running():
        await here.accept(*(here.asked(text, priority=priority) for text, priority in asked))
        await here.held(6)
        here.writes()
        assert await here.sends(6) == ["c", "e", "b", "f", "a", "d"]


async def test_the_order_is_the_same_after_a_restart(here: Windowed):
    async with here.running(online=False):
        await here.accept(*(here.asked(p, priority=p) for p in ("low", "normal", "high")))
    here.window(OPEN)
    async with here.running():
        assert await here.sends(3) == ["high", "normal", "low"]


async def test_what_is_in_doubt_is_brought_to_its_end_before_an_alarm(here: Windowed):
    here.window(OPEN)
    here.wire.outcomes.append(OutcomeUnknown())
    here.wire.gate.clear()
    async with here.running():
        await here.accept(here.asked("first"))
        await here.sends(1)
        await here.accept(here.asked("alarm", priority="high"))
        here.wire.gate.set()
        assert await here.sends(3) == ["first", "first", "alarm"]


async def test_an_alarm_that_comes_while_others_wait_goes_before_them(here: Windowed):
    async with here.running():
        await here.accept(*(here.asked(f"{n}") for n in range(60)))
        await here.held(60)
        await here.accept(here.asked("alarm", priority="high"))
        await here.held(61)
        here.writes()
        assert (await here.sends(2))[0] == "alarm"


async def test_as_many_go_out_as_wechat_takes_and_the_rest_waits_on(here: Windowed):
    taken = 0

    def take(_: object) -> None:
        nonlocal taken
        taken += 1
        if taken == 2:
            here.window(USED)

    here.wire.outcomes += [take] * 3
    async with here.running():
        await here.accept(*(here.asked(f"{n}") for n in range(5)))
        await here.held(5)
        here.writes()
        await here.result("c2")
        assert await here.sends(2) == ["0", "1"]
        assert await here.unsettled() == ["c3", "c4", "c5"]
        here.writes()
        await here.result("c5")


# too many


async def test_above_the_limit_the_oldest_of_the_least_important_give_way(here: Windowed):
    here.hold = Hold(max=3)
    priorities = ("low", "high", "normal", "low", "high", "normal", "high")
    async with here.running():
        for priority in priorities:
            await here.accept(here.asked(priority=priority))
        displaced = [await here.result(f"c{n}") for n in (1, 3, 4, 6)]
        assert {(one.status, one.code) for one in displaced} == {(Status.EXPIRED, "displaced")}
        assert await here.unsettled() == ["c2", "c5", "c7"]


def _row(number: int, priority: str) -> CommandRow:
    row = row_of(number, "wife", "x", person=PersonId(1), priority=priority)
    return replace(row, window_reason="too_long_ago")


@given(st.lists(st.sampled_from(["high", "normal", "low"]), max_size=30), st.integers(0, 10))
def test_whatever_comes_nothing_gives_way_to_what_is_less_important_or_older(
    priorities: Sequence[str], most: int
):
    lane = ChatQueue(PersonId(1))
    for number, priority in enumerate(priorities, 1):
        lane.append(_row(number, priority))
    absent: Any = None
    ctx = context(settings=settings(hold=Hold(max=most)))
    holding = WindowWait(ctx, absent, WaitingCommands(absent), absent)
    ranks = ("high", "normal", "low")
    while (gone := holding.find_excess(lane)) is not None:
        lane.remove(gone.id)
        for kept in lane.waiting:
            assert ranks.index(kept.command.priority) <= ranks.index(gone.command.priority)
            assert kept.command.priority != gone.command.priority or kept.id > gone.id
    assert len(lane.rows) == min(most, len(priorities))
    assert Counter(row.command.priority for row in lane.waiting)["high"] == min(
        most, priorities.count("high")
    )


async def test_a_command_that_comes_does_not_make_all_that_wait_be_looked_at(
    here: Windowed, monkeypatch: pytest.MonkeyPatch
):
    looks: list[int] = []
    result_if_expired = NextStepPolicy.result_if_expired

    def counted(self: NextStepPolicy, queue: ChatQueue, row: CommandRow) -> Any:
        looks.append(row.id)
        return result_if_expired(self, queue, row)

    monkeypatch.setattr(NextStepPolicy, "result_if_expired", counted)
    async with here.running(online=False) as sender:
        for _ in range(60):
            await here.accept(here.asked())
        await here.accept(replace(here.asked(), expires=now_ms()))
        await here.result("c61")
        sender.recheck()
    assert {*looks} == {61}, "only the one that may have ended"


# long texts

LONG = "The bell rang. Somebody came. They left a parcel."
PARTS = split_text(LONG, 20)


async def test_a_long_text_goes_out_in_parts_with_one_result(here: Windowed):
    here.window(OPEN)
    async with here.running():
        await here.accept(here.asked(LONG))
        result = await here.result("c1")
    assert [draft.text for draft in here.wire.drafts] == list(PARTS)
    assert (result.status, result.message_id) == (Status.SENT, "sent-3")
    assert (result.parts, result.parts_sent) == (3, 3)
    assert "it went out as 3 messages, each of which counts in the window" in result.message
    (row,) = await here.journal.commands.list_newest()
    assert here.wire.keys == [f"{row.key}{n:02d}" for n in (1, 2, 3)]
    answered = [await here.journal.history.quoted_message(f"sent-{n}") for n in (1, 2, 3)]
    assert [one and one.command_id for one in answered] == ["c1"] * 3


async def test_a_short_text_says_nothing_of_parts(here: Windowed):
    here.window(OPEN)
    async with here.running():
        await here.accept(here.asked("short"))
        result = await here.result("c1")
    assert (result.parts, result.parts_sent) == (None, None)
    assert "messages" not in result.message


async def test_a_crash_between_two_parts_goes_on_with_the_next(here: Windowed):
    here.window(OPEN)
    here.wire.outcomes += [None, lambda _: here.window(USED)]
    async with here.running():
        await here.accept(here.asked(LONG))
        await here.held(1)
    here.window(OPEN)
    async with here.running():
        result = await here.result("c1")
    assert [draft.text for draft in here.wire.drafts] == list(PARTS)
    assert (result.parts_sent, result.duplicate_possible) == (3, False)


async def test_a_crash_within_a_part_repeats_that_part_under_its_key(here: Windowed):
    here.window(OPEN)
    here.wire.outcomes += [None, None]
    async with here.running():
        await here.accept(here.asked(LONG))
        await here.sends(1)
        here.wire.gate.clear()
        await here.sends(2)
    here.wire.gate.set()
    async with here.running():
        result = await here.result("c1")
    assert (result.status, result.parts_sent) == (Status.SENT, 3)
    sent = list(dict.fromkeys(zip(here.wire.keys, (draft.text for draft in here.wire.drafts), strict=True)))
    assert [text for _, text in sent] == list(PARTS)


@pytest.mark.parametrize(
    ("outcomes", "status", "code", "sent"),
    [
        ([None, Rejected("no")], Status.FAILED, "refused_by_wechat", 1),
        ([None, OutcomeUnknown(), OutcomeUnknown()], Status.UNCERTAIN, "no_answer", 1),
        ([OutcomeUnknown(), OutcomeUnknown()], Status.UNCERTAIN, "no_answer", 0),
        ([Rejected("no")], Status.FAILED, "refused_by_wechat", 0),
    ],
)
async def test_not_all_parts_is_failed_or_uncertain(
    here: Windowed, outcomes: list[Any], status: Status, code: str, sent: int
):
    here.window(OPEN)
    here.wire.outcomes += outcomes
    async with here.running():
        await here.accept(here.asked(LONG))
        result = await here.result("c1")
    assert (result.status, result.code, result.parts, result.parts_sent) == (status, code, 3, sent)


async def test_a_text_whose_last_parts_expire_has_failed(here: Windowed, pass_time: PassTime):
    here.window(OPEN)
    here.hold = Hold(ttl=600.0)
    here.wire.outcomes += [lambda _: here.window(USED)]
    async with here.running() as sender:
        await here.accept(here.asked(LONG))
        await here.held(1)
        await here.waits()
        pass_time(601)
        sender.recheck()
        result = await here.result("c1")
    assert (result.status, result.code, result.parts_sent) == (Status.FAILED, "quota_used", 1)


async def test_a_doubt_about_one_part_is_over_when_the_next_one_begins(here: Windowed):
    here.window(OPEN)
    here.wire.outcomes += [OutcomeUnknown(), None, OutcomeUnknown(), Unreachable()]
    async with here.running():
        await here.accept(here.asked(LONG))
        result = await here.result("c1")
    assert (result.status, result.parts_sent, result.duplicate_possible) == (Status.SENT, 3, True)


async def test_no_alarm_comes_between_the_parts_of_a_text(here: Windowed):
    here.window(OPEN)
    here.wire.gate.clear()
    async with here.running():
        await here.accept(here.asked(LONG))
        await here.sends(1)
        await here.accept(here.asked("alarm", priority="high"))
        here.wire.gate.set()
        assert await here.sends(4) == [*PARTS, "alarm"]


# messages that nobody may see


async def test_three_messages_without_a_number_in_a_row_look_as_if_nobody_saw_them(here: Windowed):
    here.window(OPEN)
    here.wire.receipts += [Receipt(message_id="")] * 3
    async with here.running() as sender:
        await here.accept(*(here.asked(f"{n}") for n in range(3)))
        assert (await here.result("c3")).code == "unconfirmed"
        assert len(here.wire.drafts) == 3, "never tried again"
        assert sender.attempts.is_muted
    async with here.running() as sender:
        await here.accept(here.asked("more"))
        await here.result("c4")
        assert not sender.attempts.is_muted


async def test_that_is_known_after_a_restart(here: Windowed):
    here.window(OPEN)
    here.wire.receipts += [Receipt(message_id="")] * 3
    async with here.running():
        await here.accept(*(here.asked(f"{n}") for n in range(3)))
        await here.result("c3")
    async with here.running(online=False) as sender:
        with contextlib.suppress(TimeoutError):
            await here.until(lambda: sender.attempts.is_muted)
        assert sender.attempts.is_muted
