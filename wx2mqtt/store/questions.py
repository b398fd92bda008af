"""The questions of one account: opened with an attempt, answered with a message, closed, listed.

    begin of an attempt      ->  `open_question`, in the commit of the attempt
    no answer to an attempt  ->  `start_answer_time`, in the commit of its end
    end of the command       ->  `end_question`, in the commit of its result
    a message or a press     ->  `AnswerMatching`, in the commit that stores it

So a kill at any moment leaves a question either asked or not, and either answered, with its event, or open.

Where a fallback account sends a question in place of another account, each of both has a row. They are one
question, that of the command that asks (`AskedQuestion.asker`): an answer closes all of its rows, and the
account of the asker publishes the event.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wx2mqtt.buttons import find_button
from wx2mqtt.model import AskingCommand, Button, Json, PersonId, Result, Status
from wx2mqtt.store.column_values import storable_text
from wx2mqtt.store.database import Connection
from wx2mqtt.store.outbox import AccountRows, JournalPart
from wx2mqtt.store.question_answers import (
    BUTTON_EVENT,
    as_event_of_asker,
    button_event,
    button_of_message,
    find_quoted,
    is_in_time,
    may_answer,
)
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
from wx2mqtt.store.statements import Statement

# The question that somebody quotes is searched among so many of the chat, the newest first.
MAX_QUOTABLE_QUESTIONS = 100

Item = NewMessage | NewPress | NewEvent


class JournaledQuestions(JournalPart):
    """Questions to be read, and closed by a request."""

    async def list_open(self, now: int, limit: int) -> list[AskedQuestion]:
        """Returns the open questions of its commands, those that were asked last first."""
        return await self._database.read(
            lambda db: _questions(db, _OPEN_QUESTIONS, self._account, now, limit)
        )

    async def get(self, command_id: str) -> AskedQuestion | None:
        """Returns the question of a command; None if it was not asked (yet), or is forgotten.

        Where only other accounts have sent it, it is the row of one of these.
        """
        values = self._account, storable_text(command_id)
        rows = await self._database.read(lambda db: _questions(db, _OF_ASKER, *values))
        return rows[0] if rows else None

    async def close(self, command_id: str, now: int) -> bool:
        """Closes a question, also one whose time is over; returns False where it is closed already."""
        values = storable_text(command_id), now
        return bool(await self._execute("close_question", _CLOSE_QUESTION, *values))

    async def proven_commands(self) -> frozenset[int]:
        """Returns the row ids of commands without a result whose message has arrived."""
        rows = await self._fetch(_PROVEN_COMMANDS)
        return frozenset(row_id for (row_id,) in rows)


# Parts of other write jobs


def open_question(connection: Connection, rows: AccountRows, row_id: int, new: NewQuestion) -> None:
    """Opens the question of a command whose attempt begins, also again where its time was over."""
    rows.may_have_questions = True
    own_command = AskingCommand(account=rows.account, row_id=row_id, command_id=new.command_id, user=new.user)
    asker = new.asked_by or own_command
    connection.execute(
        _OPEN_QUESTION,
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
            rows.now(),
        ),
    )


def forget_undelivered_question(connection: Connection, rows: AccountRows, row_id: int) -> None:
    """Forgets the question of a command whose attempt certainly did not arrive.

    Where an earlier attempt is in doubt, it stays, and its time is over if it was before this attempt.
    """
    connection.execute(_FORGET_UNDELIVERED, (rows.account, row_id))
    connection.execute(_END_TIME_AGAIN, (rows.account, row_id, rows.now()))


def start_answer_time(connection: Connection, rows: AccountRows, row_id: int) -> None:
    """Starts the time for an answer: an attempt that may have arrived has ended."""
    connection.execute(_START_TIME, (rows.account, row_id, rows.now()))


def start_answer_times(connection: Connection, rows: AccountRows) -> None:
    """At start: starts the time for an answer to all questions whose attempt the last process left open."""
    connection.execute(_START_TIMES, (rows.account, rows.now()))


def end_question(connection: Connection, rows: AccountRows, row_id: int, result: Result) -> None:
    """Starts the time for an answer when the command has a result; forgets a question that nobody got."""
    may_have_arrived = result.status in (Status.SENT, Status.UNCERTAIN) or result.duplicate_possible
    if may_have_arrived:
        start_answer_time(connection, rows, row_id)
    else:
        connection.execute(_FORGET_UNSENT, (rows.account, row_id))


def forget_questions(connection: Connection, rows: AccountRows) -> None:
    """Forgets all questions of an account that gets another owner."""
    connection.execute(_FORGET_QUESTIONS, (rows.account,))


class AnswerMatching:
    """Finds the answers among the items of one commit. Runs inside of its write job.

    1. A message or press that answers an open question closes it, in this commit.
    2. The message gets `button`, and behind it stands the event about the answer; a press becomes the event.
       The event about another account's question is for that account: `for_other_accounts`.
    3. What a press does to its card, and which commands it proves as sent, is for the bridge: `answers`.
    """

    def __init__(self, connection: Connection, rows: AccountRows) -> None:
        self._connection = connection
        self._rows = rows
        #: The row ids of the commands whose questions are answered.
        self._proven: list[int] = []
        #: What the cards that were pressed show from now on.
        self._updates: list[CardUpdate] = []
        #: The events of questions that other accounts ask, each with the account that publishes it.
        self.for_other_accounts: list[tuple[str, NewEvent]] = []

    @property
    def answers(self) -> AnswerBatch:
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
        """Returns whether the account has a question at all; a query only after one was opened."""
        if self._rows.may_have_questions:
            row = self._connection.execute(_QUESTION_EXISTS, (self._rows.account,)).fetchone()
            self._rows.may_have_questions = row is not None
        return self._rows.may_have_questions

    def _match_message(self, message: NewMessage, attempt: AnswerAttempt) -> list[NewMessage | NewEvent]:
        question = self._question_of(attempt)
        if question is None or not (may_answer(question, attempt) and is_in_time(question, attempt)):
            return [message]
        button = find_button(question.buttons, attempt.words)
        if button is None:
            return [message]
        body: dict[str, Json] = {**message.body, "button": button_of_message(question, button)}
        key = f"{BUTTON_EVENT}:{message.key}"
        return [replace(message, body=body), *self._answer(question, button, attempt, key, message.user)]

    def _question_of(self, attempt: AnswerAttempt) -> AskedQuestion | None:
        """Returns the question that an attempt means, whether or not it is open."""
        if not attempt.is_quote:
            newest = self._find(_NEWEST_OF_PERSON, attempt.person)
            return newest[0] if newest else None
        if attempt.quoted_command_id:  # found however old it is
            quotable = self._find(_BY_COMMAND_ID, storable_text(attempt.quoted_command_id))
        else:
            quotable = self._find(_QUESTIONS_OF_PERSON, attempt.person, MAX_QUOTABLE_QUESTIONS)
        return find_quoted([row for row in quotable if row.person == attempt.person], attempt)

    def _match_press(self, item: NewPress) -> list[NewEvent]:
        question = self._question_of_card(item.card, item.attempt.person)
        if question is None or not may_answer(question, item.attempt):
            return []
        button = next((button for button in question.buttons if button.key == item.press.button), None)
        if button is None:
            return []
        is_late = not is_in_time(question, item.attempt)
        chosen = question.answer_text if is_late else button.text
        self._updates.append(CardUpdate(press=item.press, question=question, chosen=chosen))
        if is_late:
            return []
        return self._answer(question, button, item.attempt, item.key, item.user)

    def _question_of_card(self, card: str, person: PersonId) -> AskedQuestion | None:
        questions = self._find(_BY_CARD, storable_text(card))
        return next((question for question in questions if question.person == person), None)

    def _answer(
        self, question: AskedQuestion, button: Button, attempt: AnswerAttempt, key: str, user: str
    ) -> list[NewEvent]:
        """Closes all rows of a question; returns the event about that, unless it is `for_other_accounts`."""
        asker = question.asker
        values = (asker.account, asker.row_id, self._rows.now(), storable_text(button.key))
        self._connection.execute(_ANSWER_QUESTION, values)
        self._proven.append(question.command)
        event = button_event(key, user, attempt, question, button)
        if question.asked_by is None:
            return [event]
        row = self._connection.execute(_READ_BASE_TOPIC, (asker.account,)).fetchone()
        if row is not None and row[0]:  # an account that was removed publishes nothing
            topic = f"{row[0]}/event/{BUTTON_EVENT}"
            self.for_other_accounts.append((asker.account, as_event_of_asker(event, question, topic)))
        return []

    def _find(self, statement: str, *values: object) -> list[AskedQuestion]:
        return _questions(self._connection, statement, self._rows.account, *values)


def _questions(connection: Connection, statement: str, *values: object) -> list[AskedQuestion]:
    return [question_from_row(row) for row in connection.named_rows(statement, values)]


# Statements

# The open questions of the commands of an account; where several accounts have sent one, its first open row.
_OPEN_QUESTIONS = Statement("""
    SELECT * FROM question WHERE id IN (
        SELECT min(id) FROM question
        WHERE asker = ?1 AND closed IS NULL AND (until IS NULL OR until > ?2) GROUP BY asker_command
    )
    ORDER BY id DESC LIMIT ?3
