"""How values are written into rows: compact JSON, and text that UTF-8 can hold.

Half a surrogate pair from a stranger becomes `?`; it must not stop the batch that it came in (P5).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from wx2mqtt.model import Json

_LARGEST = 2**63 - 1

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
