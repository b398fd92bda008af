"""Messages that wait a moment for their bytes, so that small ones stand in the message itself.

A held message is on the disk and keeps its place in its chat; what comes after it there waits with it, and
nothing else does (DESIGN 3, `media.inline_below`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from wx2mqtt.bridge.insist import insist
from wx2mqtt.bridge.media.reading import in_base64
from wx2mqtt.bridge.media.rules import MediaRules
from wx2mqtt.bridge.media.shown import present
from wx2mqtt.bridge.pump import Pump
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Json
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.journal import Journal, MediaRow, NewMessage, Part

LONGEST = 5.0  # seconds that a message waits for its bytes

Patch = Mapping[str, Json]
"""What the object of the message says instead, now that it is known."""


@dataclass(frozen=True, slots=True)
class Held:
    """A message that waits. `known` gets what is known of its bytes; `gone`: it waits no longer."""

    key: str
    topic: str
    until: float
    known: asyncio.Future[Patch]
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class Holding:
    """The held messages of one account; `not_stored` hears of each time that the disk does not take it."""

    def __init__(
        self,
        journal: Journal,
        blobs: Blobs,
        pump: Pump,
        rules: MediaRules,
        not_stored: Callable[[StoreError], None],
    ) -> None:
        self._journal = journal
        self._blobs = blobs
        self._pump = pump
        self._not_stored = not_stored
        self._held: dict[str, Held] = {}  # by the id of the bytes that are waited for
        self._new: asyncio.Queue[tuple[str, Held]] = asyncio.Queue()
        self.rules = rules

    def hold(self, messages: Iterable[NewMessage]) -> None:
        """These are on the disk, held; their time runs from now on."""
        loop = asyncio.get_running_loop()
        for message in messages:
            wanted = next((one.id for one in message.media if one.part is Part.WHOLE), None)
            if message.held and wanted is not None:
                held = Held(message.key, message.topic, loop.time() + LONGEST, loop.create_future())
                self._held[wanted] = held
                self._new.put_nowait((wanted, held))

    async def run(self) -> None:
        """Let each message go in its time, until cancelled.

        What an earlier life held goes at once: its time is over before WeChat could be asked again.
        """
        for key, topic, _ in await insist(self._journal.held):
            await self._release(key, topic, {})
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._wait(*await self._new.get()))

    async def over(self, row: MediaRow) -> None:
        """Bytes are there, or are not to be had; returns when the message that waits for them is let go."""
        held = self._held.get(row.id)
        if held is not None:
            patch = await self._patch(row)
            if not held.known.done():
                held.known.set_result(patch)
            await held.gone.wait()

    def grown(self, media_id: str, count: int) -> None:
        """So many bytes have come; a message does not wait for more than it could hold."""
        held = self._held.get(media_id)
        if held is not None and count >= self.rules.inline_below and not held.known.done():
            held.known.set_result({})

    async def _wait(self, wanted: str, held: Held) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.wait({held.known}, timeout=held.until - loop.time())
        await self._release(held.key, held.topic, held.known.result() if held.known.done() else {})
        del self._held[wanted]
        held.gone.set()

    async def _release(self, key: str, topic: str, patch: Patch) -> None:
        self._pump.releasing(topic)
        row = await insist(lambda: self._journal.release(key, patch), self._not_stored)
        self._pump.released(topic, row)

    async def _patch(self, row: MediaRow) -> Patch:
        fields = present(row)
        if row.blob is not None and row.blob.size < self.rules.inline_below:
            with suppress(OSError):  # somebody took it away by hand; the message says where it should be
                fields["data"] = await in_base64(self._blobs.file(row.blob))
        return fields
