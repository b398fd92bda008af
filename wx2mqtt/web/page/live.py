"""Updates of the page by server-sent events: the sections that have changed, as long as a viewer has it open.

A change is what the bridge tells (`BridgeState.changes`), or the end of the time of a question. Viewers with
the same options share one rendering, made at most once a second and only while there are any.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from markupsafe import Markup
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from wx2mqtt.clock import loop_time, now_ms
from wx2mqtt.values import frozen
from wx2mqtt.web.bridge_state import BridgeState
from wx2mqtt.web.html import PageText
from wx2mqtt.web.page.account_data import AccountSnapshot, read_account
from wx2mqtt.web.page.sections import PageOptions, cluster_section, file_section, live_sections
from wx2mqtt.web.responses import NO_STORE, WaitInterrupted, disconnected, run_unless

MAX_VIEWERS = 20  # each takes one of the server's connections
HEARTBEAT_SECONDS = 20.0  # proxies close a connection that is silent for 60 seconds
MIN_REFRESH_SECONDS = 1.0  # between two renderings, however often something changes
MAX_STREAM_SECONDS = 900.0  # then the browser reconnects, and is authenticated again
RECONNECT_DELAY_MS = 3000  # that the browser waits before it reconnects

EVENT_STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    **NO_STORE,
    "x-accel-buffering": "no",  # nginx would buffer the events
}


class EventStreamResponse(Response):
    """Sends each event at once. Ends with `events`, when the client disconnects, or when `closing` is set."""

    def __init__(self, events: AsyncGenerator[bytes, None], closing: asyncio.Event) -> None:
        self._events = events
        self._closing = closing
        super().__init__(headers=EVENT_STREAM_HEADERS)
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events):
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            try:
                if scope["method"] != "HEAD":
                    await run_unless(self._send_events(send), disconnected(receive), self._closing.wait())
            except WaitInterrupted:
                pass  # the stream may end at any event: the browser reconnects
            await send({"type": "http.response.body", "body": b""})

    async def _send_events(self, send: Send) -> None:
        async for event in self._events:
            await send({"type": "http.response.body", "body": event, "more_body": True})


@frozen(kw_only=False)
class _Rendering:
    """The sections as of a count of `BridgeState.changes`. Times are in seconds of the loop's clock."""

    change_count: int
    time: float
    #: When the first of the questions that it shows is over; infinity without one.
    outdated_at: float
    sections: Mapping[str, Markup]


class LiveUpdates:
    """Renders the sections for all viewers."""

    def __init__(self, bridge: BridgeState) -> None:
        self._bridge = bridge
        self._renderings: dict[PageOptions, _Rendering] = {}
        self._render_locks: dict[PageOptions, asyncio.Lock] = {}
        self._viewers: Counter[PageOptions] = Counter()

    @property
    def is_full(self) -> bool:
        return self._viewers.total() >= MAX_VIEWERS

    async def stream(
        self, options: PageOptions, is_allowed: Callable[[], bool]
    ) -> AsyncGenerator[bytes, None]:
        """Yields the events for one viewer: first all sections, then those that have changed.

        Ends when `is_allowed` returns false, as after a logout, and after `MAX_STREAM_SECONDS`.
        """
        deadline = loop_time() + MAX_STREAM_SECONDS
        sent: Mapping[str, Markup] = {}
        self._viewers[options] += 1
        try:
            yield f"retry: {RECONNECT_DELAY_MS}\n\n".encode()
            while loop_time() < deadline and is_allowed():
                rendering = await self.rendering(options)
                sections = rendering.sections
                if not is_allowed():  # rendering takes time, in which the viewer may have logged out
                    return
                if changed := {name: html for name, html in sections.items() if sent.get(name) != html}:
                    yield f"data: {json.dumps(changed, ensure_ascii=False)}\n\n".encode("utf-8", "replace")
                sent = sections
                async for heartbeat in self._heartbeats_until_change(rendering, deadline, is_allowed):
                    yield heartbeat
        finally:
            self._viewers[options] -= 1
            if self._viewers[options] <= 0:  # without viewers nothing is kept
                del self._viewers[options]
                self._renderings.pop(options, None)
                self._render_locks.pop(options, None)

    async def rendering(self, options: PageOptions) -> _Rendering:
        """Returns the sections by `<account>.<section>`, as they are now."""
        changes = self._bridge.changes
        async with self._render_locks.setdefault(options, asyncio.Lock()):
            rendering = self._renderings.get(options)
            if rendering is not None:
                if rendering.change_count == changes.count and loop_time() < rendering.outdated_at:
                    return rendering
                await asyncio.sleep(rendering.time + MIN_REFRESH_SECONDS - loop_time())
            rendering = await self._render(options)
            self._renderings[options] = rendering
            return rendering

    async def _heartbeats_until_change(
        self, rendering: _Rendering, deadline: float, is_allowed: Callable[[], bool]
    ) -> AsyncGenerator[bytes, None]:
        """Yields comments, which browsers ignore, until something may have changed."""
        while loop_time() < min(deadline, rendering.outdated_at) and is_allowed():
            latest = loop_time() + HEARTBEAT_SECONDS
            try:
                async with asyncio.timeout_at(min(latest, rendering.outdated_at)):
                    await self._bridge.changes.wait(rendering.change_count)
            except TimeoutError:
                if rendering.outdated_at > latest:
                    yield b":\n\n"
            else:
                return

    async def _render(self, options: PageOptions) -> _Rendering:
        bridge = self._bridge
        change_count = bridge.changes.count  # before the rendering: a change during it is rendered next time
        time = loop_time()
        outdated_at = float("inf")
        page_text = PageText(options.language)
        sections = {"file": file_section(bridge, page_text)}
        if (cluster := bridge.cluster()) is not None:
            sections["cluster"] = cluster_section(cluster, page_text)
        for view in bridge.accounts():
            snapshot = await read_account(view, bridge.setup_command())
            outdated_at = min(outdated_at, loop_time() + _seconds_until_question_ends(snapshot))
            for name, html in live_sections(snapshot, options).items():
                sections[f"{view.name}.{name}"] = html
            await asyncio.sleep(0)  # each account takes some milliseconds, in which no message is sent
        return _Rendering(change_count, time, outdated_at, sections)


def _seconds_until_question_ends(snapshot: AccountSnapshot) -> float:
    """Returns the seconds until the first of the open questions is over; infinity where none will be."""
    now = now_ms()
    ends = [question.until for question in snapshot.questions or () if question.until is not None]
    return min(((end + 1 - now) / 1000 for end in ends if end >= now), default=float("inf"))
