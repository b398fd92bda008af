"""All that has to do with the bytes of one account's messages, wired together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from wx2mqtt.bridge.account_settings import MediaRules
from wx2mqtt.bridge.media.downloader import WATCHDOG_LIMIT_SECONDS, Around, MediaDownloader
from wx2mqtt.bridge.media.inline import InlineHold
from wx2mqtt.bridge.media.library import MediaLibrary, MediaRequest
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.bridge.publisher import Publisher
from wx2mqtt.i18n.bridge import Language
from wx2mqtt.model import Json
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.records import MediaState, NewMessage
from wx2mqtt.wechat.backend import Backend


class MediaService:
    """The bytes of one account."""

    def __init__(
        self,
        *,
        account: str,
        topics: Topics,
        journal: Journal,
        backend: Backend,
        registry: PeopleRegistry,
        blobs: Blobs,
        rules: MediaRules,
        language: Language,
        publisher: Publisher,
        around: Around,
    ) -> None:
        self._blobs = blobs
        self._inline_hold = InlineHold(
            journal, blobs, publisher, rules, lambda _: around.beat(WATCHDOG_LIMIT_SECONDS)
        )
        self.library = MediaLibrary(journal, blobs, self.wake)
        self._downloader = MediaDownloader(
            account=account,
            topics=topics,
            journal=journal,
            backend=backend,
            blobs=blobs,
            inline_hold=self._inline_hold,
            rules=rules,
            language=language,
            around=around,
            over=self.library.on_media_finished,
        )
        self.request = MediaRequest(
            library=self.library,
            journal=journal,
            backend=backend,
            registry=registry,
            rules=lambda: self._downloader.rules,
        )

    async def run(self) -> None:
        """Fetch, and let go of messages that wait, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._inline_hold.run())
            tasks.create_task(self._downloader.run())

    def enqueue(self, messages: Sequence[NewMessage]) -> None:
        """These messages are on the disk, and their bytes are to be fetched."""
        self._inline_hold.hold(messages)
        self.wake()

    def wake(self) -> None:
        """Something may be fetched now that could not before."""
        self._downloader.wake()

    def apply_settings(self, rules: MediaRules, language: Language) -> None:
        """Take over what the owner changed."""
        self._downloader.rules = self._inline_hold.rules = rules
        self._downloader.language = language
        self.wake()

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
