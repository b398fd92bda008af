"""The files that people send: encrypted in the object storage for five minutes (wecom 4.4), and in plain."""

from __future__ import annotations

import random
from dataclasses import dataclass

from wx2mqtt.simulator.media import ByteSource
from wx2mqtt.simulator.wecom.aes import Damage, EncryptedBytes, FileKey

MAX_KEPT_FILES = 20_000
PATH = "/ai/file/"


@dataclass(slots=True, kw_only=True)
class StoredFile:
    """A file as the storage delivers it. `disposition` is the value of its header; empty: it has none.

    `stored_at` is in seconds of the simulated clock.
    """

    content: ByteSource
    disposition: str
    stored_at: float
    gone: bool = False


class Files:
    """The newest files, by the last part of their URL; those of messages in plain, by message id."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._stored: dict[str, StoredFile] = {}
        self.plain: dict[str, ByteSource] = {}
        self.of_message: dict[str, list[StoredFile]] = {}

    def store(
        self, plain: ByteSource, *, disposition: str, now: float, damage: Damage
    ) -> tuple[str, FileKey]:
        """Encrypts and stores a file; returns the path of its URL, and its key."""
        key = FileKey(self._rng.randbytes(32))
        name = f"{self._rng.getrandbits(128):032x}"
        content = EncryptedBytes(plain, key, damage)
        self._stored[name] = StoredFile(content=content, disposition=disposition, stored_at=now)
        if len(self._stored) > MAX_KEPT_FILES:
            del self._stored[next(iter(self._stored))]
        return f"{PATH}{name}", key

    def find(self, path: str) -> StoredFile | None:
        return self._stored.get(path.removeprefix(PATH))

    def keep(self, msg_id: str, plain: ByteSource, paths: list[str]) -> None:
        """Keeps the file of a message for the phone page; drops the oldest beyond `MAX_KEPT_FILES`."""
        self.plain[msg_id] = plain
        self.of_message[msg_id] = [self._stored[path.removeprefix(PATH)] for path in paths]
        if len(self.plain) > MAX_KEPT_FILES:
            oldest = next(iter(self.plain))
            del self.plain[oldest], self.of_message[oldest]
