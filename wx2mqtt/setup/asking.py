"""Who is asked: a person at a terminal, or nobody, who takes what is proposed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol


class Asker(Protocol):
    """Each question has a proposal. `fault` says what is wrong with an answer, empty where nothing is."""

    def text(self, question: str, proposal: str, fault: Callable[[str], str] = lambda _: "") -> str:
        """One line; empty where that is right."""

    def secret(self, question: str) -> str:
        """One line that is not shown."""

    def agrees(self, question: str, *, proposal: bool) -> bool:
        """Yes or no."""

    def choose(self, question: str, choices: Sequence[str]) -> int:
        """The place of one; the first is proposed."""

    def tell(self, line: str) -> None:
        """Something to know."""


class Nobody:
    """Takes every proposal; tells what there is to know."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell

    def text(self, question: str, proposal: str, fault: Callable[[str], str] = lambda _: "") -> str:  # noqa: ARG002
        return proposal

    def secret(self, question: str) -> str:  # noqa: ARG002
        return ""

    def agrees(self, question: str, *, proposal: bool) -> bool:  # noqa: ARG002
        return proposal

    def choose(self, question: str, choices: Sequence[str]) -> int:  # noqa: ARG002
        return 0
