"""All that has to do with the bytes of one account's messages, wired together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.media.downloader import MediaDownloader
from wx2mqtt.bridge.media.inline import InlineHold
from wx2mqtt.bridge.media.library import MediaLibrary, MediaRequest
from wx2mqtt.bridge.publisher import Publisher
from wx2mqtt.model import Json
from wx2mqtt.store.records import MediaState, NewMessage


class MediaService:
    """The bytes of one account."""

    def __init__(self, ctx: AccountContext, publisher: Publisher) -> None:
        self._blobs = ctx.shared.blobs
        self._inline_hold = InlineHold(ctx, publisher)
        self.library = MediaLibrary(ctx)
        self._downloader = MediaDownloader(ctx, self._inline_hold, self.library)
        self._inline_hold.store_failed.connect(self._downloader.on_store_failure)
        self.request = MediaRequest(ctx, self.library)

    async def run(self) -> None:
        """Fetch, and let go of messages that wait, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._inline_hold.run())
            tasks.create_task(self._downloader.run())

    def enqueue(self, messages: Sequence[NewMessage]) -> None:
        """These messages are on the disk, and their bytes are to be fetched."""
        self._inline_hold.hold(messages)
        self.wake()

    def on_login_changed(self, login: LoginStatus, _url: str) -> None:
        """The login is different; downloads go on or wait."""
        self._downloader.on_login_changed(login)

    def wake(self) -> None:
        """Something may be fetched now that could not before."""
        self._downloader.wake()

    @property
    def counts_by_state(self) -> Mapping[MediaState, int]:
        """What became of bytes since the start."""
        return self._downloader.counts_by_state

    @property
    def fetched_bytes(self) -> int:
        """Bytes that came since the start."""
        return self._downloader.fetched_bytes

    @property
    def stored_bytes(self) -> int:
        """Bytes on the disk, those of all accounts."""
        return self._blobs.size

    def health_fields(self, pending: int) -> dict[str, Json]:
        """What is still to be fetched, what became of the rest since the start, and the bytes on the disk."""
        ended = {str(state): count for state, count in sorted(self._downloader.counts_by_state.items())}
        return {"pending": pending, **ended, "size": self._blobs.size}
