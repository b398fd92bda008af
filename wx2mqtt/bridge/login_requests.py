"""Requests that end the current login, or the current attempt to log in, of an account.

    request/login  ->  `request_login` puts `LoginRequested` in the queue  ->  `LoginSession` ends the attempt

Components put requests in the queue. Only `LoginSession` takes them out, and decides what follows from each.
"""

from __future__ import annotations

import asyncio
import math
from enum import Enum, auto

from wx2mqtt.aio import wait_at_most
from wx2mqtt.clock import loop_time
from wx2mqtt.errors import BadCommand, LoggedOut

# While WeChat has postponed the login, a person may have it tried at once, but not more often than this.
MIN_TRY_INTERVAL_SECONDS = 10.0


class LoginRequested(Exception):
    """A new QR code is wanted; with `new_owner` another account may log in, and the current login ends."""

    def __init__(self, *, new_owner: bool = False) -> None:
        super().__init__()
        self.new_owner = new_owner


class LogoutRequested(Exception):
    """The login is to be ended at WeChat."""


class LoginRenewed(Exception):
    """The owner has confirmed the renewal: the session goes on with the new login, which is saved."""


class CredentialsChanged(Exception):
    """The configuration has other credentials, with which the account logs in now."""


# `LoggedOut` comes from a send, a download or an action that WeChat answered with the end of the login.
SessionRequest = LoginRequested | LogoutRequested | LoggedOut | LoginRenewed | CredentialsChanged


class SessionPhase(Enum):
    """What `LoginSession` is doing."""

    #: An attempt to log in goes on, or follows at once.
    LOGGING_IN = auto()
    #: WeChat has accepted a login, and its contacts are fetched.
    ACCEPTED = auto()
    #: Messages are received and can be sent.
    RECEIVING = auto()
    #: Nothing is done until somebody requests a login: after a logout, a refusal or too many codes.
    IDLE = auto()


