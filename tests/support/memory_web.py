"""The URLs of commands, in memory: the test says what each of them answers, and sees which were fetched.

web.answers["http://h/bell.png"] = [(Pause(20), PNG)]
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from tests.support.memory_backend import Pause

Piece = bytes | Exception | Pause


@dataclass
class MemoryWeb:
    """In place of `UrlFetcher`."""

    #: What each URL answers, in order; the last answer is repeated. A tuple has the pieces of one.
    answers: dict[str, list[Piece | tuple[Piece, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fetched: list[str] = []
        #: The limits that were given with each fetch.
        self.limits: list[dict[str, Any]] = []

    async def fetch(self, url: str, **limits: Any) -> AsyncGenerator[bytes, None]:
        self.fetched.append(url)
        self.limits.append(limits)
        answers = self.answers[url]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        for piece in answer if isinstance(answer, tuple) else (answer,):
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, Pause):
                await asyncio.sleep(piece.seconds)
            else:
                yield piece
