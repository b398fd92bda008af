"""Where bytes are: the locator that is stored with a message, key and all (ilink 5.3, 8). Pure.

It must be good after a restart, so what opens the bytes is in it. It stays in the store and is never shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wx2mqtt.model import MediaRef
from wx2mqtt.wechat.fields import Entry, inner, integer, text
from wx2mqtt.wechat.ilink import keys

LONGEST = 4096  # characters of an address or a parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a locator says. Without a key the bytes are as they are; size 0 and an empty MD5: not told."""

    url: str = field(default="", repr=False)
    param: str = field(default="", repr=False)
    key: bytes | None = field(default=None, repr=False)
    size: int = 0
    md5: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a message says of its bytes; `size` and `md5` perhaps of the encrypted ones."""

    mime: str = ""
    size: int = 0
    md5: str = ""
    name: str = ""


_NOTHING = Told()


def of_picture(item: Entry, part: str = "media", told: Told = _NOTHING) -> MediaRef | None:
    """Where a picture is; its own key wins, and one without any is not encrypted (ilink 8.4)."""
    media = inner(item, part)
    own = text(item, "aeskey") if part == "media" else ""
    key = keys.from_hex(own) or keys.from_base64(text(media, "aes_key"))
    if key is None and (own or text(media, "aes_key")):
        return None  # a key that nobody can read
    return _ref(media, key, told)


def of_file(item: Entry, told: Told) -> MediaRef | None:
    """Where the bytes of anything else are; without a key they are of no use (ilink 8.4)."""
    media = inner(item, "media")
    key = keys.from_base64(text(media, "aes_key"))
    return None if key is None else _ref(media, key, told)


def place_of(locator: Mapping[str, str]) -> Place | None:
    """What `of_picture` and `of_file` wrote; None for what another version did."""
    key = keys.from_hex(locator.get("key", ""))
    if not (locator.get("url") or locator.get("param")) or (locator.get("key") and key is None):
        return None
    return Place(
        url=locator.get("url", ""),
        param=locator.get("param", ""),
        key=key,
        size=integer(locator.get("size", "")),
        md5=locator.get("md5", ""),
    )


def _ref(media: Entry, key: bytes | None, told: Told) -> MediaRef | None:
    url, param = _short(text(media, "full_url").strip()), _short(text(media, "encrypt_query_param"))
    if not (url or param):
        return None
    facts = {
        "url": url,
        "param": param,
        "key": "" if key is None else key.hex(),
        "size": str(told.size) if told.size > 0 else "",
        "md5": told.md5.lower() if keys.from_hex(told.md5) is not None else "",
    }
    return MediaRef(
        locator={name: value for name, value in facts.items() if value},
        mime=told.mime,
        size=told.size if told.size > 0 else None,
        name=told.name,
    )


def _short(written: str) -> str:
    return written if len(written) <= LONGEST else ""
