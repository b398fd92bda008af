"""Commands that wait for a reply window: one event for each, the most important first, and they expire."""

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
from tests.unit.bridge.sender_harness import SenderHarness, open_sender_harness
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

CLOSED_WINDOW = ReplyWindow(open=False, remaining=0, reason="too_long_ago")
USED_WINDOW = ReplyWindow(open=False, remaining=0, reason="quota_used")
OPEN_WINDOW = ReplyWindow(open=True, remaining=10)
HOUR = 3_600_000


class WindowSenderHarness(SenderHarness):
    """A sender whose chat with wife has a reply window, closed at first, and texts of 20 characters at most."""

    def __init__(self, plain_harness: SenderHarness) -> None:
        self.__dict__.update(plain_harness.__dict__)
        self.backend.capabilities = replace(
            self.backend.capabilities, has_reply_window=True, part_limit=20, text_limit=10**6
        )
        self.set_window(CLOSED_WINDOW)

    def set_window(self, window: ReplyWindow) -> None:
        """Sets the reply window that the backend reports for wife."""
        self.backend.windows[self.address_book.handle("wife")] = window

    def receive_message(self) -> None:
        """Receives a message from wife, which opens the reply window."""
        self.set_window(OPEN_WINDOW)
        self.sender.recheck()

    def command_to_wife(self, text: str = "", **more: Any) -> Any:
        """Returns a new command to wife; `more` are fields of `Command`."""
        new = self.command("wife", text, accepted=now_ms())
        return replace(new, command=replace(new.command, **more))

    async def wait_for_held_events(self, count: int) -> list[dict[str, Any]]:
        """Returns the events `held`, once there are at least `count`."""
        return await self.events("held", count)

    async def wait_until_held(self) -> None:
        """Waits until the sender knows that a command is held; the journal knows it a moment earlier."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while not self.sender.window_wait.count:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0)


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[WindowSenderHarness]:
    async with open_sender_harness(tmp_path, "wife", "mom") as plain_harness:
        yield WindowSenderHarness(plain_harness)


# closed windows


async def test_outside_of_the_window_a_command_waits_and_is_sent_when_the_person_writes(
    harness: WindowSenderHarness,
):
    async with harness.running():
        await harness.accept(harness.command_to_wife("hi"))
        await harness.wait_for_held_events(1)
        assert not harness.backend.drafts
        harness.receive_message()
        result = await harness.result("c1")
    assert (result.status, result.code) == (Status.SENT, "ok")


async def test_a_command_that_waits_says_so_once_and_what_the_person_must_do(harness: WindowSenderHarness):
    async with harness.running() as sender:
        new = harness.command_to_wife("hi")
        await harness.accept(new)
        (event,) = await harness.wait_for_held_events(1)
        sender.recheck()
        harness.set_window(USED_WINDOW)
        sender.recheck()
    async with harness.running():
        await harness.accept(harness.command_to_wife("later"))
        events = await harness.wait_for_held_events(2)
    assert [event["command_id"] for event in events] == ["c1", "c2"]
    assert (event["event"], event["user"], event["why"]) == ("held", "wife", "too_long_ago")
    assert "'wife'" in event["hint"]
    assert event["until"].endswith("Z")


async def test_a_held_command_waits_for_the_ttl_of_held_commands_and_not_only_for_that_of_others(
    harness: WindowSenderHarness,
):
    harness.hold = Hold(ttl=7200.0)
    async with harness.running():
        new = harness.command_to_wife("hi")
        await harness.accept(new)
        await harness.wait_for_held_events(1)
        row = await harness.journal.commands.get("c1")
    assert row is not None
    assert row.expires == new.accepted + 2 * HOUR
    assert row.window_reason == "too_long_ago"


async def test_a_ttl_of_its_own_counts_more_than_that_of_held_commands(harness: WindowSenderHarness):
    async with harness.running():
        new = harness.command_to_wife("hi", ttl=0.2)
        await harness.accept(replace(new, expires=new.accepted + 200))
        result = await harness.result("c1")
    assert (result.status, result.code) == (Status.EXPIRED, "window_closed")
    assert not harness.backend.drafts


@pytest.mark.parametrize(
    ("window", "code"),
    [
        (ReplyWindow(open=False, reason="never_wrote"), "window_closed"),
        (ReplyWindow(open=False, reason="new_binding"), "window_closed"),
        (CLOSED_WINDOW, "window_closed"),
        (USED_WINDOW, "quota_used"),
        (ReplyWindow(open=False, reason="rate_limited", until=now_ms() + HOUR), "rate_limited"),
    ],
)
async def test_what_ends_unsent_says_what_kept_it(
    harness: WindowSenderHarness, window: ReplyWindow, code: str
):
    harness.set_window(window)
    harness.hold = Hold(ttl=0.1)
    async with harness.running():
        await harness.accept(harness.command_to_wife("hi"))
        result = await harness.result("c1")
    assert (result.status, result.code) == (Status.EXPIRED, code)


async def test_what_waits_while_nobody_is_logged_in_says_that(
    harness: WindowSenderHarness, pass_time: PassTime
):
    harness.hold = Hold(ttl=600.0)
    async with harness.running() as sender:
        await harness.accept(harness.command_to_wife("hi"))
        await harness.wait_for_held_events(1)
        sender.set_online(online=False)
        await harness.wait_until_held()
        pass_time(601)
        sender.recheck()
        assert (await harness.result("c1")).code == "logged_out"


@pytest.mark.parametrize(("window", "code"), [(CLOSED_WINDOW, "window_closed"), (USED_WINDOW, "quota_used")])
async def test_a_command_that_must_not_be_held_fails_at_once(
    harness: WindowSenderHarness, window: ReplyWindow, code: str
):
    harness.set_window(window)
    async with harness.running():
        await harness.accept(harness.command_to_wife("waits"), harness.command_to_wife("hi", hold=False))
        result = await harness.result("c2")
        assert (result.status, result.code) == (Status.FAILED, code)
        assert result.message.endswith(": write to the bot in WeChat again"), "a notice needs no more words"
        assert await harness.waiting_ids() == ["c1"]


async def test_a_held_command_survives_a_restart_and_is_announced_once(harness: WindowSenderHarness):
    async with harness.running():
        await harness.accept(harness.command_to_wife("hi"))
        await harness.wait_for_held_events(1)
    harness.set_window(OPEN_WINDOW)
    async with harness.running():
        assert (await harness.result("c1")).status is Status.SENT
    assert len(await harness.wait_for_held_events(1)) == 1


async def test_a_refusal_for_the_window_is_no_attempt_and_waits(harness: WindowSenderHarness):
    harness.set_window(OPEN_WINDOW)
    harness.backend.outcomes.append(lambda _: harness.close_window(USED_WINDOW, "quota_used"))
    async with harness.running():
        await harness.accept(harness.command_to_wife("hi"))
        (event,) = await harness.wait_for_held_events(1)
        assert event["why"] == "quota_used"
        harness.receive_message()
        result = await harness.result("c1")
    assert (result.status, result.duplicate_possible) == (Status.SENT, False)
    assert len(harness.backend.drafts) == 2


async def test_the_closed_window_of_one_chat_delays_no_other_chat(harness: WindowSenderHarness):
    async with harness.running():
        await harness.accept(harness.command_to_wife("hi"), harness.command("mom", accepted=now_ms()))
        assert (await harness.result("c2")).status is Status.SENT
        assert await harness.waiting_ids() == ["c1"]


async def test_after_a_pause_that_wechat_wants_it_goes_on_by_itself(harness: WindowSenderHarness):
    harness.set_window(ReplyWindow(open=False, reason="rate_limited", until=now_ms() + 200))
    async with harness.running():
        await harness.accept(harness.command_to_wife("hi"))
        await harness.wait_for_held_events(1)
        harness.set_window(OPEN_WINDOW)  # nobody says so
        assert (await harness.result("c1")).status is Status.SENT


# the order


async def test_alarms_go_first_and_equals_in_the_order_of_acceptance(harness: WindowSenderHarness):
    asked = [("a", "low"), ("b", "normal"), ("c", "high"), ("d", "low"), ("e", "high"), ("f", "normal")]
    async with harness.running():
        await harness.accept(*(harness.command_to_wife(text, priority=priority) for text, priority in asked))
        await harness.wait_for_held_events(6)
        harness.receive_message()
        assert await harness.wait_for_sends(6) == ["c", "e", "b", "f", "a", "d"]


async def test_the_order_is_the_same_after_a_restart(harness: WindowSenderHarness):
    async with harness.running(online=False):
        await harness.accept(*(harness.command_to_wife(p, priority=p) for p in ("low", "normal", "high")))
    harness.set_window(OPEN_WINDOW)
    async with harness.running():
        assert await harness.wait_for_sends(3) == ["high", "normal", "low"]


async def test_what_is_in_doubt_is_brought_to_its_end_before_an_alarm(harness: WindowSenderHarness):
    harness.set_window(OPEN_WINDOW)
    harness.backend.outcomes.append(OutcomeUnknown())
    harness.backend.gate.clear()
    async with harness.running():
        await harness.accept(harness.command_to_wife("first"))
        await harness.wait_for_sends(1)
        await harness.accept(harness.command_to_wife("alarm", priority="high"))
        harness.backend.gate.set()
        assert await harness.wait_for_sends(3) == ["first", "first", "alarm"]


async def test_an_alarm_that_comes_while_others_wait_goes_before_them(harness: WindowSenderHarness):
    async with harness.running():
        await harness.accept(*(harness.command_to_wife(f"{n}") for n in range(60)))
        await harness.wait_for_held_events(60)
        await harness.accept(harness.command_to_wife("alarm", priority="high"))
        await harness.wait_for_held_events(61)
        harness.receive_message()
        assert (await harness.wait_for_sends(2))[0] == "alarm"


async def test_as_many_go_out_as_wechat_takes_and_the_rest_waits_on(harness: WindowSenderHarness):
    taken = 0

    def take(_: object) -> None:
        nonlocal taken
        taken += 1
        if taken == 2:
            harness.set_window(USED_WINDOW)

    harness.backend.outcomes += [take] * 3
    async with harness.running():
        await harness.accept(*(harness.command_to_wife(f"{n}") for n in range(5)))
        await harness.wait_for_held_events(5)
        harness.receive_message()
        await harness.result("c2")
        assert await harness.wait_for_sends(2) == ["0", "1"]
        assert await harness.waiting_ids() == ["c3", "c4", "c5"]
        harness.receive_message()
        await harness.result("c5")


# more held commands than the limit


async def test_above_the_limit_the_oldest_of_the_least_important_held_commands_are_given_up(
    harness: WindowSenderHarness,
):
    harness.hold = Hold(max=3)
    priorities = ("low", "high", "normal", "low", "high", "normal", "high")
    async with harness.running():
        for priority in priorities:
            await harness.accept(harness.command_to_wife(priority=priority))
        displaced = [await harness.result(f"c{n}") for n in (1, 3, 4, 6)]
        assert {(result.status, result.code) for result in displaced} == {(Status.EXPIRED, "displaced")}
        assert await harness.waiting_ids() == ["c2", "c5", "c7"]


def _row(number: int, priority: str) -> CommandRow:
    row = row_of(number, "wife", "x", person=PersonId(1), priority=priority)
    return replace(row, window_reason="too_long_ago")


@given(st.lists(st.sampled_from(["high", "normal", "low"]), max_size=30), st.integers(0, 10))
def test_no_held_command_is_given_up_for_one_that_is_less_important_or_older(
    priorities: Sequence[str], most: int
):
    queue = ChatQueue(PersonId(1))
    for number, priority in enumerate(priorities, 1):
        queue.append(_row(number, priority))
    absent: Any = None
    ctx = context(settings=settings(hold=Hold(max=most)))
    window_wait = WindowWait(ctx, absent, WaitingCommands(absent), absent)
    ranks = ("high", "normal", "low")
    while (gone := window_wait.find_excess(queue)) is not None:
        queue.remove(gone.id)
        for kept in queue.waiting.rows:
            assert ranks.index(kept.command.priority) <= ranks.index(gone.command.priority)
            assert kept.command.priority != gone.command.priority or kept.id > gone.id
    assert len(queue.rows) == min(most, len(priorities))
    assert Counter(row.command.priority for row in queue.waiting.rows)["high"] == min(
        most, priorities.count("high")
    )


async def test_a_command_that_comes_does_not_make_all_that_wait_be_looked_at(
    harness: WindowSenderHarness, monkeypatch: pytest.MonkeyPatch
):
    looked_at: list[int] = []
    result_if_expired = NextStepPolicy.result_if_expired

    def counted(self: NextStepPolicy, queue: ChatQueue, row: CommandRow) -> Any:
        looked_at.append(row.id)
        return result_if_expired(self, queue, row)

    monkeypatch.setattr(NextStepPolicy, "result_if_expired", counted)
    async with harness.running(online=False) as sender:
        for _ in range(60):
            await harness.accept(harness.command_to_wife())
        await harness.accept(replace(harness.command_to_wife(), expires=now_ms()))
        await harness.result("c61")
        sender.recheck()
    assert {*looked_at} == {61}, "only the one that may have ended"


# long texts

LONG_TEXT = "The bell rang. Somebody came. They left a parcel."
PARTS = split_text(LONG_TEXT, 20)


async def test_a_long_text_goes_out_in_parts_with_one_result(harness: WindowSenderHarness):
    harness.set_window(OPEN_WINDOW)
    async with harness.running():
        await harness.accept(harness.command_to_wife(LONG_TEXT))
        result = await harness.result("c1")
    assert [draft.text for draft in harness.backend.drafts] == list(PARTS)
    assert (result.status, result.message_id) == (Status.SENT, "sent-3")
    assert (result.parts, result.parts_sent) == (3, 3)
    assert "it went out as 3 messages, each of which counts in the window" in result.message
    (row,) = await harness.journal.commands.list_newest()
    assert harness.backend.keys == [f"{row.key}{n:02d}" for n in (1, 2, 3)]
    answered = [await harness.journal.history.quoted_message(f"sent-{n}") for n in (1, 2, 3)]
    assert [quoted and quoted.command_id for quoted in answered] == ["c1"] * 3


async def test_a_short_text_says_nothing_of_parts(harness: WindowSenderHarness):
    harness.set_window(OPEN_WINDOW)
    async with harness.running():
        await harness.accept(harness.command_to_wife("short"))
        result = await harness.result("c1")
    assert (result.parts, result.parts_sent) == (None, None)
    assert "messages" not in result.message


async def test_a_crash_between_two_parts_goes_on_with_the_next(harness: WindowSenderHarness):
    harness.set_window(OPEN_WINDOW)
    harness.backend.outcomes += [None, lambda _: harness.set_window(USED_WINDOW)]
    async with harness.running():
        await harness.accept(harness.command_to_wife(LONG_TEXT))
        await harness.wait_for_held_events(1)
    harness.set_window(OPEN_WINDOW)
    async with harness.running():
        result = await harness.result("c1")
    assert [draft.text for draft in harness.backend.drafts] == list(PARTS)
    assert (result.parts_sent, result.duplicate_possible) == (3, False)


async def test_a_crash_within_a_part_repeats_that_part_under_its_key(harness: WindowSenderHarness):
    harness.set_window(OPEN_WINDOW)
    harness.backend.outcomes += [None, None]
    async with harness.running():
        await harness.accept(harness.command_to_wife(LONG_TEXT))
        await harness.wait_for_sends(1)
        harness.backend.gate.clear()
        await harness.wait_for_sends(2)
    harness.backend.gate.set()
    async with harness.running():
        result = await harness.result("c1")
    assert (result.status, result.parts_sent) == (Status.SENT, 3)
    sent = list(
        dict.fromkeys(
            zip(harness.backend.keys, (draft.text for draft in harness.backend.drafts), strict=True)
        )
    )
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
    harness: WindowSenderHarness, outcomes: list[Any], status: Status, code: str, sent: int
):
    harness.set_window(OPEN_WINDOW)
    harness.backend.outcomes += outcomes
    async with harness.running():
        await harness.accept(harness.command_to_wife(LONG_TEXT))
        result = await harness.result("c1")
    assert (result.status, result.code, result.parts, result.parts_sent) == (status, code, 3, sent)


async def test_a_text_whose_last_parts_expire_has_failed(harness: WindowSenderHarness, pass_time: PassTime):
    harness.set_window(OPEN_WINDOW)
    harness.hold = Hold(ttl=600.0)
    harness.backend.outcomes += [lambda _: harness.set_window(USED_WINDOW)]
    async with harness.running() as sender:
        await harness.accept(harness.command_to_wife(LONG_TEXT))
        await harness.wait_for_held_events(1)
        await harness.wait_until_held()
        pass_time(601)
        sender.recheck()
        result = await harness.result("c1")
    assert (result.status, result.code, result.parts_sent) == (Status.FAILED, "quota_used", 1)


async def test_a_doubt_about_one_part_is_over_when_the_next_one_begins(harness: WindowSenderHarness):
    harness.set_window(OPEN_WINDOW)
    harness.backend.outcomes += [OutcomeUnknown(), None, OutcomeUnknown(), Unreachable()]
    async with harness.running():
        await harness.accept(harness.command_to_wife(LONG_TEXT))
        result = await harness.result("c1")
    assert (result.status, result.parts_sent, result.duplicate_possible) == (Status.SENT, 3, True)


async def test_no_alarm_comes_between_the_parts_of_a_text(harness: WindowSenderHarness):
    harness.set_window(OPEN_WINDOW)
    harness.backend.gate.clear()
    async with harness.running():
        await harness.accept(harness.command_to_wife(LONG_TEXT))
        await harness.wait_for_sends(1)
        await harness.accept(harness.command_to_wife("alarm", priority="high"))
        harness.backend.gate.set()
        assert await harness.wait_for_sends(4) == [*PARTS, "alarm"]


# messages that nobody may see


async def test_three_messages_without_a_number_in_a_row_look_as_if_nobody_saw_them(
    harness: WindowSenderHarness,
):
    harness.set_window(OPEN_WINDOW)
    harness.backend.receipts += [Receipt(message_id="")] * 3
    async with harness.running() as sender:
        await harness.accept(*(harness.command_to_wife(f"{n}") for n in range(3)))
        assert (await harness.result("c3")).code == "unconfirmed"
        assert len(harness.backend.drafts) == 3, "never tried again"
        assert sender.attempts.is_muted
    async with harness.running() as sender:
        await harness.accept(harness.command_to_wife("more"))
        await harness.result("c4")
        assert not sender.attempts.is_muted


async def test_that_recipients_may_see_no_messages_is_known_after_a_restart(harness: WindowSenderHarness):
    harness.set_window(OPEN_WINDOW)
    harness.backend.receipts += [Receipt(message_id="")] * 3
    async with harness.running():
        await harness.accept(*(harness.command_to_wife(f"{n}") for n in range(3)))
        await harness.result("c3")
    async with harness.running(online=False) as sender:
        with contextlib.suppress(TimeoutError):
            await harness.wait_until(lambda: sender.attempts.is_muted)
        assert sender.attempts.is_muted
