"""Messages that wait a moment for their bytes, so that small ones stand in the message itself.

A held message is on the disk and keeps its place in its chat; what comes after it there waits with it, and
nothing else does (`media.inline_below`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from wx2mqtt.aio import Signal, retry_until_stored
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.media.payloads import media_fields, read_as_base64
from wx2mqtt.bridge.publisher import Publisher
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Json
from wx2mqtt.store.records import MediaPart, MediaRow, NewMessage

MAX_HOLD_SECONDS = 5.0  # seconds that a message waits for its bytes

MediaPatch = Mapping[str, Json]
"""What the object of the message says instead, now that it is known."""


@dataclass(frozen=True, slots=True)
class HeldMessage:
    """A message that waits. `known` gets what is known of its bytes; `gone`: it waits no longer."""

    key: str
    topic: str
    until: float
    patch: asyncio.Future[MediaPatch]
    released: asyncio.Event = field(default_factory=asyncio.Event)


class InlineHold:
    """The held messages of one account; `store_failed` is emitted when the store takes no release."""

    def __init__(self, ctx: AccountContext, publisher: Publisher) -> None:
        self._ctx = ctx
        self._journal = ctx.journal
        self._blobs = ctx.shared.blobs
        self._publisher = publisher
        self.store_failed: Signal[[StoreError]] = Signal()
        self._held: dict[str, HeldMessage] = {}  # by the id of the bytes that are waited for
        self._added: asyncio.Queue[tuple[str, HeldMessage]] = asyncio.Queue()

    def hold(self, messages: Iterable[NewMessage]) -> None:
        """These are on the disk, held; their time runs from now on."""
        loop = asyncio.get_running_loop()
        for message in messages:
            wanted = next((one.id for one in message.media if one.part is MediaPart.WHOLE), None)
            if message.held and wanted is not None:
                held = HeldMessage(
                    message.key, message.topic, loop.time() + MAX_HOLD_SECONDS, loop.create_future()
                )
                self._held[wanted] = held
                self._added.put_nowait((wanted, held))

    async def run(self) -> None:
        """Let each message go in its time, until cancelled.

        What an earlier life held goes at once: its time is over before WeChat could be asked again.
        """
        for key, topic, _ in await retry_until_stored(self._journal.held_messages):
            await self._release(key, topic, {})
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._hold_until_known(*await self._added.get()))

    async def on_media_finished(self, row: MediaRow) -> None:
        """Bytes are there, or are not to be had; returns when the message that waits for them is let go."""
        held = self._held.get(row.id)
        if held is not None:
            patch = await self._patch_for(row)
            if not held.patch.done():
                held.patch.set_result(patch)
            await held.released.wait()

    def on_progress(self, media_id: str, count: int) -> None:
        """So many bytes have come; a message does not wait for more than it could hold."""
        held = self._held.get(media_id)
        if held is not None and count >= self._ctx.settings.media.inline_below and not held.patch.done():
            held.patch.set_result({})

    def release_all_but(self, media_ids: Collection[str]) -> None:
        """No other files are fetched; the messages that wait for them are released without their bytes."""
        for media_id, held in self._held.items():
            if media_id not in media_ids and not held.patch.done():
                held.patch.set_result({})

    async def _hold_until_known(self, media_id: str, held: HeldMessage) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.wait({held.patch}, timeout=held.until - loop.time())
        await self._release(held.key, held.topic, held.patch.result() if held.patch.done() else {})
        del self._held[media_id]
        held.released.set()

    async def _release(self, key: str, topic: str, patch: MediaPatch) -> None:
        self._publisher.start_release(topic)
        row = await retry_until_stored(
            lambda: self._journal.release_message(key, patch), self.store_failed.emit
        )
        self._publisher.finish_release(topic, row)

    async def _patch_for(self, row: MediaRow) -> MediaPatch:
        fields = media_fields(row)
        if row.blob is not None and row.blob.size < self._ctx.settings.media.inline_below:
            with suppress(OSError):  # somebody took it away by hand; the message says where it should be
                fields["data"] = await read_as_base64(self._blobs.path_of(row.blob))
        return fields
