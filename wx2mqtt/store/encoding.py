"""How values are written into rows: compact JSON, and text that UTF-8 can hold.

Half a surrogate pair from a stranger becomes `?`; it must not stop the batch that it came in (P5).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields

from wx2mqtt.model import Blob, Json

_LARGEST = 2**63 - 1
_BLOB = tuple(item.name for item in fields(Blob))

compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def written(body: Mapping[str, Json]) -> bytes:
    """A payload."""
    return compact(dict(body)).encode("utf-8", "replace")


def storable(text: str) -> str:
    """Text for a column."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def bounded(number: int) -> int:
    """A number that a column can hold; a time beyond it is no time of ours."""
    return min(max(number, -_LARGEST), _LARGEST)


def listed(values: Iterable[Json]) -> str:
    """Values for `json_each`: one statement, however many there are."""
    return json.dumps(list(values))


def blob_text(blob: Blob | None) -> str | None:
    """A blob for a column."""
    return None if blob is None else compact(asdict(blob))


def blob_of(text: str | None) -> Blob | None:
    """The blob of a column; keys that a newer version wrote are left out."""
    if text is None:
        return None
    return Blob(**{name: value for name, value in json.loads(text).items() if name in _BLOB})
