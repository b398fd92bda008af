"""`window/<user>`: whether WeChat would take a message to somebody now, retained, told when it changes.

Truth as far as the gateway knows it; while nobody is logged in it takes nothing. Where a backend has no
window there is nothing to tell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from wx2mqtt.bridge.announce import Announcer
from wx2mqtt.bridge.people.identity import Entry, Identity
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.model import ChatKind, Json, LoginState, Window
from wx2mqtt.mqtt.payloads import encode
from wx2mqtt.mqtt.topics import JSON, Topics
from wx2mqtt.store.people import Person
from wx2mqtt.wechat.gateway import Gateway

LOOK = 60.0  # seconds between two looks at the least: a clock may have been set
PAUSE = 0.2  # seconds in which changes are gathered
LOGGED_OUT = Window(open=False, why="logged_out")

_KNOWN = frozenset({LoginState.ONLINE, LoginState.INTERRUPTED})
_UNKNOWN = frozenset({LoginState.STARTING, LoginState.STOPPED})


class Windows:
    """Those of one account. `told` is called when any is another one."""

    def __init__(
        self,
        *,
        account: str,
        topics: Topics,
        gateway: Gateway,
        identity: Identity,
        announcer: Announcer,
        state: Callable[[], LoginState],
        told: Callable[[], None],
    ) -> None:
        self._account = account
        self._topics = topics
        self._gateway = gateway
        self._identity = identity
        self._announcer = announcer
        self._state = state
        self._told = told
        self._said: dict[str, Window] = {}
        self._loaded = False
        self._changed = asyncio.Event()

    @property
    def are_there(self) -> bool:
        """Whether this backend has windows."""
        return self._gateway.capabilities.window

    @property
    def users(self) -> tuple[str, ...]:
        """Of whom anything was told."""
        return tuple(sorted(self._said))

    def changed(self) -> None:
        """Something was received or sent, or the login is another one."""
        if self.are_there:
            self._changed.set()

    def of(self, user: str) -> Window | None:
        """What was told of somebody last."""
        return self._said.get(user)

    def entries(self) -> list[Entry]:
        """The directory, with the windows."""
        found = self._identity.directory()
        if not self._said:
            return found
        return [replace(one, window=shown(self._said.get(one.user))) for one in found]

    async def run(self) -> None:
        """Tell until cancelled."""
        while self.are_there:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._until_next()):
                    await self._changed.wait()
            self._changed.clear()
            self.look()
            await asyncio.sleep(PAUSE)
        await asyncio.Event().wait()

    def look(self) -> None:
        """Tell what is another one now."""
        state = self._state()
        if not self.are_there or state in _UNKNOWN or (state not in _KNOWN and not self._identity.login_id):
            return
        self._loaded |= state is LoginState.ONLINE
        if state is LoginState.INTERRUPTED and not self._loaded:
            return  # it has not looked at what it saved
        now = {one.level: self._window(one, state) for one in self._people()}
        for user, window in now.items():
            if self._said.get(user) != window:
                self._say(user, window)
        for user in self._said.keys() - now.keys():
            self._announcer.say(self._topics.window(user), b"", JSON)
        changed, self._said = now != self._said, now
        if changed:
            self._told()

    def _people(self) -> list[Person]:
        return [one for one in self._identity.here() if one.kind is ChatKind.FRIEND and not one.removed]

    def _window(self, person: Person, state: LoginState) -> Window:
        window = self._gateway.window(person.handle) if person.handle and state in _KNOWN else None
        return LOGGED_OUT if window is None else window

    def _say(self, user: str, window: Window) -> None:
        body: dict[str, Json] = {"schema": 1, "account": self._account, "user": user}
        body |= {**shown(window), "time": rfc3339(now_ms())}
        self._announcer.say(self._topics.window(user), encode(body), JSON)

    def _until_next(self) -> float:
        """Seconds until one changes by itself, or it is time to look anyway."""
        ends = [(one.until - now_ms()) / 1000 for one in self._said.values() if one.until is not None]
        return min([LOOK, *(max(0.1, end + 0.05) for end in ends)])


def shown(window: Window | None) -> Mapping[str, Json]:
    """A window as it is published; what is not known is absent."""
    if window is None:
        return {}
    body: dict[str, Json] = {"open": window.open}
    if window.until is not None:
        body["until"] = rfc3339(window.until)
    if window.left is not None:
        body["left"] = window.left
    return {**body, "why": window.why}
