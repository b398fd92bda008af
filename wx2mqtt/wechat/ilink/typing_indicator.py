"""Shows "typing" on the phone while a message is sent, where `ilink.typing` enables it (ilink 7).

    async with indicator.typing(user):   ->  a ticket for this person, fetched or kept  ->  "typing"
        ...                              ->  every five seconds "typing" again
                                         ->  at its end "stopped", for which nobody waits

A failure does not affect the message. After it no indicator is shown for some minutes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from wx2mqtt.aio import cancel_and_wait
from wx2mqtt.errors import BackendError
from wx2mqtt.model import Handle
from wx2mqtt.values import frozen
from wx2mqtt.wechat.ilink.client import ApiClient
from wx2mqtt.wechat.ilink.protocol import responses
from wx2mqtt.wechat.ilink.protocol.codes import TYPING_STARTED, TYPING_STOPPED
from wx2mqtt.wechat.ilink.protocol.endpoints import GET_CONFIG, SEND_TYPING

log = structlog.get_logger(__name__)

# The phone shows the typing indicator for a short time only, so it is sent again.
REPEAT_AFTER_SECONDS = 5.0

# How long a ticket for the typing indicator is used.
TICKET_SECONDS = 600.0

# After a failure the typing indicator is not shown for so long.
FAILURE_PAUSE_SECONDS = 300.0

# How long a message waits for the typing indicator.
MAX_SEND_DELAY_SECONDS = 2.0


class TypingIndicator:
    """Shows a person that a message is coming, where the configuration enables it."""

    def __init__(self, client: ApiClient, *, enabled: bool) -> None:
        self._client = client
        self._enabled = enabled
        #: The ticket that last worked for each person.
        self._tickets: dict[Handle, TypingTicket] = {}
        #: No indicator is shown before this time of the monotonic clock.
        self._not_before = float("-inf")
        #: The calls under way that hide the indicator.
        self._stop_tasks: set[asyncio.Task[bool]] = set()

    @asynccontextmanager
    async def typing(self, user: Handle) -> AsyncIterator[None]:
        """Shows the indicator to `user` inside the block. Raises nothing."""
        ticket = await self._start(user) if self._enabled else None
        if ticket is None:
            yield
            return
        repeat_task = asyncio.create_task(self._repeat(user, ticket))
        try:
            yield
        finally:
            repeat_task.cancel()
            stop_task = asyncio.create_task(self._send_status(user, ticket, TYPING_STOPPED))
            self._stop_tasks.add(stop_task)
            stop_task.add_done_callback(self._stop_tasks.discard)

    async def close(self) -> None:
        """Cancels the calls that hide the indicator."""
        await cancel_and_wait(tuple(self._stop_tasks))

    async def _start(self, user: Handle) -> TypingTicket | None:
        """Shows the indicator; returns the ticket that was used, None where this failed."""
        now = self._client.clock.monotonic()
        if now < self._not_before:
            return None
        ticket = self._tickets.pop(user, None)
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_SEND_DELAY_SECONDS):
                if ticket is None or not self._is_valid(ticket, now):
                    ticket = await self._fetch_ticket(user, now + TICKET_SECONDS)
                if ticket is not None and await self._send_status(user, ticket, TYPING_STARTED):
                    self._tickets[user] = ticket
                    return ticket
        self._not_before = now + FAILURE_PAUSE_SECONDS
        return None

    def _is_valid(self, ticket: TypingTicket, now: float) -> bool:
        return now < ticket.until and self._client.logins.is_current(ticket.bot_id)

    async def _fetch_ticket(self, user: Handle, until: float) -> TypingTicket | None:
        logins = self._client.logins
        try:
            bot_id = logins.bot.id
            context_token = logins.chat(user).context_token
            fields: dict[str, object] = {"ilink_user_id": user}
            if context_token:
                fields["context_token"] = context_token
            value = responses.read_typing_ticket(await self._client.call_unchecked(GET_CONFIG, fields))
        except BackendError as why:
            log.debug("typing cannot be shown", reason=str(why))
            return None
        return TypingTicket(bot_id=bot_id, value=value, until=until) if value else None

    async def _repeat(self, user: Handle, ticket: TypingTicket) -> None:
        while True:
            await self._client.clock.sleep(REPEAT_AFTER_SECONDS)
            await self._send_status(user, ticket, TYPING_STARTED)

    async def _send_status(self, user: Handle, ticket: TypingTicket, status: int) -> bool:
        if not self._client.logins.is_current(ticket.bot_id):
            return False
        fields = {"ilink_user_id": user, "typing_ticket": ticket.value, "status": status}
        try:
            await self._client.call(SEND_TYPING, fields)
        except BackendError as why:
            log.debug("typing not shown", reason=str(why))
            return False
        return True


@frozen
class TypingTicket:
    """Allows one bot to show the indicator to one person."""

    bot_id: str
    value: str
    #: By the monotonic clock.
    until: float
