"""What was received and is not accepted yet, and in which order it is accepted.

    a picture for wife, a text for wife, a text for me
        ->  the text for me is accepted at once, that for wife only when the picture is stored

`intake.py` commits commands in batches. A command that must wait gets a ticket, and is accepted beside them:
those of one chat, or with one id, keep their order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from wx2mqtt.errors import StoreError
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.names import composed
from wx2mqtt.store.command_records import AcceptResult, NewCommand


@dataclass(slots=True)
class PendingDelivery:
    """A delivery that is not accepted yet, or has no PUBACK yet."""

    delivery: Delivery
    #: How much memory it takes still.
    held_bytes: int
    #: Whether it needs a PUBACK on this connection: not with QoS 0, nor after the connection broke.
    needs_puback: bool
    #: Whether it is accepted or answered, so that a PUBACK may go out.
    is_finished: bool = False


@dataclass(slots=True, eq=False)
class PendingCall:
    """A command from HTTP that is not stored yet."""

    new: NewCommand
    #: Gets what became of it, or `StoreError`.
    accepted: asyncio.Future[AcceptResult]

    def refuse(self, error: StoreError) -> None:
        if not self.accepted.done():
            self.accepted.set_exception(error)
            self.accepted.exception()  # the caller may have gone


Pending = PendingDelivery | PendingCall

# What two commands that must keep their order have in common: `("user", …)`, `("person", …)` or `("id", …)`.
AcceptKey = tuple[str, object]


@dataclass(eq=False)
class AcceptTicket:
    """The position of a command that is not accepted yet."""

    keys: frozenset[AcceptKey]
    #: Set when the commands before it are accepted: those that its batch commits, and for each of its keys
    #: the last command that has the key.
    earlier: list[asyncio.Event]
    #: Set when this command is accepted.
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_for_turn(self) -> None:
        for earlier in self.earlier:
            await earlier.wait()


class AcceptOrder:
    """The order of the commands of one account that are not accepted yet."""

    def __init__(self) -> None:
        #: By key: the ticket of the last command that has it.
        self._last_tickets: dict[AcceptKey, AcceptTicket] = {}

    def must_wait(self, new: NewCommand) -> bool:
        """Returns whether an earlier command of the same chat or id is not accepted yet."""
        return bool(self._last_tickets) and any(key in self._last_tickets for key in _keys(new))

    def enqueue(self, new: NewCommand, batch_committed: asyncio.Event) -> AcceptTicket:
        """Returns a ticket behind all earlier commands of the same chat or id, also those of this batch."""
        keys = _keys(new)
        earlier = {self._last_tickets[key] for key in keys if key in self._last_tickets}
        new_ticket = AcceptTicket(keys, [batch_committed, *(ticket.finished for ticket in earlier)])
        self._last_tickets.update(dict.fromkeys(keys, new_ticket))
        return new_ticket

    @contextmanager
    def finish_after(self, ticket: AcceptTicket) -> Iterator[None]:
        """Lets later commands continue at the end of the block, also after an error."""
        try:
            yield
        finally:
            for key in ticket.keys:
                if self._last_tickets.get(key) is ticket:
                    del self._last_tickets[key]
            ticket.finished.set()


def _keys(new: NewCommand) -> frozenset[AcceptKey]:
    user = composed(new.command.user)
    return frozenset({("user", user), ("person", new.person or user), ("id", new.command_id)})
