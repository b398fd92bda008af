"""Encryption of files, and where they are: AES-128-ECB with PKCS#7, written keys, locators (ilink 5.3, 8).

Works piece by piece, so that no file is ever whole in memory. The library of ten megabytes is loaded with
the first file. A locator is stored with its message and must be good after a restart, so it holds the key;
it stays in the store and is never shown.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.modes import ECB

from wx2mqtt.model import MediaRef
from wx2mqtt.wechat.json_reader import JsonObject, read_integer, read_object, read_text

BLOCK_BYTES = 16  # bytes


def key_from_hex(written: str) -> bytes | None:
    """A key as 32 hex digits; None for anything else."""
    if len(written) != 2 * BLOCK_BYTES or not written.isascii() or not written.isalnum():
        return None
    try:
        return bytes.fromhex(written)
    except ValueError:
        return None


def key_from_base64(written: str) -> bytes | None:
    """A key in base64: of its 16 bytes, or of its 32 hex digits; None for anything else."""
    bare = written.strip().rstrip("=").replace("-", "+").replace("_", "/")
    try:
        found = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:  # also what is no base64 at all
        return None
    if len(found) == BLOCK_BYTES:
        return found
    return key_from_hex(found.decode("latin-1"))


def key_to_base64(key: bytes) -> str:
    """As the phones take it: base64 of the hex digits (ilink 8.3.1)."""
    return base64.b64encode(key.hex().encode()).decode()


def padded_size(size: int) -> int:
    """The size of what encryption makes of `size` bytes: there is always padding."""
    return (size // BLOCK_BYTES + 1) * BLOCK_BYTES


class WrongKey(Exception):
    """These bytes were not encrypted with this key."""


class TruncatedCiphertext(Exception):
    """These bytes are not whole blocks, or none."""


class Encryptor:
    """Encrypts one file."""

    def __init__(self, key: bytes) -> None:
        self._cipher = _cipher(key).encryptor()
        self._size = 0

    def update(self, chunk: bytes) -> bytes:
        """The next bytes of it, encrypted as far as blocks are full."""
        self._size += len(chunk)
        return self._cipher.update(chunk)

    def finish(self) -> bytes:
        """The last block or two."""
        missing = BLOCK_BYTES - self._size % BLOCK_BYTES
        return self._cipher.update(bytes([missing]) * missing) + self._cipher.finalize()


class Decryptor:
    """Decrypts one file. The last block is kept back until the end, since only there is padding."""

    def __init__(self, key: bytes) -> None:
        self._cipher = _cipher(key).decryptor()
        self._last_block = b""
        self._size = 0

    def update(self, chunk: bytes) -> bytes:
        """The next bytes of it."""
        self._size += len(chunk)
        found = self._last_block + self._cipher.update(chunk)
        kept = len(found) - min(len(found), BLOCK_BYTES)
        self._last_block = found[kept:]
        return found[:kept]

    def finish(self) -> bytes:
        """What the last block holds. Raises `TruncatedCiphertext`, `WrongKey`."""
        if not self._size or self._size % BLOCK_BYTES:
            raise TruncatedCiphertext
        padding = self._last_block[-1]
        if not 1 <= padding <= BLOCK_BYTES or self._last_block[-padding:] != bytes([padding]) * padding:
            raise WrongKey
        return self._last_block[:-padding]


def _cipher(key: bytes) -> Cipher[ECB]:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415

    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - theirs to choose


MAX_PARAMETER_CHARACTERS = 4096  # characters of an address or a parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLocation:
    """What a locator says. Without a key the bytes are as they are; size 0 and an empty MD5: not told."""

    url: str = field(default="", repr=False)
    param: str = field(default="", repr=False)
    key: bytes | None = field(default=None, repr=False)
    size: int = 0
    md5: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredMedia:
    """What a message says of its bytes; `size` and `md5` perhaps of the encrypted ones."""

    mime: str = ""
    size: int = 0
    md5: str = ""
    name: str = ""


_NOTHING = DeclaredMedia()


def picture_locator(
    item: JsonObject, part: str = "media", declared: DeclaredMedia = _NOTHING
) -> MediaRef | None:
    """Where a picture is; its own key wins, and one without any is not encrypted (ilink 8.4.2)."""
    media = read_object(item, part)
    own = read_text(item, "aeskey") if part == "media" else ""
    key = key_from_hex(own) or key_from_base64(read_text(media, "aes_key"))
    if key is None and (own or read_text(media, "aes_key")):
        return None  # a key that nobody can read
    return _ref(media, key, declared)


def file_locator(item: JsonObject, declared: DeclaredMedia) -> MediaRef | None:
    """Where the bytes of anything else are; without a key they are of no use (ilink 8.4.2)."""
    media = read_object(item, "media")
    key = key_from_base64(read_text(media, "aes_key"))
    return None if key is None else _ref(media, key, declared)


def parse_locator(locator: Mapping[str, str]) -> MediaLocation | None:
    """What `picture_locator` and `file_locator` wrote; None for what another version did."""
    key = key_from_hex(locator.get("key", ""))
    if not (locator.get("url") or locator.get("param")) or (locator.get("key") and key is None):
        return None
    return MediaLocation(
        url=locator.get("url", ""),
        param=locator.get("param", ""),
        key=key,
        size=read_integer(locator.get("size", "")),
        md5=locator.get("md5", ""),
    )


def _ref(media: JsonObject, key: bytes | None, declared: DeclaredMedia) -> MediaRef | None:
    url, param = _short(read_text(media, "full_url").strip()), _short(read_text(media, "encrypt_query_param"))
    if not (url or param):
        return None
    facts = {
        "url": url,
        "param": param,
        "key": "" if key is None else key.hex(),
        "size": str(declared.size) if declared.size > 0 else "",
        "md5": declared.md5.lower() if key_from_hex(declared.md5) is not None else "",
    }
    return MediaRef(
        locator={name: value for name, value in facts.items() if value},
        mime=declared.mime,
        size=declared.size if declared.size > 0 else None,
        name=declared.name,
    )


def _short(written: str) -> str:
    return written if len(written) <= MAX_PARAMETER_CHARACTERS else ""
