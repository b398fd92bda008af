"""Replies: what was answered, in full, by its id, and in part (ilink 5.4). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from wx2mqtt.model import Json, Kind
from wx2mqtt.wechat.fields import Entry, inner, number, text
from wx2mqtt.wechat.ilink.codes import KINDS, Item
from wx2mqtt.wechat.ilink.words import placeholder
from wx2mqtt.words import Language

LONGEST = 1000  # characters of what was answered that are told
MOST = 1000  # occurrences that are looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Which part of a text was answered: from an occurrence of `start` to one of `end`, counted from 0."""

    start: str
    end: str
    start_index: int
    end_index: int
    md5: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a message answers. `kind` is None and `text` empty where only its id is known."""

    id: str = ""
    kind: Kind | None = None
    text: str = ""
    part: Part | None = None

    def detail(self) -> dict[str, Json]:
        """As it is published; what is not known is left out."""
        said = (selected(self.text, self.part) if self.part else None) or self.text
        facts: dict[str, Json] = {
            "id": self.id,
            "kind": "" if self.kind is None else str(self.kind),
            "text": said[:LONGEST],
        }
        return {key: value for key, value in facts.items() if value}


def quote(item: Entry, language: Language) -> Quote | None:
    """What the item answers; None where it answers nothing.

    Newer phones tell the id alone, older ones the whole item (ilink 5.4).
    """
    ref = inner(item, "ref_msg")
    if not ref:
        return None
    whole = inner(ref, "message_item")
    kind, said = _said(whole, language) if whole else (None, "")
    return Quote(
        id=_id(ref, "svr_id") or _id(whole, "msg_id"),
        kind=kind,
        text=said or text(ref, "title").strip(),
        part=_part(inner(ref, "partial_text")),
    )


def selected(whole: str, part: Part) -> str | None:
    """The part of a text that was answered; None where it cannot be told.

    The end is counted in the whole text or from behind the start; the hash says which (ilink 5.4).
    """
    found = dict.fromkeys(_candidates(whole, part))
    if not part.md5:
        return next(iter(found), None)
    return next((one for one in found if _md5(one) == part.md5), None)


def _candidates(whole: str, part: Part) -> Iterator[str]:
    start = _nth(whole, part.start, part.start_index)
    if start is None:
        return
    for end in (
        _nth(whole, part.end, part.end_index),
        _nth(whole, part.end, part.end_index, start + len(part.start)),
    ):
        if end is not None and end >= start:
            yield whole[start : end + len(part.end)]


def _nth(whole: str, wanted: str, occurrence: int, begin: int = 0) -> int | None:
    """Where it stands for the `occurrence`th time, from 0."""
    if not wanted or not 0 <= occurrence <= MOST:
        return None
    place = whole.find(wanted, begin)
    for _ in range(occurrence):
        if place < 0:
            return None
        place = whole.find(wanted, place + len(wanted))
    return place if place >= 0 else None


def _part(entry: Entry) -> Part | None:
    start, end = text(entry, "start"), text(entry, "end")
    if not (start and end):
        return None
    return Part(
        start=start,
        end=end,
        start_index=number(entry, "startindex"),
        end_index=number(entry, "endindex"),
        md5=text(entry, "quotemd5").strip().lower(),
    )


def _said(item: Entry, language: Language) -> tuple[Kind, str]:
    """Kind and line of what was answered."""
    number_ = number(item, "type")
    kind = KINDS.get(number_, Kind.UNSUPPORTED)
    if number_ == Item.TEXT:
        return kind, text(inner(item, "text_item"), "text")
    if number_ == Item.VOICE:
        return kind, text(inner(item, "voice_item"), "text") or placeholder(language, kind)
    name = text(inner(item, "file_item"), "file_name") if number_ == Item.FILE else ""
    return kind, placeholder(language, kind, name)


def _id(entry: Entry, key: str) -> str:
    found = text(entry, key).strip()
    return found if found.strip("0") else ""


def _md5(said: str) -> str:
    return hashlib.md5(said.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
