"""The files of messages: where they are, and how they are decrypted.

Each file of a message has an address that is good for five minutes and a key of its own: AES-256-CBC, whose
IV is the begin of the key, with PKCS#7 padding to 32 bytes (wecom 4.4). The cryptography library takes
ten megabytes, so it is loaded with the first file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from email.message import Message as MailMessage
from email.utils import collapse_rfc2231_value
from typing import TYPE_CHECKING
from urllib.parse import unquote

from wx2mqtt.model import MediaRef
from wx2mqtt.names import clean_filename, cut_filename
from wx2mqtt.values import frozen
from wx2mqtt.wechat.json_reader import JsonObject, read_base64, read_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import CipherContext
    from cryptography.hazmat.primitives.padding import PaddingContext

# The sizes in the encryption of a file.
KEY_BYTES = 32
IV_BYTES = 16
PADDED_TO_BYTES = 32

# The address of a file is good for so long after its message was received.
ADDRESS_SECONDS = 300

# A longer address of a file is ignored.
MAX_URL_CHARACTERS = 4096


class WrongKey(Exception):
    """The padding is wrong: the bytes were not encrypted with this key, or they are cut off."""


@frozen
class MediaLocation:
    """Where a file is."""

    url: str = field(repr=False)
    #: None where the message has no key: the file is not encrypted.
    key: bytes | None = field(default=None, repr=False)


def media_ref(part: JsonObject, time: int) -> MediaRef | None:
    """Returns the locator of the file in a part of a message; None without an address or with a broken key.

    `time` is when the message was received, in milliseconds since 1970.
    """
    url, key_text = read_text(part, "url").strip(), read_text(part, "aeskey").strip()
    if not url or len(url) > MAX_URL_CHARACTERS:
        return None
    key = read_key(key_text) if key_text else None
    if key_text and key is None:
        return None
    locator = {"url": url}
    if key is not None:
        locator["key"] = key.hex()
    return MediaRef(locator=locator, expires=time + ADDRESS_SECONDS * 1000)


def parse_locator(locator: Mapping[str, str]) -> MediaLocation | None:
    """Reads a locator of `media_ref`; returns None for one of another version."""
    try:
        key = bytes.fromhex(locator.get("key", ""))
    except ValueError:
        return None
    if not locator.get("url") or len(key) not in {0, KEY_BYTES}:
        return None
    return MediaLocation(url=locator["url"], key=key or None)


def read_key(text: str) -> bytes | None:
    """Reads a key of 32 bytes in base64, whose `=` may be missing; returns None for anything else."""
    key = read_base64(text)
    return key if key is not None and len(key) == KEY_BYTES else None


class Decryptor:
    """Decrypts one file. Holds the last 32 bytes back until the end, since they end with the padding."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415
        from cryptography.hazmat.primitives.padding import PKCS7  # noqa: PLC0415

        self._cipher: CipherContext = Cipher(algorithms.AES(key), modes.CBC(key[:IV_BYTES])).decryptor()
        self._unpadder: PaddingContext = PKCS7(8 * PADDED_TO_BYTES).unpadder()

    def update(self, chunk: bytes) -> bytes:
        """Decrypts the next bytes; returns all but the last 32."""
        return self._unpadder.update(self._cipher.update(chunk))

    def finish(self) -> bytes:
        """Returns the rest of the file without its padding. Raises `WrongKey`."""
        try:
            self._cipher.finalize()
            return self._unpadder.finalize()
        except ValueError:
            raise WrongKey from None


def filename_of(content_disposition: str) -> str:
    """Returns the name of a file in a `Content-Disposition`, or an empty text; also for one that is too long.

    `filename*` counts first; a plain `filename` may be percent-encoded all the same (wecom 4.4, 6.1).
    """
    if len(content_disposition) > MAX_URL_CHARACTERS:
        return ""
    header = MailMessage()
    try:
        header["Content-Disposition"] = content_disposition
        values = [
            value for key, value in header.get_params([], "Content-Disposition") if key.lower() == "filename"
        ]
        # The value of `filename*` is a tuple of its encoding, its language and itself.
        extended = next((value for value in values if isinstance(value, tuple)), None)
        name = collapse_rfc2231_value(extended or (values[0] if values else ""))
    except (ValueError, LookupError, TypeError):  # TypeError: of Python's own parser, for `filename*` twice
        return ""
    # What was cut may end in what a name must not end in.
    return clean_filename(cut_filename(clean_filename(name if extended else unquote(name))))
