"""The answer that does not end: events for one viewer, until they go or the server ends.

What changes on the page, sent to whoever looks at it (server-sent events).

What many see is made once for all of them, and not more often than anybody reads.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from wx2mqtt.web.file_response import WaitInterrupted, disconnected, run_unless
from wx2mqtt.web.html import Html, PageText
from wx2mqtt.web.page.sections import file_problems_section, live_sections
from wx2mqtt.web.views import BridgeState, PageOptions, account_snapshot

EVENT_STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",  # nginx would gather them
}


class EventStreamResponse(Response):
    """Sends what `events` yields as it comes."""

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
                pass  # the end is an end like any other; the browser asks again
            await send({"type": "http.response.body", "body": b""})

    async def _send_events(self, send: Send) -> None:
        async for event in self._events:
            await send({"type": "http.response.body", "body": event, "more_body": True})


MAX_VIEWERS = 20  # at once; each holds one of the server's connections


HEARTBEAT_SECONDS = (
    20.0  # seconds without news after which a sign of life is sent: proxies cut what is silent for 60
)


MIN_REFRESH_SECONDS = 1.0  # seconds between two looks, however much happens


MAX_STREAM_SECONDS = 900.0  # seconds; then the browser asks again, and is asked again who it is


RECONNECT_DELAY_MS = 3000  # milliseconds until it does


@dataclass(frozen=True, slots=True)
class _RenderedSections:
    """The parts as they were at the ring number `rung`; `at` in seconds."""

    change_count: int
    rendered_at: float
    sections: Mapping[str, Html]


class LiveUpdates:
    """Follows the bridge for all viewers; `welcome` in `follow` says whether one may still look."""

    def __init__(self, bridge: BridgeState) -> None:
        self._bridge = bridge
        self._rendered: dict[PageOptions, _RenderedSections] = {}
        self._render_locks: dict[PageOptions, asyncio.Lock] = {}
        self._viewers: Counter[PageOptions] = Counter()

    @property
    def is_full(self) -> bool:
        """Whether nobody else can be followed for."""
        return self._viewers.total() >= MAX_VIEWERS

    async def stream(
        self, options: PageOptions, is_allowed: Callable[[], bool]
    ) -> AsyncGenerator[bytes, None]:
        """Events for one viewer: first everything, then what is another than before."""
        self._viewers[options] += 1
        try:
            async for event in self._events(options, is_allowed):
                yield event
        finally:
            self._remove_viewer(options)

    async def sections(self, options: PageOptions) -> tuple[int, Mapping[str, Html]]:
        """The parts of all accounts as of now, by account and name, and the ring that they are as new as."""
        bell = self._bridge.changes
        async with self._render_locks.setdefault(options, asyncio.Lock()):
            made = self._rendered.get(options)
            if made is not None and made.change_count == bell.count:
                return made.change_count, made.sections
            if made is not None:
                await asyncio.sleep(made.rendered_at + MIN_REFRESH_SECONDS - _clock())
            rung, at = bell.count, _clock()
            made = self._rendered[options] = _RenderedSections(rung, at, await self._render(options))
            return made.change_count, made.sections

    async def _events(
        self, options: PageOptions, is_allowed: Callable[[], bool]
    ) -> AsyncGenerator[bytes, None]:
        ends, known = _clock() + MAX_STREAM_SECONDS, dict[str, Html]()
        yield f"retry: {RECONNECT_DELAY_MS}\n\n".encode()
        while _clock() < ends and is_allowed():
            rung, now = await self.sections(options)
            if not is_allowed():  # to make them takes its time
                return
            if news := {name: html for name, html in now.items() if known.get(name) != html}:
                yield _event(news)
            known = dict(now)
            async for silence in self._heartbeats_until_change(rung, ends, is_allowed):
                yield silence

    async def _heartbeats_until_change(
        self, change_count: int, deadline: float, is_allowed: Callable[[], bool]
    ) -> AsyncGenerator[bytes, None]:
        """Signs of life until something may be different."""
        while _clock() < deadline and is_allowed():
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._bridge.changes.wait(change_count)
            except TimeoutError:
                yield b":\n\n"
            else:
                return

    async def _render(self, options: PageOptions) -> dict[str, Html]:
        bridge = self._bridge
        made = {
            "file": file_problems_section(
                bridge.problems(), PageText(options.language), is_running=bool(bridge.views)
            )
        }
        for view in bridge.views:
            for name, html in live_sections(await account_snapshot(view), options).items():
                made[f"{view.name}.{name}"] = html
        return made

    def _remove_viewer(self, options: PageOptions) -> None:
        self._viewers[options] -= 1
        if self._viewers[options] <= 0:  # what nobody sees need not be kept
            del self._viewers[options]
            self._rendered.pop(options, None)
            self._render_locks.pop(options, None)


def _event(sections: Mapping[str, Html]) -> bytes:
    return f"data: {json.dumps(sections, ensure_ascii=False)}\n\n".encode("utf-8", "replace")


def _clock() -> float:
    return asyncio.get_running_loop().time()
