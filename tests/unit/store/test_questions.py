"""A question is stored with its attempt, and an answer with its message, each in one commit."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.store.conftest import Clock
from tests.unit.store.make import command, message, record, result
from wx2mqtt.model import Button, ButtonPress, Handle, Json, PersonId, Status
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.question_records import AnswerAttempt, AskedQuestion, NewPress, NewQuestion
from wx2mqtt.store.records import NewMessage, RecordResult

BUTTONS = (Button(text="Yes", key="yes"), Button(text="Nö", key="no"))
WIFE = PersonId(7)


@pytest.fixture
async def questions(journal: Journal, clock: Clock) -> QuestionsHarness:
    await journal.open()
    return QuestionsHarness(journal, clock)


class QuestionsHarness:
    """Asks and answers questions on a journal, as the bridge does."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self.journal = journal
        self.clock = clock
        self.rows: dict[str, int] = {}

    async def accept(self, command_id: str) -> int:
        new = command(command_id)
        new = replace(new, command=replace(new.command, buttons=BUTTONS, mention=()))
        (accepted,) = await self.journal.commands.accept([new])
        assert accepted.row is not None
        assert accepted.row.command.buttons == BUTTONS
        self.rows[command_id] = accepted.row.id
        return accepted.row.id

    async def begin(self, command_id: str, **more: Any) -> None:
        values: dict[str, Any] = {"person": WIFE, "anyone": False, "lasts": 60_000, **more}
        question = NewQuestion(
            command_id=command_id,
            user="wife",
            card=f"card {command_id}",
            text=f"{command_id}?",
            buttons=BUTTONS,
            asked=self.clock.now,
            **values,
        )
        await self.journal.commands.begin_attempt(self.rows[command_id], question)

    async def finish(self, command_id: str, status: Status = Status.SENT, **more: Any) -> None:
        end = replace(result(command_id, status, f"sent {command_id}"), **more)
        await self.journal.commands.finish(self.rows[command_id], end, [], is_question=True)

    async def ask(self, command_id: str, **more: Any) -> None:
        await self.accept(command_id)
        await self.begin(command_id, **more)
        await self.finish(command_id)

    async def write(self, key: str, words: str, **more: Any) -> RecordResult:
        """Records a message that somebody writes; `stored` returns it with the events."""
        return await self.journal.received.record(
            [self.message(key, words, **more)], NO_CHANGES, None, "login"
        )

    def message(self, key: str, words: str, *, time: int | None = None, **more: Any) -> NewMessage:
        return replace(
            message(key, text=words), answer=self.attempt(words=words, time=time, message_id=key, **more)
        )

    def attempt(
        self, *, words: str = "", time: int | None = None, message_id: str = "", **more: Any
    ) -> AnswerAttempt:
        values: dict[str, Any] = {"person": WIFE, "trusted": True, **more}
        event: dict[str, Json] = {"event": "button", "id": "", "user": "wife"}
        if message_id:
            event["message_id"] = message_id
        return AnswerAttempt(
            time=self.clock.now if time is None else time,
            words=words,
            topic="wx/event/button",
            event=event,
            **values,
        )

    async def press(self, key: str, command_id: str, button: str, **more: Any) -> RecordResult:
        press = ButtonPress(
            key=key,
            chat=Handle("wife"),
            sender=Handle("wife"),
            card_id="",
            button=button,
            time=self.clock.now,
        )
        item = NewPress(press=press, user="wife", card=f"card {command_id}", attempt=self.attempt(**more))
        return await self.journal.received.record([item], NO_CHANGES, None, "login")

    async def stored(self) -> tuple[list[Any], list[Any]]:
        """Returns the bodies of messages and of events that wait for the broker."""
        rows = await self.journal.outbox.list_waiting(0, 1000)
        bodies: dict[str, list[Any]] = {"message": [], "event": []}
        for row in rows:
            bodies[row.category].append(json.loads(row.payload))
        return bodies["message"], bodies["event"]

    async def answers(self) -> list[tuple[str, str]]:
        """Returns command id and key of each event about an answer."""
        return [(event["command_id"], event["key"]) for event in (await self.stored())[1]]

    async def get(self, command_id: str) -> AskedQuestion:
        question = await self.journal.questions.get(command_id)
        assert question is not None
        return question

    async def open_ids(self) -> list[str]:
        return [
            question.command_id for question in await self.journal.questions.list_open(self.clock.now, 100)
        ]


