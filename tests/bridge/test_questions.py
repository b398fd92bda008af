"""A command with buttons is shown with a card or numbered lines, and opens a question until it is answered."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount, ended
from tests.support.memory_backend import FAMILY, WIFE, Pause, with_capabilities
from wx2mqtt.errors import OutcomeUnknown, Rejected, Unreachable
from wx2mqtt.model import Button
from wx2mqtt.store.question_records import AskedQuestion

SHOWN = "lock?\n1 Yes\n2 No"
BUTTONS = (Button(text="Yes", key="yes"), Button(text="No", key="No"))
ASK: dict[str, Any] = {"text": "lock?", "id": "c1", "buttons": [{"text": "Yes", "key": "yes"}, "No"]}


async def question_of(bridge: BridgedAccount) -> AskedQuestion | None:
    return await bridge.journal.questions.get("c1")


async def test_without_cards_the_text_ends_in_numbered_lines_and_the_question_is_open_before_it_is_sent(
    bridge: BridgedAccount,
):
    bridge.backend.outcomes.append(Pause(60))
    bridge.deliver("wx/out/老婆", {**ASK, "buttons_for": 60, "buttons_from": "anyone"})
    await bridge.wait_until(lambda: bridge.backend.sent)
    question = await question_of(bridge)
    assert question is not None
    assert (question.text, question.buttons, question.anyone, question.until) == (
        "lock?",
        BUTTONS,
        True,
        None,
    )
    await bridge.result("老婆")
    assert bridge.backend.texts == [("@wife", SHOWN)]
    question = await question_of(bridge)
    assert question is not None
    assert question.until is not None
    assert question.until - question.asked >= 60_000


async def test_one_person_gets_a_card_with_an_id_for_each_attempt_and_a_group_gets_lines(
    open_bridge: OpenBridge,
):
    bridge = await open_bridge(with_capabilities(has_button_cards=True))
    bridge.backend.outcomes.append(OutcomeUnknown())
    assert ended(await bridge.send("老婆", ASK)) == ("sent", "ok", True)
    await bridge.send(FAMILY.nickname, {**ASK, "id": "c2"})
    first, second, lines = (sent.draft for sent in bridge.backend.sent)
    (row, _) = await bridge.commands()
    assert [first.card_id, second.card_id] == [f"wx2mqtt-{row.key}-1", f"wx2mqtt-{row.key}-2"]
    assert first.text == "lock?"
    assert first.buttons == second.buttons == BUTTONS
    assert (lines.text, lines.buttons, lines.card_id) == (SHOWN, (), "")


async def test_buttons_are_part_of_what_a_repeat_must_equal(bridge: BridgedAccount):
    await bridge.send("老婆", ASK)
    assert (await bridge.send("老婆", {**ASK, "buttons": ["Yes"]}))["code"] == "id_reused"


@pytest.mark.parametrize(
    "pause", [60, 0], ids=["while the attempt is under way", "before the second attempt"]
)
async def test_an_answer_ends_the_doubt_about_an_attempt(bridge: BridgedAccount, pause: int):
    bridge.backend.outcomes += [Pause(pause), OutcomeUnknown()]
    bridge.deliver("wx/out/老婆", {**ASK, "buttons_from": "anyone"})
    await bridge.wait_until(lambda: bridge.backend.sent)
    bridge.backend.write(WIFE, "1")
    result = await bridge.result("老婆")
    assert (result["status"], result["code"], result["message_id"]) == ("sent", "ok", None)
    assert "was answered" in result["message"]
    await bridge.pass_time(3600)
    await bridge.send("老婆", "next")
    assert [text for _, text in bridge.backend.texts] == [SHOWN, "next"]


@pytest.mark.parametrize(
    ("outcomes", "status", "is_open"),
    [
        ([Rejected("no", code="refused_by_wechat")], "failed", False),
        ([OutcomeUnknown(), OutcomeUnknown()], "uncertain", True),
        ([Unreachable()], "sent", True),
    ],
    ids=["refused", "in doubt", "asked anew"],
)
async def test_what_may_have_arrived_stays_open_and_what_has_not_asked_nothing(
    bridge: BridgedAccount, outcomes: list[Any], status: str, is_open: bool
):
    bridge.backend.outcomes += outcomes
    result = await bridge.send("老婆", ASK)
    assert (result["status"], result["duplicate_possible"]) == (status, status == "uncertain")
    assert (await question_of(bridge) is not None) is is_open
