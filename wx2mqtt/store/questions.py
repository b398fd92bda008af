"""The questions of one account: opened with an attempt, answered with a message, closed, listed.

    begin of the first attempt  ->  `open_question`, in the commit of the attempt
    end of the command          ->  `end_question`, in the commit of its result
    a message or a press        ->  `AnswerMatching`, in the commit that stores it

So a kill at any moment leaves a question either asked or not, and either answered, with its event, or open.

A question that goes along with a fallback has a row of each account that sends it. It is one question, of the
command that asks (`asked_by`): an answer closes all rows, and its event is that of the account that asks.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from wx2mqtt.buttons import find_button, text_with_buttons
from wx2mqtt.model import AskingCommand, Button, Json, PersonId, Result, Status
from wx2mqtt.store.database import Connection
from wx2mqtt.store.outbox import AccountRows, JournalPart
from wx2mqtt.store.queries import load_queries, storable_text
from wx2mqtt.store.question_records import (
    AnswerAttempt,
    AnswerBatch,
    AskedQuestion,
    CardUpdate,
    NewPress,
    NewQuestion,
    buttons_text,
    question_from_row,
)
from wx2mqtt.store.records import NewEvent, NewMessage

_SQL = load_queries("questions")

BUTTON_EVENT = "button"

# Of a chat, among which the one that somebody quotes is searched.
MAX_QUOTABLE_QUESTIONS = 100

# WeChat or a backend cuts a quoted text. Of a shorter beginning it is not certain what is quoted.
MIN_QUOTED_CHARACTERS = 30

# Some times of messages have whole seconds.
_SECOND_MS = 1000

Item = NewMessage | NewPress | NewEvent


class JournaledQuestions(JournalPart):
    """Questions to be read, and closed by a request."""

    @property
    def may_exist(self) -> bool:
        """Whether the account may have a question; most accounts never ask."""
        return self._rows.may_have_questions

    async def list_open(self, now: int, limit: int) -> list[AskedQuestion]:
        """Returns the open questions of its commands, those that were asked last first."""
        return await self._database.read(
            lambda db: _questions(db, _SQL["list_open"], self._account, now, limit)
        )

    async def get(self, command_id: str) -> AskedQuestion | None:
        """Returns the question of a command; None if it was not asked (yet), or is forgotten.

        Where only other accounts have sent it, it is the row of one of these.
        """
        values = self._account, storable_text(command_id)
        rows = await self._database.read(lambda db: _questions(db, _SQL["of_asker"], *values))
        return rows[0] if rows else None

    async def close(self, command_id: str, now: int) -> bool:
        """Closes a question, also one whose time is over; returns False where it is closed already."""
        values = storable_text(command_id), now
        return bool(await self._execute("close_question", _SQL["close"], *values))

    async def proven_commands(self) -> frozenset[int]:
        """Returns the row ids of commands without a result whose message has arrived."""
        rows = await self._fetch(_SQL["proven_commands"])
        return frozenset(row_id for (row_id,) in rows)


# Parts of other write jobs


def open_question(connection: Connection, rows: AccountRows, row_id: int, new: NewQuestion) -> None:
    """Opens the question of a command whose first attempt begins; of a further attempt it stays."""
    rows.may_have_questions = True
    own = AskingCommand(account=rows.account, row_id=row_id, command_id=new.command_id, user=new.user)
    asker = new.asked_by or own
    connection.execute(
        _SQL["open"],
        (
            rows.account,
            row_id,
            storable_text(new.command_id),
            storable_text(new.user),
            new.person,
            new.card,
            storable_text(new.text),
            buttons_text(new.buttons),
            int(new.anyone),
            new.lasts,
            new.asked,
            asker.account,
            asker.row_id,
            storable_text(asker.command_id),
            storable_text(asker.user),
        ),
    )


def take_question_back(connection: Connection, rows: AccountRows, row_id: int) -> None:
    """An attempt certainly did not arrive."""
    connection.execute(_SQL["take_back"], (rows.account, row_id))


def end_question(connection: Connection, rows: AccountRows, row_id: int, result: Result) -> None:
    """Its command has a result: the time for an answer runs, unless nothing can have arrived."""
    may_have_arrived = result.status in (Status.SENT, Status.UNCERTAIN) or result.duplicate_possible
    if may_have_arrived:
        connection.execute(_SQL["start_time"], (rows.account, row_id, rows.now()))
    else:
        connection.execute(_SQL["discard"], (rows.account, row_id))


def give_up_questions(connection: Connection, rows: AccountRows) -> None:
    """Another owner: the questions of the previous one are forgotten."""
    connection.execute(_SQL["give_up"], (rows.account,))


class AnswerMatching:
    """Finds the answers among the items of one commit. Runs inside of its write job.

    1. A message or press that answers an open question closes it, in this commit.
    2. The message gets `button`, and behind it stands the event about the answer; a press becomes the event.
       The event about another account's question is that account's: `elsewhere`.
    3. What a press does to its card, and which commands it proves as sent, is for the bridge: `batch`.
    """

    def __init__(self, connection: Connection, rows: AccountRows) -> None:
        self._connection = connection
        self._rows = rows
        self._proven: list[int] = []
        self._updates: list[CardUpdate] = []
        #: The events that other accounts publish, each with its account.
        self.elsewhere: list[tuple[str, NewEvent]] = []

    @property
    def batch(self) -> AnswerBatch:
        return AnswerBatch(proven=tuple(self._proven), updates=tuple(self._updates))

    def apply(self, items: Sequence[Item]) -> list[NewMessage | NewEvent]:
        """Returns the items to store, in their order."""
        stored: list[NewMessage | NewEvent] = []
        for item in items:
            match item:
                case NewPress():
                    stored += self._match_press(item)
                case NewMessage(answer=AnswerAttempt() as attempt) if self._has_questions():
                    stored += self._match_message(item, attempt)
                case NewMessage() | NewEvent():
                    stored.append(item)
        return stored

    def _has_questions(self) -> bool:
        """Returns whether the account has a question at all."""
        if self._rows.may_have_questions:
            row = self._connection.execute(_SQL["exists"], (self._rows.account,)).fetchone()
            self._rows.may_have_questions = row is not None
        return self._rows.may_have_questions

    def _match_message(self, message: NewMessage, attempt: AnswerAttempt) -> list[NewMessage | NewEvent]:
        question = self._question_of(attempt)
        button = None if question is None else find_button(question.buttons, attempt.words)
        if question is None or button is None:
            return [message]
        if not (may_answer(question, attempt) and is_in_time(question, attempt)):
            return [message]
        body: dict[str, Json] = {**message.body, "button": _button_of_message(question, button)}
        key = f"{BUTTON_EVENT}:{message.key}"
        return [replace(message, body=body), *self._answer(question, button, attempt, key, message.user)]

    def _question_of(self, attempt: AnswerAttempt) -> AskedQuestion | None:
        if not attempt.is_quote:
            newest = self._find(_SQL["newest_of_person"], attempt.person)
            return newest[0] if newest else None
        if attempt.quoted_command_id:  # found however old it is
            quotable = self._find(_SQL["by_command_id"], storable_text(attempt.quoted_command_id))
        else:
            quotable = self._find(_SQL["of_person"], attempt.person, MAX_QUOTABLE_QUESTIONS)
        return find_quoted([row for row in quotable if row.person == attempt.person], attempt)

    def _match_press(self, item: NewPress) -> list[NewEvent]:
        question = self._question_of_card(item.card, item.attempt.person)
        button = None if question is None else _button_with_key(question, item.press.button)
        if question is None or button is None or not may_answer(question, item.attempt):
            return []
        if not is_in_time(question, item.attempt):
            update = CardUpdate(press=item.press, question=question, chosen=question.answer_text)
            self._updates.append(update)
            return []
        self._updates.append(CardUpdate(press=item.press, question=question, chosen=button.text))
        return self._answer(question, button, item.attempt, item.key, item.user)

    def _question_of_card(self, card: str, person: PersonId) -> AskedQuestion | None:
        questions = self._find(_SQL["by_card"], storable_text(card))
        return next((question for question in questions if question.person == person), None)

    def _answer(
        self, question: AskedQuestion, button: Button, attempt: AnswerAttempt, key: str, user: str
    ) -> list[NewEvent]:
        """Closes a question; returns the event about the answer, unless another account publishes it."""
        asked_by = question.asked_by
        asker, row_id = (
            (self._rows.account, question.command)
            if asked_by is None
            else (asked_by.account, asked_by.row_id)
        )
        values = asker, row_id, self._rows.now(), storable_text(button.key)
        self._connection.execute(_SQL["answer"], values)
        self._proven.append(question.command)
        if asked_by is None:
            return [_button_event(key, user, attempt, question, button)]
        row = self._connection.execute(_SQL["base_topic"], (asked_by.account,)).fetchone()
        if row is not None and row[0]:  # an account that was removed publishes nothing
            topic = f"{row[0]}/event/{BUTTON_EVENT}"
            event = _button_event_elsewhere(key, topic, asked_by, attempt, question, button)
            self.elsewhere.append((asked_by.account, event))
        return []

    def _find(self, statement: str, *values: object) -> list[AskedQuestion]:
        return _questions(self._connection, statement, self._rows.account, *values)


def _questions(connection: Connection, statement: str, *values: object) -> list[AskedQuestion]:
    return [question_from_row(row) for row in connection.named_rows(statement, values)]


def _button_with_key(question: AskedQuestion, key: str) -> Button | None:
    return next((button for button in question.buttons if button.key == key), None)


def _button_event(
    key: str, user: str, attempt: AnswerAttempt, question: AskedQuestion, button: Button
) -> NewEvent:
    body: dict[str, Json] = {
        **attempt.event,
        "id": f"{BUTTON_EVENT}:{question.command_id}:{question.asked}",
        "command_id": question.command_id,
        "key": button.key,
        "text": button.text,
    }
    return NewEvent(key=key, topic=attempt.topic, user=user, name=BUTTON_EVENT, time=attempt.time, body=body)


def _button_event_elsewhere(
    key: str,
    topic: str,
    asked_by: AskingCommand,
    attempt: AnswerAttempt,
    question: AskedQuestion,
    button: Button,
) -> NewEvent:
    """Returns the event of the account that asks; its key is unlike that of anything that it has received."""
    event = _button_event(f"{question.account}:{key}", asked_by.user, attempt, question, button)
    body: dict[str, Json] = {
        **event.body,
        "id": f"{BUTTON_EVENT}:{asked_by.command_id}:{question.asked}",
        "account": asked_by.account,
        "user": asked_by.user,
        "command_id": asked_by.command_id,
        "pressed_on": question.fallback_account,
    }
    return replace(event, topic=topic, body=body)


def _button_of_message(question: AskedQuestion, button: Button) -> dict[str, Json]:
    """Returns the key `button` of a message; it names the account of a command that is another one's."""
    account: dict[str, Json] = {} if question.asked_by is None else {"account": question.asked_by.account}
    return {**account, "command_id": question.asking_id, "key": button.key}


