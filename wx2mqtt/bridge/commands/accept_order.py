"""Keeps the order in which commands are accepted while some of them still wait for their file.

A command waits for earlier commands of the same chat or with the same id; all others overtake it.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from wx2mqtt.store.records import NewCommand

AcceptKey = tuple[str, object]
"""What two commands have in common that must keep their order: user, person or command id."""


@dataclass(eq=False)
class AcceptTicket:
    """The position of a command that is not accepted yet: `earlier` must be finished before it."""

    keys: frozenset[AcceptKey]
    earlier: list[asyncio.Event]
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> None:
        """Waits until all earlier commands are finished."""
        for event in self.earlier:
            await event.wait()


class AcceptOrder:
    """The tickets of the commands of one account that are not accepted yet."""

    def __init__(self) -> None:
        self._tickets: dict[AcceptTicket, None] = {}

    def must_wait(self, new: NewCommand) -> bool:
        """Returns whether an earlier command of the same chat or id is not accepted yet."""
        return any(ticket.keys & _keys(new) for ticket in self._tickets)

    def enqueue(self, new: NewCommand, batch_finished: asyncio.Event) -> AcceptTicket:
        """Returns a ticket behind all earlier commands of the same chat or id.

        It also waits for `batch_finished`, since the batch may contain such commands that need no ticket.
        """
        keys = _keys(new)
        earlier = [ticket.finished for ticket in self._tickets if ticket.keys & keys]
        new_ticket = AcceptTicket(keys, [batch_finished, *earlier])
        self._tickets[new_ticket] = None
        return new_ticket

    @contextmanager
    def finish_after(self, ticket: AcceptTicket) -> Iterator[None]:
        """Finishes a ticket at the end of the block, also after an error, so that later ones continue."""
        try:
            yield
        finally:
            del self._tickets[ticket]
            ticket.finished.set()


def _keys(new: NewCommand) -> frozenset[AcceptKey]:
    user = unicodedata.normalize("NFC", new.command.user)
    return frozenset({("user", user), ("person", new.person or user), ("id", new.command_id)})
