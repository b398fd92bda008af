"""The directory on `contacts`, whole or cut, and the answer to `request/contacts`."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.rows import every_row
from wx2mqtt.bridge.people.directory import (
    MAX_DIRECTORY_BYTES,
    MIN_ENTRY_BYTES,
    DirectoryEntry,
    directory_payload,
    entry_body,
    search_payload,
)
from wx2mqtt.bridge.status_topics import StatusReporter
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import ChatKind, Json
from wx2mqtt.mqtt.topics import Topics


def entry(user: str, **more: object) -> DirectoryEntry:
    values: dict[str, object] = {
        "user": user,
        "kind": ChatKind.FRIEND,
        "name": user,
        "remark": "",
        "nickname": "",
        "matched_by": "new",
        "trusted": False,
        "removed": False,
        "closed": False,
    }
    return DirectoryEntry(**{**values, **more})  # type: ignore[arg-type]


WIFE = entry("wife", name="老婆", remark="老婆", nickname="晓梅", matched_by="pin", trusted=True)


def test_a_line_says_who_it_is_how_that_was_found_and_nothing_that_is_not_known():
    body = json.loads(
        directory_payload(
            [WIFE, entry("bob", removed=True, closed=True)], count=2, named=(), max_bytes=MAX_DIRECTORY_BYTES
        )
    )
    assert (body["schema"], body["complete"], body["count"]) == (1, True, 2)
    assert body["contacts"][0] == {
        "user": "wife",
        "kind": "friend",
        "name": "老婆",
        "remark": "老婆",
        "nickname": "晓梅",
        "matched_by": "pin",
        "trusted": True,
        "removed": False,
    }
    assert "remark" not in body["contacts"][1]
    assert body["contacts"][1]["unresolved"] is True


def test_what_the_broker_would_not_take_is_cut_to_those_whom_the_owner_named():
    people = [entry(f"friend{n:04d}") for n in range(5000)]
    cut = json.loads(
        directory_payload(
            [*people, WIFE], count=len(people) + 1, named=("wife", "nobody"), max_bytes=MAX_DIRECTORY_BYTES
        )
    )
    assert (cut["complete"], cut["count"]) == (False, 5001)
    assert [entry["user"] for entry in cut["contacts"]] == ["wife"]
    whole = directory_payload(people[:50], count=50, named=(), max_bytes=MAX_DIRECTORY_BYTES)
    assert json.loads(whole)["complete"] is True
    assert (
        json.loads(directory_payload(people[:50], count=50, named=(), max_bytes=len(whole)))["complete"]
        is True
    )
    assert (
        json.loads(directory_payload(people[:50], count=50, named=(), max_bytes=len(whole) - 1))["complete"]
        is False
    )


def test_no_line_is_shorter_than_is_taken_for_granted():
    shortest = entry("a", matched_by="id", kind=ChatKind.SELF, name="a")
    line = json.dumps(entry_body(shortest), separators=(",", ":"))
    assert MIN_ENTRY_BYTES <= len(line) < MIN_ENTRY_BYTES + 10


@pytest.mark.parametrize("max_bytes", [100, 1000, 5000])
def test_of_the_named_people_as_many_as_fit_are_in_the_directory(max_bytes: int):
    people = [entry(f"friend{n:04d}") for n in range(500)]
    payload = directory_payload(
        people, count=len(people), named={entry.user for entry in people}, max_bytes=max_bytes
    )
    assert len(payload) <= max_bytes
    assert json.loads(payload)["complete"] is False


def search(entries: list[DirectoryEntry], **fields: Json) -> Any:
    """Returns what `search_payload` answers, as a reader of the JSON sees it."""
    return json.loads(json.dumps(search_payload(entries, fields)))


def test_a_request_finds_by_name_kind_and_place():
    entries = [WIFE, entry("family", kind=ChatKind.GROUP), entry("bob", nickname="Bob")]
    assert search(entries)["count"] == 3
    assert [entry["user"] for entry in search(entries, query="BOB")["contacts"]] == ["bob"]
    assert [entry["user"] for entry in search(entries, query="梅")["contacts"]] == ["wife"]
    assert [entry["user"] for entry in search(entries, kind="group")["contacts"]] == ["family"]
    part = search(entries, limit=1, offset=1)
    assert (part["count"], [entry["user"] for entry in part["contacts"]]) == (3, ["family"])


@every_row(
    ("key", "value"),
    [("query", 5), ("kind", None), ("limit", "all"), ("limit", -1), ("limit", True), ("offset", 1.5)],
)
def test_a_request_that_cannot_be_understood_names_the_key(key: str, value: Json):
    with pytest.raises(BadCommand) as bad:
        search_payload([WIFE], {key: value})
    assert bad.value.code == "bad_request"
    assert bad.value.facts["key"] == key


def test_a_directory_that_cannot_fit_is_not_built():
    """The directory of 50,000 people would take a third of a second, and then be thrown away."""
    asked: list[Any] = []
    published: list[bytes] = []
    context = SimpleNamespace(
        name="home",
        topics=Topics("wx"),
        registry=SimpleNamespace(count=50_000),
        settings=SimpleNamespace(named_users=("wife",)),
    )

    def entries_of(levels: Any) -> list[DirectoryEntry]:
        asked.append(levels)
        return [WIFE]

    parts: list[Any] = [
        context,
        SimpleNamespace(set=lambda _topic, payload, _type: published.append(payload)),
        SimpleNamespace(payload_limit=lambda _topic: None),
        SimpleNamespace(directory_entries=entries_of),
        None,
    ]
    StatusReporter(*parts).publish_directory()
    assert asked == [("wife",)]
    body = json.loads(published[0])
    assert (body["count"], body["complete"]) == (50_000, False)
    assert [person["user"] for person in body["contacts"]] == ["wife"]