""")

# The question of a command; where several accounts have sent it, the one that is answered, else the newest.
_OF_ASKER = Statement("""
    SELECT * FROM question
    WHERE asker = ?1 AND asker_command_id = ?2 ORDER BY asker_command DESC, answer DESC, id DESC LIMIT 1
""")

# Closes a question, also one whose time is over: the time of a message may have whole seconds only, and then
# an answer in time counts although the question seems to be over.
_CLOSE_QUESTION = Statement("""
    UPDATE question SET closed = ?3 WHERE asker = ?1 AND asker_command_id = ?2 AND closed IS NULL
""")

# Commands without a result whose message has arrived, since its question was answered.
_PROVEN_COMMANDS = Statement("""
    SELECT command FROM question
    WHERE account = ? AND answer <> '' AND command IN (SELECT id FROM command WHERE status IS NULL)
""")

# Opens a question with its first attempt. Another account may have sent it before, and it may be answered
# already: then this row is closed from the beginning. At a further attempt it stays as it is, unless its time
# is over: that begins anew when this attempt has ended.
_OPEN_QUESTION = Statement("""
    INSERT INTO question
        (account, command, command_id, user, person, card, text, buttons, anyone, lasts, asked,
         asker, asker_command, asker_command_id, asker_user, closed, answer)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,
        (SELECT max(closed) FROM question WHERE asker = ?12 AND asker_command = ?13),
        coalesce((SELECT max(answer) FROM question WHERE asker = ?12 AND asker_command = ?13), ''))
    ON CONFLICT (account, command) DO UPDATE SET until = NULL
        WHERE question.closed IS NULL AND question.until <= ?16
