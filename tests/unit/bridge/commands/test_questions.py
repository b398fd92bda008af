"""A command with buttons is shown with a card or numbered lines, and opens a question until it is answered."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.commands_harness import PEOPLE, CommandsHarness, FakeBackend, person, running
from wx2mqtt.errors import OutcomeUnknown, Rejected, Unreachable
from wx2mqtt.model import Button, ChatKind, Draft
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.store.question_records import AskedQuestion

SHOWN = "lock?\n1 Yes\n2 No"
BUTTONS = (Button(text="Yes", key="yes"), Button(text="No", key="No"))


def ask(harness: CommandsHarness, command_id: str = "c1", user: str = "wife", **more: Any) -> None:
    buttons = [{"text": "Yes", "key": "yes"}, "No"]
    harness.deliver_command(user, id=command_id, **{"text": "lock?", "buttons": buttons, **more})


async def question_of(harness: CommandsHarness, command_id: str = "c1") -> AskedQuestion | None:
    return await harness.journal.questions.get(command_id)


async def test_without_cards_the_text_ends_in_numbered_lines(harness: CommandsHarness) -> None:
    ask(harness, buttons_for=60, buttons_from="anyone")
    assert (await harness.result("c1"))["status"] == "sent"
    assert harness.wechat.texts() == [SHOWN]
    question = await question_of(harness)
    assert question is not None
    assert (question.text, question.buttons, question.anyone) == ("lock?", BUTTONS, True)
    assert question.until is not None
    assert question.until - question.asked >= 60_000


async def test_the_question_is_open_before_its_request_is_written(harness: CommandsHarness) -> None:
    harness.wechat.hold(SHOWN)
    ask(harness)
    await harness.wait_for_sent_texts(1)
    question = await question_of(harness)
    assert question is not None
    assert question.until is None
    harness.wechat.release(SHOWN)
    await harness.result("c1")


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeBackend, "capabilities", replace(FakeBackend.capabilities, has_button_cards=True))


@pytest.mark.usefixtures("cards")
async def test_a_single_person_gets_a_card_and_each_attempt_one_with_an_id_of_its_own(tmp_path: Path) -> None:
    async with running(tmp_path) as harness:
        harness.wechat.answer("lock?", OutcomeUnknown())
        ask(harness)
        result = await harness.result("c1")
        assert (result["status"], result["duplicate_possible"]) == ("sent", True)
        first, second = harness.wechat.drafts
        assert isinstance(first, Draft)
        assert isinstance(second, Draft)
        question = await question_of(harness)
        assert question is not None
        (row,) = await harness.rows()
        assert [first.card_id, second.card_id] == [f"wx2mqtt-{row.key}-1", f"wx2mqtt-{row.key}-2"]
        assert first.buttons == second.buttons == BUTTONS


@pytest.mark.usefixtures("cards")
async def test_a_group_gets_lines_even_where_there_are_cards(tmp_path: Path) -> None:
    group = person(9, "family", kind=ChatKind.GROUP)
    async with running(tmp_path, people=(*PEOPLE, group)) as harness:
        ask(harness, user="family")
        await harness.result("c1", "family")
        (draft,) = harness.wechat.drafts
        assert isinstance(draft, Draft)
        assert (draft.text, draft.buttons, draft.card_id) == (SHOWN, (), "")


async def test_the_lines_count_when_a_text_is_too_long(harness: CommandsHarness) -> None:
    harness.deliver_command(id="plain", text="x" * 100)
    assert (await harness.result("plain"))["status"] == "sent"
    ask(harness, text="x" * 100)
    assert (await harness.result("c1"))["code"] == "too_long"


async def test_buttons_are_part_of_what_a_repeat_must_equal(harness: CommandsHarness) -> None:
    ask(harness)
    await harness.result("c1")
    ask(harness, buttons=["Yes"])
    await harness.changes.wait_until(lambda: len(harness.bodies_on("wx/result/wife")) > 1)
    assert harness.bodies_on("wx/result/wife")[1]["code"] == "id_reused"


async def test_an_answer_ends_the_doubt_about_an_attempt_that_is_under_way(harness: CommandsHarness) -> None:
    harness.wechat.answer(SHOWN, OutcomeUnknown())
    harness.wechat.hold(SHOWN)
    ask(harness)
    await harness.wait_for_sent_texts(1)
    (row,) = await harness.rows()
    harness.sender.on_answered([row.id])
    harness.wechat.release(SHOWN)
    result = await harness.result("c1")
    assert (result["status"], result["code"], result["message_id"]) == ("sent", "ok", None)
    assert "was answered" in result["message"]
    assert harness.wechat.texts() == [SHOWN]


async def test_an_answer_before_the_second_attempt_makes_that_one_needless(
    harness: CommandsHarness, pass_time: Any
) -> None:
    harness.wechat.answer(SHOWN, OutcomeUnknown())
    ask(harness)
    (row,) = await _in_doubt(harness)
    harness.sender.on_answered([row.id])
    result = await harness.result("c1")
    assert result["status"] == "sent"
    pass_time(3600)
    harness.sender.recheck()
    harness.deliver_command(id="next", text="next")
    await harness.result("next")
    assert harness.wechat.texts() == [SHOWN, "next"]


async def _in_doubt(harness: CommandsHarness) -> list[CommandRow]:
    """Returns the commands whose attempt got no answer, once that is stored."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        rows: list[CommandRow] = []
        while not rows:
            rows = [row for row in await harness.rows() if row.unanswered]
    return rows


@pytest.mark.parametrize("error", [Rejected("no", code="refused_by_wechat"), OutcomeUnknown()])
async def test_what_may_have_arrived_stays_open_and_what_has_not_asked_nothing(
    harness: CommandsHarness, error: Exception
) -> None:
    harness.wechat.answer(SHOWN, error, error)
    ask(harness)
    result = await harness.result("c1")
    question = await question_of(harness)
    assert result["status"] == ("failed" if isinstance(error, Rejected) else "uncertain")
    assert (question is None) is isinstance(error, Rejected)


async def test_what_was_not_delivered_is_asked_anew(harness: CommandsHarness, pass_time: Any) -> None:
    harness.wechat.answer(SHOWN, Unreachable())
    ask(harness)
    await harness.wait_for_sent_texts(1)
    pass_time(60)
    harness.sender.recheck()
    assert (await harness.result("c1"))["duplicate_possible"] is False
    assert await question_of(harness) is not None
