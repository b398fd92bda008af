"""Who everybody is in a login: the address book fetched, compared with who was known, and stored."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing

import structlog

from wx2mqtt.bridge.inbound import Inbound
from wx2mqtt.bridge.people.identity import Identity
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import ProtocolViolation, StoreError, Throttled, Unreachable
from wx2mqtt.model import Contact
from wx2mqtt.retry import Backoff
from wx2mqtt.wechat.gateway import Gateway, LoggedIn, Progress

log = structlog.get_logger(__name__)

TRIES = 3  # before a login goes on with the people it has


class PeopleOfLogin:
    """Fetches them. `heard` is told of every answer, `known` when they are in the store, `not_stored` of
    each time that the store would not take them.
    """

    def __init__(
        self,
        *,
        gateway: Gateway,
        identity: Identity,
        inbound: Inbound,
        progress: Progress,
        heard: Callable[[], None],
        known: Callable[[], None],
        not_stored: Callable[[StoreError], None],
    ) -> None:
        self._gateway = gateway
        self._identity = identity
        self._inbound = inbound
        self._progress = progress
        self._heard = heard
        self._known = known
        self._not_stored = not_stored

    async def begin(self, step: LoggedIn) -> None:
        """A new login stands: no handle of an earlier one means anybody from now on."""
        old_handles_end = self._identity.adopt((), step.login_id, step.owner, now_ms(), complete=False)
        await self._inbound.people(old_handles_end, self._not_stored)

    async def fetch(self, step: LoggedIn) -> bool:
        """Learn who everybody is; False when WeChat would not say. Raises `LoggedOut`."""
        backoff = Backoff()
        for _ in range(TRIES):
            try:
                contacts = await self._contacts()
            except (Unreachable, Throttled, ProtocolViolation) as trouble:
                log.warning("contacts cannot be fetched yet", problem=str(trouble))
                backoff = backoff.failed()
                await asyncio.sleep(backoff.wait(random.random()))
            else:
                await self._adopt(contacts, step)
                return True
        return False

    async def _contacts(self) -> list[Contact]:
        contacts: list[Contact] = []
        async with aclosing(self._gateway.people(self._progress)) as pages:
            async for page in pages:
                contacts.extend(page)
                self._heard()
        return contacts

    async def _adopt(self, contacts: list[Contact], step: LoggedIn) -> None:
        changes = self._identity.adopt(contacts, step.login_id, step.owner, now_ms(), complete=True)
        await self._inbound.people(changes, self._not_stored)
        await self._inbound.people(self._identity.forget(now_ms()), self._not_stored)
        self._known()
