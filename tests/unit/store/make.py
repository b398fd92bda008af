"""Builders of records with defaults, so that a test names only what it is about."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from wx2mqtt.model import (
    Blob,
    ChatKind,
    Command,
    Cursor,
    Handle,
    Json,
    MediaRef,
    PersonId,
    Result,
    SendKey,
    Status,
)
from wx2mqtt.store.command_records import CommandRow, DeliveryMark, NewCommand, ReplyTarget
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import NO_CHANGES, Person
from wx2mqtt.store.records import MediaPart, NewEvent, NewMedia, NewMessage, NewPublication, RecordResult


def message(key: str, *, user: str = "wife", text: str = "开灯 ☀", topic: str = "") -> NewMessage:
    return NewMessage(
        key=key,
        id=f"id-{key}",
        topic=topic or f"wx/in/{user}",
        user=user,
        kind="text",
        time=1_795_600_000_000,
        text=text,
        body={"id": f"id-{key}", "user": user, "text": text},
    )


def picture(
    key: str, *media: NewMedia, waits_for_file: bool = False, user: str = "wife", kind: str = "image"
) -> NewMessage:
    """Returns a message with media; with `waits_for_file` it is not published before `release_message`."""
    return NewMessage(
        key=key,
        id=f"id-{key}",
        topic=f"wx/in/{user}",
        user=user,
        kind=kind,
        time=1_795_600_000_000,
        text="[Image]",
        body={"id": f"id-{key}", "kind": kind, kind: {"state": "pending", "url": "/media/x"}},
        media=media,
        waits_for_file=waits_for_file,
    )


def media(media_id: str, due: int | None = 100, part: MediaPart = MediaPart.WHOLE) -> NewMedia:
    ref = MediaRef(locator={"MsgID": "1", "秘": "密"}, mime="image/jpeg", size=3, name="a.jpg")
    return NewMedia(id=media_id, part=part, kind="image", ref=ref, due=due)


def blob(content: str, size: int = 10) -> Blob:
    """Returns a blob that has no file."""
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    path = f"media/{sha256[:2]}/{sha256}.jpg"
    return Blob(sha256=sha256, size=size, mime="image/jpeg", path=path, width=4, height=3)


def event(key: str, **private: str) -> NewEvent:
    body: dict[str, Json] = {"schema": 1, "event": "recall", "id": key}
    return NewEvent(
        key=key, topic="wx/event/recall", user="wife", name="recall", time=1, body=body, private=private
    )


def publication(topic: str = "wx/result/wife", payload: bytes = b'{"id":"a"}') -> NewPublication:
    return NewPublication(topic=topic, payload=payload, category="result", content_type="application/json")


def reply(
    topic: str = "wx/result/wife", *, correlation: bytes | None = None, shape: str = "result"
) -> ReplyTarget:
    return ReplyTarget(topic=topic, correlation=correlation, shape=shape, name="", transaction=None)


def command(
    command_id: str,
    *,
    text: str = "你好",
    user: str = "wife",
    person: int | None = 7,
    delivery: DeliveryMark | None = None,
    replies: tuple[ReplyTarget, ...] | None = None,
    expires: int | None = 600_000,
    result: Result | None = None,
    publications: tuple[NewPublication, ...] = (),
    blob: Blob | None = None,
) -> NewCommand:
    return NewCommand(
        command=Command(user=user, text=text, id=command_id, mention=("bob",)),
        command_id=command_id,
        fingerprint=f"print of {text}",
        person=None if person is None else PersonId(person),
        key=SendKey("17956000000001234"),
        accepted=1000,
        expires=expires,
        replies=(reply(),) if replies is None else replies,
        delivery=delivery,
        duplicate_possible=False,
        result=result,
        publications=publications,
        blob=blob,
    )


def delivery_mark(mid: int, *, dup: bool = False, session: int = 1, content: str = "a") -> DeliveryMark:
    return DeliveryMark(
        broker_session=session, packet_id=mid, topic="wx/out/wife", digest=content.encode(), dup=dup
    )


def result(command_id: str, status: Status = Status.SENT, message_id: str | None = None) -> Result:
    return Result(id=command_id, user="wife", status=status, code="ok", message_id=message_id, time=2000)


def person(number: int, topic_name: str, **more: object) -> Person:
    values: dict[str, object] = {
        "id": PersonId(number),
        "topic_name": topic_name,
        "kind": ChatKind.FRIEND,
        "handle": Handle(f"@{number}"),
        "login_id": "login",
        "matched_by": "remark",
    }
    return Person(**{**values, **more})  # type: ignore[arg-type]


# For a test of what only one kind of database has.
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


def names(folder: Path) -> list[str]:
    """Returns the names in a folder."""
    return sorted(file.name for file in folder.iterdir())


def modes(folder: Path) -> dict[str, int]:
    """Returns the mode of each file in a folder."""
    return {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Returns content and modification time of each file in a folder."""
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}


def chmod(path: Path, mode: int) -> None:
    path.chmod(mode)


async def accept(journal: Journal, *new: NewCommand) -> list[CommandRow]:
    """Accepts commands that are all new or repeats; returns their rows."""
    rows = [accepted.row for accepted in await journal.commands.accept(new)]
    assert all(rows)
    return [row for row in rows if row]


async def command_row(journal: Journal, command_id: str) -> CommandRow:
    row = await journal.commands.get(command_id)
    assert row is not None
    return row


async def record(journal: Journal, *items: NewMessage | NewEvent, cursor: str | None = None) -> RecordResult:
    """Records messages and events as of one answer of WeChat."""
    return await journal.received.record(
        items, NO_CHANGES, None if cursor is None else Cursor(cursor), "login"
    )


async def waiting_ids(journal: Journal) -> list[int]:
    return [row.id for row in await journal.outbox.list_waiting(0, 100_000)]


async def publish_all(journal: Journal) -> None:
    await journal.outbox.mark_published(await waiting_ids(journal))


async def topics(journal: Journal) -> list[str]:
    """Returns the topics of the publications that wait."""
    return [row.topic for row in await journal.outbox.list_waiting(0, 1000)]
