"""Carries out the actions of requests at WeChat: waits for the login, retries, and maps errors to answers.

    a new remark            ->  `run`: at most once, with the begin of its attempt in the journal
    the members of a group  ->  `query`: changes nothing

Each attempt is a call of `wechat_calls.py`, as the attempt of a command is. So when WeChat demands a pause,
requests and commands both keep it. A command may wait for hours; a request is answered by its `deadline`.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from wx2mqtt.aio import wait_at_most
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.login_session import LoginSession
from wx2mqtt.bridge.requests.dispatcher import BridgeRequest
from wx2mqtt.bridge.wechat_calls import WeChatCalls, new_key
from wx2mqtt.clock import Backoff, loop_time
from wx2mqtt.errors import (
    BackendError,
    BadCommand,
    LoggedOut,
    LoginRefused,
    OutcomeUnknown,
    Rejected,
    Throttled,
    Unreachable,
)
from wx2mqtt.model import (
    Action,
    ActionResult,
    AddMembers,
    CreateGroup,
    LoginState,
    RemoveMembers,
    SendKey,
)

# The pause between two attempts doubles from the first of these values to the second.
FIRST_RETRY_SECONDS = 0.5
MAX_RETRY_SECONDS = 5.0

T = TypeVar("T")

# Actions that may do harm when they are done twice: they are not repeated if WeChat may have done them.
NOT_REPEATABLE = frozenset({CreateGroup, AddMembers, RemoveMembers})

# In this state a saved login is being checked: whether the account is logged in is not known yet.
_STATES_AT_START = frozenset({LoginState.STARTING})

# In these states the login of the handles may still go on.
_STATES_BEFORE_RESUME = _STATES_AT_START | {LoginState.INTERRUPTED}


class ActionRunner:
    """Runs actions and queries of one account; those with the same request name one after the other.

    From `stop` on nothing new begins: what waits stays without an answer until the process ends, and the
    broker delivers its request again to the next one.
    """

    def __init__(self, ctx: AccountContext, calls: WeChatCalls, session: LoginSession) -> None:
        self._backend = ctx.backend
        self._registry = ctx.registry
        self._calls = calls
        self._session = session
        #: By the name of the request: locked while one is carried out.
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        #: Set once at the next change of the login's state; a new event follows.
        self._login_changed = asyncio.Event()

    async def run(self, request: BridgeRequest, action: Action, *, login_id: str) -> ActionResult:
        """Carries out an action.

        1. Waits for the login and for its turn. While WeChat demands a pause, the request is refused.
        2. Stores the begin of the attempt, and makes it; after a temporary failure it is repeated.

        `login_id` is the login of the handles in the action; in the next login they mean nobody. Raises
        `BadCommand` and `StoreError`.
        """
        if type(action) not in self._backend.capabilities.actions:
            raise BadCommand("unsupported", "unsupported_action", name=request.name)
        if request.in_doubt and type(action) in NOT_REPEATABLE:
            raise _perhaps_done()
        await self._require_login(request, in_doubt=request.in_doubt)
        async with self._exclusive(request):
            await request.begin()
            return await self._attempt_until_done(request, action, login_id)

    async def query(self, request: BridgeRequest, work: Callable[[], Awaitable[T]], *, login_id: str) -> T:
        """Carries out a query with handles of the login `login_id`. Raises `BadCommand`."""
        await self._require_login(request, in_doubt=False)
        async with self._exclusive(request):
            if self._is_over(login_id):
                raise _not_logged_in()
            try:
                async with asyncio.timeout_at(request.deadline):
                    return await work()
            except BackendError as error:
                raise self._answer_to(error) from None
            except TimeoutError:
                raise BadCommand("no_answer", "not_done") from None

    async def _require_login(self, request: BridgeRequest, *, in_doubt: bool) -> None:
        """Raises `BadCommand` if the account is not logged in.

        Waits while a saved login is checked. A request in doubt waits also while the login is interrupted:
        another attempt is the only way to a certain answer.
        """
        await self._hold_while_stopping()
        states = _STATES_BEFORE_RESUME if in_doubt else _STATES_AT_START
        with suppress(TimeoutError):
            async with asyncio.timeout_at(request.deadline):
                while not self._session.logged_in and self._session.login.state in states:
                    await self._login_changed.wait()
        if not self._session.logged_in:
            raise _perhaps_done() if in_doubt else _not_logged_in()

    @asynccontextmanager
    async def _exclusive(self, request: BridgeRequest) -> AsyncIterator[None]:
        """Waits for earlier actions of the same request name; raises `BadCommand` during a throttling."""
        lock = self._locks[request.name]
        try:
            async with asyncio.timeout_at(request.deadline):
                await lock.acquire()
        except TimeoutError:
            raise BadCommand("no_answer", "not_done") from None
        if self._calls.stopping:
            lock.release()  # `drain` must not wait for a request that never begins
            await self._hold_while_stopping()
        try:
            seconds = self._calls.throttled_seconds
            if seconds > 0:
                raise _too_often(seconds)
            yield
        finally:
            lock.release()

    async def _hold_while_stopping(self) -> None:
        """Returns at once, but never during a stop: the process ends, and cancels this request."""
        if self._calls.stopping:
            await asyncio.Event().wait()

    async def _attempt_until_done(
        self, request: BridgeRequest, action: Action, login_id: str
    ) -> ActionResult:
        """Makes attempts until one succeeds, or none may follow. Raises `BadCommand`.

        WeChat may have done an attempt without an answer: it is repeated once, and only if that does no harm.
        """
        key = new_key()
        backoff = Backoff(first=FIRST_RETRY_SECONDS, cap=MAX_RETRY_SECONDS)
        was_unanswered = False
        while True:
            if self._is_over(login_id):
                may_be_done = request.in_doubt or was_unanswered
                raise _perhaps_done() if may_be_done else _not_logged_in()
            outcome = await self._attempt(request, action, key)
            match outcome:
                case ActionResult():
                    return outcome
                case OutcomeUnknown():
                    may_retry = not was_unanswered and type(action) not in NOT_REPEATABLE
                    was_unanswered = True
                case Throttled() | LoggedOut() | LoginRefused() | Rejected():
                    may_retry = False
                case _:  # this attempt certainly did nothing, and the next one may succeed
                    may_retry = True
            if not may_retry:
                raise self._answer_to(outcome)
            backoff = backoff.after_failure()
            pause = backoff.wait(random.random())
            if self._calls.stopping or loop_time() + pause >= request.deadline:
                # WeChat may have done an attempt that it did not answer, whatever became of this one.
                raise self._answer_to(OutcomeUnknown() if was_unanswered else outcome)
            await wait_at_most(self._login_changed, pause)

    async def _attempt(
        self, request: BridgeRequest, action: Action, key: SendKey
    ) -> ActionResult | BackendError:
        if not self._session.logged_in:
            return Unreachable()  # the next login may have begun already
        try:
            async with asyncio.timeout_at(request.deadline):
                return await self._calls.perform(action, key)
        except TimeoutError:
            return OutcomeUnknown()

    def _is_over(self, login_id: str) -> bool:
        """Returns whether a login has ended; one that is interrupted may go on."""
        if self._registry.login_id != login_id:
            return True
        return not self._session.logged_in and self._session.login.state not in _STATES_BEFORE_RESUME

    def _answer_to(self, error: BackendError) -> BadCommand:
        """Returns what the caller is told; after a throttling or a logout all other calls wait, too."""
        self._calls.hold_back(error)
        match error:
            case Throttled(retry_after=seconds):
                return _too_often(seconds)
            case LoggedOut():
                return _not_logged_in()
            case Rejected(code=code):
                return BadCommand(code, "not_taken", why=str(error))
            case OutcomeUnknown():
                return _perhaps_done()
            case _:
                return BadCommand("no_answer", "not_done")

    # Called by other components

    def wake(self) -> None:
        """Wakes requests that wait for the login: its state changed."""
        self._login_changed.set()
        self._login_changed = asyncio.Event()

    def stop(self) -> None:
        self._calls.stopping = True
        self.wake()

    async def drain(self, seconds: float) -> None:
        """Gives the actions under way `seconds` to end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for lock in self._locks.values():
                    async with lock:
                        pass


def _too_often(seconds: float) -> BadCommand:
    return BadCommand("rate_limited", "too_often", retry_after=round(seconds, 1))


def _perhaps_done() -> BadCommand:
    return BadCommand("no_answer", "perhaps_done")


def _not_logged_in() -> BadCommand:
    return BadCommand("logged_out", "not_logged_in")
