"""MQTT to WeChat, before the commit: the file of a command goes onto the disk, off the loop, others go on.

What follows it in the same chat, or has the same id, is accepted after it (`Turns`).
"""

from __future__ import annotations

import asyncio
import hashlib
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from wx2mqtt.bridge.attempt import mark_of
from wx2mqtt.bridge.files.taking import Files
from wx2mqtt.bridge.judge import Judge, asks_for_file
from wx2mqtt.model import Command
from wx2mqtt.mqtt.link import Delivery
from wx2mqtt.store.journal import Accepted, Journal, NewCommand, Outcome

SIDE_BY_SIDE = 4  # files that are written at the same time

Key = tuple[str, object]


class Loading:
    """Completes what the judge made of a delivery; never raises but for what the journal raises."""

    def __init__(self, judge: Judge, files: Files, journal: Journal) -> None:
        self._judge = judge
        self._files = files
        self._journal = journal
        self._places = asyncio.Semaphore(SIDE_BY_SIDE)

    def is_needed(self, new: NewCommand) -> bool:
        """Whether there is something to do that must not hold the loop."""
        return new.delivery is None or (new.result is None and asks_for_file(new.command))

    async def complete(self, new: NewCommand, delivery: Delivery, session: int) -> NewCommand:
        """The row as it is to be accepted: with its file, or refused."""
        if new.delivery is None:
            new = replace(new, delivery=await asyncio.to_thread(mark_of, delivery, session))
        if new.result is not None or not asks_for_file(new.command):
            return new
        try:
            async with self._places:
                blob = await self._files.take(new.command, delivery.payload)
        except Exception as trouble:  # noqa: BLE001 - a fault of ours refuses this one (P5)
            content = await asyncio.to_thread(_checksum, new.command, delivery.payload)
            return await self._as_before(self._judge.refused(new, trouble, content))
        return self._judge.with_file(new, blob)

    async def accepted(self, new: NewCommand, accepted: Accepted) -> None:
        """Let go of a file that no row of its own needs: the command repeats another, or was refused."""
        if new.blob is not None and accepted.outcome is not Outcome.NEW:
            await self._files.let_go(new.blob)

    async def _as_before(self, new: NewCommand) -> NewCommand:
        """Who repeats a command by path may have taken the file away since; it is a repeat all the same."""
        known = await self._journal.get(new.command_id) if new.command.path and new.command.id else None
        if known is not None and _asked(known.command) == _asked(new.command):
            return replace(new, fingerprint=known.fingerprint)
        return new


@dataclass(eq=False)
class Turn:
    """A command that is not accepted yet, and those that must be before it."""

    keys: frozenset[Key]
    earlier: list[asyncio.Event]
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def comes(self) -> None:
        """Wait for all earlier ones."""
        for one in self.earlier:
            await one.wait()


class Turns:
    """Keeps the order of acceptance within a chat, and of commands with the same id."""

    def __init__(self) -> None:
        self._open: dict[Turn, None] = {}

    def must_wait(self, new: NewCommand) -> bool:
        """Whether an earlier one of the same chat or id is still being completed."""
        return any(turn.keys & _keys(new) for turn in self._open)

    def take(self, new: NewCommand, gathered: asyncio.Event) -> Turn:
        """A place behind all earlier ones that concern it; `gathered` are those accepted at once."""
        keys = _keys(new)
        earlier = [turn.over for turn in self._open if turn.keys & keys]
        turn = Turn(keys, [gathered, *earlier])
        self._open[turn] = None
        return turn

    @contextmanager
    def until_over(self, turn: Turn) -> Iterator[None]:
        """Whatever happens, those behind it get their turn."""
        try:
            yield
        finally:
            del self._open[turn]
            turn.over.set()


def _keys(new: NewCommand) -> frozenset[Key]:
    user = unicodedata.normalize("NFC", new.command.user)
    return frozenset({("user", user), ("person", new.person or user), ("id", new.command_id)})


def _asked(command: Command) -> tuple[str, ...]:
    return command.user, command.kind, command.path, command.name


def _checksum(command: Command, payload: bytes) -> str:
    content = command.data.encode() if command.data else b"" if command.path else payload
    return hashlib.sha256(content).hexdigest() if content else ""
