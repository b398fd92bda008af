"""Holds a message for a moment until its file is downloaded, to publish a small file inside the message.

A held message is stored and keeps its position in its chat: later messages of the chat wait too, other chats
do not. `media.inline_below` is the size of the largest inline file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import field

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.media.payloads import media_fields, read_as_base64
from wx2mqtt.bridge.publisher import Publisher
from wx2mqtt.clock import loop_time
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Json
from wx2mqtt.store.records import MediaPart, MediaRow, NewMessage
from wx2mqtt.values import frozen

# A message waits no longer than this for its file.
MAX_HOLD_SECONDS = 5.0

# The watchdog expects a heartbeat of the downloader within this time.
WATCHDOG_LIMIT_SECONDS = 120.0

MediaPatch = Mapping[str, Json]
"""Fields that replace those of the media object of the message; empty: nothing is replaced."""


@frozen(kw_only=False)
class HeldMessage:
    """A held message, by its `key` in the journal; `patch` is set when its file is downloaded or given up.

    `released` is set when the message may be published.
    """

    key: str
    topic: str
    patch: asyncio.Future[MediaPatch]
    released: asyncio.Event = field(default_factory=asyncio.Event)


class InlineHold:
    """The held messages of one account."""

    def __init__(self, ctx: AccountContext, publisher: Publisher) -> None:
        self._ctx = ctx
        self._journal = ctx.journal
        self._blobs = ctx.shared.blobs
        self._publisher = publisher
        self._held: dict[str, HeldMessage] = {}  # by media id
        self._expected: list[str] = []  # media ids of the commit that is under way
        self._added: asyncio.Queue[tuple[str, float]] = asyncio.Queue()  # media ids, and until when they wait

    def expect(self, messages: Iterable[NewMessage]) -> None:
        """Prepares the wait of messages that are about to be stored as held, in one commit; `hold` follows.

        The downloader reads the journal, and may have a file before anybody is told of the commit.
        """
        for media_id in self._expected:  # their commit failed
            del self._held[media_id]
        loop = asyncio.get_running_loop()
        held = {
            media.id: HeldMessage(message.key, message.topic, loop.create_future())
            for message in messages
            for media in message.media
            if message.held and media.part is MediaPart.WHOLE
        }
        self._held |= held
        self._expected = [*held]

    def hold(self) -> None:
        """Starts the wait of the messages that were expected: they are stored."""
        until = loop_time() + MAX_HOLD_SECONDS
        for media_id in self._expected:
            self._added.put_nowait((media_id, until))
        self._expected = []

    async def run(self) -> None:
        """Releases each message when its file is known or its time is over, until cancelled.

        Messages that were held before a restart are released at once: their time is over. Those that this
        process holds may be stored already, too, and wait.
        """
        for key, topic, _ in await retry_until_stored(self._journal.media.waiting_messages):
            if all(held.key != key for held in self._held.values()):
                await self._release(key, topic, {})
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._hold_until_known(*await self._added.get()))

    async def on_media_finished(self, row: MediaRow) -> None:
        """Releases the message that waits for a downloaded or given up file; returns when that is stored."""
        held = self._held.get(row.id)
        if held is not None:
            patch = await self._patch_for(row)
            if not held.patch.done():
                held.patch.set_result(patch)
            await held.released.wait()

    def on_progress(self, media_id: str, received_bytes: int) -> None:
        """Releases a message without its file as soon as the file is too large to be inline."""
        held = self._held.get(media_id)
        if (
            held is not None
            and received_bytes >= self._ctx.settings.account.media.inline_below
            and not held.patch.done()
        ):
            held.patch.set_result({})

    def release_all_but(self, media_ids: Collection[str]) -> None:
        """Releases the messages that wait for other files, without their files: these are not downloaded."""
        for media_id, held in self._held.items():
            if media_id not in media_ids and not held.patch.done():
                held.patch.set_result({})

    async def _hold_until_known(self, media_id: str, until: float) -> None:
        """Releases a message when its file is known, at the latest at `until`, by the loop's clock."""
        held = self._held[media_id]
        await asyncio.wait({held.patch}, timeout=until - loop_time())
        await self._release(held.key, held.topic, held.patch.result() if held.patch.done() else {})
        del self._held[media_id]
        held.released.set()

    async def _release(self, key: str, topic: str, patch: MediaPatch) -> None:
        self._publisher.outbox.start_release(topic)
        row = await retry_until_stored(
            lambda: self._journal.media.release_message(key, patch), self._on_store_failure
        )
        self._publisher.outbox.finish_release(topic, row)

    def _on_store_failure(self, _error: StoreError) -> None:
        """Sends a heartbeat: a downloader that waits for the disk is not stuck."""
        self._ctx.heartbeat("media", WATCHDOG_LIMIT_SECONDS)

    async def _patch_for(self, row: MediaRow) -> MediaPatch:
        fields = media_fields(row)
        if row.blob is not None and row.blob.size < self._ctx.settings.account.media.inline_below:
            blob = row.blob
            await retry_until_stored(lambda: self._blobs.fetch(blob))
            with suppress(OSError):  # the file was deleted by hand: the message has only its path
                fields["data"] = await read_as_base64(self._blobs.path_of(row.blob))
        return fields
