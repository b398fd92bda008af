"""Does something at WeChat for a request: when it may begin, how long it may take, what its end is called.

A request has no time of its own like a command: it is answered within `ACTION_TIMEOUT_SECONDS`, whatever
WeChat does, since
the broker waits for the acknowledgement.

Whom a request means by a topic level, and whether the owner lets it act on them. Decides, does nothing.

`send.allow` names to whom the bridge may write, and so also on whom a request may act.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
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
)
from wx2mqtt.model import Action, ActionResult, ChatKind, Handle, LoginState, SendKey
from wx2mqtt.store.records import Person

log = structlog.get_logger(__name__)


ACTION_TIMEOUT_SECONDS = 20.0  # seconds within which a request is answered


T = TypeVar("T")


_NOT_KNOWN = frozenset({LoginState.STARTING})


_MAY_COME_BACK = _NOT_KNOWN | {LoginState.INTERRUPTED}


class ActionRunner:
    """The one way from requests to `Gateway.act`. `sort` is the request's name: what WeChat limits together.

    Requests of one sort go one by one.
    """

    def __init__(self, ctx: AccountContext, session: LoginSession) -> None:
        self._backend = ctx.backend
        self._logged_out = ctx.signals.logged_out
        self._session = session
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._not_before: dict[str, float] = {}
        self._login_changed = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """The login stands otherwise than before."""
        self._login_changed.set()
        self._login_changed = asyncio.Event()

    def stop(self) -> None:
        """Begin nothing any more: what comes now stays with the broker, for the next life."""
        self._stopping = True
        self.wake()

    async def drain(self, seconds: float) -> None:
        """Give what is under way `seconds` to end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for turn in self._locks.values():
                    async with turn:
                        pass

    def deadline(self) -> float:
        """When a request that comes now is answered at the latest, by the clock of the loop."""
        return asyncio.get_running_loop().time() + ACTION_TIMEOUT_SECONDS

    async def run_action(
        self,
        request_name: str,
        action: Action,
        attempt: RequestAttempt,
        *,
        repeatable: bool,
        deadline: float | None = None,
    ) -> ActionResult:
        """Do it. `again`: doing it twice is as doing it once. Raises `BadCommand`, `StoreError`."""
        deadline = deadline or self.deadline()
        if type(action) not in self._backend.capabilities.actions:
            raise BadCommand("unsupported", "unsupported_action", name=request_name)
        if attempt.in_doubt and not repeatable:
            raise BadCommand("no_answer", "perhaps_done")
        await self._require_login(attempt, deadline)
        async with self._exclusive(request_name, deadline):
            await attempt.mark_started()
            return await self._attempt_until_done(request_name, action, deadline, repeatable=repeatable)

    async def query(
        self, request_name: str, work: Callable[[], Awaitable[T]], *, deadline: float | None = None
    ) -> T:
        """Ask WeChat for something that changes nothing. Raises `BadCommand`."""
        deadline = deadline or self.deadline()
        await self._require_login(None, deadline)
        async with self._exclusive(request_name, deadline):
            try:
                async with asyncio.timeout_at(deadline):
                    return await work()
            except BackendError as error:
                raise self._to_bad_command(request_name, error) from None
            except TimeoutError:
                raise BadCommand("no_answer", "not_done") from None

    async def _require_login(self, attempt: RequestAttempt | None, deadline: float) -> None:
        """Say at once that it is not, once that is known: a saved login may just be looked at.

        What an earlier life began waits longer for its login to come back.
        """
        in_doubt = attempt is not None and attempt.in_doubt
        if self._stopping:
            await asyncio.Event().wait()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while not self._session.logged_in and self._session.login.state in (
                    _MAY_COME_BACK if in_doubt else _NOT_KNOWN
                ):
                    await self._login_changed.wait()
        if not self._session.logged_in:
            raise BadCommand("no_answer", "perhaps_done") if in_doubt else _not_logged_in()

    @asynccontextmanager
    async def _exclusive(self, request_name: str, deadline: float) -> AsyncIterator[None]:
        """One after the other, and none before WeChat may be asked again."""
        turn = self._locks[request_name]
        try:
            async with asyncio.timeout_at(deadline):
                await turn.acquire()
        except TimeoutError:
            raise BadCommand("no_answer", "not_done") from None
        if self._stopping:
            turn.release()
            await asyncio.Event().wait()
        try:
            if (wait := self._not_before.get(request_name, 0.0) - loop_time()) > 0:
                raise _too_often(wait)
            yield
        finally:
            turn.release()

    async def _attempt_until_done(
        self, request_name: str, action: Action, deadline: float, *, repeatable: bool
    ) -> ActionResult:
        key, backoff, unknown = new_key(), Backoff(first=0.5, cap=5.0), False
        while True:
            outcome = await self._attempt_once(action, key, deadline)
            if isinstance(outcome, ActionResult):
                return outcome
            lost, backoff = isinstance(outcome, OutcomeUnknown), backoff.after_failure()
            pause = backoff.wait(random.random())
            more = (repeatable and not unknown if lost else _is_passing(outcome)) and not self._stopping
            if not more or loop_time() + pause >= deadline:
                raise self._to_bad_command(
                    request_name, OutcomeUnknown() if unknown and _is_passing(outcome) else outcome
                )
            unknown = unknown or lost
            await asyncio.sleep(pause)

    async def _attempt_once(
        self, action: Action, key: SendKey, deadline: float
    ) -> ActionResult | BackendError:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._backend.perform(action, key)
        except BackendError as error:
            return error
        except TimeoutError:
            return OutcomeUnknown()
        except Exception:  # a fault of ours: whether the request was written is not known
            log.exception("act failed", action=type(action).__name__)
            return OutcomeUnknown()

    def _to_bad_command(self, request_name: str, error: BackendError) -> BadCommand:
        """What a request is answered with, and what follows for the next one."""
        match error:
            case Throttled(retry_after=seconds):
                self._not_before[request_name] = loop_time() + seconds
                return _too_often(seconds)
            case LoggedOut():
                self._logged_out.emit(error)
                return _not_logged_in()
            case Rejected(code=code):
                return BadCommand(code, "not_taken", why=str(error))
            case OutcomeUnknown():
                return BadCommand("no_answer", "perhaps_done")
            case _:
                return BadCommand("no_answer", "not_done")