async def test_a_question_opens_with_its_attempt_and_its_time_runs_from_the_end(
    questions: QuestionsHarness,
) -> None:
    await questions.accept("lock")
    assert await questions.journal.questions.get("lock") is None
    await questions.begin("lock")
    asked_at = questions.clock.now
    assert (await questions.get("lock")).until is None
    questions.clock.now += 5000
    await questions.finish("lock")
    question = await questions.get("lock")
    assert (question.asked, question.until) == (asked_at, questions.clock.now + 60_000)
    assert (question.text, question.buttons, question.person) == ("lock?", BUTTONS, WIFE)
    assert await questions.open_ids() == ["lock"]
    questions.clock.now += 60_001
    assert await questions.open_ids() == []


async def test_an_answer_closes_it_and_is_stored_with_the_message(questions: QuestionsHarness) -> None:
    await questions.ask("lock")
    recorded = await questions.write("m1", "1")
    (body,), (event,) = await questions.stored()
    assert body["button"] == {"command_id": "lock", "key": "yes"}
    asked = (await questions.get("lock")).asked
    assert event == {
        "event": "button",
        "id": f"button:lock:{asked}",
        "user": "wife",
        "message_id": "m1",
        "command_id": "lock",
        "key": "yes",
        "text": "Yes",
    }
    assert recorded.answers.proven == (questions.rows["lock"],)
    assert (recorded.messages, recorded.events) == (1, 1)
    assert await questions.open_ids() == []
    assert (await questions.get("lock")).answer_text == "Yes"


@pytest.mark.parametrize("batches", [[["2"], ["1"]], [["2", "1"]]], ids=["two batches", "one batch"])
async def test_only_the_first_answer_counts(questions: QuestionsHarness, batches: list[list[str]]) -> None:
    await questions.ask("lock")
    for words in batches:
        await record(questions.journal, *(questions.message(f"m{word}", word) for word in words))
    bodies, _ = await questions.stored()
    assert ["button" in body for body in bodies] == [True, False]
    assert await questions.answers() == [("lock", "no")]


async def test_a_message_or_press_that_wechat_delivers_twice_counts_once(questions: QuestionsHarness) -> None:
    await questions.ask("lock")
    await questions.write("m1", "1")
    await questions.ask("heat")
    again = await questions.write("m1", "1")
    assert again.repeated == 1
    await questions.press("p1", "heat", "no")
    assert (await questions.press("p1", "heat", "no")).answers.updates == ()
    assert await questions.answers() == [("lock", "yes"), ("heat", "no")]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([("1", {}), ("1", {})], [("heat", "yes")]),
        (
            [
                ("yes", {"is_quote": True, "quoted_command_id": "lock"}),
                ("nö", {"is_quote": True, "quoted_text": "heat? 1 Yes 2 Nö"}),
            ],
            [("lock", "yes"), ("heat", "no")],
        ),
        ([("1", {"is_quote": True, "quoted_command_id": "another"})], []),
        ([("1", {"is_quote": True})], []),
        ([("1", {"is_quote": True, "quoted_text": "something else"})], []),
        ([("1", {"person": PersonId(8)})], []),
        ([("1", {"person": PersonId(8), "is_quote": True, "quoted_command_id": "lock"})], []),
        ([("1", {"trusted": False})], []),
        (
            [("1", {"trusted": False, "is_quote": True, "quoted_command_id": "for anyone"})],
            [("for anyone", "yes")],
        ),
        ([("1", {"seconds": -5}), ("1", {"seconds": 3})], [("heat", "yes")]),
        ([("1", {"seconds": 61}), ("1", {"seconds": 59})], [("heat", "yes")]),
    ],
    ids=[
        *("no quote means the newest question", "quotes", "a quote of another id", "a quote of nothing"),
        *("a quote of another text", "another chat", "a quote in another chat", "untrusted"),
        *("untrusted to a question for anyone", "before the question", "after its time"),
    ],
)
async def test_a_message_answers_the_question_that_it_means(
    questions: QuestionsHarness, answers: list[tuple[str, dict[str, Any]]], expected: list[tuple[str, str]]
) -> None:
    """However late it is received."""
    await questions.ask("for anyone", anyone=True)
    await questions.ask("lock")
    await questions.ask("heat")
    asked = questions.clock.now
    questions.clock.now += 3_600_000
    for number, (words, more) in enumerate(answers):
        values = {"seconds": 10, **more}
        await questions.write(f"m{number}", words, time=asked + values.pop("seconds") * 1000, **values)
    assert await questions.answers() == expected


