"""Lets a message wait a moment for its file, to publish a small file inside the message.

    a picture arrives, and `media.inline_below` is set
        ->  its message is stored as waiting  ->  the file is downloaded  ->  the message is released with it

To release a message is to let it be published. It keeps its place in its chat: later messages of the chat
wait, too; other chats do not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.media.media_payloads import media_fields, read_as_base64
from wx2mqtt.bridge.publisher import Publisher
from wx2mqtt.clock import loop_time
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Json
from wx2mqtt.store.records import MediaPart, MediaRow, NewMessage

# A message waits no longer than this for its file.
MAX_WAIT_SECONDS = 5.0

# The watchdog expects a heartbeat of the downloader within this time.
WATCHDOG_LIMIT_SECONDS = 120.0


class WaitingMessages:
    """The messages of one account that wait for their file.

    1. `add` takes them right after their commit.
    2. A message is released with its file when that is downloaded (`on_media_finished`). It is released
       without its file when that is too large (`on_progress`), is not to be downloaded (`release_all_but`),
       or takes longer than `MAX_WAIT_SECONDS` (`run`).

    Two of these may happen at the same time; the journal releases a message only once.
    """

    def __init__(self, ctx: AccountContext, publisher: Publisher) -> None:
        self._ctx = ctx
        self._journal = ctx.journal.media
        self._blobs = ctx.shared.blobs
        self._outbox = publisher.outbox
        #: `InboundMessages` holds it from the commit of messages until `add`. Whoever asks here whether a
        #: message waits takes it, too: the downloader may have finished a file already by then.
        self.commit_lock = asyncio.Lock()
        #: The waiting messages by the id of their file.
        self.by_media: dict[str, NewMessage] = {}
        #: For each file the loop time at which its message waits no longer, and the id; oldest first.
        self._late: asyncio.Queue[tuple[float, str]] = asyncio.Queue()

    def add(self, messages: Iterable[NewMessage]) -> None:
        """Remembers those of the messages that are stored as waiting for their file."""
        late_at = loop_time() + MAX_WAIT_SECONDS
        for message in messages:
            for media in message.media:
                if message.waits_for_file and media.part is MediaPart.WHOLE:
                    self.by_media[media.id] = message
                    self._late.put_nowait((late_at, media.id))

    async def run(self) -> None:
        """Releases each message that has waited too long, and at once those of an earlier process."""
        for key, topic in await retry_until_stored(self._earlier_messages):
            await self._release(key, topic, {})
        while True:
            late_at, media_id = await self._late.get()
            await asyncio.sleep(late_at - loop_time())
            await self._release_for(media_id, {})

    async def _earlier_messages(self) -> list[tuple[str, str]]:
        """Returns key and topic of the messages that an earlier process left waiting. Raises `StoreError`."""
        async with self.commit_lock:
            own_keys = {message.key for message in self.by_media.values()}
            return [
                (key, topic)
                for key, topic, _ in await self._journal.waiting_messages()
                if key not in own_keys
            ]

    async def on_media_finished(self, row: MediaRow) -> None:
        """Releases the message that waits for a downloaded or given up file; returns when that is stored."""
        async with self.commit_lock:
            is_awaited = row.id in self.by_media
        if not is_awaited:
            return
        fields = media_fields(row)
        blob = row.blob
        if blob is not None and blob.size < self._ctx.settings.account.media.inline_below:
            await retry_until_stored(lambda: self._blobs.fetch(blob))
            with suppress(OSError):  # the file was deleted by hand: the message has only its path
                fields["data"] = await read_as_base64(self._blobs.path_of(blob))
        await self._release_for(row.id, fields)

    async def on_progress(self, media_id: str, received_bytes: int) -> None:
        """Releases a message without its file as soon as the file is too large to be inline."""
        if received_bytes >= self._ctx.settings.account.media.inline_below:
            await self._release_for(media_id, {})

    async def release_all_but(self, media_ids: Collection[str]) -> None:
        """Releases the messages that wait for other files, without their files: these are not downloaded."""
        for media_id in [*self.by_media]:
            if media_id not in media_ids:
                await self._release_for(media_id, {})

    async def _release_for(self, media_id: str, fields: Mapping[str, Json]) -> None:
        """Releases the message that waits for a file, if any; `fields` replace those of its media object."""
        async with self.commit_lock:
            message = self.by_media.get(media_id)
        if message is not None:  # stays in `by_media` until the journal has released it
            await self._release(message.key, message.topic, fields)
            self.by_media.pop(media_id, None)

    async def _release(self, key: str, topic: str, fields: Mapping[str, Json]) -> None:
        self._outbox.start_release(topic)  # later messages of the chat must not overtake it
        row_id = await retry_until_stored(
            lambda: self._journal.release_message(key, fields), self.on_store_failure
        )
        self._outbox.finish_release(topic, row_id)

    def on_store_failure(self, _error: StoreError) -> None:
        """Sends a heartbeat: a downloader that waits for the disk is not stuck."""
        self._ctx.heartbeat("media", WATCHDOG_LIMIT_SECONDS)
