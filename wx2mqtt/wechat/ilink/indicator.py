"""'Typing …' on the phone while a message is on its way (ilink 7): its trouble stops nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from wx2mqtt.errors import GatewayError
from wx2mqtt.model import Handle
from wx2mqtt.wechat.ilink import responses
from wx2mqtt.wechat.ilink.channel import Channel
from wx2mqtt.wechat.ilink.codes import NOT_TYPING, TYPING
from wx2mqtt.wechat.ilink.endpoints import GET_CONFIG, SEND_TYPING

log = structlog.get_logger(__name__)

AGAIN = 5.0  # seconds after which it must be shown again
GOOD_FOR = 600.0  # seconds that a ticket is used
LEFT_ALONE = 300.0  # seconds without a try after a failure
AT_MOST = 2.0  # seconds that a message waits for it


class Indicator:
    """Shows it where the owner wants it."""

    def __init__(self, channel: Channel, *, wanted: bool) -> None:
        self._channel = channel
        self._wanted = wanted
        self._tickets: dict[Handle, tuple[str, float]] = {}
        self._not_before = float("-inf")
        self._ending: set[asyncio.Task[bool]] = set()

    @asynccontextmanager
    async def shown(self, user: Handle) -> AsyncIterator[None]:
        """While this lasts, the person sees that somebody types."""
        ticket = await self._begun(user) if self._wanted else ""
        if not ticket:
            yield
            return
        going_on = asyncio.create_task(self._go_on(user, ticket))
        try:
            yield
        finally:
            going_on.cancel()
            ending = asyncio.create_task(self._say(user, ticket, NOT_TYPING))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """Wait for nothing that is still to be told."""
        for task in tuple(self._ending):
            task.cancel()
        if self._ending:
            await asyncio.wait(self._ending)

    async def _begun(self, user: Handle) -> str:
        """The ticket with which it was shown; empty where it was not."""
        now = self._channel.timing.monotonic()
        if now < self._not_before:
            return ""
        ticket, until = self._tickets.get(user, ("", 0.0))
        with suppress(TimeoutError):
            async with asyncio.timeout(AT_MOST):
                if now >= until:
                    ticket = await self._ticket(user)
                if ticket:
                    self._tickets.setdefault(user, (ticket, now + GOOD_FOR))
                    if await self._say(user, ticket, TYPING):
                        return ticket
        self._tickets.pop(user, None)
        self._not_before = now + LEFT_ALONE
        return ""

    async def _ticket(self, user: Handle) -> str:
        token = self._channel.chat(user).token
        fields = {"ilink_user_id": user, **({"context_token": token} if token else {})}
        try:
            return responses.typing_ticket(await self._channel.ask_anyway(GET_CONFIG, fields))
        except GatewayError as why:
            log.debug("typing cannot be shown", reason=str(why))
            return ""

    async def _go_on(self, user: Handle, ticket: str) -> None:
        while True:
            await self._channel.timing.sleep(AGAIN)
            await self._say(user, ticket, TYPING)

    async def _say(self, user: Handle, ticket: str, status: int) -> bool:
        fields = {"ilink_user_id": user, "typing_ticket": ticket, "status": status}
        try:
            await self._channel.ask(SEND_TYPING, fields)
        except GatewayError as why:
            log.debug("typing not shown", reason=str(why))
            return False
        return True
