"""The message that another one quotes, and the part of its text that was selected (ilink 5.4).

A phone names a part by where it begins and ends, and by its MD5:

    {"start": "two", "startindex": 1, "end": "three", "endindex": 0, "quotemd5": "…"}

In "one two one two three" this is "two three": from the second "two" (counted from 0) to the first "three".
Some phones count `end` in the whole text, others behind `start`: `selected_text` tries both, and the MD5
decides.
"""

from __future__ import annotations

import hashlib

from wx2mqtt.model import Json, Kind
from wx2mqtt.values import frozen
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_text

# How much of a quoted text is published.
MAX_QUOTE_CHARACTERS = 1000

# A quoted part whose `start` or `end` is a later occurrence than this is not searched for.
MAX_OCCURRENCES = 1000


@frozen
class Quote:
    """The message that another one quotes."""

    id: str = ""
    #: None, and `text` is empty, where only the id is known.
    kind: Kind | None = None
    text: str = ""
    part: QuotePart | None = None

    def detail(self) -> dict[str, Json]:
        """Returns the fields for the payload; unknown ones are left out."""
        text = (selected_text(self.text, self.part) if self.part else None) or self.text
        facts: dict[str, Json] = {
            "id": self.id,
            "kind": "" if self.kind is None else str(self.kind),
            "text": text[:MAX_QUOTE_CHARACTERS],
        }
        return {key: value for key, value in facts.items() if value}


@frozen
class QuotePart:
    """The quoted part of a text: from one occurrence of `start` to the end of one of `end`."""

    start: str
    end: str
    #: Which occurrence of `start`, counted from 0.
    start_index: int
    #: Which one of `end`.
    end_index: int
    #: Of the part, in hex, or empty.
    md5: str = ""


def read_part(entry: JsonObject) -> QuotePart | None:
    """Returns the quoted part that a phone names, or None where the whole text is quoted."""
    start, end = read_text(entry, "start"), read_text(entry, "end")
    if not (start and end):
        return None
    return QuotePart(
        start=start,
        end=end,
        start_index=read_number(entry, "startindex"),
        end_index=read_number(entry, "endindex"),
        md5=read_text(entry, "quotemd5").strip().lower(),
    )


def selected_text(text: str, part: QuotePart) -> str | None:
    """Returns the quoted part of `text`, or None where it is not in it (ilink 5.4.3)."""
    start = _nth_index(text, part.start, part.start_index)
    if start is None:
        return None
    for end in (
        _nth_index(text, part.end, part.end_index),
        _nth_index(text, part.end, part.end_index, start + len(part.start)),
    ):
        if end is None or end < start:
            continue
        selection = text[start : end + len(part.end)]
        if not part.md5 or _md5(selection) == part.md5:
            return selection
    return None


def _nth_index(text: str, phrase: str, occurrence: int, start: int = 0) -> int | None:
    """Returns the index of the occurrence of `phrase` with this number (counted from 0) after `start`."""
    if not phrase or not 0 <= occurrence <= MAX_OCCURRENCES:
        return None
    index = text.find(phrase, start)
    for _ in range(occurrence):
        if index < 0:
            return None
        index = text.find(phrase, index + len(phrase))
    return index if index >= 0 else None


def _md5(text: str) -> str:
    return hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
