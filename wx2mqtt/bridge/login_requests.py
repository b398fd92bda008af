"""Requests that end the current login, or the current attempt to log in, of an account.

    request/login  ->  `request_login` puts `LoginRequested` in the queue  ->  `LoginSession` ends the attempt

Components put requests in the queue. Only `LoginSession` takes them out, and decides what follows from each.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto

from wx2mqtt.errors import LoggedOut


class LoginRequested(Exception):
    """A new QR code is wanted; with `new_owner` another account may log in, and the current login ends."""

    def __init__(self, *, new_owner: bool = False) -> None:
        super().__init__()
        self.new_owner = new_owner


class LogoutRequested(Exception):
    """The login is to be ended at WeChat."""


class LoginRenewed(Exception):
    """The owner has confirmed the renewal: the session goes on with the new login, which is saved."""


# `LoggedOut` comes from a send, a download or an action that WeChat answered with the end of the login.
SessionRequest = LoginRequested | LogoutRequested | LoggedOut | LoginRenewed


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

        With `new_owner` it ends such a login, too, and lets another account become the owner.
        """
        login_goes_on = self.is_accepted and self._logout_ended is None
        if new_owner or not login_goes_on:
            self._queue.put_nowait(LoginRequested(new_owner=new_owner))

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
        self._answer_logouts()
        request = await self._queue.get()
        while not isinstance(request, LoginRequested):
            self._answer_logouts()
            request = await self._queue.get()
        self.new_owner = request.new_owner
        self.phase = SessionPhase.LOGGING_IN

    def _answer_logouts(self) -> None:
        if self._logout_ended is not None:
            self._logout_ended.set()
            self._logout_ended = None
