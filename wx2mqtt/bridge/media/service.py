"""Builds the media components of one account and is their interface for `Account`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.media.downloader import MediaDownloader
from wx2mqtt.bridge.media.inline import InlineHold
from wx2mqtt.bridge.media.library import MediaLibrary
from wx2mqtt.bridge.media.request import MediaRequest
from wx2mqtt.bridge.publisher import Publisher
from wx2mqtt.store.records import NewMessage


class MediaService:
    """The files, thumbnails and avatars of one account."""

    def __init__(self, ctx: AccountContext, publisher: Publisher) -> None:
        self._blobs = ctx.shared.blobs
        self._inline_hold = InlineHold(ctx, publisher)
        self.library = MediaLibrary(ctx)
        self._downloader = MediaDownloader(ctx, self._inline_hold, self.library)
        self._inline_hold.store_failed.connect(self._downloader.on_store_failure)
        self.request = MediaRequest(ctx, self.library)

    async def run(self) -> None:
        """Downloads media and releases held messages until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._inline_hold.run())
            tasks.create_task(self._downloader.run())

    def expect(self, messages: Sequence[NewMessage]) -> None:
        """Prepares for messages with files, which are about to be stored; `enqueue` follows."""
        self._inline_hold.expect(messages)

    def enqueue(self) -> None:
        """Starts the downloads of the expected messages, and holds those that wait for their file."""
        self._inline_hold.hold()
        self.wake()

    def on_login_changed(self, login: LoginStatus) -> None:
        """Continues or pauses the downloads."""
        self._downloader.on_login_changed(login)

    def wake(self) -> None:
        """Makes the downloader look for a due job now."""
        self._downloader.wake()

    @property
    def stored_bytes(self) -> int:
        """Bytes of all stored files of all accounts."""
        return self._blobs.size