async def test_a_press_is_published_as_an_event_and_updates_the_card(questions: QuestionsHarness) -> None:
    await questions.ask("lock")
    recorded = await questions.press("p1", "lock", "no")
    messages, (event,) = await questions.stored()
    assert messages == []
    assert "message_id" not in event
    assert (event["key"], event["text"]) == ("no", "Nö")
    (update,) = recorded.answers.updates
    assert (update.press.key, update.chosen, update.question.command_id) == ("p1", "Nö", "lock")
    assert recorded.answers.proven == (questions.rows["lock"],)


async def test_a_late_press_changes_the_card_only(questions: QuestionsHarness) -> None:
    await questions.ask("lock")
    await questions.write("m1", "1")
    await questions.ask("heat")
    questions.clock.now += 60_001
    for command_id, chosen in (("lock", "Yes"), ("heat", "")):
        recorded = await questions.press(f"p {command_id}", command_id, "no")
        assert [update.chosen for update in recorded.answers.updates] == [chosen]
    assert await questions.answers() == [("lock", "yes")]


async def test_presses_of_unknown_cards_and_buttons_or_of_people_who_may_not_are_ignored(
    questions: QuestionsHarness,
) -> None:
    await questions.ask("lock")
    presses: list[tuple[str, str, dict[str, Any]]] = [
        *(("another", "yes", {}), ("lock", "maybe", {})),
        *(("lock", "yes", {"person": PersonId(8)}), ("lock", "yes", {"trusted": False})),
    ]
    for number, (command_id, button, more) in enumerate(presses):
        recorded = await questions.press(f"p{number}", command_id, button, **more)
        assert (recorded.events, recorded.answers.updates) == (0, ())
    assert await questions.open_ids() == ["lock"]


# The end of an attempt


async def test_an_attempt_that_was_not_delivered_opens_no_question(questions: QuestionsHarness) -> None:
    await questions.ask("lock")
    row_id = await questions.accept("heat")
    await questions.begin("heat")
    await questions.journal.commands.end_undelivered(row_id, is_question=True)
    await questions.write("m1", "1")  # only the first question has arrived
    assert await questions.answers() == [("lock", "yes")]
    await questions.begin("heat")
    await questions.finish("heat")
    assert await questions.open_ids() == ["heat"]


async def test_after_an_uncertain_attempt_the_question_stays_open(questions: QuestionsHarness) -> None:
    row_id = await questions.accept("lock")
    await questions.begin("lock")
    asked_at = questions.clock.now
    await questions.journal.commands.end_unanswered(row_id)
    questions.clock.now += 10_000
    await questions.begin("lock")
    await questions.journal.commands.end_undelivered(row_id, is_question=True)
    assert (await questions.get("lock")).asked == asked_at
    await questions.finish("lock", Status.UNCERTAIN, message_id=None, duplicate_possible=True)
    assert await questions.open_ids() == ["lock"]
    await questions.write("m1", "1")
    assert await questions.answers() == [("lock", "yes")]


async def test_while_a_command_is_in_doubt_its_question_is_open_no_longer_than_its_time(
    questions: QuestionsHarness,
) -> None:
    row_id = await questions.accept("lock")
    await questions.begin("lock", lasts=3000)
    await questions.journal.commands.end_unanswered(row_id, is_question=True)
    assert await questions.open_ids() == ["lock"]
    questions.clock.now += 8000
    assert await questions.open_ids() == []
    await questions.write("m1", "1")
    assert await questions.answers() == []
    await questions.begin("lock", lasts=3000)
    assert await questions.open_ids() == ["lock"]
    await questions.journal.commands.end_undelivered(row_id, is_question=True)
    questions.clock.now += 1
    assert await questions.open_ids() == []
    await questions.begin("lock", lasts=3000)
    await questions.finish("lock")
    assert await questions.open_ids() == ["lock"]
    await questions.write("m2", "1")
    assert await questions.answers() == [("lock", "yes")]


