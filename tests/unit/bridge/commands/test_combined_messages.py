"""Several texts are combined into the last messages of iLink's reply window, and some messages are reserved."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.bridge.conftest import PassTime
from tests.unit.bridge.sender_harness import ILinkSenderHarness, open_sender_harness
from wx2mqtt.bridge.commands.chat_queue import ChatQueue
from wx2mqtt.bridge.commands.own_texts import OwnText, own_text
from wx2mqtt.clock import boot_time, now_ms
from wx2mqtt.errors import BadCommand, LoggedOut, OutcomeUnknown, Rejected, Unreachable, WindowClosed
from wx2mqtt.model import Draft, Receipt, Remark, Result, Status, is_own_text
from wx2mqtt.settings.schema import Hold, ILink
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.wechat.ilink.protocol.reply_window import QUOTA_USED, WINDOW_OPEN_MS, ChatWindow


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[ILinkSenderHarness]:
    async with open_sender_harness(tmp_path, "wife", "mom") as plain_harness:
        yield ILinkSenderHarness(plain_harness)


def numbered(count: int) -> tuple[str, ...]:
    return tuple(f"text {number}" for number in range(1, count + 1))


def outcome(result: Result) -> tuple[Status, int | None, bool]:
    return result.status, result.bundled, result.duplicate_possible


# the last message


async def test_while_plenty_is_left_nothing_is_bundled(harness: ILinkSenderHarness):
    harness.open_window(10)
    async with harness.running():
        await harness.accept_together(*numbered(9))
        assert await harness.wait_for_sends(9) == [*numbered(9)]
        results = await harness.results(*(f"c{number}" for number in range(1, 10)))
    assert {outcome(result) for result in results} == {(Status.SENT, None, False)}


async def test_the_last_message_carries_what_more_waits_in_order_a_paragraph_each(
    harness: ILinkSenderHarness,
):
    harness.ilink = ILink(reserve=0)
    harness.open_window(2)
    async with harness.running():
        await harness.accept_together(*numbered(4))
        results = await harness.results("c1", "c2", "c3", "c4")
    assert [draft.text for draft in harness.backend.drafts] == ["text 1", "text 2\n\ntext 3\n\ntext 4"]
    assert [outcome(result) for result in results] == [(Status.SENT, None, False)] + [
        (Status.SENT, 3, False)
    ] * 3
    assert [result.message_id for result in results] == ["sent-1", "sent-2", "sent-2", "sent-2"]
    assert {result.id for result in results} == {"c1", "c2", "c3", "c4"}


async def test_no_attempt_at_the_last_message_begins_before_it_is_known_what_shares_it(
    harness: ILinkSenderHarness,
):
    harness.open_window(2)
    async with harness.running():
        await harness.accept(harness.command("mom", accepted=now_ms()))
        await harness.result("c1")  # so all that waits is in memory
        await harness.acceptance.accept([harness.command_to_wife("a"), harness.command_to_wife("b")])
        await harness.results("c2", "c3")
    assert [draft.text for draft in harness.backend.drafts] == ["c1", "a\n\nb"]


async def test_a_single_text_in_the_last_message_is_not_changed(harness: ILinkSenderHarness):
    harness.ilink = ILink(reserve=0)
    harness.open_window(1)
    async with harness.running():
        await harness.accept_together("alone")
        (result,) = await harness.results("c1")
    assert (harness.backend.drafts[0].text, result.bundled) == ("alone", None)


async def test_the_reserve_makes_the_last_message_but_one_the_last_for_what_is_ordinary(
    harness: ILinkSenderHarness,
):
    harness.open_window(2)
    async with harness.running():
        await harness.accept_together(*numbered(3))
        await harness.results("c1", "c2", "c3")
    assert [draft.text for draft in harness.backend.drafts] == ["text 1\n\ntext 2\n\ntext 3"]
    assert harness.chat.reply_window(harness.now).remaining == 1


async def test_without_bundling_each_text_is_a_message(harness: ILinkSenderHarness):
    harness.ilink = ILink(bundle=False, reserve=0)
    harness.open_window(2)
    async with harness.running():
        await harness.accept_together(*numbered(3))
        await harness.results("c1", "c2")
        await harness.wait_until_held(1)
    assert [draft.text for draft in harness.backend.drafts] == ["text 1", "text 2"]


async def test_in_a_bundle_too_the_more_important_comes_first_and_then_the_older(harness: ILinkSenderHarness):
    harness.ilink = ILink(reserve=0)
    harness.open_window(1)
    priorities = [("a", "low"), ("b", "normal"), ("c", "low"), ("d", "normal")]
    async with harness.running():
        await harness.accept(
            *(harness.command_to_wife(text, priority=priority) for text, priority in priorities)
        )
        assert await harness.wait_for_sends(1) == ["b\n\nd\n\na\n\nc"]


@pytest.mark.parametrize(
    ("important", "reserve"), [({"priority": "high"}, 0), ({"priority": "high"}, 1), ({"urgent": True}, 1)]
)
async def test_what_is_important_goes_alone_if_it_can(
    harness: ILinkSenderHarness, important: dict[str, Any], reserve: int
):
    harness.ilink = ILink(reserve=reserve)
    harness.open_window(1)
    async with harness.running():
        await harness.accept(
            harness.command_to_wife("a"),
            harness.command_to_wife("b"),
            harness.command_to_wife("alarm", **important),
        )
        await harness.result("c3")
        await harness.wait_until_held(2)
    assert [draft.text for draft in harness.backend.drafts] == ["alarm"]


async def test_two_alarms_share_the_last_message_and_what_fits_goes_with_them(harness: ILinkSenderHarness):
    harness.open_window(1)
    async with harness.running():
        await harness.accept(
            harness.command_to_wife("a"),
            harness.command_to_wife("alarm 1", priority="high"),
            harness.command_to_wife("alarm 2", urgent=True),
        )
        results = await harness.results("c1", "c2", "c3")
    assert [draft.text for draft in harness.backend.drafts] == ["alarm 1\n\nalarm 2\n\na"]
    assert {result.bundled for result in results} == {3}


async def test_in_the_reserved_message_alarms_come_before_the_texts_that_share_it(
    harness: ILinkSenderHarness,
):
    harness.open_window(1)
    async with harness.running():
        await harness.accept(
            harness.command_to_wife("a" * 1900),
            harness.command_to_wife("alarm 1", urgent=True),
            harness.command_to_wife("alarm 2" * 20, urgent=True),
            harness.command_to_wife("b"),
        )
        await harness.results("c2", "c3")
        await harness.wait_until_held(2)
    assert [draft.text for draft in harness.backend.drafts] == [f"alarm 1\n\n{'alarm 2' * 20}"]


async def test_many_urgent_texts_that_wait_for_the_reserve_are_a_digest_of_it(harness: ILinkSenderHarness):
    harness.ilink = ILink(reserve=9)
    async with harness.running():
        await harness.hold_texts("a" * 1990, "b" * 1990)
        await harness.accept(*(harness.command_to_wife(text, urgent=True) for text in numbered(6)))
        await harness.wait_until_held(8)
        harness.receive_message()
        await harness.results("c1", "c3", "c8")
        await harness.wait_until_held(1)
    assert [draft.text for draft in harness.backend.drafts] == [
        "a" * 1990,
        "\n\n".join(["7 messages were waiting:", *numbered(6)]),
    ]


async def test_a_bundle_has_at_most_as_many_characters_as_a_message_and_nothing_overtakes(
    harness: ILinkSenderHarness,
):
    harness.ilink = ILink(reserve=0)
    harness.open_window(1)
    exact = "b" * (2000 - 500 - 2)
    async with harness.running():
        await harness.accept_together("a" * 500, exact, "c")
        await harness.results("c1", "c2")
        await harness.wait_until_held(1)
        assert len(harness.backend.drafts[0].text) == 2000
    harness.open_window(1)
    async with harness.running():
        await harness.accept_together("d" * 1999, "e")
        assert (await harness.result("c3")).bundled is None
        await harness.wait_until_held(2)
    assert harness.backend.drafts[1].text == "c"


async def test_a_text_of_several_messages_is_never_bundled(harness: ILinkSenderHarness):
    harness.ilink = ILink(reserve=0)
    harness.open_window(1)
    async with harness.running():
        await harness.accept_together("a", "b. " * 1000, "c")
        assert (await harness.result("c1")).bundled is None
        await harness.wait_until_held(2)
    assert [draft.text for draft in harness.backend.drafts] == ["a"]


# the reserve


async def test_ordinary_commands_are_held_before_the_reserve_and_say_so(harness: ILinkSenderHarness):
    harness.open_window(1)
    async with harness.running():
        await harness.accept_together("waits")
        (event,) = await harness.events("held", 1)
        assert (event["why"], event["command_id"]) == ("reserved", "c1")
        assert "'wife'" in event["hint"]
        assert not harness.backend.drafts
        await harness.accept(harness.command_to_wife("alarm", urgent=True))
        assert (await harness.result("c2")).status is Status.SENT
        harness.receive_message()
        assert (await harness.result("c1")).status is Status.SENT


async def test_a_command_that_must_not_be_held_fails_before_the_reserve_as_before_a_used_quota(
    harness: ILinkSenderHarness,
):
    harness.open_window(1)
    async with harness.running():
        await harness.accept_together("now", hold=False)
        result = await harness.result("c1")
    assert (result.status, result.code) == (Status.FAILED, "quota_used")


async def test_a_command_that_expires_before_the_reserve_names_the_quota(harness: ILinkSenderHarness):
    harness.open_window(1)
    harness.hold = Hold(ttl=0.1)
    async with harness.running():
        await harness.accept_together("waits")
        result = await harness.result("c1")
    assert (result.status, result.code) == (Status.EXPIRED, "quota_used")


@pytest.mark.parametrize(("reserve", "sent"), [(0, 10), (1, 9), (9, 1)])
async def test_ordinary_commands_leave_the_reserved_messages_of_the_window(
    harness: ILinkSenderHarness, reserve: int, sent: int
):
    harness.ilink = ILink(bundle=False, reserve=reserve)
    harness.open_window(10)
    async with harness.running():
        await harness.accept_together(*numbered(12))
        await harness.wait_until_held(12 - sent)
        assert len(harness.backend.drafts) == sent
        await harness.accept(*(harness.command_to_wife("alarm", urgent=True, id=f"u{n}") for n in range(12)))
        await harness.wait_until_held(12 - sent + 12 - reserve)
    assert len(harness.backend.drafts) == 10
    assert harness.chat.reply_window(harness.now).reason == QUOTA_USED


async def test_an_alarm_overtakes_a_begun_text_that_must_not_touch_the_reserve(harness: ILinkSenderHarness):
    harness.open_window(2)
    async with harness.running():
        await harness.accept_together("b. " * 1000)
        await harness.wait_for_sends(1)
        await harness.wait_until_held(1)
        await harness.accept(harness.command_to_wife("alarm", priority="high"))
        assert (await harness.result("c2")).status is Status.SENT
    assert [len(draft.text) > 100 for draft in harness.backend.drafts] == [True, False]


async def test_a_text_of_the_bridge_itself_may_use_the_reserve_and_has_no_result_topic(
    harness: ILinkSenderHarness,
):
    harness.open_window(1)
    person = harness.address_book.registry.by_topic_name("wife")
    assert person is not None
    new = own_text(OwnText.DIGEST, "wife", person.id, "from the bridge", ttl=60.0)
    async with harness.running():
        await harness.accept(new)
        result = await harness.result(new.command_id)
    assert result.status is Status.SENT
    assert new.command_id.startswith("wx2mqtt-digest-")
    assert not await harness.journal.outbox.list_waiting(0, 100, ())


# the last second of the window


async def test_each_text_of_a_bundle_has_its_own_remarks(harness: ILinkSenderHarness):
    harness.ilink = ILink(reserve=0)
    harness.open_window(1)
    async with harness.running():
        await harness.accept(
            harness.command_to_wife("a", remarks=(Remark.BAD_RESPONSE_TOPIC,)), harness.command_to_wife("b")
        )
        results = await harness.results("c1", "c2")
    assert {outcome(result) for result in results} == {(Status.SENT, 2, False)}
    assert [result.code for result in results] == ["bad_response_topic", "ok"]
    assert ["this topic only" in result.message for result in results] == [True, False]


async def test_in_the_last_second_of_the_window_the_bundle_goes_and_after_it_everything_waits(
    harness: ILinkSenderHarness,
):
    harness.open_window(2)
    wrote = harness.chat.last_wrote
    harness.now = wrote + WINDOW_OPEN_MS - 1
    async with harness.running():
        await harness.accept_together("a", "b")
        assert {result.bundled for result in await harness.results("c1", "c2")} == {2}
        harness.now = wrote + WINDOW_OPEN_MS
        await harness.accept_together("c", "d")
        await harness.wait_until_held(2)
        assert {event["why"] for event in await harness.events("held", 2)} == {"too_long_ago"}


# the digest


async def test_up_to_half_of_the_quota_held_texts_are_sent_one_by_one(harness: ILinkSenderHarness):
    async with harness.running():
        await harness.hold_texts(*numbered(5))
        harness.receive_message()
        assert await harness.wait_for_sends(5) == [*numbered(5)]


async def test_more_held_texts_than_half_of_the_quota_are_sent_as_one_digest_with_a_heading(
    harness: ILinkSenderHarness,
):
    async with harness.running():
        await harness.hold_texts(*numbered(6))
        harness.receive_message()
        results = await harness.results(*(f"c{number}" for number in range(1, 7)))
        commands = await harness.journal.commands.list_newest()
        published = await harness.journal.outbox.list_waiting(0, 100, ())
    (draft,) = harness.backend.drafts
    assert draft.text == "\n\n".join(["6 messages were waiting:", *numbered(6)])
    assert {outcome(result) for result in results} == {(Status.SENT, 6, False)}
    assert {result.message_id for result in results} == {"sent-1"}
    (heading,) = [row for row in commands if is_own_text(row.command_id)]
    assert heading.result is not None
    assert heading.result.status is Status.SENT
    assert harness.backend.keys == [heading.key]
    assert heading.command_id.encode() not in b"".join(row.payload for row in published)


async def test_a_digest_of_several_messages_has_one_heading_and_leaves_no_rest(harness: ILinkSenderHarness):
    texts = [str(number) * 400 for number in range(9)]  # four fit into a message
    async with harness.running():
        await harness.hold_texts(*texts)
        harness.receive_message()
        results = await harness.results(*(f"c{number}" for number in range(1, 10)))
    assert [draft.text.count("\n\n") for draft in harness.backend.drafts] == [4, 3, 0]
    assert [result.bundled for result in results] == [4] * 8 + [None]
    assert sum("waiting" in draft.text for draft in harness.backend.drafts) == 1


async def test_a_few_held_alarms_are_sent_alone_before_the_digest(harness: ILinkSenderHarness):
    async with harness.running():
        await harness.hold_texts(*numbered(6))
        await harness.accept(
            *(harness.command_to_wife(text, priority="high") for text in ("alarm 1", "alarm 2"))
        )
        await harness.wait_until_held(8)
        harness.receive_message()
        await harness.result("c6")
    assert [draft.text for draft in harness.backend.drafts[:2]] == ["alarm 1", "alarm 2"]
    assert harness.backend.drafts[2].text.startswith("6 messages were waiting:")


async def test_many_held_alarms_are_a_digest_with_what_else_waits_behind(harness: ILinkSenderHarness):
    async with harness.running():
        await harness.hold_texts("ordinary")
        await harness.accept(*(harness.command_to_wife(text, priority="high") for text in numbered(6)))
        await harness.wait_until_held(7)
        harness.receive_message()
        await harness.result("c1")
    assert [draft.text for draft in harness.backend.drafts] == [
        "\n\n".join(["7 messages were waiting:", *numbered(6), "ordinary"])
    ]


# attempts without an answer


async def test_in_doubt_the_same_bundle_is_repeated_with_the_same_key(harness: ILinkSenderHarness):
    harness.open_window(2)
    harness.backend.outcomes.append(OutcomeUnknown())
    harness.backend.gate.clear()
    async with harness.running():
        await harness.accept_together("a", "b")
        await harness.wait_for_sends(1)
        await harness.accept_together("later")
        harness.backend.gate.set()
        results = await harness.results("c1", "c2")
        await harness.wait_until_held(1)
    assert [draft.text for draft in harness.backend.drafts] == ["a\n\nb"] * 2
    assert len(set(harness.backend.keys)) == 1
    assert {outcome(result) for result in results} == {(Status.SENT, 2, True)}


async def test_two_attempts_without_an_answer_make_all_of_it_uncertain(harness: ILinkSenderHarness):
    harness.open_window(2)
    harness.backend.outcomes += [OutcomeUnknown(), OutcomeUnknown()]
    async with harness.running():
        await harness.accept_together("a", "b")
        results = await harness.results("c1", "c2")
    assert {outcome(result) for result in results} == {(Status.UNCERTAIN, 2, True)}
    assert len(harness.backend.drafts) == 2


async def test_a_bundle_that_a_crash_cut_off_is_repeated_as_it_was(harness: ILinkSenderHarness):
    harness.open_window(2)
    harness.backend.gate.clear()
    async with harness.running():
        await harness.accept_together("a", "b")
        await harness.wait_for_sends(1)
    harness.backend.gate.set()
    await harness.journal.commands.accept([harness.command_to_wife("later")])
    harness.now += 1
    harness.chat = harness.chat.with_message(
        harness.now, "token"
    )  # she wrote meanwhile: ten messages are left
    async with harness.running():
        results = await harness.results("c1", "c2", "c3")
    assert [draft.text for draft in harness.backend.drafts] == ["a\n\nb", "a\n\nb", "later"]
    assert harness.backend.keys[0] == harness.backend.keys[1]
    assert [outcome(result) for result in results] == [
        (Status.SENT, 2, True),
        (Status.SENT, 2, True),
        (Status.SENT, None, False),
    ]


async def test_a_digest_that_a_crash_cut_off_is_repeated_with_its_heading(harness: ILinkSenderHarness):
    harness.backend.gate.clear()
    async with harness.running():
        await harness.hold_texts(*numbered(6))
        harness.receive_message()
        await harness.wait_for_sends(1)
    harness.backend.gate.set()
    async with harness.running():
        await harness.results("c1", "c6")
    assert len({draft.text for draft in harness.backend.drafts}) == 1
    assert len(harness.backend.drafts) == 2
    assert len(set(harness.backend.keys)) == 1


async def test_what_the_person_writes_between_mark_and_send_changes_no_bundle(harness: ILinkSenderHarness):
    harness.open_window(2)
    harness.backend.outcomes.append(OutcomeUnknown())
    harness.backend.gate.clear()
    async with harness.running():
        await harness.accept_together("a", "b")
        await harness.wait_for_sends(1)
        harness.receive_message()
        harness.backend.gate.set()
        await harness.results("c1", "c2")
    assert [draft.text for draft in harness.backend.drafts] == ["a\n\nb"] * 2


async def test_nobody_drops_a_single_text_of_a_bundle_in_doubt(harness: ILinkSenderHarness):
    harness.open_window(2)
    harness.backend.outcomes.append(OutcomeUnknown())
    async with harness.running() as sender:
        harness.backend.gate.clear()
        await harness.accept_together("a", "b")
        await harness.wait_for_sends(1)
        sender.set_online(online=False)
        harness.backend.gate.set()
        row = await harness.wait_until_in_doubt("c2")
        with pytest.raises(BadCommand):
            await harness.journal.commands.drop("c2", _dropped(row), ())


def _dropped(row: CommandRow) -> Result:
    return Result(id=row.command_id, user="wife", status=Status.FAILED, code="dropped", time=now_ms())


async def test_a_bundle_in_doubt_ends_as_one_when_the_last_of_it_would(
    harness: ILinkSenderHarness, pass_time: PassTime
):
    harness.open_window(2)
    harness.backend.outcomes.append(OutcomeUnknown())
    async with harness.running() as sender:
        harness.backend.gate.clear()
        await harness.accept(
            harness.command_to_wife("a", ttl=100.0), harness.command_to_wife("b", ttl=5000.0)
        )
        await harness.wait_for_sends(1)
        sender.set_online(online=False)
        harness.backend.gate.set()
        await harness.wait_until_in_doubt("c1")
        await harness.accept(harness.command_to_wife("c", ttl=500.0))
        pass_time(1000.0)
        sender.recheck()
        assert (await harness.result("c3")).status is Status.EXPIRED
        assert await harness.waiting_ids() == ["c1", "c2"]
        pass_time(5000.0)
        sender.recheck()
        results = await harness.results("c1", "c2")
    assert {outcome(result) for result in results} == {(Status.UNCERTAIN, 2, True)}
    assert len(harness.backend.drafts) == 1


async def test_a_bundle_in_doubt_is_not_looked_at_before_the_last_of_it_would_end(
    harness: ILinkSenderHarness,
):
    rows = [
        accepted.row
        for accepted in await harness.journal.commands.accept(
            [harness.command_to_wife("a", ttl=0.0), harness.command_to_wife("b", ttl=5000.0)]
        )
        if accepted.row
    ]
    leading, other = await harness.journal.commands.begin_combined([row.id for row in rows], None)
    await harness.journal.commands.end_unanswered(leading.id)
    queue = ChatQueue("wife", by_priority=True)
    for row in (leading, other):
        queue.append(replace(row, unanswered=1))
    async with harness.running() as sender:
        assert sender._policy.find_expired(queue) is None
    assert queue.next_expiry > boot_time() + 4000


# attempts that certainly delivered nothing


async def test_a_combined_message_that_did_not_arrive_is_combined_again_with_later_texts(
    harness: ILinkSenderHarness,
):
    harness.open_window(2)
    harness.backend.outcomes.append(Unreachable())
    harness.backend.gate.clear()
    async with harness.running():
        await harness.accept_together("a", "b")
        await harness.wait_for_sends(1)
        await harness.accept_together("later")
        harness.backend.gate.set()
        results = await harness.results("c1", "c2", "c3")
    assert [draft.text for draft in harness.backend.drafts] == ["a\n\nb", "a\n\nb\n\nlater"]
    assert {outcome(result) for result in results} == {(Status.SENT, 3, False)}


async def test_a_digest_that_did_not_arrive_leaves_no_heading_behind(harness: ILinkSenderHarness):
    def refuse(_: Draft) -> None:
        harness.chat = harness.chat.with_refusal(QUOTA_USED)
        raise WindowClosed(code="quota_used")

    harness.backend.outcomes.append(refuse)
    async with harness.running():
        await harness.hold_texts(*numbered(6))
        harness.receive_message()
        await harness.wait_for_sends(1)
        await harness.wait_until_stored("c3", lambda row: row.leader is None)
        assert await harness.waiting_ids() == [f"c{number}" for number in range(1, 7)]
        harness.receive_message()
        await harness.results("c1", "c6")
    assert [draft.text.count("waiting:") for draft in harness.backend.drafts] == [1, 1]
    assert harness.backend.keys[0] != harness.backend.keys[1]


async def test_after_a_refusal_the_texts_of_a_bundle_go_one_by_one(harness: ILinkSenderHarness):
    harness.open_window(10)
    harness.backend.outcomes += [Rejected("no"), None, Rejected("bad text"), None]
    harness.chat = ChatWindow()
    async with harness.running():
        await harness.hold_texts(*numbered(6))
        harness.receive_message()
        results = await harness.results(*(f"c{number}" for number in range(1, 7)))
    assert [draft.text for draft in harness.backend.drafts[1:]] == [*numbered(6)]
    assert [result.status for result in results] == [
        Status.SENT,
        Status.FAILED,
        *[Status.SENT] * 4,
    ]
    assert {result.bundled for result in results} == {None}


async def test_a_bundle_without_a_message_id_is_one_message_that_nobody_may_see(harness: ILinkSenderHarness):
    harness.open_window(2)
    harness.backend.receipts.append(Receipt(message_id=""))
    async with harness.running() as sender:
        await harness.accept_together("a", "b", "c")
        results = await harness.results("c1", "c2", "c3")
        assert not sender.attempts.is_muted
    assert {result.code for result in results} == {"unconfirmed"}
    harness.open_window(10)
    harness.backend.gate.clear()
    async with harness.running() as sender:
        await harness.accept_together("d")
        await harness.wait_for_sends(2)
        assert not sender.attempts.is_muted


async def test_a_quote_of_a_bundle_quotes_all_of_it_and_names_its_first_command(harness: ILinkSenderHarness):
    async with harness.running():
        await harness.hold_texts(*numbered(6))
        harness.receive_message()
        await harness.result("c6")
    quoted = await harness.journal.history.quoted_message("sent-1")
    assert quoted is not None
    assert quoted.text == harness.backend.drafts[0].text
    assert quoted.command_id == "c1"


# after the end of the login


async def test_after_the_end_of_the_login_sends_go_on_until_wechat_refuses_one(harness: ILinkSenderHarness):
    harness.open_window(10)
    async with harness.running() as sender:
        sender.set_online(online=False)  # a poll was answered with the end of the login
        harness.calls.try_after_login_end()
        await harness.accept(harness.command_to_wife("smoke"))
        (result,) = await harness.results("c1")
        assert result.status is Status.SENT
        harness.backend.outcomes.append(LoggedOut("over"))
        await harness.accept(harness.command_to_wife("fire"))
        assert await harness.wait_for_sends(2) == ["smoke", "fire"]
        harness.calls.try_after_login_end()  # the session hears of it last
        await harness.accept(harness.command_to_wife("flood", ttl=0.2))
        (result,) = await harness.results("c3")
        assert (result.status, result.code) == (Status.EXPIRED, "logged_out")
        sender.set_online(online=True)
        (result,) = await harness.results("c2")
        assert result.status is Status.SENT
    assert [draft.text for draft in harness.backend.drafts] == ["smoke", "fire", "fire"]
