"""WeCom's file encryption: AES-256-CBC, the IV is the first half of the key, PKCS#7 to 32 (wecom 4.4)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from wx2mqtt.simulator.media import ByteSource

PADDED_BYTES = 32
Damage = Literal["", "padding", "cut", "empty"]


@dataclass(frozen=True, slots=True)
class FileKey:
    """The 32 bytes of a key."""

    raw: bytes

    @property
    def text(self) -> str:
        """The key as a callback brings it: base64 without the `=` at its end."""
        return base64.b64encode(self.raw).decode().rstrip("=")


def ciphertext_size(size: int, damage: Damage = "") -> int:
    """Returns the size in bytes of the ciphertext of `size` bytes."""
    if damage == "empty":
        return 0
    whole = (size // PADDED_BYTES + 1) * PADDED_BYTES
    return whole - 5 if damage == "cut" else whole


class EncryptedBytes(ByteSource):
    """The ciphertext of a file, computed while it is read.

    `damage`: `padding` ends it with bytes that are no padding, `cut` lacks its last five bytes, `empty` is
    nothing at all.
    """

    def __init__(self, plain: ByteSource, key: FileKey, damage: Damage = "") -> None:
        super().__init__(ciphertext_size(plain.size, damage))
        self._plain = plain
        self._key = key
        self._damage = damage

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yields any range; CBC is always computed from the first byte."""
        end = self.size if stop is None else min(stop, self.size)
        offset = 0
        for piece in self._ciphertext():
            kept = piece[max(start - offset, 0) : max(end - offset, 0)]
            offset += len(piece)
            if kept:
                yield kept
            if offset >= end:
                return

    def _ciphertext(self) -> Iterator[bytes]:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415 - heavy

        raw = self._key.raw
        encryptor = Cipher(algorithms.AES(raw), modes.CBC(raw[:16])).encryptor()
        for piece in self._plain.pieces():
            yield encryptor.update(piece)
        length = PADDED_BYTES - self._plain.size % PADDED_BYTES
        filler = bytes([length]) * length
        if self._damage == "padding":
            filler = bytes(length - 1) + b"\xff"
        yield encryptor.update(filler) + encryptor.finalize()
