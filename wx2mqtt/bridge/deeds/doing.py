"""Does something at WeChat for a request: when it may begin, how long it may take, what its end is called.

A request has no time of its own like a command: it is answered within `LONGEST`, whatever WeChat does, since
the broker waits for the acknowledgement.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import structlog

from wx2mqtt.bridge.attempt import Attempt
from wx2mqtt.bridge.judge import new_key
from wx2mqtt.errors import (
    BadCommand,
    GatewayError,
    LoggedOut,
    LoginRefused,
    OutcomeUnknown,
    Rejected,
    Throttled,
)
from wx2mqtt.model import Action, Done, LoginState, SendKey
from wx2mqtt.retry import Backoff
from wx2mqtt.wechat.gateway import Gateway

log = structlog.get_logger(__name__)

LONGEST = 20.0  # seconds within which a request is answered
T = TypeVar("T")

_NOT_KNOWN = frozenset({LoginState.STARTING})
_MAY_COME_BACK = _NOT_KNOWN | {LoginState.INTERRUPTED}


class Doer:
    """The one way from requests to `Gateway.act`. `sort` is the request's name: what WeChat limits together.

    Requests of one sort go one by one. `standing` says whether a login stands, `state` how it is with it.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        standing: Callable[[], bool],
        state: Callable[[], LoginState],
        logged_out: Callable[[LoggedOut], None],
    ) -> None:
        self._gateway = gateway
        self._standing = standing
        self._state = state
        self._logged_out = logged_out
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._not_before: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._stopping = False

    def changed(self) -> None:
        """The login stands otherwise than before."""
        self._changed.set()
        self._changed = asyncio.Event()

    def stop(self) -> None:
        """Begin nothing any more: what comes now stays with the broker, for the next life."""
        self._stopping = True
        self.changed()

    async def drain(self, seconds: float) -> None:
        """Give what is under way `seconds` to end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for turn in self._turns.values():
                    async with turn:
                        pass

    def deadline(self) -> float:
        """When a request that comes now is answered at the latest, by the clock of the loop."""
        return asyncio.get_running_loop().time() + LONGEST

    async def do(
        self, sort: str, action: Action, attempt: Attempt, *, again: bool, until: float | None = None
    ) -> Done:
        """Do it. `again`: doing it twice is as doing it once. Raises `BadCommand`, `StoreError`."""
        until = until or self.deadline()
        if type(action) not in self._gateway.capabilities.actions:
            raise BadCommand("unsupported", "unsupported_action", name=sort)
        if attempt.in_doubt and not again:
            raise BadCommand("no_answer", "perhaps_done")
        await self._must_be_logged_in(attempt, until)
        async with self._turn(sort, until):
            await attempt.begin()
            return await self._attempts(sort, action, until, again=again)

    async def ask(self, sort: str, work: Callable[[], Awaitable[T]], *, until: float | None = None) -> T:
        """Ask WeChat for something that changes nothing. Raises `BadCommand`."""
        until = until or self.deadline()
        await self._must_be_logged_in(None, until)
        async with self._turn(sort, until):
            try:
                async with asyncio.timeout_at(until):
                    return await work()
            except GatewayError as error:
                raise self._refusal(sort, error) from None
            except TimeoutError:
                raise BadCommand("no_answer", "not_done") from None

    async def _must_be_logged_in(self, attempt: Attempt | None, until: float) -> None:
        """Say at once that it is not, once that is known: a saved login may just be looked at.

        What an earlier life began waits longer for its login to come back.
        """
        in_doubt = attempt is not None and attempt.in_doubt
        if self._stopping:
            await asyncio.Event().wait()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while not self._standing() and self._state() in (_MAY_COME_BACK if in_doubt else _NOT_KNOWN):
                    await self._changed.wait()
        if not self._standing():
            raise BadCommand("no_answer", "perhaps_done") if in_doubt else _not_logged_in()

    @asynccontextmanager
    async def _turn(self, sort: str, until: float) -> AsyncIterator[None]:
        """One after the other, and none before WeChat may be asked again."""
        turn = self._turns[sort]
        try:
            async with asyncio.timeout_at(until):
                await turn.acquire()
        except TimeoutError:
            raise BadCommand("no_answer", "not_done") from None
        if self._stopping:
            turn.release()
            await asyncio.Event().wait()
        try:
            if (wait := self._not_before.get(sort, 0.0) - _clock()) > 0:
                raise _too_often(wait)
            yield
        finally:
            turn.release()

    async def _attempts(self, sort: str, action: Action, until: float, *, again: bool) -> Done:
        key, backoff, unknown = new_key(), Backoff(first=0.5, cap=5.0), False
        while True:
            outcome = await self._attempt(action, key, until)
            if isinstance(outcome, Done):
                return outcome
            lost, backoff = isinstance(outcome, OutcomeUnknown), backoff.failed()
            pause = backoff.wait(random.random())
            more = (again and not unknown if lost else _is_passing(outcome)) and not self._stopping
            if not more or _clock() + pause >= until:
                raise self._refusal(sort, OutcomeUnknown() if unknown and _is_passing(outcome) else outcome)
            unknown = unknown or lost
            await asyncio.sleep(pause)

    async def _attempt(self, action: Action, key: SendKey, until: float) -> Done | GatewayError:
        try:
            async with asyncio.timeout_at(until):
                return await self._gateway.act(action, key)
        except GatewayError as error:
            return error
        except TimeoutError:
            return OutcomeUnknown()
        except Exception:  # a fault of ours: whether the request was written is not known
            log.exception("act failed", action=type(action).__name__)
            return OutcomeUnknown()

    def _refusal(self, sort: str, error: GatewayError) -> BadCommand:
        """What a request is answered with, and what follows for the next one."""
        match error:
            case Throttled(retry_after=seconds):
                self._not_before[sort] = _clock() + seconds
                return _too_often(seconds)
            case LoggedOut():
                self._logged_out(error)
                return _not_logged_in()
            case Rejected(code=code):
                return BadCommand(code, "not_taken", why=str(error))
            case OutcomeUnknown():
                return BadCommand("no_answer", "perhaps_done")
            case _:
                return BadCommand("no_answer", "not_done")


def _is_passing(error: GatewayError) -> bool:
    """Certainly not done, and soon WeChat may do it."""
    return not isinstance(error, (Throttled, LoggedOut, LoginRefused, Rejected, OutcomeUnknown))


def _too_often(seconds: float) -> BadCommand:
    return BadCommand("rate_limited", "too_often", retry_after=round(seconds, 1))


def _not_logged_in() -> BadCommand:
    return BadCommand("logged_out", "not_logged_in")


def _clock() -> float:
    return asyncio.get_running_loop().time()
