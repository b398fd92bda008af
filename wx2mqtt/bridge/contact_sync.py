"""Fetches the contacts of a login, compares them with the known people, and stores the changes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import aclosing

import structlog

from wx2mqtt.backoff import Backoff
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inbound import InboundMessages
from wx2mqtt.bridge.login import LoginStateTracker
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import ProtocolViolation, Throttled, Unreachable
from wx2mqtt.model import Contact
from wx2mqtt.wechat.backend import LoggedIn

log = structlog.get_logger(__name__)

# After so many failures the login goes on with the stored contacts.
MAX_FETCH_ATTEMPTS = 3


class ContactSync:
    """Fetches and stores the contacts of a login. `state` shows how WeChat and the store answer."""

    def __init__(self, ctx: AccountContext, inbound: InboundMessages, state: LoginStateTracker) -> None:
        self._backend = ctx.backend
        self._registry = ctx.registry
        self._progress = ctx.shared.contacts_fetched
        self._inbound = inbound
        self._state = state

    async def start_login(self, step: LoggedIn) -> None:
        """Stores that the handles of earlier logins are invalid."""
        await self._store((), step, complete=False)

    async def fetch(self, step: LoggedIn) -> bool:
        """Fetches and stores all contacts; returns False if WeChat refuses them. Raises `LoggedOut`."""
        backoff = Backoff()
        for _ in range(MAX_FETCH_ATTEMPTS):
            try:
                contacts = await self._fetch_contacts()
            except (Unreachable, Throttled, ProtocolViolation) as error:
                log.warning("contacts cannot be fetched yet", problem=str(error))
                backoff = backoff.after_failure()
                await asyncio.sleep(backoff.wait(random.random()))
            else:
                await self._store(contacts, step, complete=True)
                stale = self._registry.remove_stale(now_ms())
                await self._inbound.apply_people(stale, self._state.on_store_failure)
                return True
        return False

    async def _fetch_contacts(self) -> list[Contact]:
        contacts: list[Contact] = []
        async with aclosing(self._backend.list_contacts(self._progress.emit)) as pages:
            async for page in pages:
                contacts.extend(page)
                self._state.on_answer()
        return contacts

    async def _store(self, contacts: Sequence[Contact], step: LoggedIn, *, complete: bool) -> None:
        changes = self._registry.apply_directory(
            contacts, step.login_id, step.owner, now_ms(), complete=complete
        )
        await self._inbound.apply_people(changes, self._state.on_store_failure)
