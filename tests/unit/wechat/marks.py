"""Marks of messages that are processed, in memory."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext


class FakeMarks:
    """Records which messages are processed; those in `fatal` have ended the process three times."""

    def __init__(self) -> None:
        self.fatal: set[str] = set()
        self.processed: list[str] = []

    def is_fatal(self, key: str) -> bool:
        return key in self.fatal

    def processing(self, key: str) -> AbstractContextManager[None]:
        self.processed.append(key)
        return nullcontext()