# Which question an answer means, and whether it counts. Pure.


def find_quoted(questions: Sequence[AskedQuestion], attempt: AnswerAttempt) -> AskedQuestion | None:
    """Returns the question that an attempt quotes; `questions` are those of the chat, the newest first."""
    if attempt.quoted_command_id:
        return next((row for row in questions if row.command_id == attempt.quoted_command_id), None)
    quoted = _one_line(attempt.quoted_text)
    if not quoted:
        return None
    return next((row for row in questions if _is_text_of(row, quoted)), None)


def _is_text_of(question: AskedQuestion, quoted: str) -> bool:
    """Returns whether a quoted text is this question, with or without lines, or a long beginning of it."""
    text = _one_line(question.text)
    whole = _one_line(text_with_buttons(question.text, question.buttons))
    return quoted in (text, whole) or (len(quoted) >= MIN_QUOTED_CHARACTERS and whole.startswith(quoted))


def _one_line(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).removesuffix("…").split())


def is_in_time(question: AskedQuestion, attempt: AnswerAttempt) -> bool:
    """Returns whether the question was open when this was written.

    What was written before it answers nothing. A quote of it and a press come after it whatever a clock says.
    """
    if question.closed is not None:
        return False
    if question.until is not None and attempt.time > question.until:
        return False
    is_bare = bool(attempt.words) and not attempt.is_quote
    return not is_bare or attempt.time >= _at_precision_of(attempt.time, question.asked)


def _at_precision_of(time: int, asked: int) -> int:
    """Returns when a question was asked; in whole seconds where the time to compare has no more."""
    return asked - asked % _SECOND_MS if time % _SECOND_MS == 0 else asked


def may_answer(question: AskedQuestion, attempt: AnswerAttempt) -> bool:
    """Returns whether the answers of this sender count."""
    return question.anyone or attempt.trusted