def _is_passing(error: BackendError) -> bool:
    """Certainly not done, and soon WeChat may do it."""
    return not isinstance(error, (Throttled, LoggedOut, LoginRefused, Rejected, OutcomeUnknown))


def _too_often(seconds: float) -> BadCommand:
    return BadCommand("rate_limited", "too_often", retry_after=round(seconds, 1))


def _not_logged_in() -> BadCommand:
    return BadCommand("logged_out", "not_logged_in")


@dataclass(frozen=True, slots=True)
class ActionTarget:
    """Somebody, or a group, as this login reaches them."""

    person: Person
    handle: Handle

    @property
    def level(self) -> str:
        """Their topic level."""
        return self.person.level


class TargetResolver:
    """Knows the people of one account and the owner's rules. All raise `BadCommand`."""

    def __init__(self, ctx: AccountContext, recipients: Recipients) -> None:
        self._ctx = ctx
        self._recipients = recipients

    def known_target(self, user: str) -> ActionTarget:
        """Somebody who may be asked about."""
        person = self._recipients.find(user)
        if person.handle is None:
            raise BadCommand("unresolved_user", "unresolved_user", user=user)
        return ActionTarget(person, person.handle)

    def allowed_target(self, user: str) -> ActionTarget:
        """Somebody who may be acted on."""
        target = self.known_target(user)
        self._recipients.require_allowed(user, target.person)
        return target

    def contact_target(self, user: str) -> ActionTarget:
        """A friend who may be acted on."""
        target = self.allowed_target(user)
        if target.person.kind is not ChatKind.FRIEND or target.person.stranger:
            raise BadCommand("bad_request", "no_friend", user=user)
        return target

    def group_target(self, user: str) -> ActionTarget:
        """A group that may be changed."""
        target = self.allowed_target(user)
        self.require_group(target, user)
        return target

    @staticmethod
    def require_group(target: ActionTarget, user: str) -> None:
        if target.person.kind is not ChatKind.GROUP:
            raise BadCommand("bad_request", "no_group", user=user)

    def require_unrestricted(self) -> None:
        """Whoever asks to become a friend has no name yet that `send.allow` could hold."""
        if not matches_any("", self._ctx.settings.send.allow):
            raise BadCommand("not_allowed", "nobody_allowed")
