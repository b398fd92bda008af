"""Publishes on `window/<user>`, retained, whether WeChat accepts a message to a person now.

    window/wife {"open": true, "until": "…", "left": 9, "reserved": 1, "waiting": 0, "why": ""}

iLink accepts messages only for some time after the person has written, and only a limited number of them:
that is the reply window of this person. A forecast is the window, and what can be sent in it. Without a login
every window is closed. A backend without reply windows gets no such topics.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Protocol

from wx2mqtt.aio import wait_at_most
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inflight import RetainedPublisher
from wx2mqtt.bridge.login_tracker import LoginStateTracker
from wx2mqtt.bridge.people.directory import DirectoryEntry
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.model import JSON_TYPE, ChatKind, Json, LoginState, PersonId, ReplyWindow
from wx2mqtt.mqtt.payloads import encode
from wx2mqtt.store.person_records import Person
from wx2mqtt.values import frozen

# Windows are computed at least this often: the system clock may have been set.
RECHECK_INTERVAL_SECONDS = 60.0

# Changes within this time are published together.
GATHER_SECONDS = 0.2

# A window is computed again this long after its end, when the backend sees it closed as well.
END_MARGIN_SECONDS = 0.05

# The shortest pause between two computations.
MIN_WAIT_SECONDS = 0.1

LOGGED_OUT_WINDOW = ReplyWindow(open=False, reason="logged_out")

# In these states there is a login; in all others every window is closed.
_LOGGED_IN_STATES = frozenset({LoginState.ONLINE, LoginState.INTERRUPTED})


class WaitingForWindow(Protocol):
    """The commands that wait for a reply window (`commands/window_wait.py`)."""

    def reserved(self, window: ReplyWindow) -> int:
        """Returns how many of the messages that are left only important commands may use."""

    def count_of(self, person: PersonId) -> int:
        """Returns the number of commands for one person that wait."""


@frozen
class WindowForecast:
    """The reply window of one person, and what can be sent in it."""

    window: ReplyWindow
    #: Messages that only important commands may use; None if it is not known how many are left.
    reserved: int | None
    #: Commands that wait for the window.
    waiting: int

    def body(self) -> Mapping[str, Json]:
        """Returns the fields as they are published; unknown ones are absent."""
        window = self.window
        body: dict[str, Json] = {"open": window.open}
        if window.until is not None:
            body["until"] = rfc3339(window.until)
        if window.remaining is not None:
            body |= {"left": window.remaining, "reserved": self.reserved}
        return {**body, "waiting": self.waiting, "why": window.reason}


class ReplyWindowTopics:
    """The reply windows of one account. Emits `reply_windows_changed` when one has changed."""

    def __init__(
        self,
        ctx: AccountContext,
        retained: RetainedPublisher,
        login: LoginStateTracker,
        waiting_commands: WaitingForWindow,
    ) -> None:
        self._ctx = ctx
        self._backend = ctx.backend
        #: Whether the backend has reply windows.
        self.is_supported = ctx.backend.capabilities.has_reply_window
        self._registry = ctx.registry
        self._retained = retained
        self._login = login
        self._waiting_commands = waiting_commands
        #: What is published, by the topic name of the person.
        self.forecasts: Mapping[str, WindowForecast] = {}
        #: Whether the account was online since the start. By then the backend has loaded its windows.
        self._was_online = False
        #: Set when a message was received or sent, a command waits, or the login has changed.
        self.refresh_requested = asyncio.Event()

    def directory_entries(self, topic_names: Collection[str] | None = None) -> list[DirectoryEntry]:
        """Returns the directory, or the part of it with these topic names, with the window of each person."""
        entries = self._registry.directory(topic_names)
        published = self.forecasts
        return [
            replace(entry, window=published[entry.user].body()) if entry.user in published else entry
            for entry in entries
        ]

    async def run(self) -> None:
        """Publishes changes until cancelled."""
        if not self.is_supported:
            await asyncio.Event().wait()
        while True:
            await wait_at_most(self.refresh_requested, self._seconds_until_change())
            self.refresh_requested.clear()
            self.publish_changes()
            await asyncio.sleep(GATHER_SECONDS)

    def publish_changes(self) -> None:
        """Publishes the forecasts that have changed, and clears the topics of people without a window.

        While the windows are not known, as during the start, the published ones stay.
        """
        state = self._login.status.state
        if state is LoginState.ONLINE:
            self._was_online = True
        if not self.is_supported or not self._are_windows_known(state):
            return
        forecasts = {
            person.topic_name: self._forecast_of(person, state)
            for person in self._registry.reachable()
            if person.kind is ChatKind.FRIEND and not person.removed
        }
        if forecasts == self.forecasts:
            return
        for user, forecast in forecasts.items():
            if self.forecasts.get(user) != forecast:
                body = {"schema": 1, "account": self._ctx.name, "user": user, **forecast.body()}
                payload = encode({**body, "time": rfc3339(now_ms())})
                self._retained.set(self._ctx.topics.window(user), payload, JSON_TYPE)
        for user in self.forecasts.keys() - forecasts.keys():
            self._retained.set(self._ctx.topics.window(user), b"", JSON_TYPE)
        self.forecasts = forecasts
        self._ctx.signals.reply_windows_changed.emit()

    def _are_windows_known(self, state: LoginState) -> bool:
        """Returns whether the windows are known in this state of the login."""
        match state:
            case LoginState.STARTING | LoginState.STOPPED:
                return False  # there may be a login, or none
            case LoginState.ONLINE:
                return True
            case LoginState.INTERRUPTED:
                return self._was_online  # if not, the backend may not have loaded its windows
            case _:  # without a login all are closed, and before the first login there are none
                return bool(self._registry.login_id)

    def _forecast_of(self, person: Person, state: LoginState) -> WindowForecast:
        window = LOGGED_OUT_WINDOW
        if person.handle and state in _LOGGED_IN_STATES:
            window = self._backend.reply_window(person.handle) or LOGGED_OUT_WINDOW
        return WindowForecast(
            window=window,
            reserved=None if window.remaining is None else self._waiting_commands.reserved(window),
            waiting=self._waiting_commands.count_of(person.id),
        )

    def _seconds_until_change(self) -> float:
        """Returns the seconds until the next window ends, at most `RECHECK_INTERVAL_SECONDS`."""
        now = now_ms()
        waits = [
            max(MIN_WAIT_SECONDS, (forecast.window.until - now) / 1000 + END_MARGIN_SECONDS)
            for forecast in self.forecasts.values()
            if forecast.window.until is not None
        ]
        return min([RECHECK_INTERVAL_SECONDS, *waits])
