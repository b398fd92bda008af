"""Texts that share a message, and the messages that are kept, by iLink's own window with a turned clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.bridge.conftest import PassTime
from tests.unit.bridge.sender_support import ILinkSenderHarness, sender_harness
from wx2mqtt.bridge.commands.chat_queue import ChatQueue
from wx2mqtt.bridge.commands.own_texts import OwnText, own_text
from wx2mqtt.clock import boot_time, now_ms
from wx2mqtt.errors import BadCommand, LoggedOut, OutcomeUnknown, Rejected, Unreachable, WindowClosed
from wx2mqtt.model import Draft, Receipt, Remark, Result, Status, is_own_text
from wx2mqtt.settings.schema import Hold, ILink
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.wechat.ilink.protocol.reply_window import QUOTA_USED, WINDOW_OPEN_MS, ChatWindow


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[ILinkSenderHarness]:
    async with sender_harness(tmp_path, "wife", "mom") as made:
        yield ILinkSenderHarness(made)


def numbered(count: int) -> tuple[str, ...]:
    return tuple(f"text {number}" for number in range(1, count + 1))


def outcome(result: Result) -> tuple[Status, int | None, bool]:
    return result.status, result.bundled, result.duplicate_possible


# the last message


async def test_while_plenty_is_left_nothing_is_bundled(here: ILinkSenderHarness):
    here.leave(10)
    async with here.running():
        await here.accept_together(*numbered(9))
        assert await here.sends(9) == [*numbered(9)]
        results = await here.results(*(f"c{number}" for number in range(1, 10)))
    assert {outcome(result) for result in results} == {(Status.SENT, None, False)}


async def test_the_last_message_carries_what_more_waits_in_order_a_paragraph_each(here: ILinkSenderHarness):
    here.ilink = ILink(reserve=0)
    here.leave(2)
    async with here.running():
        await here.accept_together(*numbered(4))
        results = await here.results("c1", "c2", "c3", "c4")
    assert [draft.text for draft in here.wire.drafts] == ["text 1", "text 2\n\ntext 3\n\ntext 4"]
    assert [outcome(result) for result in results] == [(Status.SENT, None, False)] + [
        (Status.SENT, 3, False)
    ] * 3
    assert [result.message_id for result in results] == ["sent-1", "sent-2", "sent-2", "sent-2"]
    assert {result.id for result in results} == {"c1", "c2", "c3", "c4"}


async def test_no_attempt_at_the_last_message_begins_before_it_is_known_what_shares_it(
    here: ILinkSenderHarness,
):
    here.leave(2)
    async with here.running():
        await here.accept(here.command("mom", accepted=now_ms()))
        await here.result("c1")  # so all that waits is in memory
        await here.acceptance.accept([here.asked("a"), here.asked("b")])
        await here.results("c2", "c3")
    assert [draft.text for draft in here.wire.drafts] == ["c1", "a\n\nb"]


async def test_a_single_text_in_the_last_message_is_not_changed(here: ILinkSenderHarness):
    here.ilink = ILink(reserve=0)
    here.leave(1)
    async with here.running():
        await here.accept_together("alone")
        (result,) = await here.results("c1")
    assert (here.wire.drafts[0].text, result.bundled) == ("alone", None)


async def test_the_reserve_makes_the_last_message_but_one_the_last_for_what_is_ordinary(
    here: ILinkSenderHarness,
):
    here.leave(2)
    async with here.running():
        await here.accept_together(*numbered(3))
        await here.results("c1", "c2", "c3")
    assert [draft.text for draft in here.wire.drafts] == ["text 1\n\ntext 2\n\ntext 3"]
    assert here.chat.reply_window(here.now).remaining == 1


async def test_without_bundling_each_text_is_a_message(here: ILinkSenderHarness):
    here.ilink = ILink(bundle=False, reserve=0)
    here.leave(2)
    async with here.running():
        await here.accept_together(*numbered(3))
        await here.results("c1", "c2")
        await here.wait_until_held(1)
    assert [draft.text for draft in here.wire.drafts] == ["text 1", "text 2"]


async def test_in_a_bundle_too_the_more_important_comes_first_and_then_the_older(here: ILinkSenderHarness):
    here.ilink = ILink(reserve=0)
    here.leave(1)
    priorities = [("a", "low"), ("b", "normal"), ("c", "low"), ("d", "normal")]
    async with here.running():
        await here.accept(*(here.asked(text, priority=priority) for text, priority in priorities))
        assert await here.sends(1) == ["b\n\nd\n\na\n\nc"]


@pytest.mark.parametrize(
    ("important", "reserve"), [({"priority": "high"}, 0), ({"priority": "high"}, 1), ({"urgent": True}, 1)]
)
async def test_what_is_important_goes_alone_if_it_can(
    here: ILinkSenderHarness, important: dict[str, Any], reserve: int
):
    here.ilink = ILink(reserve=reserve)
    here.leave(1)
    async with here.running():
        await here.accept(here.asked("a"), here.asked("b"), here.asked("alarm", **important))
        await here.result("c3")
        await here.wait_until_held(2)
    assert [draft.text for draft in here.wire.drafts] == ["alarm"]


async def test_two_alarms_share_the_last_message_and_what_fits_goes_with_them(here: ILinkSenderHarness):
    here.leave(1)
    async with here.running():
        await here.accept(
            here.asked("a"), here.asked("alarm 1", priority="high"), here.asked("alarm 2", urgent=True)
        )
        results = await here.results("c1", "c2", "c3")
    assert [draft.text for draft in here.wire.drafts] == ["alarm 1\n\nalarm 2\n\na"]
    assert {result.bundled for result in results} == {3}


async def test_in_the_reserve_the_alarms_come_before_what_rides_along(here: ILinkSenderHarness):
    here.leave(1)
    async with here.running():
        await here.accept(
            here.asked("a" * 1900),
            here.asked("alarm 1", urgent=True),
            here.asked("alarm 2" * 20, urgent=True),
            here.asked("b"),
        )
        await here.results("c2", "c3")
        await here.wait_until_held(2)
    assert [draft.text for draft in here.wire.drafts] == [f"alarm 1\n\n{'alarm 2' * 20}"]


async def test_many_urgent_texts_that_wait_for_the_reserve_are_a_digest_of_it(here: ILinkSenderHarness):
    here.ilink = ILink(reserve=9)
    async with here.running():
        await here.hold_texts("a" * 1990, "b" * 1990)
        await here.accept(*(here.asked(text, urgent=True) for text in numbered(6)))
        await here.wait_until_held(8)
        here.writes()
        await here.results("c1", "c3", "c8")
        await here.wait_until_held(1)
    assert [draft.text for draft in here.wire.drafts] == [
        "a" * 1990,
        "\n\n".join(["7 messages were waiting:", *numbered(6)]),
    ]


async def test_a_bundle_has_at_most_as_many_characters_as_a_message_and_nothing_overtakes(
    here: ILinkSenderHarness,
):
    here.ilink = ILink(reserve=0)
    here.leave(1)
    exact = "b" * (2000 - 500 - 2)
    async with here.running():
        await here.accept_together("a" * 500, exact, "c")
        await here.results("c1", "c2")
        await here.wait_until_held(1)
        assert len(here.wire.drafts[0].text) == 2000
    here.leave(1)
    async with here.running():
        await here.accept_together("d" * 1999, "e")
        assert (await here.result("c3")).bundled is None
        await here.wait_until_held(2)
    assert here.wire.drafts[1].text == "c"


async def test_a_text_of_several_messages_is_never_bundled(here: ILinkSenderHarness):
    here.ilink = ILink(reserve=0)
    here.leave(1)
    async with here.running():
        await here.accept_together("a", "b. " * 1000, "c")
        assert (await here.result("c1")).bundled is None
        await here.wait_until_held(2)
    assert [draft.text for draft in here.wire.drafts] == ["a"]


# the reserve


async def test_ordinary_commands_are_held_before_the_reserve_and_say_so(here: ILinkSenderHarness):
    here.leave(1)
    async with here.running():
        await here.accept_together("waits")
        (event,) = await here.events("held", 1)
        assert (event["why"], event["command_id"]) == ("reserved", "c1")
        assert "'wife'" in event["hint"]
        assert not here.wire.drafts
        await here.accept(here.asked("alarm", urgent=True))
        assert (await here.result("c2")).status is Status.SENT
        here.writes()
        assert (await here.result("c1")).status is Status.SENT


async def test_without_patience_the_reserve_answers_like_a_quota_that_is_used_up(here: ILinkSenderHarness):
    here.leave(1)
    async with here.running():
        await here.accept_together("now", hold=False)
        result = await here.result("c1")
    assert (result.status, result.code) == (Status.FAILED, "quota_used")


async def test_what_expires_before_the_reserve_says_what_kept_it(here: ILinkSenderHarness):
    here.leave(1)
    here.hold = Hold(ttl=0.1)
    async with here.running():
        await here.accept_together("waits")
        result = await here.result("c1")
    assert (result.status, result.code) == (Status.EXPIRED, "quota_used")


@pytest.mark.parametrize(("reserve", "sent"), [(0, 10), (1, 9), (9, 1)])
async def test_so_many_of_the_ten_are_kept(here: ILinkSenderHarness, reserve: int, sent: int):
    here.ilink = ILink(bundle=False, reserve=reserve)
    here.leave(10)
    async with here.running():
        await here.accept_together(*numbered(12))
        await here.wait_until_held(12 - sent)
        assert len(here.wire.drafts) == sent
        await here.accept(*(here.asked("alarm", urgent=True, id=f"u{n}") for n in range(12)))
        await here.wait_until_held(12 - sent + 12 - reserve)
    assert len(here.wire.drafts) == 10
    assert here.chat.reply_window(here.now).reason == QUOTA_USED


async def test_an_alarm_overtakes_a_begun_text_that_must_not_touch_the_reserve(here: ILinkSenderHarness):
    here.leave(2)
    async with here.running():
        await here.accept_together("b. " * 1000)
        await here.sends(1)
        await here.wait_until_held(1)
        await here.accept(here.asked("alarm", priority="high"))
        assert (await here.result("c2")).status is Status.SENT
    assert [len(draft.text) > 100 for draft in here.wire.drafts] == [True, False]


async def test_a_text_of_the_bridge_itself_may_use_the_reserve_and_has_no_result_topic(
    here: ILinkSenderHarness,
):
    here.leave(1)
    person = here.address_book.identity.by_topic_name("wife")
    assert person is not None
    new = own_text(OwnText.DIGEST, "wife", person.id, "from the bridge", ttl=60.0)
    async with here.running():
        await here.accept(new)
        result = await here.result(new.command_id)
    assert result.status is Status.SENT
    assert new.command_id.startswith("wx2mqtt-digest-")
    assert not await here.journal.outbox.list_waiting(0, 100, ())


# the last second of the window


async def test_each_text_of_a_bundle_has_its_own_remarks(here: ILinkSenderHarness):
    here.ilink = ILink(reserve=0)
    here.leave(1)
    async with here.running():
        await here.accept(here.asked("a", remarks=(Remark.BAD_RESPONSE_TOPIC,)), here.asked("b"))
        results = await here.results("c1", "c2")
    assert {outcome(result) for result in results} == {(Status.SENT, 2, False)}
    assert [result.code for result in results] == ["bad_response_topic", "ok"]
    assert ["this topic only" in result.message for result in results] == [True, False]


async def test_in_the_last_second_of_the_window_the_bundle_goes_and_after_it_everything_waits(
    here: ILinkSenderHarness,
):
    here.leave(2)
    wrote = here.chat.last_wrote
    here.now = wrote + WINDOW_OPEN_MS - 1
    async with here.running():
        await here.accept_together("a", "b")
        assert {result.bundled for result in await here.results("c1", "c2")} == {2}
        here.now = wrote + WINDOW_OPEN_MS
        await here.accept_together("c", "d")
        await here.wait_until_held(2)
        assert {event["why"] for event in await here.events("held", 2)} == {"too_long_ago"}


# the digest


async def test_half_of_the_quota_comes_free_one_by_one(here: ILinkSenderHarness):
    async with here.running():
        await here.hold_texts(*numbered(5))
        here.writes()
        assert await here.sends(5) == [*numbered(5)]


async def test_more_than_half_of_the_quota_comes_free_as_one_digest_with_a_heading(here: ILinkSenderHarness):
    async with here.running():
        await here.hold_texts(*numbered(6))
        here.writes()
        results = await here.results(*(f"c{number}" for number in range(1, 7)))
        commands = await here.journal.commands.list_newest()
        published = await here.journal.outbox.list_waiting(0, 100, ())
    (draft,) = here.wire.drafts
    assert draft.text == "\n\n".join(["6 messages were waiting:", *numbered(6)])
    assert {outcome(result) for result in results} == {(Status.SENT, 6, False)}
    assert {result.message_id for result in results} == {"sent-1"}
    (heading,) = [row for row in commands if is_own_text(row.command_id)]
    assert heading.result is not None
    assert heading.result.status is Status.SENT
    assert here.wire.keys == [heading.key]
    assert heading.command_id.encode() not in b"".join(row.payload for row in published)


async def test_a_digest_of_several_messages_has_one_heading_and_leaves_no_rest(here: ILinkSenderHarness):
    texts = [str(number) * 400 for number in range(9)]  # four fit into a message
    async with here.running():
        await here.hold_texts(*texts)
        here.writes()
        results = await here.results(*(f"c{number}" for number in range(1, 10)))
    assert [draft.text.count("\n\n") for draft in here.wire.drafts] == [4, 3, 0]
    assert [result.bundled for result in results] == [4] * 8 + [None]
    assert sum("waiting" in draft.text for draft in here.wire.drafts) == 1


async def test_a_few_held_alarms_go_alone_before_the_digest(here: ILinkSenderHarness):
    async with here.running():
        await here.hold_texts(*numbered(6))
        await here.accept(*(here.asked(text, priority="high") for text in ("alarm 1", "alarm 2")))
        await here.wait_until_held(8)
        here.writes()
        await here.result("c6")
    assert [draft.text for draft in here.wire.drafts[:2]] == ["alarm 1", "alarm 2"]
    assert here.wire.drafts[2].text.startswith("6 messages were waiting:")


async def test_many_held_alarms_are_a_digest_with_what_else_waits_behind(here: ILinkSenderHarness):
    async with here.running():
        await here.hold_texts("ordinary")
        await here.accept(*(here.asked(text, priority="high") for text in numbered(6)))
        await here.wait_until_held(7)
        here.writes()
        await here.result("c1")
    assert [draft.text for draft in here.wire.drafts] == [
        "\n\n".join(["7 messages were waiting:", *numbered(6), "ordinary"])
    ]


# attempts without an answer


async def test_in_doubt_the_same_bundle_is_repeated_with_the_same_key(here: ILinkSenderHarness):
    here.leave(2)
    here.wire.outcomes.append(OutcomeUnknown())
    here.wire.gate.clear()
    async with here.running():
        await here.accept_together("a", "b")
        await here.sends(1)
        await here.accept_together("later")
        here.wire.gate.set()
        results = await here.results("c1", "c2")
        await here.wait_until_held(1)
    assert [draft.text for draft in here.wire.drafts] == ["a\n\nb"] * 2
    assert len(set(here.wire.keys)) == 1
    assert {outcome(result) for result in results} == {(Status.SENT, 2, True)}


async def test_two_attempts_without_an_answer_make_all_of_it_uncertain(here: ILinkSenderHarness):
    here.leave(2)
    here.wire.outcomes += [OutcomeUnknown(), OutcomeUnknown()]
    async with here.running():
        await here.accept_together("a", "b")
        results = await here.results("c1", "c2")
    assert {outcome(result) for result in results} == {(Status.UNCERTAIN, 2, True)}
    assert len(here.wire.drafts) == 2


async def test_a_bundle_that_a_crash_cut_off_is_repeated_as_it_was(here: ILinkSenderHarness):
    here.leave(2)
    here.wire.gate.clear()
    async with here.running():
        await here.accept_together("a", "b")
        await here.sends(1)
    here.wire.gate.set()
    await here.journal.commands.accept([here.asked("later")])
    here.now += 1
    here.chat = here.chat.with_message(here.now, "token")  # she wrote meanwhile: ten messages are left
    async with here.running():
        results = await here.results("c1", "c2", "c3")
    assert [draft.text for draft in here.wire.drafts] == ["a\n\nb", "a\n\nb", "later"]
    assert here.wire.keys[0] == here.wire.keys[1]
    assert [outcome(result) for result in results] == [
        (Status.SENT, 2, True),
        (Status.SENT, 2, True),
        (Status.SENT, None, False),
    ]


async def test_a_digest_that_a_crash_cut_off_is_repeated_with_its_heading(here: ILinkSenderHarness):
    here.wire.gate.clear()
    async with here.running():
        await here.hold_texts(*numbered(6))
        here.writes()
        await here.sends(1)
    here.wire.gate.set()
    async with here.running():
        await here.results("c1", "c6")
    assert len({draft.text for draft in here.wire.drafts}) == 1
    assert len(here.wire.drafts) == 2
    assert len(set(here.wire.keys)) == 1


async def test_what_the_person_writes_between_mark_and_send_changes_no_bundle(here: ILinkSenderHarness):
    here.leave(2)
    here.wire.outcomes.append(OutcomeUnknown())
    here.wire.gate.clear()
    async with here.running():
        await here.accept_together("a", "b")
        await here.sends(1)
        here.writes()
        here.wire.gate.set()
        await here.results("c1", "c2")
    assert [draft.text for draft in here.wire.drafts] == ["a\n\nb"] * 2


async def test_nobody_drops_a_single_text_of_a_bundle_in_doubt(here: ILinkSenderHarness):
    here.leave(2)
    here.wire.outcomes.append(OutcomeUnknown())
    async with here.running() as sender:
        here.wire.gate.clear()
        await here.accept_together("a", "b")
        await here.sends(1)
        sender.set_online(online=False)
        here.wire.gate.set()
        row = await here.wait_until_in_doubt("c2")
        with pytest.raises(BadCommand):
            await here.journal.commands.drop("c2", _dropped(row), ())


def _dropped(row: CommandRow) -> Result:
    return Result(id=row.command_id, user="wife", status=Status.FAILED, code="dropped", time=now_ms())


async def test_a_bundle_in_doubt_ends_as_one_when_the_last_of_it_would(
    here: ILinkSenderHarness, pass_time: PassTime
):
    here.leave(2)
    here.wire.outcomes.append(OutcomeUnknown())
    async with here.running() as sender:
        here.wire.gate.clear()
        await here.accept(here.asked("a", ttl=100.0), here.asked("b", ttl=5000.0))
        await here.sends(1)
        sender.set_online(online=False)
        here.wire.gate.set()
        await here.wait_until_in_doubt("c1")
        await here.accept(here.asked("c", ttl=500.0))
        pass_time(1000.0)
        sender.recheck()
        assert (await here.result("c3")).status is Status.EXPIRED
        assert await here.unsettled() == ["c1", "c2"]
        pass_time(5000.0)
        sender.recheck()
        results = await here.results("c1", "c2")
    assert {outcome(result) for result in results} == {(Status.UNCERTAIN, 2, True)}
    assert len(here.wire.drafts) == 1


async def test_a_bundle_in_doubt_is_not_looked_at_before_the_last_of_it_would_end(here: ILinkSenderHarness):
    rows = [
        accepted.row
        for accepted in await here.journal.commands.accept(
            [here.asked("a", ttl=0.0), here.asked("b", ttl=5000.0)]
        )
        if accepted.row
    ]
    leading, other = await here.journal.commands.begin_combined([row.id for row in rows], None)
    await here.journal.commands.end_unanswered(leading.id)
    queue = ChatQueue("wife", by_priority=True)
    for row in (leading, other):
        queue.append(replace(row, unanswered=1))
    async with here.running() as sender:
        assert sender._policy.find_expired(queue) is None
    assert queue.next_expiry > boot_time() + 4000


# attempts that certainly delivered nothing


async def test_what_did_not_arrive_is_planned_anew_with_what_came_meanwhile(here: ILinkSenderHarness):
    here.leave(2)
    here.wire.outcomes.append(Unreachable())
    here.wire.gate.clear()
    async with here.running():
        await here.accept_together("a", "b")
        await here.sends(1)
        await here.accept_together("later")
        here.wire.gate.set()
        results = await here.results("c1", "c2", "c3")
    assert [draft.text for draft in here.wire.drafts] == ["a\n\nb", "a\n\nb\n\nlater"]
    assert {outcome(result) for result in results} == {(Status.SENT, 3, False)}


async def test_a_digest_that_did_not_arrive_leaves_no_heading_behind(here: ILinkSenderHarness):
    def refuse(_: Draft) -> None:
        here.chat = here.chat.with_refusal(QUOTA_USED)
        raise WindowClosed(code="quota_used")

    here.wire.outcomes.append(refuse)
    async with here.running():
        await here.hold_texts(*numbered(6))
        here.writes()
        await here.sends(1)
        await here.until_stored("c3", lambda row: row.leader is None)
        assert await here.unsettled() == [f"c{number}" for number in range(1, 7)]
        here.writes()
        await here.results("c1", "c6")
    assert [draft.text.count("waiting:") for draft in here.wire.drafts] == [1, 1]
    assert here.wire.keys[0] != here.wire.keys[1]


async def test_after_a_refusal_the_texts_of_a_bundle_go_one_by_one(here: ILinkSenderHarness):
    here.leave(10)
    here.wire.outcomes += [Rejected("no"), None, Rejected("bad text"), None]
    here.chat = ChatWindow()
    async with here.running():
        await here.hold_texts(*numbered(6))
        here.writes()
        results = await here.results(*(f"c{number}" for number in range(1, 7)))
    assert [draft.text for draft in here.wire.drafts[1:]] == [*numbered(6)]
    assert [result.status for result in results] == [
        Status.SENT,
        Status.FAILED,
        *[Status.SENT] * 4,
    ]
    assert {result.bundled for result in results} == {None}


async def test_a_bundle_without_a_message_id_is_one_message_that_nobody_may_see(here: ILinkSenderHarness):
    here.leave(2)
    here.wire.receipts.append(Receipt(message_id=""))
    async with here.running() as sender:
        await here.accept_together("a", "b", "c")
        results = await here.results("c1", "c2", "c3")
        assert not sender.attempts.is_muted
    assert {result.code for result in results} == {"unconfirmed"}
    here.leave(10)
    here.wire.gate.clear()
    async with here.running() as sender:
        await here.accept_together("d")
        await here.sends(2)
        assert not sender.attempts.is_muted


async def test_a_quote_of_a_bundle_quotes_all_of_it_and_names_its_first_command(here: ILinkSenderHarness):
    async with here.running():
        await here.hold_texts(*numbered(6))
        here.writes()
        await here.result("c6")
    quoted = await here.journal.history.quoted_message("sent-1")
    assert quoted is not None
    assert quoted.text == here.wire.drafts[0].text
    assert quoted.command_id == "c1"


# after the end of the login


async def test_after_the_end_of_the_login_sends_go_on_until_wechat_refuses_one(here: ILinkSenderHarness):
    here.leave(10)
    async with here.running() as sender:
        sender.set_online(online=False)  # a poll was answered with the end of the login
        here.calls.try_after_login_end()
        await here.accept(here.asked("smoke"))
        (result,) = await here.results("c1")
        assert result.status is Status.SENT
        here.wire.outcomes.append(LoggedOut("over"))
        await here.accept(here.asked("fire"))
        assert await here.sends(2) == ["smoke", "fire"]
        here.calls.try_after_login_end()  # the session hears of it last
        await here.accept(here.asked("flood", ttl=0.2))
        (result,) = await here.results("c3")
        assert (result.status, result.code) == (Status.EXPIRED, "logged_out")
        sender.set_online(online=True)
        (result,) = await here.results("c2")
        assert result.status is Status.SENT
    assert [draft.text for draft in here.wire.drafts] == ["smoke", "fire", "fire"]
