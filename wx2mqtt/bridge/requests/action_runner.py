"""Carries out the actions of requests at WeChat: waits for the login, retries, and maps errors to answers.

Unlike a command a request has no ttl: it is answered within `ACTION_TIMEOUT_SECONDS`, since the broker waits
for its PUBACK. `TargetResolver` finds the person or group on which a request acts, and checks that
`send.allow` permits it.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import structlog

from wx2mqtt.backoff import Backoff
from wx2mqtt.bridge.account_settings import matches_any
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.journaled import RequestAttempt, new_key
from wx2mqtt.bridge.recipients import Recipients
from wx2mqtt.bridge.session import LoginSession
from wx2mqtt.clock import loop_time
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
from wx2mqtt.model import Action, ActionResult, ChatKind, Handle, LoginState, SendKey
from wx2mqtt.store.person_records import Person
from wx2mqtt.values import frozen

log = structlog.get_logger(__name__)

ACTION_TIMEOUT_SECONDS = 20.0
"""A request is answered within this time."""

FIRST_RETRY_SECONDS = 0.5

MAX_RETRY_SECONDS = 5.0

T = TypeVar("T")

_STATES_AT_START = frozenset({LoginState.STARTING})
"""A saved login is being checked: whether the account is logged in is not known yet."""

_STATES_BEFORE_RESUME = _STATES_AT_START | {LoginState.INTERRUPTED}
"""The login may still be resumed."""


class ActionRunner:
    """Runs actions and queries of one account; those with the same request name one after the other.

    WeChat throttles by the kind of action, so a throttling applies to the requests of the same name.
    """

    def __init__(self, ctx: AccountContext, session: LoginSession) -> None:
        self._backend = ctx.backend
        self._registry = ctx.registry
        self._login_requests = ctx.login_requests
        self._session = session
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._not_before: dict[str, float] = {}
        self._login_changed = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """Wakes requests that wait for the login: its state changed."""
        self._login_changed.set()
        self._login_changed = asyncio.Event()

    def stop(self) -> None:
        """Starts no further action: a request without an answer is redelivered after the restart."""
        self._stopping = True
        self.wake()

    async def drain(self, seconds: float) -> None:
        """Gives the actions under way `seconds` to end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for lock in self._locks.values():
                    async with lock:
                        pass

    def deadline(self) -> float:
        """Returns the time, by the clock of the loop, when a request that arrives now must be answered."""
        return asyncio.get_running_loop().time() + ACTION_TIMEOUT_SECONDS

    async def run_action(
        self,
        request_name: str,
        action: Action,
        attempt: RequestAttempt,
        *,
        login_id: str,
        repeatable: bool,
        deadline: float | None = None,
    ) -> ActionResult:
        """Carries out an action; `repeatable` if doing it twice has the same effect as doing it once.

        `login_id` is the login of its handles, which mean nobody in the next one. Raises `BadCommand` and
        `StoreError`.
        """
        deadline = deadline or self.deadline()
        if type(action) not in self._backend.capabilities.actions:
            raise BadCommand("unsupported", "unsupported_action", name=request_name)
        if attempt.in_doubt and not repeatable:
            raise BadCommand("no_answer", "perhaps_done")
        await self._require_login(attempt, deadline)
        async with self._exclusive(request_name, deadline):
            await attempt.mark_started()
            return await self._attempt_until_done(
                request_name,
                action,
                deadline,
                login_id=login_id,
                repeatable=repeatable,
                in_doubt=attempt.in_doubt,
            )

    async def query(
        self,
        request_name: str,
        work: Callable[[], Awaitable[T]],
        *,
        login_id: str,
        deadline: float | None = None,
    ) -> T:
        """Carries out a query with handles of that login; it changes nothing. Raises `BadCommand`."""
        deadline = deadline or self.deadline()
        await self._require_login(None, deadline)
        async with self._exclusive(request_name, deadline):
            if self._is_over(login_id):
                raise _not_logged_in()
            try:
                async with asyncio.timeout_at(deadline):
                    return await work()
            except BackendError as error:
                raise self._to_bad_command(request_name, error) from None
            except TimeoutError:
                raise BadCommand("no_answer", "not_done") from None

    async def _require_login(self, attempt: RequestAttempt | None, deadline: float) -> None:
        """Raises `BadCommand` when the account is not logged in.

        Waits while a saved login is checked, and for an attempt in doubt also while the login may be resumed.
        """
        in_doubt = attempt is not None and attempt.in_doubt
        if self._stopping:
            await asyncio.Event().wait()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while not self._session.logged_in and self._session.login.state in (
                    _STATES_BEFORE_RESUME if in_doubt else _STATES_AT_START
                ):
                    await self._login_changed.wait()
        if not self._session.logged_in:
            raise BadCommand("no_answer", "perhaps_done") if in_doubt else _not_logged_in()

    def _is_over(self, login_id: str) -> bool:
        """Returns whether a login has ended; one that is interrupted may go on."""
        may_go_on = self._session.logged_in or self._session.login.state in _STATES_BEFORE_RESUME
        return self._registry.login_id != login_id or not may_go_on

    @asynccontextmanager
    async def _exclusive(self, request_name: str, deadline: float) -> AsyncIterator[None]:
        """Waits for earlier actions of the same request name; raises `BadCommand` while it is throttled."""
        lock = self._locks[request_name]
        try:
            async with asyncio.timeout_at(deadline):
                await lock.acquire()
        except TimeoutError:
            raise BadCommand("no_answer", "not_done") from None
        if self._stopping:
            lock.release()
            await asyncio.Event().wait()
        try:
            if (wait := self._not_before.get(request_name, 0.0) - loop_time()) > 0:
                raise _too_often(wait)
            yield
        finally:
            lock.release()

    async def _attempt_until_done(
        self,
        request_name: str,
        action: Action,
        deadline: float,
        *,
        login_id: str,
        repeatable: bool,
        in_doubt: bool,
    ) -> ActionResult:
        key = new_key()
        backoff = Backoff(first=FIRST_RETRY_SECONDS, cap=MAX_RETRY_SECONDS)
        was_unknown = False
        while True:
            if self._is_over(login_id):
                may_be_done = in_doubt or was_unknown
                raise BadCommand("no_answer", "perhaps_done") if may_be_done else _not_logged_in()
            outcome = await self._attempt_once(action, key, deadline)
            if isinstance(outcome, ActionResult):
                return outcome
            is_unknown = isinstance(outcome, OutcomeUnknown)
            is_temporary = _is_temporary(outcome)
            backoff = backoff.after_failure()
            pause = backoff.wait(random.random())
            may_retry = repeatable and not was_unknown if is_unknown else is_temporary
            if not may_retry or self._stopping or loop_time() + pause >= deadline:
                raise self._to_bad_command(
                    request_name, OutcomeUnknown() if was_unknown and is_temporary else outcome
                )
            was_unknown = was_unknown or is_unknown
            await asyncio.sleep(pause)

    async def _attempt_once(
        self, action: Action, key: SendKey, deadline: float
    ) -> ActionResult | BackendError:
        if not self._session.logged_in:  # the next login may have begun already
            return Unreachable()
        try:
            async with asyncio.timeout_at(deadline):
                return await self._backend.perform(action, key)
        except BackendError as error:
            return error
        except TimeoutError:
            return OutcomeUnknown()
        except Exception:  # a bug in the bridge: the request may have been written
            log.exception("act failed", action=type(action).__name__)
            return OutcomeUnknown()

    def _to_bad_command(self, request_name: str, error: BackendError) -> BadCommand:
        """Returns the error of the answer; a throttling or logout is also applied to later requests."""
        match error:
            case Throttled(retry_after=seconds):
                self._not_before[request_name] = loop_time() + seconds
                return _too_often(seconds)
            case LoggedOut():
                self._login_requests.on_logged_out(error)
                return _not_logged_in()
            case Rejected(code=code):
                return BadCommand(code, "not_taken", why=str(error))
            case OutcomeUnknown():
                return BadCommand("no_answer", "perhaps_done")
            case _:
                return BadCommand("no_answer", "not_done")


