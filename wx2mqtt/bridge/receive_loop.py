"""Asks WeChat for one batch of messages after the other while the login goes on.

    receive(cursor)  ->  a batch  ->  `inbound.py` stores it with its cursor  ->  receive(that cursor)  ->  …

The cursor says what was received last. So an error, or the end of the process, loses nothing: WeChat is asked
with the old cursor again.
"""

from __future__ import annotations

import asyncio
import random
from typing import NoReturn

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.account_owner import CommandsOfLogin
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inbound import InboundMessages
from wx2mqtt.bridge.login_tracker import LoginStateTracker
from wx2mqtt.clock import Backoff, loop_time, now_ms
from wx2mqtt.errors import ProtocolViolation, StoreError, Throttled, Unreachable
from wx2mqtt.model import Cursor, LoginState, Owner
from wx2mqtt.wechat.backend import LoggedIn

# Errors must last this long before `login/state` says `interrupted`; a single lost answer is not reported.
INTERRUPTED_AFTER_SECONDS = 5.0

# The receive loop must report progress to the watchdog within this time.
POLL_WATCHDOG_SECONDS = 120.0

# While the store is full, nothing is received; it is looked at again after this pause.
STORE_FULL_POLL_SECONDS = 5.0

# After these errors the receive loop asks for the same batch again, after a delay.
RETRIED_ERRORS = (Unreachable, Throttled, ProtocolViolation, StoreError)


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
        #: Locked while a received batch is being stored. Whoever ends the login waits for it: the batch could
        #: not be received again.
        self.store_lock = asyncio.Lock()
        #: The place behind the last stored batch; valid in the login `login_id` only.
        self.cursor = Cursor("")
        self.login_id = ""

    async def start_login(self, step: LoggedIn) -> None:
        """Stores where a new login begins. A resumed login goes on behind the last batch."""
        if step.login_id == self.login_id:
            return
        await retry_until_stored(
            lambda: self._ctx.journal.received.set_cursor(step.login_id, step.cursor),
            self._state.on_store_failure,
        )
        self.login_id = step.login_id
        self.cursor = step.cursor

    async def run(self, owner: Owner) -> NoReturn:
        """Receives until the login ends: `LoggedOut` is raised, or the task is cancelled."""
        failing_since: float | None = None
        backoff = Backoff()
        self._set_online(owner)
        while True:
            self._ctx.heartbeat("receive", POLL_WATCHDOG_SECONDS)
            limit = self._ctx.shared.exceeded_limit()
            if limit:  # nothing is received that could not be stored
                self._state.set(LoginState.INTERRUPTED, self._state.text("storage_full_state", limit=limit))
                await self._pause(STORE_FULL_POLL_SECONDS)
                continue
            try:
                await self.receive_once()
            except RETRIED_ERRORS as error:
                if failing_since is None:
                    failing_since = loop_time()
                backoff = backoff.after_failure()
                pause = retry_delay(error, backoff, random.random())
                if is_interruption(error, max(pause, loop_time() - failing_since)):
                    self._state.set_interrupted(error)
                await self._pause(pause)
            else:
                if failing_since is not None:
                    failing_since = None
                    backoff = backoff.reset()
                if self._state.status.state is not LoginState.ONLINE:
                    self._set_online(owner)

    async def receive_once(self) -> None:
        """Waits for the next batch and stores it. Raises `LoggedOut` and `RETRIED_ERRORS`."""
        batch = await self._ctx.backend.receive(self.cursor)
        self._state.last_answer = now_ms()
        async with self.store_lock:
            await self._inbound.store(batch, self.login_id)
            self.cursor = batch.cursor

    def _set_online(self, owner: Owner) -> None:
        if owner.nickname:
            reason = self._state.text("online", name=owner.nickname)
        else:
            reason = self._state.text("online_unnamed")
        self._state.set(LoginState.ONLINE, reason)
        self._commands.set_online(True)

    async def _pause(self, seconds: float) -> None:
        self._ctx.heartbeat("receive", seconds + POLL_WATCHDOG_SECONDS)
        await asyncio.sleep(seconds)


def retry_delay(error: Exception, backoff: Backoff, chance: float) -> float:
    """Returns the seconds until the next attempt: the back-off, or what WeChat demands if that is longer.

    `chance` is a random number from 0 to 1.
    """
    if isinstance(error, Unreachable) and error.retry_after is not None:
        return error.retry_after  # the backend has a schedule of its own
    return max(backoff.wait(chance), getattr(error, "retry_after", None) or 0.0)


def is_interruption(error: Exception, outage_seconds: float) -> bool:
    """Returns whether `login/state` says `interrupted` after this error; not for a single lost answer."""
    if isinstance(error, StoreError):
        return True  # nothing is received until the store works
    if getattr(error, "poll_timed_out", False):
        return True  # the long poll has waited for its whole time limit, which is longer than this one
    return outage_seconds >= INTERRUPTED_AFTER_SECONDS
