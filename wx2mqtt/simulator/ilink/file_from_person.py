"""A file that a person sends: the CDN upload, and the `media` object that describes it (ilink 5.3, 8.3)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from wx2mqtt.simulator import samples
from wx2mqtt.simulator.ilink import hosts
from wx2mqtt.simulator.ilink.aes import BLOCK_BYTES, BadPadding, EncryptedBytes, decrypt
from wx2mqtt.simulator.ilink.bot import Bot
from wx2mqtt.simulator.ilink.cdn_storage import CdnFile
from wx2mqtt.simulator.ilink.simulated_ilink import SimulatedILink
from wx2mqtt.simulator.media import ByteSource, GeneratedBytes, GivenBytes

Fields = dict[str, object]

KEY_FORMS = ("hex", "24", "44", "both", "none", "wrong", "bad")
"""The forms in which a message carries the AES key: see `_key_fields`."""

_SAMPLE_OF_KIND = {"image": "image", "file": "file", "video": "video", "voice": "silk"}
_UNIQUE_TAIL_BYTES = 64


class BadDetail(ValueError):
    """A detail of the order has a wrong value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFromPerson:
    """A stored file with the fields that describe it. `aeskey` is the field of an image."""

    plain: ByteSource
    media: Fields
    aeskey: str
    ciphertext_size: int
    files: tuple[CdnFile, ...]


def generate_file(kind: str, seed: str, size: int | None = None) -> ByteSource:
    """Returns a sample file, different for each `seed` (except a voice); without `size` it is small."""
    head = samples.sample_of_kind(_SAMPLE_OF_KIND[kind])
    if kind == "voice" and size is None:
        return GivenBytes(head)  # SILK decoders fail on bytes after the last frame
    return GeneratedBytes(head, len(head) + _UNIQUE_TAIL_BYTES if size is None else size, seed)


def generate_thumbnail(seed: str) -> ByteSource:
    head = samples.sample("thumb.jpg")
    return GeneratedBytes(head, len(head) + _UNIQUE_TAIL_BYTES, f"{seed} thumbnail")


def store_on_cdn(
    ilink: SimulatedILink, bot: Bot, plain: ByteSource, key_form: str, detail: Mapping[str, object]
) -> FileFromPerson:
    """Stores a file on the CDN; `key_form` is one of `KEY_FORMS`. Raises `BadDetail`."""
    if key_form not in KEY_FORMS:
        raise BadDetail(f"key must be one of {', '.join(KEY_FORMS)}, not {key_form!r}")
    aes_key = ilink.storage.new_key()
    file = CdnFile(content=plain if key_form == "none" else EncryptedBytes(plain, aes_key))
    param = ilink.storage.put(file)
    media: Fields = {"encrypt_query_param": param, "encrypt_type": 0}
    shown_key = key_of_another_file(file.content) if key_form == "wrong" else aes_key
    text, aeskey = _key_fields(shown_key, key_form)
    if text:
        media["aes_key"] = text
    if (url := _full_url(ilink, bot, param, detail)) is not None:
        media["full_url"] = url
        file.full_url_only = not ilink.settings.own_urls
    return FileFromPerson(
        plain=plain, media=media, aeskey=aeskey, ciphertext_size=file.content.size, files=(file,)
    )


def key_of_another_file(cipher: ByteSource) -> bytes:
    """Returns a key with which a ciphertext ends in no padding: one in 256 would seem to be the right one."""
    for number in range(256):
        key = bytes([number]) * BLOCK_BYTES
        try:
            decrypt(cipher, key)
        except BadPadding:
            return key
    raise AssertionError("every key fits")  # 256 keys in a row: never


def _key_fields(shown_key: bytes, form: str) -> tuple[str, str]:
    """Returns `media.aes_key` and `image_item.aeskey` in that form; empty texts are left out.

    `wrong` is for the key of another file, `bad` gives text that is no key.
    """
    if form == "none":
        return "", ""
    if form == "bad":
        return base64.b64encode(b"no key").decode(), ""
    if form == "24":
        return base64.b64encode(shown_key).decode(), ""
    text = base64.b64encode(shown_key.hex().encode()).decode()
    return ("" if form == "hex" else text), (shown_key.hex() if form in ("hex", "both") else "")


def _full_url(ilink: SimulatedILink, bot: Bot, param: str, detail: Mapping[str, object]) -> str | None:
    full_url = detail.get("full_url", ilink.settings.full_urls != "never")
    if ilink.settings.full_urls == "sometimes" and "full_url" not in detail:
        full_url = len(ilink.storage.files) % 2 == 1
    if isinstance(full_url, str):
        return full_url
    query = f"encrypted_query_param={quote(param, safe='')}&taskid={ilink.rng.getrandbits(48):012x}"
    return f"{hosts.cdn_address(bot.address)}/download?{query}" if full_url else None
