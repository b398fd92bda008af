"""`window/<user>`: whether WeChat would take a message to somebody now, retained, told when it changes.

Truth as far as the gateway knows it; while nobody is logged in it takes nothing. Where a backend has no
window there is nothing to tell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.people.registry import DirectoryEntry
from wx2mqtt.bridge.retained import RetainedPublisher
from wx2mqtt.bridge.session import LoginSession
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.model import ChatKind, Json, LoginState, ReplyWindow
from wx2mqtt.mqtt.payloads import encode
from wx2mqtt.mqtt.topics import JSON_TYPE
from wx2mqtt.store.records import Person

RECHECK_INTERVAL_SECONDS = 60.0  # seconds between two looks at the least: a clock may have been set
GATHER_SECONDS = 0.2  # seconds in which changes are gathered
LOGGED_OUT_WINDOW = ReplyWindow(open=False, reason="logged_out")

_KNOWN = frozenset({LoginState.ONLINE, LoginState.INTERRUPTED})
_UNKNOWN = frozenset({LoginState.STARTING, LoginState.STOPPED})


class ReplyWindowTopics:
    """The windows of one account; emits `reply_windows_changed` when any is different."""

    def __init__(self, ctx: AccountContext, retained: RetainedPublisher, session: LoginSession) -> None:
        self._account = ctx.name
        self._topics = ctx.topics
        self._backend = ctx.backend
        self._registry = ctx.registry
        self._changed = ctx.signals.reply_windows_changed
        self._retained = retained
        self._session = session
        self._published: dict[str, ReplyWindow] = {}
        self._backend_loaded = False
        self._refresh_event = asyncio.Event()

    @property
    def supported(self) -> bool:
        """Whether this backend has windows."""
        return self._backend.capabilities.has_reply_window

    @property
    def users(self) -> tuple[str, ...]:
        """Of whom anything was told."""
        return tuple(sorted(self._published))

    def refresh(self) -> None:
        """Something was received or sent, or the login is another one."""
        if self.supported:
            self._refresh_event.set()

    def published_window(self, user: str) -> ReplyWindow | None:
        """What was told of somebody last."""
        return self._published.get(user)

    def directory_entries(self) -> list[DirectoryEntry]:
        """The directory, with the windows."""
        found = self._registry.directory()
        if not self._published:
            return found
        return [replace(one, window=reply_window_body(self._published.get(one.user))) for one in found]

    async def run(self) -> None:
        """Tell until cancelled."""
        while self.supported:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds_until_change()):
                    await self._refresh_event.wait()
            self._refresh_event.clear()
            self.publish_changes()
            await asyncio.sleep(GATHER_SECONDS)
        await asyncio.Event().wait()

    def publish_changes(self) -> None:
        """Tell what is another one now."""
        state = self._session.login.state
        if not self.supported or state in _UNKNOWN or (state not in _KNOWN and not self._registry.login_id):
            return
        self._backend_loaded |= state is LoginState.ONLINE
        if state is LoginState.INTERRUPTED and not self._backend_loaded:
            return  # it has not looked at what it saved
        now = {one.level: self._window_of(one, state) for one in self._friends()}
        for user, window in now.items():
            if self._published.get(user) != window:
                self._publish(user, window)
        for user in self._published.keys() - now.keys():
            self._retained.set(self._topics.window(user), b"", JSON_TYPE)
        changed, self._published = now != self._published, now
        if changed:
            self._changed.emit()

    def _friends(self) -> list[Person]:
        return [one for one in self._registry.reachable() if one.kind is ChatKind.FRIEND and not one.removed]

    def _window_of(self, person: Person, state: LoginState) -> ReplyWindow:
        window = self._backend.reply_window(person.handle) if person.handle and state in _KNOWN else None
        return LOGGED_OUT_WINDOW if window is None else window

    def _publish(self, user: str, window: ReplyWindow) -> None:
        body: dict[str, Json] = {"schema": 1, "account": self._account, "user": user}
        body |= {**reply_window_body(window), "time": rfc3339(now_ms())}
        self._retained.set(self._topics.window(user), encode(body), JSON_TYPE)

    def _seconds_until_change(self) -> float:
        """Seconds until one changes by itself, or it is time to look anyway."""
        ends = [(one.until - now_ms()) / 1000 for one in self._published.values() if one.until is not None]
        return min([RECHECK_INTERVAL_SECONDS, *(max(0.1, end + 0.05) for end in ends)])


def reply_window_body(window: ReplyWindow | None) -> Mapping[str, Json]:
    """A window as it is published; what is not known is absent."""
    if window is None:
        return {}
    body: dict[str, Json] = {"open": window.open}
    if window.until is not None:
        body["until"] = rfc3339(window.until)
    if window.remaining is not None:
        body["left"] = window.remaining
    return {**body, "why": window.reason}
