"""Questions at WeChat: what opens with an attempt, which commands an answer proves as sent, and cards.

    {"text": "Lock the door?", "buttons": ["Yes", "No"]}
    ->  its first attempt opens a question, in the commit that stores its begin (`new_question`)
    ->  somebody answers while the attempt is in doubt: the message has arrived (`is_proven`)

`store/questions.py` finds the answers among what is received. `CardUpdates` shows them on cards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.commands.results import final_result
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BackendError
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Result, Status
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.store.question_records import CardUpdate, NewQuestion

log = structlog.get_logger(__name__)

# How many answered questions are remembered. Only those matter whose command has no result yet.
MAX_ANSWERED = 10_000

# After this time from the press WeChat takes no update of a card (wecom 5.6).
UPDATE_SECONDS = 5.0

# While more updates wait than this, further cards are left as they are.
MAX_WAITING_UPDATES = 100


class CommandQuestions:
    """The questions of one account."""

    def __init__(self, ctx: AccountContext, resolver: CommandResolver) -> None:
        self._ctx = ctx
        self._resolver = resolver
        #: The row ids of commands whose question was answered, as a set in the order of the answers.
        self._answered: dict[int, None] = {}

    async def recover(self) -> None:
        """Reads which commands in doubt were answered before the process ended. Raises `StoreError`."""
        self.add_answered(await self._ctx.journal.questions.proven_commands())

    def add_answered(self, row_ids: Iterable[int]) -> None:
        """Records that the questions of these commands were answered."""
        self._answered.update(dict.fromkeys(row_ids))
        while len(self._answered) > MAX_ANSWERED:
            del self._answered[next(iter(self._answered))]

    def new_question(self, row: CommandRow) -> NewQuestion | None:
        """Returns the question that an attempt at this command opens; None for a command without buttons."""
        command = row.command
        if not command.buttons:
            return None
        person = self._resolver.person_of(row)
        if person is None:
            return None
        asked = self._ctx.backend.earliest_server_time()
        return NewQuestion(
            command_id=row.command_id,
            user=command.user,
            person=person.id,
            card=row.key,
            text=command.text,
            buttons=command.buttons,
            anyone=command.buttons_from == "anyone",
            lasts=int(command.buttons_for * 1000),
            asked=now_ms() if asked is None else asked,
            asked_by=command.asked_by,
        )

    def is_proven(self, row: CommandRow) -> bool:
        """Returns whether an answer shows that the whole text of a command has arrived."""
        return row.id in self._answered and row.parts_sent + 1 >= len(self._resolver.parts_of(row))

    def proven_result(self, row: CommandRow) -> Result:
        """Returns the result of a command whose answer came before that of WeChat."""
        return final_result(row, Status.SENT, "ok", bridge_text(self._ctx.language, "answered"))


class CardUpdates:
    """Shows on the cards of one account what became of the presses of their buttons, once these are stored.

    This is best effort: an answer counts and is published whatever its card shows.
    """

    def __init__(self, ctx: AccountContext) -> None:
        self._backend = ctx.backend
        self._waiting: asyncio.Queue[CardUpdate] = asyncio.Queue(MAX_WAITING_UPDATES)

    def add(self, updates: Iterable[CardUpdate]) -> None:
        for update in updates:
            if self._waiting.full():
                log.warning("too many presses at once: a card is not updated")
                return
            self._waiting.put_nowait(update)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                update = await self._waiting.get()
                tasks.create_task(self._show(update))

    async def _show(self, update: CardUpdate) -> None:
        question = update.question
        try:
            async with asyncio.timeout(UPDATE_SECONDS):
                await self._backend.update_card(update.press, question.text, question.buttons, update.chosen)
        except (BackendError, TimeoutError) as error:
            log.info("a card could not be updated", problem=str(error) or type(error).__name__)
        except Exception:  # a bug in the bridge: the answer is stored, and others must go on
            log.exception("a card could not be updated")
