"""How iLink encrypts files: AES-128, ECB, PKCS#7 (ilink 8.1). In pieces: large files need no memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from wx2mqtt.simulator.media import ByteSource

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.modes import ECB

BLOCK = 16


def ciphertext_size(size: int) -> int:
    """Bytes of the ciphertext of so many."""
    return (size // BLOCK + 1) * BLOCK


def _cipher(key: bytes) -> Cipher[ECB]:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415 - heavy

    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - the protocol's choice


class EncryptedBytes(ByteSource):
    """The ciphertext of a file; made when it is asked for."""

    def __init__(self, plain: ByteSource, key: bytes) -> None:
        super().__init__(ciphertext_size(plain.size))
        self._plain = plain
        self._key = key

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Each block stands alone, so that any range can be made."""
        end = self.size if stop is None else min(stop, self.size)
        place = start // BLOCK * BLOCK
        for piece in _padded(self._plain, place):
            made = _cipher(self._key).encryptor().update(piece)
            if place >= end:
                return
            yield made[max(start - place, 0) : end - place]
            place += len(made)


def _padded(plain: ByteSource, start: int) -> Iterator[bytes]:
    """The plaintext from a block's border on, in whole blocks, with its padding."""
    rest = b""
    for piece in plain.pieces(start):
        whole = rest + piece
        cut = len(whole) // BLOCK * BLOCK
        rest = whole[cut:]
        if cut:
            yield whole[:cut]
    fill = BLOCK - len(rest)
    yield rest + bytes([fill]) * fill


class BadPadding(ValueError):
    """The key does not fit, or it was not encrypted so."""


class DecryptedBytes(ByteSource):
    """The plaintext of a ciphertext; `size` is known beforehand."""

    def __init__(self, cipher: ByteSource, key: bytes, size: int) -> None:
        super().__init__(size)
        self._cipher = cipher
        self._key = key

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Decrypted when they are asked for."""
        end = self.size if stop is None else min(stop, self.size)
        place = start // BLOCK * BLOCK
        for piece in self._cipher.pieces(place, ciphertext_size(end)):
            made = _cipher(self._key).decryptor().update(piece)
            yield made[max(start - place, 0) : end - place]
            place += len(made)


def opened(cipher: ByteSource, key: bytes) -> DecryptedBytes:
    """The plaintext of a whole ciphertext; raises `BadPadding` when its last block does not say its size."""
    if not cipher.size or cipher.size % BLOCK:
        raise BadPadding(f"{cipher.size} bytes are no whole blocks")
    last = b"".join(DecryptedBytes(cipher, key, cipher.size).pieces(cipher.size - BLOCK))
    fill = last[-1]
    if not 1 <= fill <= BLOCK or last[-fill:] != bytes([fill]) * fill:
        raise BadPadding("the padding is wrong: another key, or not PKCS#7")
    return DecryptedBytes(cipher, key, cipher.size - fill)