def _is_temporary(error: BackendError) -> bool:
    """Returns whether the action was certainly not done and a retry may soon succeed."""
    return not isinstance(error, (Throttled, LoggedOut, LoginRefused, Rejected, OutcomeUnknown))


def _too_often(seconds: float) -> BadCommand:
    return BadCommand("rate_limited", "too_often", retry_after=round(seconds, 1))


def _not_logged_in() -> BadCommand:
    return BadCommand("logged_out", "not_logged_in")


@frozen(kw_only=False)
class ActionTarget:
    """A person or group with their handle in this login."""

    person: Person
    handle: Handle

    @property
    def level(self) -> str:
        """The topic level."""
        return self.person.level


class TargetResolver:
    """Finds targets among the people of one account. All methods raise `BadCommand`."""

    def __init__(self, ctx: AccountContext, recipients: Recipients) -> None:
        self._ctx = ctx
        self._recipients = recipients

    def known_target(self, user: str) -> ActionTarget:
        """Returns a known person or group, on which `send.allow` need not permit actions."""
        person = self._recipients.find(user)
        if person.handle is None:
            raise BadCommand("unresolved_user", "unresolved_user", user=user)
        return ActionTarget(person, person.handle)

    def allowed_target(self, user: str) -> ActionTarget:
        """Returns a person or group on which `send.allow` permits actions."""
        target = self.known_target(user)
        self._recipients.require_allowed(user, target.person)
        return target

    def contact_target(self, user: str) -> ActionTarget:
        """Returns a friend on whom `send.allow` permits actions."""
        target = self.allowed_target(user)
        if target.person.kind is not ChatKind.FRIEND or target.person.stranger:
            raise BadCommand("bad_request", "no_friend", user=user)
        return target

    def group_target(self, user: str) -> ActionTarget:
        """Returns a group on which `send.allow` permits actions."""
        target = self.allowed_target(user)
        self.require_group(target, user)
        return target

    @staticmethod
    def require_group(target: ActionTarget, user: str) -> None:
        if target.person.kind is not ChatKind.GROUP:
            raise BadCommand("bad_request", "no_group", user=user)

    def require_unrestricted(self) -> None:
        """Requires `send.allow` to permit everybody: a requesting friend has no name that it could list."""
        if not matches_any("", self._ctx.settings.account.send.allow):
            raise BadCommand("not_allowed", "nobody_allowed")
