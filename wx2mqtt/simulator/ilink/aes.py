"""iLink's file encryption: AES-128, ECB, PKCS#7 (ilink 8.1).

Works in pieces, so large files need no memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from wx2mqtt.simulator.media import ByteSource

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.modes import ECB

BLOCK_BYTES = 16


def ciphertext_size(size: int) -> int:
    """Returns the size in bytes of the ciphertext of `size` bytes."""
    return (size // BLOCK_BYTES + 1) * BLOCK_BYTES


def _cipher(key: bytes) -> Cipher[ECB]:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415 - heavy

    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - the protocol's choice


class EncryptedBytes(ByteSource):
    """The ciphertext of a file, computed on demand."""

    def __init__(self, plain: ByteSource, key: bytes) -> None:
        super().__init__(ciphertext_size(plain.size))
        self._plain = plain
        self._key = key

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yields any range: ECB encrypts each block independently."""
        end = self.size if stop is None else min(stop, self.size)
        offset = start // BLOCK_BYTES * BLOCK_BYTES
        for piece in _padded(self._plain, offset):
            encrypted = _cipher(self._key).encryptor().update(piece)
            if offset >= end:
                return
            yield encrypted[max(start - offset, 0) : end - offset]
            offset += len(encrypted)


def _padded(plain: ByteSource, start: int) -> Iterator[bytes]:
    """Yields whole blocks of the plaintext from `start` (a block boundary), with padding at the end."""
    remainder = b""
    for piece in plain.pieces(start):
        whole = remainder + piece
        cut = len(whole) // BLOCK_BYTES * BLOCK_BYTES
        remainder = whole[cut:]
        if cut:
            yield whole[:cut]
    padding = BLOCK_BYTES - len(remainder)
    yield remainder + bytes([padding]) * padding


class BadPadding(ValueError):
    """The key is wrong, or the data was not encrypted this way."""


class DecryptedBytes(ByteSource):
    """The plaintext of a ciphertext, computed on demand; `size` must be known."""

    def __init__(self, cipher: ByteSource, key: bytes, size: int) -> None:
        super().__init__(size)
        self._cipher = cipher
        self._key = key

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        end = self.size if stop is None else min(stop, self.size)
        offset = start // BLOCK_BYTES * BLOCK_BYTES
        for piece in self._cipher.pieces(offset, ciphertext_size(end)):
            decrypted = _cipher(self._key).decryptor().update(piece)
            yield decrypted[max(start - offset, 0) : end - offset]
            offset += len(decrypted)


def decrypt(cipher: ByteSource, key: bytes) -> DecryptedBytes:
    """Returns the plaintext of a whole ciphertext.

    Raises `BadPadding` when the last block has no valid padding.
    """
    if not cipher.size or cipher.size % BLOCK_BYTES:
        raise BadPadding(f"{cipher.size} bytes are no whole blocks")
    last_block = b"".join(DecryptedBytes(cipher, key, cipher.size).pieces(cipher.size - BLOCK_BYTES))
    padding = last_block[-1]
    if not 1 <= padding <= BLOCK_BYTES or last_block[-padding:] != bytes([padding]) * padding:
        raise BadPadding("the padding is wrong: another key, or not PKCS#7")
    return DecryptedBytes(cipher, key, cipher.size - padding)
