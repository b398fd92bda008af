"""What ends a conversation with WeChat from outside: requests to log in or out, a send that learnt of it.

Gathers them for the one task that converses; what follows from each is decided there.
"""

from __future__ import annotations

import asyncio

from wx2mqtt.errors import LoggedOut


class LoginAsked(Exception):
    """Somebody wants a QR code."""


class LogoutAsked(Exception):
    """Somebody wants the login to end."""


Demand = LoginAsked | LogoutAsked | LoggedOut


class Demands:
    """Those of one account. `entered` is true from the moment that WeChat lets us in until the login ends."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Demand] = asyncio.Queue()
        self._resting = asyncio.Event()
        self._leaving = False  # a logout was asked for and is not yet carried out
        self.entered = False

    def ask(self) -> None:
        """Somebody wants to log in; means nothing where a login stands (DESIGN 4.3)."""
        if self._leaving or not self.entered:
            self._waiting.put_nowait(LoginAsked())

    def ask_if_resting(self) -> None:
        """Somebody wants to log in if nobody was expected to come any more."""
        if self._resting.is_set():
            self.ask()

    async def log_out(self) -> None:
        """Somebody wants the login to end; returns when that is done."""
        self._leaving = True
        self._resting.clear()
        self._waiting.put_nowait(LogoutAsked())
        await self._resting.wait()

    def logged_out(self, error: LoggedOut) -> None:
        """A send was told that the login is over."""
        self._waiting.put_nowait(error)

    async def next(self) -> Demand:
        """The next one that means something: whoever asked to log in may be logged in by now."""
        while True:
            demand = await self._waiting.get()
            if not (isinstance(demand, LoginAsked) and self.entered):
                return demand

    def forget(self) -> None:
        """What was asked of an earlier conversation is answered by the next one; but a logout is not."""
        waiting = [self._waiting.get_nowait() for _ in range(self._waiting.qsize())]
        for demand in waiting:
            if isinstance(demand, LogoutAsked):
                self._waiting.put_nowait(demand)

    async def rest(self) -> None:
        """Wait until somebody asks to log in; whoever asks to log out meanwhile has that already."""
        self._rested()
        while not isinstance(await self._waiting.get(), LoginAsked):
            self._rested()
        self._resting.clear()

    def _rested(self) -> None:
        self._leaving = False
        self._resting.set()
