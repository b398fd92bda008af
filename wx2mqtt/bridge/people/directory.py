"""The people as others see them: the topic `contacts`, the answer to `request/contacts`, the status page.

    {"user": "wife", "kind": "friend", "name": "Lily", "matched_by": "pin", "trusted": true, "removed": false}

Who is in the list, `registry.py` says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import field

from wx2mqtt.bridge.people.binding import display_name
from wx2mqtt.bridge.people.evidence import MatchedBy
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import ChatKind, Json
from wx2mqtt.mqtt import commands as read
from wx2mqtt.mqtt.payloads import encode
from wx2mqtt.store.person_records import Person
from wx2mqtt.values import frozen

# The limit of the payload of `contacts`, unless the one of the MQTT server is smaller. If not all people fit,
# it has only those with a pin.
MAX_DIRECTORY_BYTES = 256_000

# The size of the smallest possible entry. With more people than fit even so, nothing is encoded in vain.
MIN_ENTRY_BYTES = 80


@frozen
class DirectoryEntry:
    """A person as others see them."""

    #: The topic name.
    user: str
    kind: ChatKind
    #: What people call them: the remark, the nickname or the topic name.
    name: str
    remark: str
    nickname: str
    #: How they were recognised: a value of `MatchedBy`.
    matched_by: str
    trusted: bool
    removed: bool
    closed: bool
    stranger: bool = False
    #: The problem of a pin that may stand for this person.
    problem: str = ""
    #: The published reply window; empty for people who can always be written to.
    window: Mapping[str, Json] = field(default_factory=dict)


def entry_of(person: Person, problem: str) -> DirectoryEntry:
    """Returns the entry of a person; `problem` is that of a pin that may stand for them, else empty."""
    return DirectoryEntry(
        user=person.topic_name,
        kind=person.kind,
        name=display_name(person) or person.topic_name,
        remark=person.remark,
        nickname=person.nickname,
        matched_by=MatchedBy.PIN if person.pin else person.matched_by,
        trusted=person.trusted,
        removed=person.removed,
        closed=person.closed,
        stranger=person.stranger,
        problem=problem,
    )


def entry_body(entry: DirectoryEntry) -> dict[str, Json]:
    """Returns the JSON of one entry; unknown values are absent."""
    body: dict[str, Json] = {"user": entry.user, "kind": str(entry.kind), "name": entry.name}
    if entry.remark:
        body["remark"] = entry.remark
    if entry.nickname:
        body["nickname"] = entry.nickname
    body["matched_by"] = entry.matched_by
    body["trusted"] = entry.trusted
    body["removed"] = entry.removed
    if entry.stranger:
        body["stranger"] = True
    if entry.closed:
        body["unresolved"] = True
    if entry.problem:
        body["problem"] = str(entry.problem)
    if entry.window:
        body["window"] = dict(entry.window)
    return body


def may_fit(count: int, max_bytes: int) -> bool:
    """Returns whether `count` entries may fit; if not, the caller needs only those with a pin."""
    return count * MIN_ENTRY_BYTES <= max_bytes


def directory_payload(
    entries: list[DirectoryEntry], *, count: int, named: Collection[str], max_bytes: int
) -> bytes:
    """Returns the payload of `contacts` in at most `max_bytes` bytes.

    If not all entries fit, it has as many as possible of those whose topic name is in `named`. `count` is
    always the number of all people, so that a subscriber sees how many are missing.
    """
    if may_fit(count, max_bytes):
        payload = _payload(entries, count)
        if len(payload) <= max_bytes:
            return payload
    chosen = [entry for entry in entries if entry.user in named]
    payload = _payload(chosen, count)
    while len(payload) > max_bytes and chosen:
        chosen = chosen[: len(chosen) * 3 // 4]
        payload = _payload(chosen, count)
    return payload


def _payload(entries: list[DirectoryEntry], count: int) -> bytes:
    contacts: list[Json] = [entry_body(entry) for entry in entries]
    return encode({"schema": 1, "complete": len(entries) == count, "count": count, "contacts": contacts})


def search_payload(entries: Iterable[DirectoryEntry], fields: Mapping[str, Json]) -> Json:
    """Returns the answer to `request/contacts`. Raises `BadCommand`."""
    read.reject_unknown_fields(fields, "query", "kind", "limit", "offset")
    query, kind = read.read_text(fields, "query", ""), read.read_text(fields, "kind", "")
    if kind and kind not in list(ChatKind):
        raise BadCommand("bad_request", "unknown_kind", kind=kind, known=", ".join(ChatKind))
    limit, offset = read.read_integer(fields, "limit"), read.read_integer(fields, "offset", 0) or 0
    matches = matching_entries(entries, query, kind)
    end = None if limit is None else offset + limit
    contacts: list[Json] = [entry_body(entry) for entry in matches[offset:end]]
    return {"count": len(matches), "contacts": contacts}


def matching_entries(entries: Iterable[DirectoryEntry], query: str, kind: str = "") -> list[DirectoryEntry]:
    """Returns the entries of a kind that have the query in one of their names; an empty query matches all."""
    folded_query = query.casefold()
    matches = []
    for entry in entries:
        names = (entry.user, entry.name, entry.remark, entry.nickname)
        if is_in_a_name(folded_query, names) and (not kind or entry.kind == kind):
            matches.append(entry)
    return matches


def is_in_a_name(folded_query: str, names: Iterable[str]) -> bool:
    """Returns whether one of the names has the query, which `casefold` has changed; all have an empty one."""
    return not folded_query or any(folded_query in name.casefold() for name in names)
