"""Encryption of files (AES-128-ECB with PKCS#7), their keys, and their locators (ilink 5.3, 8).

Works in chunks, so that no file is ever whole in memory. The cryptography library takes ten megabytes, so it
is loaded with the first file. A locator is stored with its message and must be good after a restart, so it
holds the key; it stays in the store and is never shown.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from wx2mqtt.model import MediaRef
from wx2mqtt.values import frozen
from wx2mqtt.wechat.json_reader import JsonObject, read_base64, read_integer, read_object, read_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.modes import ECB
    from cryptography.hazmat.primitives.padding import PKCS7

BLOCK_BYTES = 16

# A longer address or parameter of a file is ignored.
MAX_PARAMETER_CHARACTERS = 4096


def key_from_hex(text: str) -> bytes | None:
    """Reads a key of 32 hex digits; returns None for anything else."""
    if len(text) != 2 * BLOCK_BYTES or not text.isascii() or not text.isalnum():
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def key_from_base64(text: str) -> bytes | None:
    """Reads a key in base64, of its 16 bytes or of its 32 hex digits; returns None for anything else."""
    decoded = read_base64(text.strip())
    if decoded is None or len(decoded) == BLOCK_BYTES:
        return decoded
    return key_from_hex(decoded.decode("latin-1"))


def key_to_base64(key: bytes) -> str:
    """Returns the form that phones read: base64 of the hex digits (ilink 8.3.1)."""
    return base64.b64encode(key.hex().encode()).decode()


def padded_size(size: int) -> int:
    """Returns how many bytes `size` bytes are after encryption, which always adds padding."""
    return (size // BLOCK_BYTES + 1) * BLOCK_BYTES


class WrongKey(Exception):
    """The padding is wrong: the bytes were not encrypted with this key."""


class TruncatedCiphertext(Exception):
    """There are no bytes, or the last block is not complete."""


class Encryptor:
    """Encrypts one file."""

    def __init__(self, key: bytes) -> None:
        self._cipher = _cipher(key).encryptor()
        self._padder = _padding().padder()

    def update(self, chunk: bytes) -> bytes:
        """Encrypts the next bytes; returns those whose blocks are full."""
        return self._cipher.update(self._padder.update(chunk))

    def finish(self) -> bytes:
        """Returns the rest of the file and its padding."""
        return self._cipher.update(self._padder.finalize()) + self._cipher.finalize()


class Decryptor:
    """Decrypts one file. Holds the last block back until the end, since it ends with the padding."""

    def __init__(self, key: bytes) -> None:
        self._cipher = _cipher(key).decryptor()
        self._unpadder = _padding().unpadder()
        #: How many bytes came.
        self._size = 0

    def update(self, chunk: bytes) -> bytes:
        """Decrypts the next bytes; returns all but the last block."""
        self._size += len(chunk)
        return self._unpadder.update(self._cipher.update(chunk))

    def finish(self) -> bytes:
        """Returns the last block without its padding. Raises `TruncatedCiphertext`, `WrongKey`."""
        if not self._size or self._size % BLOCK_BYTES:
            raise TruncatedCiphertext
        try:
            return self._unpadder.finalize()
        except ValueError:
            raise WrongKey from None


def _padding() -> PKCS7:
    from cryptography.hazmat.primitives.padding import PKCS7  # noqa: PLC0415

    return PKCS7(8 * BLOCK_BYTES)


def _cipher(key: bytes) -> Cipher[ECB]:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415

    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - the protocol prescribes ECB


@frozen
class MediaLocation:
    """Where a file is, and how to check it. `url` or `param` may be empty, but not both."""

    #: The whole address of the file.
    url: str = field(default="", repr=False)
    #: The parameter from which its address can be made.
    param: str = field(default="", repr=False)
    #: None where the file is not encrypted.
    key: bytes | None = field(default=None, repr=False)
    #: In bytes; 0 where the message does not say it.
    size: int = 0
    #: In hex; empty where the message does not say it.
    md5: str = ""


@frozen
class DeclaredMedia:
    """Facts about a file that its message contains; `size` and `md5` may be those of the encrypted bytes."""

    mime: str = ""
    size: int = 0
    md5: str = ""
    name: str = ""


def picture_locator(item: JsonObject, part: str = "media") -> MediaRef | None:
    """Returns the locator of a picture, or None where the message has none that is usable (ilink 8.4.2).

    `part` is "media", or "thumb_media" for the preview. The key in `aeskey` of the item has precedence. A
    picture without a key is not encrypted.
    """
    media = read_object(item, part)
    item_key = read_text(item, "aeskey") if part == "media" else ""
    key = key_from_hex(item_key) or key_from_base64(read_text(media, "aes_key"))
    if key is None and (item_key or read_text(media, "aes_key")):
        return None  # encrypted, but the key cannot be read
    return _media_ref(media, key, DeclaredMedia())


def file_locator(item: JsonObject, declared: DeclaredMedia) -> MediaRef | None:
    """Returns the locator of any other file, or None where it has no key or no address (ilink 8.4.2)."""
    media = read_object(item, "media")
    key = key_from_base64(read_text(media, "aes_key"))
    return None if key is None else _media_ref(media, key, declared)


def parse_locator(locator: Mapping[str, str]) -> MediaLocation | None:
    """Reads a locator of `picture_locator` or `file_locator`; returns None for one of another version."""
    url, param, key_text = (locator.get(name, "") for name in ("url", "param", "key"))
    key = key_from_hex(key_text)
    if key_text and key is None:
        return None
    if not (url or param):
        return None
    return MediaLocation(
        url=url,
        param=param,
        key=key,
        size=read_integer(locator.get("size", "")),
        md5=locator.get("md5", ""),
    )


def _media_ref(media: JsonObject, key: bytes | None, declared: DeclaredMedia) -> MediaRef | None:
    url = read_text(media, "full_url").strip()
    if len(url) > MAX_PARAMETER_CHARACTERS:
        url = ""
    param = read_text(media, "encrypt_query_param")
    if len(param) > MAX_PARAMETER_CHARACTERS:
        param = ""
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
