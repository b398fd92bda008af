"""`contacts`: who has which topic name, how that was found, who is trusted. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from wx2mqtt.bridge.people.registry import DirectoryEntry
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import ChatKind, Json
from wx2mqtt.mqtt import commands as read
from wx2mqtt.mqtt.payloads import encode

MAX_DIRECTORY_BYTES = (
    256_000  # bytes; above it, or the broker's limit, only the people whom the owner named are in it
)
MIN_ENTRY_BYTES = (
    80  # bytes of a line, at least: so many that it cannot be whole are not written to be counted
)


def entry_body(entry: DirectoryEntry) -> dict[str, Json]:
    """One line of the directory; what is not known is absent."""
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


def directory_payload(entries: list[DirectoryEntry], *, named: Collection[str], max_bytes: int) -> bytes:
    """The payload of `contacts` in at most `room` bytes: whole, else as many of those in `named` as fit.

    `count` is always that of all: who is told less sees how much there is to ask for.
    """
    count = len(entries)
    if count * MIN_ENTRY_BYTES <= max_bytes and len(whole := _payload(entries, count)) <= max_bytes:
        return whole
    chosen = [entry for entry in entries if entry.user in named]
    while len(payload := _payload(chosen, count)) > max_bytes and chosen:
        chosen = chosen[: len(chosen) * 3 // 4]
    return payload


def _payload(entries: list[DirectoryEntry], count: int) -> bytes:
    contacts: list[Json] = [entry_body(entry) for entry in entries]
    return encode({"schema": 1, "complete": len(entries) == count, "count": count, "contacts": contacts})


def search_payload(entries: Iterable[DirectoryEntry], fields: Mapping[str, Json]) -> Json:
    """The answer to `request/contacts`: all, or the part that `query`, `kind`, `limit` and `offset` ask for.

    Raises `BadCommand`.
    """
    read.reject_unknown_fields(fields, "query", "kind", "limit", "offset")
    query, kind = read.read_text(fields, "query", ""), read.read_text(fields, "kind", "")
    if kind and kind not in list(ChatKind):
        raise BadCommand("bad_request", "unknown_kind", kind=kind, known=", ".join(ChatKind))
    limit, offset = read.read_integer(fields, "limit"), read.read_integer(fields, "offset", 0) or 0
    found = matching_entries(entries, query, kind)
    end = None if limit is None else offset + limit
    contacts: list[Json] = [entry_body(entry) for entry in found[offset:end]]
    return {"count": len(found), "contacts": contacts}


def matching_entries(entries: Iterable[DirectoryEntry], query: str, kind: str = "") -> list[DirectoryEntry]:
    """Those of a kind in one of whose names the query stands; an empty one means all."""
    wanted = query.casefold()
    return [one for one in entries if (not kind or one.kind == kind) and (not wanted or _named(one, wanted))]


def _named(entry: DirectoryEntry, query: str) -> bool:
    return any(
        query in name.casefold() for name in (entry.user, entry.name, entry.remark, entry.nickname) if name
    )