""")

# Forgets a question whose attempt certainly did not arrive, unless an earlier attempt is in doubt.
_FORGET_UNDELIVERED = Statement("""
    DELETE FROM question
    WHERE account = ?1 AND command = ?2 AND closed IS NULL
        AND command IN (SELECT id FROM command WHERE id = ?2 AND unknown = 0)
""")

# Ends the time for an answer that had ended before the last attempt, which did not arrive.
_END_TIME_AGAIN = Statement("""
    UPDATE question SET until = ?3
    WHERE account = ?1 AND command = ?2 AND closed IS NULL AND until IS NULL
""")

# Starts the time for an answer: the last attempt ended at ?3.
_START_TIME = Statement("UPDATE question SET until = ?3 + lasts WHERE account = ?1 AND command = ?2")

_START_TIMES = Statement("UPDATE question SET until = ?2 + lasts WHERE account = ?1 AND until IS NULL")

# Forgets a question whose command has ended without an attempt that can have arrived.
_FORGET_UNSENT = Statement("DELETE FROM question WHERE account = ?1 AND command = ?2 AND closed IS NULL")

# Forgets the questions of an account, and those that other accounts have sent for it.
_FORGET_QUESTIONS = Statement("DELETE FROM question WHERE account = ?1 OR asker = ?1")

_QUESTION_EXISTS = Statement("SELECT 1 FROM question WHERE account = ? LIMIT 1")

# The question that a person or group was asked last, open or not.
_NEWEST_OF_PERSON = Statement("""
    SELECT * FROM question WHERE account = ? AND person = ? ORDER BY id DESC LIMIT 1
""")

_BY_COMMAND_ID = Statement("""
    SELECT * FROM question WHERE account = ?1 AND command_id = ?2 ORDER BY id DESC LIMIT 1
""")

# The newest questions of a person or group.
_QUESTIONS_OF_PERSON = Statement("""
    SELECT * FROM question WHERE account = ?1 AND person = ?2 ORDER BY id DESC LIMIT ?3
""")

_BY_CARD = Statement("SELECT * FROM question WHERE account = ? AND card = ?")

# Answers the question of a command, whichever accounts have sent it.
_ANSWER_QUESTION = Statement("""
    UPDATE question SET closed = ?3, answer = ?4 WHERE asker = ?1 AND asker_command = ?2 AND closed IS NULL
""")

_READ_BASE_TOPIC = Statement("SELECT base_topic FROM account WHERE name = ?")
