"""Values as a column of the database holds them, and back.

    blob_to_text(blob)  ->  '{"sha256":"9f86…","path":"media/9f/9f86….jpg","size":12,"mime":"image/jpeg"}'

WeChat may send what no column can hold, and that must not fail a whole commit: half of a surrogate pair in a
text becomes `?`, and a number that is too large the largest one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, fields

from wx2mqtt.model import Blob, Json
from wx2mqtt.store.atomic_files import sha256_in_media_name

# Of an integer column, in both databases.
_MAX_INTEGER = 2**63 - 1

_MIME_TYPE = re.compile(r"[\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100}", re.ASCII)  # such as image/svg+xml

_BLOB_FIELDS = tuple(item.name for item in fields(Blob))

#: Returns a value as JSON without spaces.
compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode_payload(body: Mapping[str, Json]) -> bytes:
    """Returns a payload as compact JSON in UTF-8; half of a surrogate pair becomes `?`."""
    return compact(dict(body)).encode("utf-8", "replace")


def storable_text(text: str) -> str:
    """Returns a text that UTF-8 can hold: half of a surrogate pair becomes `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def bounded_integer(number: int) -> int:
    """Returns the nearest integer that a column can hold; times from WeChat may be absurd."""
    return min(max(number, -_MAX_INTEGER), _MAX_INTEGER)


def blob_to_text(blob: Blob | None) -> str | None:
    return None if blob is None else compact(asdict(blob))


def blob_from_text(text: str | None) -> Blob | None:
    """Returns the blob of a column, without fields that a newer version added.

    Returns None as well for a row of a forged backup that names anything but a media file of the store.
    """
    if text is None:
        return None
    blob = Blob(**{name: value for name, value in json.loads(text).items() if name in _BLOB_FIELDS})
    is_own = sha256_in_media_name(blob.path) == blob.sha256 and _MIME_TYPE.fullmatch(blob.mime)
    return blob if is_own and blob.size >= 0 else None
