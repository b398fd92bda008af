"""The URLs of commands, in memory: the test says what each of them answers, and sees which were fetched.

web.answers["http://h/bell.png"] = [Pause(20), PNG]
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from tests.support.memory_backend import Pause


@dataclass
class MemoryWeb:
    """In place of `UrlFetcher`."""

    #: What each URL answers, in order; the last answer is repeated. What follows a pause is the same answer.
    answers: dict[str, list[bytes | Exception | Pause]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fetched: list[str] = []
        #: The limits that were given with each fetch.
        self.limits: list[dict[str, Any]] = []

    async def fetch(self, url: str, **limits: Any) -> AsyncGenerator[bytes, None]:
        self.fetched.append(url)
        self.limits.append(limits)
        answers = self.answers[url]
        for answer in [*answers]:
            if len(answers) > 1:
                answers.remove(answer)
            if isinstance(answer, Pause):
                await asyncio.sleep(answer.seconds)
            elif isinstance(answer, Exception):
                raise answer
            else:
                yield answer
                return