class LoginRequests:
    """The queue of requests of one account, and the phase of its session. What a request does:

    | request | `LOGGING_IN` | `ACCEPTED`, `RECEIVING` | `IDLE` |
    |---|---|---|---|
    | login | begins the attempt again | has no effect | begins an attempt |
    | login of a new owner | begins the attempt again | ends the login | begins an attempt |
    | logout | ends the attempt | ends the login | is answered at once |
    | `LoggedOut` | | ends the login, only when `RECEIVING` | has no effect |
    | `LoginRenewed` | | lets the new login follow | has no effect |
    | `CredentialsChanged` | begins the attempt again | logs in anew | begins an attempt |

    While WeChat has postponed the login (`LoginPostponed`), a login request that has no effect otherwise ends
    the pause before the next try.
    """

    def __init__(self) -> None:
        #: What the session is doing; the session sets it.
        self.phase = SessionPhase.LOGGING_IN
        #: Whether the newest login request allows another account. False again when a login has succeeded, or
        #: the session is idle.
        self.new_owner = False
        self._queue: asyncio.Queue[SessionRequest] = asyncio.Queue()
        #: Set when the session is idle after the requested logouts; None while no logout is requested.
        self._logout_ended: asyncio.Event | None = None
        #: Whether the owner has confirmed the code of a renewal, once that is known; None if no code was
        #: offered since the attempt began.
        self._renewal: asyncio.Future[bool] | None = None
        #: Whether WeChat has postponed the login and has not accepted it since.
        self.is_postponed = False
        #: When a person may have a postponed login tried again, by `loop_time`.
        self._next_try_at = 0.0
        #: Ends the pause before the next try.
        self._try_requested = asyncio.Event()

    @property
    def is_accepted(self) -> bool:
        """Whether WeChat has accepted a login that has not ended."""
        return self.phase in {SessionPhase.ACCEPTED, SessionPhase.RECEIVING}

    @property
    def is_receiving(self) -> bool:
        """Whether messages are received and can be sent."""
        return self.phase is SessionPhase.RECEIVING

    # Called by components that want something

    def request_login(self, *, new_owner: bool = False) -> None:
        """Asks for a new QR code; without effect once WeChat has accepted the login.

        With `new_owner` it ends such a login, too, and lets another account become the owner. A login that
        WeChat has postponed is tried at once. Raises `BadCommand` where that was requested a moment ago.
        """
        if self.is_postponed:
            self._limit_tries()
        login_goes_on = self.is_accepted and self._logout_ended is None
        if new_owner or not login_goes_on:
            self._queue.put_nowait(LoginRequested(new_owner=new_owner))
        elif self.is_postponed:
            self._try_requested.set()

    def _limit_tries(self) -> None:
        seconds_left = self._next_try_at - loop_time()
        if seconds_left > 0:
            retry_after = math.ceil(seconds_left * 10) / 10
            raise BadCommand("rate_limited", "login_tried", retry_after=retry_after)
        self._next_try_at = loop_time() + MIN_TRY_INTERVAL_SECONDS

    def request_login_if_idle(self) -> None:
        """Asks for a new QR code if the session is idle and stays so."""
        if self.phase is SessionPhase.IDLE and self._logout_ended is None:
            self.request_login()

    async def request_logout(self) -> None:
        """Asks for the end of the login at WeChat; returns when that is done and the session is idle."""
        if self._logout_ended is None:
            self._logout_ended = asyncio.Event()
        ended = self._logout_ended
        self._queue.put_nowait(LogoutRequested())
        await ended.wait()

    def on_logged_out(self, error: LoggedOut) -> None:
        """Ends the login: WeChat answered a send, a download or an action with `LoggedOut`."""
        if self.is_receiving:
            self._queue.put_nowait(error)

    def on_credentials_changed(self) -> None:
        """Lets the account log in with other credentials of the configuration, which the backend has."""
        self._queue.put_nowait(CredentialsChanged())

    def begin_renewal(self) -> None:
        """Records that a code is offered while the login goes on."""
        self._renewal = asyncio.get_running_loop().create_future()

    def end_renewal(self, *, confirmed: bool) -> None:
        """Records that the owner has confirmed the code, or that it is over."""
        assert self._renewal is not None
        self._renewal.set_result(confirmed)
        if confirmed:
            self._queue.put_nowait(LoginRenewed())

    # Called by the session

    async def renewal_confirmed(self, seconds: float) -> bool:
        """Waits at most `seconds` for the end of a renewal; returns whether the owner has confirmed it."""
        if self._renewal is None:
            return False
        await asyncio.wait([self._renewal], timeout=seconds)
        return self._renewal.done() and self._renewal.result()

    def end_postponement(self) -> None:
        """Records that WeChat has accepted the login, or that none is tried any more."""
        self.is_postponed = False
        self._next_try_at = 0.0

    async def pause_before_try(self, seconds: float) -> None:
        """Waits `seconds`, or until somebody wants a postponed login to be tried."""
        self._try_requested.clear()
        await wait_at_most(self._try_requested, seconds)

    async def next_request(self) -> SessionRequest:
        """Waits for the next request that has an effect (see the table of the class)."""
        while True:
            request = await self._queue.get()
            if not isinstance(request, LoginRequested):
                return request
            if request.new_owner or not self.is_accepted:
                self.new_owner = request.new_owner
                return request

    def discard_outdated(self) -> None:
        """Discards what the attempt that begins now fulfils.

        Logouts stay in the queue, and so do the logins that were requested after them.
        """
        if self._renewal is not None and self._renewal.done():
            self._renewal = None
        has_logout = False
        requests = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        for request in requests:
            if isinstance(request, LogoutRequested):
                has_logout = True
                self._queue.put_nowait(request)
            elif isinstance(request, LoginRequested) and has_logout:
                self._queue.put_nowait(request)
            elif isinstance(request, LoginRequested):
                self.new_owner = request.new_owner

    async def wait_for_login_request(self) -> None:
        """Is idle until a login is requested; `request_logout` returns at once meanwhile."""
        self.phase = SessionPhase.IDLE
        self.new_owner = False
        self.end_postponement()
        self._answer_logouts()
        request = await self._queue.get()
        while not isinstance(request, LoginRequested | CredentialsChanged):
            self._answer_logouts()
            request = await self._queue.get()
        self.new_owner = isinstance(request, LoginRequested) and request.new_owner
        self.phase = SessionPhase.LOGGING_IN

    def _answer_logouts(self) -> None:
        if self._logout_ended is not None:
            self._logout_ended.set()
            self._logout_ended = None
