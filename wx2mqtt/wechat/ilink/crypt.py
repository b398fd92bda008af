"""AES-128-ECB with PKCS#7, piece by piece, so that no file is ever whole in memory (ilink 8.1).

The library is loaded with the first file: a bridge that sees only texts does without its ten megabytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wx2mqtt.wechat.ilink.keys import BLOCK

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.modes import ECB


class WrongKey(Exception):
    """These bytes were not encrypted with this key."""


class CutShort(Exception):
    """These bytes are not whole blocks, or none."""


class Encryptor:
    """Encrypts one file."""

    def __init__(self, key: bytes) -> None:
        self._cipher = _cipher(key).encryptor()
        self._size = 0

    def update(self, piece: bytes) -> bytes:
        """The next bytes of it, encrypted as far as blocks are full."""
        self._size += len(piece)
        return self._cipher.update(piece)

    def end(self) -> bytes:
        """The last block or two."""
        missing = BLOCK - self._size % BLOCK
        return self._cipher.update(bytes([missing]) * missing) + self._cipher.finalize()


class Decryptor:
    """Decrypts one file. The last block is kept back until the end, since only there is padding."""

    def __init__(self, key: bytes) -> None:
        self._cipher = _cipher(key).decryptor()
        self._last = b""
        self._size = 0

    def update(self, piece: bytes) -> bytes:
        """The next bytes of it."""
        self._size += len(piece)
        found = self._last + self._cipher.update(piece)
        kept = len(found) - min(len(found), BLOCK)
        self._last = found[kept:]
        return found[:kept]

    def end(self) -> bytes:
        """What the last block holds. Raises `CutShort`, `WrongKey`."""
        if not self._size or self._size % BLOCK:
            raise CutShort
        padding = self._last[-1]
        if not 1 <= padding <= BLOCK or self._last[-padding:] != bytes([padding]) * padding:
            raise WrongKey
        return self._last[:-padding]


def _cipher(key: bytes) -> Cipher[ECB]:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415

    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - theirs to choose
