"""What changes on the page, sent to whoever looks at it (server-sent events).

What many see is made once for all of them, and not more often than anybody reads.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass

from wx2mqtt.web.html import Html
from wx2mqtt.web.page.facts import Look, facts_of
from wx2mqtt.web.page.parts import file_problems, parts
from wx2mqtt.web.page.words import Say
from wx2mqtt.web.views import Bridge

VIEWERS = 20  # at once; each holds one of the server's connections
HEARTBEAT = 20.0  # seconds without news after which a sign of life is sent: proxies cut what is silent for 60
PERIOD = 1.0  # seconds between two looks, however much happens
LONGEST = 900.0  # seconds; then the browser asks again, and is asked again who it is
RETRY = 3000  # milliseconds until it does


@dataclass(frozen=True, slots=True)
class _Made:
    """The parts as they were at the ring number `rung`; `at` in seconds."""

    rung: int
    at: float
    parts: Mapping[str, Html]


class Live:
    """Follows the bridge for all viewers; `welcome` in `follow` says whether one may still look."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._made: dict[Look, _Made] = {}
        self._making: dict[Look, asyncio.Lock] = {}
        self._viewers: Counter[Look] = Counter()

    @property
    def full(self) -> bool:
        """Whether nobody else can be followed for."""
        return self._viewers.total() >= VIEWERS

    async def follow(self, look: Look, welcome: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
        """Events for one viewer: first everything, then what is another than before."""
        self._viewers[look] += 1
        try:
            async for event in self._events(look, welcome):
                yield event
        finally:
            self._leave(look)

    async def parts(self, look: Look) -> tuple[int, Mapping[str, Html]]:
        """The parts of all accounts as of now, by account and name, and the ring that they are as new as."""
        bell = self._bridge.bell
        async with self._making.setdefault(look, asyncio.Lock()):
            made = self._made.get(look)
            if made is not None and made.rung == bell.count:
                return made.rung, made.parts
            if made is not None:
                await asyncio.sleep(made.at + PERIOD - _clock())
            rung, at = bell.count, _clock()
            made = self._made[look] = _Made(rung, at, await self._make(look))
            return made.rung, made.parts

    async def _events(self, look: Look, welcome: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
        ends, known = _clock() + LONGEST, dict[str, Html]()
        yield f"retry: {RETRY}\n\n".encode()
        while _clock() < ends and welcome():
            rung, now = await self.parts(look)
            if not welcome():  # to make them takes its time
                return
            if news := {name: html for name, html in now.items() if known.get(name) != html}:
                yield _event(news)
            known = dict(now)
            async for silence in self._until_rung(rung, ends, welcome):
                yield silence

    async def _until_rung(
        self, rung: int, ends: float, welcome: Callable[[], bool]
    ) -> AsyncGenerator[bytes, None]:
        """Signs of life until something may be different."""
        while _clock() < ends and welcome():
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await self._bridge.bell.wait(rung)
            except TimeoutError:
                yield b":\n\n"
            else:
                return

    async def _make(self, look: Look) -> dict[str, Html]:
        bridge = self._bridge
        made = {"file": file_problems(bridge.problems(), Say(look.language), runs=bool(bridge.views))}
        for view in bridge.views:
            for name, html in parts(await facts_of(view), look).items():
                made[f"{view.name}.{name}"] = html
        return made

    def _leave(self, look: Look) -> None:
        self._viewers[look] -= 1
        if self._viewers[look] <= 0:  # what nobody sees need not be kept
            del self._viewers[look]
            self._made.pop(look, None)
            self._making.pop(look, None)


def _event(parts: Mapping[str, Html]) -> bytes:
    return f"data: {json.dumps(parts, ensure_ascii=False)}\n\n".encode("utf-8", "replace")


def _clock() -> float:
    return asyncio.get_running_loop().time()
