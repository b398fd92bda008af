"""Stores downloads, commands with files and requests until it is killed, and reports what is stored.

`run([FOLDER, POINT, COUNT])`, as in `journal_child`. Besides the points around each
commit there are `before:` and `after:` `write`, `fsync`, `rename` and `folder` of a media file.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.crash.journal_child import MAX_SECONDS, KillAtPoint, report
from wx2mqtt.model import Blob, Command, Cursor, MediaRef, Result, SendKey, Status
from wx2mqtt.store import blobs as blobs_module
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.command_records import DeliveryMark, NewCommand
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.media_retention import MediaRetention
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.records import (
    MediaPart,
    MediaState,
    NewMedia,
    NewMessage,
    NewPublication,
)
from wx2mqtt.store.sqlite_database import SqliteDatabase

BATCH = 4
SIZE = 700_000  # bytes: several writes
MAX_STORED_BYTES = 10 * SIZE


def data(number: int) -> bytes:
    """Returns the bytes of a picture; two pictures in a row have the same."""
    return (b"%08d" % (number // 2)) * (SIZE // 8)


def mark(number: int, *, dup: bool = False) -> DeliveryMark:
    digest = b"%d" % number
    return DeliveryMark(
        broker_session=1, packet_id=number, topic="wx/bridge/request/group", digest=digest, dup=dup
    )


def publication(**facts: object) -> NewPublication:
    payload = json.dumps(facts).encode()
    return NewPublication(topic="wx/x", payload=payload, category="event", content_type="application/json")


def picture(number: int) -> NewMessage:
    """Returns a message with a picture; one with an even number waits for its file."""
    return NewMessage(
        key=f"p{number}",
        id=f"p{number}",
        topic=f"wx/in/{number}",
        user=f"{number}",
        kind="image",
        time=1,
        text="[Image]",
        body={"id": f"p{number}", "image": {"state": "pending"}},
        media=(
            NewMedia(
                id=f"m{number}", part=MediaPart.WHOLE, kind="image", ref=MediaRef(locator={}), due=number
            ),
        ),
        waits_for_file=number % 2 == 0,
    )


class StoreWork:
    """All kinds of work on one store."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.blobs = Blobs(folder)
        self.journal = Journal(database, "home", on_referenced=self.blobs.mark_referenced)
        self.retention = MediaRetention(database, self.blobs)

    async def receive(self) -> None:
        """Records messages and stores their files: one of four fails, one is postponed first, the others are ready."""
        number = 0
        while True:
            batch = [picture(number + index) for index in range(BATCH)]
            await self.journal.received.record(batch, NO_CHANGES, Cursor(str(number)), "login")
            report("recorded", numbers=[number + index for index in range(BATCH)])
            number += BATCH
            while row := await self.journal.media.next_download():
                await self._fetch(int(row.id[1:]), row.attempts)

    async def _fetch(self, number: int, tries: int) -> None:
        media_id = f"m{number}"
        if number % 4 == 1 and not tries:
            await self.journal.media.postpone(media_id, number, empty=1, why="no answer")
            report("postponed", number=number)
            return
        if number % 4 == 3:
            await self.journal.media.mark_unavailable(
                media_id, MediaState.FAILED, "no", [publication(media=number)]
            )
            report("failed", number=number)
        else:
            blob = await self.blobs.store(data(number), SIZE)
            await self.journal.media.mark_ready(media_id, blob, [publication(media=number)])
            report("ready", number=number)
        if number % 2 == 0:
            await self.journal.media.release_message(f"p{number}", {"state": "over"})
            report("released", number=number)

    async def send(self) -> None:
        """Accepts commands with files; every second one gets its file later."""
        number = 0
        while True:
            number += 1
            blob = await self.blobs.store(data(-number), SIZE)
            has_file = number % 2 == 0
            (accepted,) = await self.journal.commands.accept([_command(number, blob if has_file else None)])
            assert accepted.row is not None
            if not has_file:
                await self.journal.commands.attach_file(accepted.row.id, blob)
            report("accepted", number=number)
            if number > 3:
                await self._finish(number - 3)

    async def _finish(self, number: int) -> None:
        row = await self.journal.commands.get(f"c{number}")
        assert row is not None
        result = Result(id=f"c{number}", user="wife", status=Status.SENT, code="ok", time=1)
        await self.journal.commands.finish(row.id, result, ())
        report("finished", number=number)

    async def requests(self) -> None:
        """Starts and finishes requests that change something."""
        number = 0
        while True:
            number += 1
            await self.journal.requests.start(mark(number))
            report("begun", number=number)
            await self.journal.requests.finish(mark(number), [publication(request=number)])
            report("ended", number=number)

    async def prune(self) -> None:
        """Deletes the oldest files: the limit is small."""
        while True:
            await self.retention.enforce_limit("home", MAX_STORED_BYTES)
            await self.retention.delete_unused_files(0.0)


def _command(number: int, blob: Blob | None) -> NewCommand:
    return NewCommand(
        command=Command(user="wife", kind="image"),
        command_id=f"c{number}",
        fingerprint="x",
        person=None,
        key=SendKey("1"),
        accepted=1,
        expires=None,
        replies=(),
        blob=blob,
    )


def _kill_around(kill_at_point: KillAtPoint, owner: Any, name: str, point: str) -> None:
    real: Callable[..., Any] = getattr(owner, name)

    def watched(*arguments: Any) -> Any:
        kill_at_point(f"before:{point}")
        result = real(*arguments)
        kill_at_point(f"after:{point}")
        return result

    setattr(owner, name, watched)


async def main(folder: Path, point: str, count: int) -> None:
    """Does all of it at the same time, until it is killed."""
    signal.alarm(MAX_SECONDS)
    kill_at_point = KillAtPoint(point, count)
    for owner, name, step in [
        (os, "write", "write"),
        (os, "fsync", "fsync"),
        (Path, "replace", "rename"),
        (blobs_module, "sync_folder", "folder"),
    ]:
        _kill_around(kill_at_point, owner, name, step)
    database = await SqliteDatabase.open(folder / "wx2mqtt.db", kill_at_point)
    work = StoreWork(database, folder)
    await work.blobs.open()
    await work.journal.open()
    report("open")
    await asyncio.gather(work.receive(), work.send(), work.requests(), work.prune())


def run(arguments: list[str]) -> None:
    folder, point, count = arguments
    asyncio.run(main(Path(folder), point, int(count)))
