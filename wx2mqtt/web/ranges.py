"""Which part of a file a client wants, and whether it has it already (RFC 9110, 13 and 14). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.ASCII | re.IGNORECASE)


class Unsatisfiable(Exception):
    """The file has no such part."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` to before `stop`."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many they are."""
        return self.stop - self.start


def wanted(headers: Mapping[str, str], size: int, etag: str, changed: int) -> Span | None:
    """The one part that is wanted; None for the whole, also where several are: a server may (14.2).

    `headers` by names in small letters, `changed` in seconds. Raises `Unsatisfiable`.
    """
    found = _RANGE.fullmatch(headers.get("range", ""))
    if found is None or not _unchanged(headers.get("if-range"), etag, changed):
        return None
    first, last = found[1], found[2]
    if not first:
        return _last(int(last), size) if last else None
    start = int(first)
    stop = min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable
    return Span(start, stop)


def has_it(headers: Mapping[str, str], etag: str, changed: int) -> bool:
    """Whether the client has just this already."""
    known = headers.get("if-none-match")
    if known is not None:
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        return etag in tags or "*" in tags
    since = _seconds(headers.get("if-modified-since", ""))
    return since is not None and changed <= since


def _last(count: int, size: int) -> Span:
    if not count or not size:
        raise Unsatisfiable
    return Span(max(0, size - count), size)


def _unchanged(condition: str | None, etag: str, changed: int) -> bool:
    return condition is None or condition.strip() == etag or _seconds(condition) == changed


def _seconds(date: str) -> int | None:
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except (ValueError, OverflowError, OSError):
        return None
