"""Questions with buttons, and people who answer them, until the run stops them.

An account has one open question at a time, so that each answer belongs to that one. People repeat an answer
until it counts, since a message that WeCom could not deliver is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from tests.chaos.evidence import PublishedCommand, PublishedQuestion, UserAnswer
from tests.chaos.traffic import TTL_SECONDS, wait_or_stop

if TYPE_CHECKING:
    from tests.chaos.account import AccountDriver
    from tests.chaos.environment import Environment

QUESTION_SECONDS = 0.7
"""Between an answer and the next question of an account, on average."""
ANSWER_SECONDS = 1.5
"""The time after which an answer is repeated."""
OTHER_CHAT_SHARE, LATE_SHARE = 0.4, 0.4
"""The share of questions with the same text in another chat before, and with another answer too late."""


class Questions:
    """The questions of one run; all texts and buttons differ."""

    def __init__(self, environment: Environment, rng: random.Random) -> None:
        self._environment = environment
        self._rng = rng
        self._number = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Asks questions for as long as the block lasts; `remind` answers those that are open then."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for account in self._environment.accounts:
                tasks.create_task(self._ask_and_answer(account, stop))
            try:
                yield
            finally:
                stop.set()

    async def remind(self) -> None:
        """Answers each open question again."""
        for account in self._environment.accounts:
            for question in account.open_questions():
                await self._answer(account, question)

    async def _ask_and_answer(self, account: AccountDriver, stop: asyncio.Event) -> None:
        while not await wait_or_stop(stop, QUESTION_SECONDS, self._rng):
            question = await self._ask(account)
            if not await self._reached(stop, lambda: question.command_id in account.results):  # noqa: B023
                return
            if account.statuses.get(question.command_id) not in {"sent", "uncertain"}:
                continue
            if self._rng.random() < OTHER_CHAT_SHARE:
                await self._write_in_other_chat(account, question)
            while question.command_id not in account.answered:
                await self._answer(account, question)
                await self._reached(stop, lambda: question.command_id in account.answered, ANSWER_SECONDS)  # noqa: B023
                if stop.is_set():
                    return
            if self._rng.random() < LATE_SHARE:
                await self._answer_too_late(account, question)

    async def _reached(
        self, stop: asyncio.Event, condition: Callable[[], bool], seconds: float = math.inf
    ) -> bool:
        """Waits until the condition is true; returns False at the stop, or after `seconds`."""
        until = time.monotonic() + seconds
        while not condition():
            if stop.is_set() or time.monotonic() > until:
                return False
            await self._environment.wait(condition, min(0.5, seconds))
        return True

    async def _ask(self, account: AccountDriver) -> PublishedQuestion:
        self._number += 1
        number, user = self._number, self._rng.choice(account.question_chats)
        keys = {f"y{number}": f"yes-{number}", f"n{number}": f"no-{number}"}
        is_card = account.backend == "wecom" and user != "family"
        question = PublishedQuestion(
            command_id=f"q{number}",
            user=user,
            text=f"ask {account.name} {number}?",
            keys=keys,
            choice=self._rng.choice([*keys]),
            method=self._rng.choice(("press", "press", "number", "text") if is_card else ("number", "text")),
        )
        account.questions.append(question)
        command = PublishedCommand(
            id=question.command_id, user=user, content=question.text, publisher=account.publisher_name
        )
        body = {
            "id": question.command_id,
            "text": question.text,
            "buttons": [{"text": text, "key": key} for text, key in keys.items()],
            "buttons_from": "anyone",
            "ttl": TTL_SECONDS,
        }
        await account.publish_command(command, f"out/{user}", json.dumps(body))
        return question

    async def _answer(self, account: AccountDriver, question: PublishedQuestion) -> None:
        key = question.keys[question.choice]
        if question.method == "press":
            is_reported = await account.press(question.text, question.user, key)
            if is_reported:
                question.answers.append(UserAnswer(key=key))
            elif is_reported is None:  # the card is not there, so the answer is written
                question.method = "text"
            return
        number = [*question.keys].index(question.choice) + 1
        await self._say(
            account, question, str(number) if question.method == "number" else question.choice, key
        )

    async def _answer_too_late(self, account: AccountDriver, question: PublishedQuestion) -> None:
        """Gives another answer, too late."""
        other = next(text for text in question.keys if text != question.choice)
        if question.method == "press":
            await account.press(question.text, question.user, question.keys[other])
        else:
            await account.write(question.user, other)

    async def _say(self, account: AccountDriver, question: PublishedQuestion, text: str, key: str) -> None:
        message_id = await account.write(question.user, text)
        if message_id is not None:
            question.answers.append(UserAnswer(key=key, message_id=message_id))

    async def _write_in_other_chat(self, account: AccountDriver, question: PublishedQuestion) -> None:
        """Writes the other answer in another chat."""
        chats = [chat for chat in account.writers if chat not in {question.user, "filehelper"}]
        if chats:
            other = next(text for text in question.keys if text != question.choice)
            await account.write(self._rng.choice(chats), self._rng.choice((other, "1", "2")))
