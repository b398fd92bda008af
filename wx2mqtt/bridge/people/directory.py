"""`contacts`: who has which topic name, how that was found, who is trusted (DESIGN 4.1). Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from wx2mqtt.bridge.people.identity import Entry
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Json
from wx2mqtt.mqtt.payloads import encode

LARGEST = 256_000  # bytes; above it, or the broker's limit, only the people whom the owner named are in it
SMALLEST = 80  # bytes of a line, at least: so many that it cannot be whole are not written to be counted


def entry_body(entry: Entry) -> dict[str, Json]:
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
    return body


def directory(entries: list[Entry], *, named: Collection[str], room: int) -> bytes:
    """The payload of `contacts` in at most `room` bytes: whole, else as many of those in `named` as fit."""
    if len(entries) * SMALLEST <= room and len(whole := _payload(entries, complete=True)) <= room:
        return whole
    chosen = [entry for entry in entries if entry.user in named]
    while len(payload := _payload(chosen, complete=False)) > room and chosen:
        chosen = chosen[: len(chosen) * 3 // 4]
    return payload


def _payload(entries: list[Entry], *, complete: bool) -> bytes:
    contacts: list[Json] = [entry_body(entry) for entry in entries]
    return encode({"schema": 1, "complete": complete, "count": len(entries), "contacts": contacts})


def search(entries: Iterable[Entry], fields: Mapping[str, Json]) -> Json:
    """The answer to `request/contacts`: all, or the part that `query`, `kind`, `limit` and `offset` ask for.

    Raises `BadCommand`.
    """
    query, kind = fields.get("query", ""), fields.get("kind", "")
    limit, offset = fields.get("limit"), fields.get("offset", 0)
    for key, value in (("query", query), ("kind", kind)):
        if not isinstance(value, str):
            raise BadCommand("bad_request", "bad_value", key=key, expected="a text")
    for key, number in (("limit", limit), ("offset", offset)):
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 0):
            raise BadCommand("bad_request", "bad_value", key=key, expected="a whole number")
    bodies = [body for body in map(entry_body, entries) if _matches(body, str(query), str(kind))]
    start = offset if isinstance(offset, int) else 0
    end = start + limit if isinstance(limit, int) else None
    contacts: list[Json] = list(bodies[start:end])
    return {"count": len(bodies), "contacts": contacts}


def _matches(body: Mapping[str, Json], query: str, kind: str) -> bool:
    texts = (body.get("user"), body.get("name"), body.get("remark"), body.get("nickname"))
    named = any(query.casefold() in str(text).casefold() for text in texts if text)
    return (not kind or body["kind"] == kind) and (not query or named)