async def test_after_a_kill_during_an_attempt_the_time_for_an_answer_runs(
    questions: QuestionsHarness,
) -> None:
    await questions.accept("lock")
    await questions.begin("lock", lasts=3000)
    questions.clock.now += 8000
    assert await questions.open_ids() == ["lock"]
    await questions.journal.commands.recover_attempts()
    assert (await questions.get("lock")).until == questions.clock.now + 3000


async def test_a_command_that_was_not_sent_leaves_no_question(questions: QuestionsHarness) -> None:
    for status in (Status.FAILED, Status.EXPIRED, Status.REJECTED):
        await questions.accept(status)
        await questions.begin(status)
        await questions.finish(status, status, message_id=None)
        assert await questions.journal.questions.get(status) is None


async def test_after_a_kill_during_an_attempt_the_question_is_open_and_an_answer_proves_its_arrival(
    questions: QuestionsHarness,
) -> None:
    row_id = await questions.accept("lock")
    await questions.begin("lock")
    assert await questions.journal.questions.proven_commands() == frozenset()
    await questions.write("m1", "1")
    await questions.journal.commands.recover_attempts()
    assert await questions.journal.questions.proven_commands() == {row_id}
    await questions.finish("lock")
    assert await questions.journal.questions.proven_commands() == frozenset()


async def test_a_retry_opens_a_question_under_its_new_id(questions: QuestionsHarness) -> None:
    await questions.accept("lock")
    await questions.begin("lock")
    await questions.finish("lock", Status.UNCERTAIN, message_id=None, duplicate_possible=True)
    row = await questions.journal.commands.retry("lock", questions.clock.now, command("x").key)
    assert (row.command_id, row.command.buttons) == ("lock~1", BUTTONS)
    questions.rows["lock~1"] = row.id
    await questions.begin("lock~1")
    await questions.finish("lock~1")
    await questions.write("m1", "1")
    assert await questions.answers() == [("lock~1", "yes")]


# The end of a question


async def test_a_closed_question_takes_no_answer_also_from_the_last_second_of_its_time(
    questions: QuestionsHarness,
) -> None:
    await questions.ask("lock")
    until = (await questions.get("lock")).until
    assert until is not None
    questions.clock.now = until + 500
    for command_id, is_closed in (("lock", True), ("lock", False), ("another", False)):
        assert await questions.journal.questions.close(command_id, questions.clock.now) is is_closed
    await questions.write("m1", "1", time=until - until % 1000)
    await questions.write("m2", "1", time=until - 10_000)
    assert await questions.answers() == []


async def test_after_a_change_of_the_owner_no_question_is_open(questions: QuestionsHarness) -> None:
    await questions.ask("lock")
    await questions.journal.owner.change("webwx", "other", lambda row: (result(row.command_id), ()))
    assert await questions.open_ids() == []
    await questions.write("m1", "1")
    assert await questions.answers() == []


async def test_old_questions_are_deleted_but_for_those_newer_than_an_open_one(
    questions: QuestionsHarness,
) -> None:
    await questions.ask("lock", lasts=10**12)
    await questions.ask("heat")
    await questions.ask("other", person=PersonId(8))
    questions.clock.now += 8 * 86_400_000
    await questions.write("m0", "good morning")  # the clock has passed the newest row
    questions.clock.now += 1
    await questions.journal.retention.prune(questions.clock.now, 86_400_000, 7 * 86_400_000)
    assert await questions.journal.questions.get("other") is None
    assert (await questions.get("heat")).closed is None
    await questions.write("m1", "1")  # answers the newer question, whose time is over
    assert await questions.answers() == []


async def test_after_one_look_an_account_without_questions_does_not_search_for_any(journal: Journal) -> None:
    await journal.open()
    assert journal.rows.may_have_questions
    asking = QuestionsHarness(journal, Clock())
    await asking.write("m1", "1")
    assert not journal.rows.may_have_questions
    await asking.ask("lock")
    assert journal.rows.may_have_questions
