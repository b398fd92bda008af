"""Questions (texts with buttons) and what may answer them, as values. Frozen, without I/O.

    `{"text": "Lock the door?", "buttons": ["Yes", "No"]}`  ->  `NewQuestion`, stored as `AskedQuestion`
    somebody writes "1", or presses a button                ->  `AnswerAttempt`, stored with the message

A question belongs to the command that asks it. Where a fallback account sends it in place of another account,
that is a command of the other account: `asked_by` names it.

Times are in milliseconds since 1970; `asked` and those of answers are by WeChat's clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields

from wx2mqtt.model import AskingCommand, Button, ButtonPress, Json, PersonId
from wx2mqtt.store.column_values import compact, storable_text
from wx2mqtt.store.database import NamedRow
from wx2mqtt.values import frozen


@frozen
class NewQuestion:
    """What opens with the first attempt at a command with buttons."""

    command_id: str
    #: The topic name in the command.
    user: str
    #: The person or group that is asked.
    person: PersonId
    #: What the ids of its cards have in common.
    card: str
    text: str
    buttons: tuple[Button, ...]
    #: Not only trusted people may answer.
    anyone: bool
    #: How long an answer counts after the end of the attempt, in milliseconds.
    lasts: int
    asked: int
    #: The command of another account that asks; None where the own command does.
    asked_by: AskingCommand | None = None


@frozen
class AskedQuestion:
    """A stored question."""

    id: int
    #: The account that has sent it.
    account: str
    #: The row id of its command.
    command: int
    command_id: str
    #: The topic name in the command.
    user: str
    person: PersonId
    text: str
    buttons: tuple[Button, ...]
    #: Not only trusted people may answer.
    anyone: bool
    asked: int
    #: When the time for an answer ends; None while the attempt has not ended.
    until: int | None
    #: When it was answered, or closed by a request.
    closed: int | None
    #: The key of the button that was chosen; empty without an answer.
    answer: str
    #: The command of another account that asks; None where the own command does.
    asked_by: AskingCommand | None = None

    @property
    def asker(self) -> AskingCommand:
        """The command that asks: `asked_by`, or else the one of this account."""
        if self.asked_by is not None:
            return self.asked_by
        return AskingCommand(
            account=self.account, row_id=self.command, command_id=self.command_id, user=self.user
        )

    @property
    def fallback_account(self) -> str:
        """The `account/user` that has sent it in place of the asker's account; empty without `asked_by`."""
        return "" if self.asked_by is None else f"{self.account}/{self.user}"

    @property
    def answer_text(self) -> str:
        """The text of the button that was chosen; empty without an answer."""
        return next((button.text for button in self.buttons if button.key == self.answer), "")


@frozen
class AnswerAttempt:
    """What somebody wrote or pressed, and may be the answer to a question of this chat."""

    person: PersonId
    #: The sender is trusted.
    trusted: bool
    time: int
    #: What was written, as `answer_form` makes it; empty for a press.
    words: str = ""
    #: What was written quotes another message.
    is_quote: bool = False
    #: The command that sent the quoted message; empty where that is not known, or another message is quoted.
    quoted_command_id: str = ""
    #: The quoted text, where nothing else says which message is quoted.
    quoted_text: str = ""
    #: The topic of `event/button`, and its payload without what is known of the question.
    topic: str
    event: Mapping[str, Json]

    @property
    def is_press(self) -> bool:
        """Whether a button of a card was pressed, so that nothing was written."""
        return not self.words


@frozen
class NewPress:
    """The press of a button, to be stored if it answers a question."""

    press: ButtonPress
    #: The topic name of the chat.
    user: str
    #: Names the question of the card.
    card: str
    attempt: AnswerAttempt

    @property
    def key(self) -> str:
        """Equal when WeChat delivers the same press again."""
        return self.press.key


@frozen
class CardUpdate:
    """What a card shows after a press."""

    press: ButtonPress
    question: AskedQuestion
    #: The text of the button that counts; empty where there is none.
    chosen: str


@frozen
class AnswerBatch:
    """What the answers of one commit mean for others."""

    #: The row ids of the commands whose questions were answered: their messages have arrived.
    proven: tuple[int, ...] = ()
    updates: tuple[CardUpdate, ...] = ()


NO_ANSWERS = AnswerBatch()


# The fields of a question that are columns of their names.
_COLUMNS = tuple(item.name for item in fields(AskedQuestion) if item.name != "asked_by")


def question_from_row(row: NamedRow) -> AskedQuestion:
    values = {name: row[name] for name in _COLUMNS}
    values["buttons"] = buttons_from_json(json.loads(row["buttons"]))
    values["anyone"] = bool(row["anyone"])
    return AskedQuestion(**values, asked_by=_other_asker(row))


def _other_asker(row: NamedRow) -> AskingCommand | None:
    """Returns the command that asks, if it is another account's."""
    if row["asker"] == row["account"]:
        return None
    return AskingCommand(
        account=row["asker"],
        row_id=row["asker_command"],
        command_id=row["asker_command_id"],
        user=row["asker_user"],
    )


def buttons_text(buttons: tuple[Button, ...]) -> str:
    """Returns buttons as the text of a column."""
    return storable_text(compact(buttons_to_json(buttons)))


def buttons_to_json(buttons: tuple[Button, ...]) -> list[Json]:
    return [{"text": button.text, "key": button.key} for button in buttons]


def buttons_from_json(values: Json) -> tuple[Button, ...]:
    """Returns stored buttons, without what a forged backup has in their place."""
    if not isinstance(values, list):
        return ()
    pairs = [(value.get("text"), value.get("key")) for value in values if isinstance(value, dict)]
    return tuple(
        Button(text=text, key=key) for text, key in pairs if isinstance(text, str) and isinstance(key, str)
    )


def asking_to_json(asked_by: AskingCommand) -> dict[str, Json]:
    return asdict(asked_by)


def asking_from_json(value: Json) -> AskingCommand | None:
    """Returns a stored reference to the asking command; None for what a forged backup has in its place."""
    if not isinstance(value, dict):
        return None
    account, row_id = value.get("account"), value.get("row_id")
    command_id, user = value.get("command_id"), value.get("user")
    texts = (account, command_id, user)
    if not isinstance(row_id, int) or not all(isinstance(text, str) for text in texts):
        return None
    return AskingCommand(account=str(account), row_id=row_id, command_id=str(command_id), user=str(user))
