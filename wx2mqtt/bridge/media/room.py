"""All that has to do with the bytes of one account's messages, wired together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from wx2mqtt.bridge.media.fetcher import MOVES, Around, Fetcher
from wx2mqtt.bridge.media.holding import Holding
from wx2mqtt.bridge.media.request import MediaRequest
from wx2mqtt.bridge.media.rules import MediaRules
from wx2mqtt.bridge.media.shelf import Shelf
from wx2mqtt.bridge.people.identity import Identity
from wx2mqtt.bridge.pump import Pump
from wx2mqtt.model import Json
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.journal import Journal, MediaState, NewMessage
from wx2mqtt.wechat.gateway import Gateway
from wx2mqtt.words import Language


class MediaRoom:
    """The bytes of one account."""

    def __init__(
        self,
        *,
        account: str,
        topics: Topics,
        journal: Journal,
        gateway: Gateway,
        identity: Identity,
        blobs: Blobs,
        rules: MediaRules,
        language: Language,
        pump: Pump,
        around: Around,
    ) -> None:
        self._blobs = blobs
        self._holding = Holding(journal, blobs, pump, rules, lambda _: around.beat(MOVES))
        self.shelf = Shelf(journal, blobs, self.wake)
        self._fetcher = Fetcher(
            account=account,
            topics=topics,
            journal=journal,
            gateway=gateway,
            blobs=blobs,
            holding=self._holding,
            rules=rules,
            language=language,
            around=around,
            over=self.shelf.over,
        )
        self.request = MediaRequest(
            shelf=self.shelf,
            journal=journal,
            gateway=gateway,
            identity=identity,
            rules=lambda: self._fetcher.rules,
        )

    async def run(self) -> None:
        """Fetch, and let go of messages that wait, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._holding.run())
            tasks.create_task(self._fetcher.run())

    def stored(self, messages: Sequence[NewMessage]) -> None:
        """These messages are on the disk, and their bytes are to be fetched."""
        self._holding.hold(messages)
        self.wake()

    def wake(self) -> None:
        """Something may be fetched now that could not before."""
        self._fetcher.wake()

    def apply(self, rules: MediaRules, language: Language) -> None:
        """Take over what the owner changed."""
        self._fetcher.rules = self._holding.rules = rules
        self._fetcher.language = language
        self.wake()

    @property
    def ended(self) -> Mapping[MediaState, int]:
        """What became of bytes since the start."""
        return self._fetcher.ended

    @property
    def fetched(self) -> int:
        """Bytes that came since the start."""
        return self._fetcher.fetched

    @property
    def on_disk(self) -> int:
        """Bytes on the disk, those of all accounts."""
        return self._blobs.size

    def health(self, pending: int) -> dict[str, Json]:
        """What is still to be fetched, what became of the rest since the start, and the bytes on the disk."""
        ended = {str(state): count for state, count in sorted(self._fetcher.ended.items())}
        return {"pending": pending, **ended, "size": self._blobs.size}
