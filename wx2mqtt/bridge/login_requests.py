"""Requests that end the current login, or the current attempt to log in, of an account.

    request/login  ->  `request_login` puts `LoginRequested` in the queue  ->  `LoginSession` ends the attempt

Components put requests in the queue. Only `LoginSession` takes them out, and decides what follows from each.
"""

from __future__ import annotations

import asyncio

from wx2mqtt.aio import wait_at_most
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


class LoginRequests:
    """The queue of requests of one account.

    Idle is a session that does nothing until somebody requests a login. What a request does:

    | request | while logging in | once WeChat has accepted the login | while idle |
    |---|---|---|---|
    | login | begins the attempt again | has no effect | begins an attempt |
    | login of a new owner | begins the attempt again | ends the login | begins an attempt |
    | logout | ends the attempt | ends the login | is answered at once |
    | `LoggedOut` | | ends the login | has no effect |
    """

    def __init__(self) -> None:
        #: Whether WeChat has accepted a login that has not ended; the session sets it.
        self.login_accepted = False
        #: Whether messages are received and can be sent; the session sets it.
        self.logged_in = False
        #: Whether the newest login request allows another account. False again when a login has succeeded, or
        #: the session is idle.
        self.new_owner = False
        self._queue: asyncio.Queue[SessionRequest] = asyncio.Queue()
        #: Set while the session is idle.
        self._idle = asyncio.Event()
        #: Whether a logout is requested that has not ended; a login requested meanwhile follows it.
        self._logout_pending = False
        #: Set when the offered code of a renewal is confirmed or over; None while no code is offered.
        self._renewal_ended: asyncio.Event | None = None
        #: Whether a renewal was confirmed since the attempt began.
        self._renewed = False

    # Called by components that want something

    def request_login(self, *, new_owner: bool = False) -> None:
        """Asks for a new QR code; without effect once WeChat has accepted the login.

        With `new_owner` it ends such a login, too, and lets another account become the owner.
        """
        if self._logout_pending or new_owner or not self.login_accepted:
            self._queue.put_nowait(LoginRequested(new_owner=new_owner))

    def request_login_if_idle(self) -> None:
        """Asks for a new QR code if the session is idle: after a logout, a refusal or too many codes."""
        if self._idle.is_set():
            self.request_login()

    async def request_logout(self) -> None:
        """Asks for the end of the login at WeChat; returns when that is done and the session is idle."""
        self._logout_pending = True
        self._idle.clear()
        self._queue.put_nowait(LogoutRequested())
        await self._idle.wait()

    def on_logged_out(self, error: LoggedOut) -> None:
        """Ends the login: WeChat answered a send, a download or an action with `LoggedOut`."""
        if self.logged_in:
            self._queue.put_nowait(error)

    def begin_renewal(self) -> None:
        """Records that a code is offered while the login goes on."""
        self._renewal_ended = asyncio.Event()

    def end_renewal(self, *, confirmed: bool) -> None:
        """Records that the owner has confirmed the code, or that it is over."""
        if confirmed:
            self._renewed = True
            self._queue.put_nowait(LoginRenewed())
        if self._renewal_ended is not None:
            self._renewal_ended.set()
            self._renewal_ended = None

    # Called by the session

    async def renewal_confirmed(self, seconds: float) -> bool:
        """Waits at most `seconds` for the end of a renewal; returns whether the owner has confirmed it."""
        if self._renewal_ended is not None:
            await wait_at_most(self._renewal_ended, seconds)
        return self._renewed

    async def next_request(self) -> SessionRequest:
        """Waits for the next request that has an effect (see the table of the class)."""
        while True:
            request = await self._queue.get()
            if isinstance(request, LoginRequested):
                if self.login_accepted and not request.new_owner:
                    continue
                self.new_owner = request.new_owner
            return request

    def discard_outdated(self) -> None:
        """Discards what the attempt that begins now fulfils.

        Logouts stay in the queue, and so do the logins that were requested after them.
        """
        self._renewed = False
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
        self.new_owner = False
        self._mark_idle()
        request = await self._queue.get()
        while not isinstance(request, LoginRequested):
            self._mark_idle()
            request = await self._queue.get()
        self.new_owner = request.new_owner
        self._idle.clear()

    def _mark_idle(self) -> None:
        self._logout_pending = False
        self._idle.set()
