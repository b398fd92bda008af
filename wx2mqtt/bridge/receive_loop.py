"""Receives the messages of one login: asks WeChat for the next batch when the previous one is stored.

The cursor says what was received last. A batch and the cursor after it are stored in one commit, so that an
error, or the end of the process, loses nothing: WeChat is asked with the old cursor again.
"""

from __future__ import annotations

import asyncio
import random
from typing import NoReturn

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inbound import InboundMessages
from wx2mqtt.bridge.login import LoginStateTracker
from wx2mqtt.bridge.owner import CommandsOfLogin
from wx2mqtt.clock import Backoff, loop_time
from wx2mqtt.errors import ProtocolViolation, StoreError, Throttled, Unreachable
from wx2mqtt.model import Cursor, LoginState, Owner
from wx2mqtt.wechat.backend import LoggedIn

# Errors must last this long before `login/state` says `interrupted`; a single lost answer is not reported.
INTERRUPTED_AFTER_SECONDS = 5.0

# The receive loop must report progress to the watchdog within this time.
POLL_WATCHDOG_SECONDS = 120.0

# The pause before the next look while the store is full.
STORE_FULL_POLL_SECONDS = 5.0

# Temporary errors: the same is tried again after a delay.
RETRIED_ERRORS = (Unreachable, Throttled, ProtocolViolation, StoreError)


def retry_delay(error: Exception, backoff: Backoff, chance: float) -> float:
    """Returns the seconds until the next attempt: the back-off, or what WeChat demands if that is longer.

    A backend with a schedule of its own says when. `chance` is a random number from 0 to 1.
    """
    if isinstance(error, Unreachable) and error.retry_after is not None:
        return error.retry_after
    return max(backoff.wait(chance), getattr(error, "retry_after", None) or 0.0)


class ReceiveLoop:
    """Receives and stores one batch after the other."""

    def __init__(
        self,
        ctx: AccountContext,
        inbound: InboundMessages,
        commands: CommandsOfLogin,
        state: LoginStateTracker,
    ) -> None:
        self._ctx = ctx
        self._inbound = inbound
        self._commands = commands
        self._state = state
        #: Locked while a received batch is being stored: it would be lost with its login.
        self.store_lock = asyncio.Lock()
        #: What is received next: what comes after the cursor, which is valid in this login only.
        self.cursor = Cursor("")
        self.login_id = ""

    async def start_login(self, step: LoggedIn) -> None:
        """Stores where a new login begins. A resumed one goes on where it was."""
        if step.login_id == self.login_id:
            return
        await retry_until_stored(
            lambda: self._ctx.journal.received.set_cursor(step.login_id, step.cursor),
            self._state.on_store_failure,
        )
        self.login_id, self.cursor = step.login_id, step.cursor

    async def run(self, owner: Owner) -> NoReturn:
        """Receives until the login ends: `LoggedOut` is raised, or the task is cancelled."""
        failing_since: float | None = None
        backoff = Backoff()
        self._set_online(owner)
        while True:
            self._ctx.heartbeat("receive", POLL_WATCHDOG_SECONDS)
            if limit := self._ctx.shared.exceeded_limit():  # what is received must be stored
                self._state.set(LoginState.INTERRUPTED, self._state.text("storage_full_state", limit=limit))
                await self._pause(STORE_FULL_POLL_SECONDS)
                continue
            try:
                await self.receive_once()
            except RETRIED_ERRORS as error:
                failing_since = loop_time() if failing_since is None else failing_since
                backoff = backoff.after_failure()
                pause = retry_delay(error, backoff, random.random())
                outage_seconds = max(pause, loop_time() - failing_since)
                # A full store is no single lost answer, and a long poll that ran into its limit has lasted.
                is_certain = isinstance(error, StoreError) or getattr(error, "poll_timed_out", False)
                if is_certain or outage_seconds >= INTERRUPTED_AFTER_SECONDS:
                    self._state.set_interrupted(error)
                await self._pause(pause)
            else:
                failing_since = None
                backoff = backoff.reset()
                if self._state.status.state is not LoginState.ONLINE:
                    self._set_online(owner)

    async def receive_once(self) -> None:
        """Waits for the next batch and stores it. Raises `LoggedOut` and `RETRIED_ERRORS`."""
        batch = await self._ctx.backend.receive(self.cursor)
        self._state.on_answer()
        async with self.store_lock:
            await self._inbound.store(batch, self.login_id)
            self.cursor = batch.cursor

    def _set_online(self, owner: Owner) -> None:
        name, text = owner.nickname, self._state.text
        self._state.set(LoginState.ONLINE, text("online", name=name) if name else text("online_unnamed"))
        self._commands.set_online(True)

    async def _pause(self, seconds: float) -> None:
        self._ctx.heartbeat("receive", seconds + POLL_WATCHDOG_SECONDS)
        await asyncio.sleep(seconds)
