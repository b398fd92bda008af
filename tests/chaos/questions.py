"""Questions with buttons, and people who answer them, until the run stops them.

An account has one open question at a time, so that it is certain which one an answer means. Somebody answers
again until the answer counts, since a message that WeCom could not deliver is lost.
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

from tests.chaos.evidence import GivenAnswer, GivenCommand, GivenQuestion
from tests.chaos.traffic import TTL_SECONDS, paused

if TYPE_CHECKING:
    from tests.chaos.account import AccountDriver
    from tests.chaos.environment import Environment

QUESTION_SECONDS = 0.7
"""Between an answer and the next question of an account, on average."""
ANSWER_SECONDS = 1.5
"""Somebody waits so long before they answer again."""
STRANGE_SHARE, LATE_SHARE = 0.4, 0.4
"""So often somebody says the same in another chat before, and another answer comes behind the one that counts."""


class Questions:
    """The questions of one run; their texts and buttons occur once."""

    def __init__(self, environment: Environment, dice: random.Random) -> None:
        self._environment = environment
        self._dice = dice
        self._number = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Questions for as long as the block lasts; one that is open then is answered by `remind`."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for account in self._environment.accounts:
                tasks.create_task(self._converse(account, stop))
            try:
                yield
            finally:
                stop.set()

    async def remind(self) -> None:
        """Whoever was asked and got no reaction answers again."""
        for account in self._environment.accounts:
            for question in account.open_questions():
                await self._answer(account, question)

    async def _converse(self, account: AccountDriver, stop: asyncio.Event) -> None:
        while not await paused(stop, QUESTION_SECONDS, self._dice):
            question = await self._ask(account)
            if not await self._reached(stop, lambda: question.command_id in account.results):  # noqa: B023
                return
            if account.statuses.get(question.command_id) not in {"sent", "uncertain"}:
                continue
            if self._dice.random() < STRANGE_SHARE:
                await self._say_elsewhere(account, question)
            while question.command_id not in account.answered:
                await self._answer(account, question)
                await self._reached(stop, lambda: question.command_id in account.answered, ANSWER_SECONDS)  # noqa: B023
                if stop.is_set():
                    return
            if self._dice.random() < LATE_SHARE:
                await self._answer_otherwise(account, question)

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

    async def _ask(self, account: AccountDriver) -> GivenQuestion:
        self._number += 1
        number, user = self._number, self._dice.choice(account.asked)
        keys = {f"y{number}": f"yes-{number}", f"n{number}": f"no-{number}"}
        is_card = account.backend == "wecom" and user != "family"
        question = GivenQuestion(
            command_id=f"q{number}",
            user=user,
            text=f"ask {account.name} {number}?",
            keys=keys,
            choice=self._dice.choice([*keys]),
            way=self._dice.choice(("press", "press", "number", "text") if is_card else ("number", "text")),
        )
        account.questions.append(question)
        command = GivenCommand(
            id=question.command_id, user=user, content=question.text, publisher=account.publisher_name
        )
        body = {
            "id": question.command_id,
            "text": question.text,
            "buttons": [{"text": text, "key": key} for text, key in keys.items()],
            "buttons_from": "anyone",
            "ttl": TTL_SECONDS,
        }
        await account.give(command, f"out/{user}", json.dumps(body))
        return question

    async def _answer(self, account: AccountDriver, question: GivenQuestion) -> None:
        key = question.keys[question.choice]
        if question.way == "press":
            is_told = await account.press(question.text, question.user, key)
            if is_told:
                question.answers.append(GivenAnswer(key=key))
            elif is_told is None:  # nobody knows whether it arrived, and it did not
                question.way = "text"
            return
        number = [*question.keys].index(question.choice) + 1
        await self._say(account, question, str(number) if question.way == "number" else question.choice, key)

    async def _answer_otherwise(self, account: AccountDriver, question: GivenQuestion) -> None:
        """Somebody thinks better of it, too late."""
        other = next(text for text in question.keys if text != question.choice)
        if question.way == "press":
            await account.press(question.text, question.user, question.keys[other])
        else:
            await account.write(question.user, other)

    async def _say(self, account: AccountDriver, question: GivenQuestion, text: str, key: str) -> None:
        message_id = await account.write(question.user, text)
        if message_id is not None:
            question.answers.append(GivenAnswer(key=key, message_id=message_id))

    async def _say_elsewhere(self, account: AccountDriver, question: GivenQuestion) -> None:
        """Somebody says in another chat what would be the other answer here."""
        chats = [chat for chat in account.writers if chat not in {question.user, "filehelper"}]
        if chats:
            other = next(text for text in question.keys if text != question.choice)
            await account.write(self._dice.choice(chats), self._dice.choice((other, "1", "2")))
