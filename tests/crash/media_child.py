"""Fetches, sends, prunes and does requests until it is killed, and says what it was told is on the disk.

`run([FOLDER, POINT, COUNT])`, as in `journal_child`. Besides the points around each
commit there are `before:` and `after:` `write`, `fsync`, `rename` and `folder` of a file of bytes.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.crash.journal_child import TOO_LONG, Killer, say
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
KEPT = 10 * SIZE


def data(number: int) -> bytes:
    """The bytes of a picture; of two in a row they are the same."""
    return (b"%08d" % (number // 2)) * (SIZE // 8)


def mark(number: int, *, dup: bool = False) -> DeliveryMark:
    digest = b"%d" % number
    return DeliveryMark(
        broker_session=1, packet_id=number, topic="wx/bridge/request/group", digest=digest, dup=dup
    )


def told(**facts: object) -> NewPublication:
    payload = json.dumps(facts).encode()
    return NewPublication(topic="wx/x", payload=payload, category="event", content_type="application/json")


def picture(number: int) -> NewMessage:
    """The even ones are held."""
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


class Life:
    """Everything at once on one store."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.blobs = Blobs(folder)
        self.journal = Journal(database, "home", on_referenced=self.blobs.mark_referenced)
        self.upkeep = MediaRetention(database, self.blobs)

    async def receive(self) -> None:
        """Messages whose bytes are to be fetched, and the fetching: one fails, one is put off, most are ready."""
        number = 0
        while True:
            batch = [picture(number + index) for index in range(BATCH)]
            await self.journal.received.record(batch, NO_CHANGES, Cursor(str(number)), "login")
            say("recorded", numbers=[number + index for index in range(BATCH)])
            number += BATCH
            while row := await self.journal.media.next_download():
                await self._fetch(int(row.id[1:]), row.attempts)

    async def _fetch(self, number: int, tries: int) -> None:
        media_id = f"m{number}"
        if number % 4 == 1 and not tries:
            await self.journal.media.postpone(media_id, number, empty=1, why="nothing came")
            say("postponed", number=number)
            return
        if number % 4 == 3:
            await self.journal.media.mark_unavailable(media_id, MediaState.FAILED, "no", [told(media=number)])
            say("failed", number=number)
        else:
            blob = await self.blobs.store(data(number), SIZE)
            await self.journal.media.mark_ready(media_id, blob, [told(media=number)])
            say("ready", number=number)
        if number % 2 == 0:
            await self.journal.media.release_message(f"p{number}", {"state": "over"})
            say("released", number=number)

    async def send(self) -> None:
        """Commands with files; of two one gets its file later."""
        number = 0
        while True:
            number += 1
            blob = await self.blobs.store(data(-number), SIZE)
            early = number % 2 == 0
            (accepted,) = await self.journal.commands.accept([_command(number, blob if early else None)])
            assert accepted.row is not None
            if not early:
                await self.journal.commands.attach_file(accepted.row.id, blob)
            say("accepted", number=number)
            if number > 3:
                await self._settle(number - 3)

    async def _settle(self, number: int) -> None:
        row = await self.journal.commands.get(f"c{number}")
        assert row is not None
        result = Result(id=f"c{number}", user="wife", status=Status.SENT, code="ok", time=1)
        await self.journal.commands.finish(row.id, result, ())
        say("settled", number=number)

    async def requests(self) -> None:
        """Requests that change something."""
        number = 0
        while True:
            number += 1
            await self.journal.requests.start(mark(number))
            say("begun", number=number)
            await self.journal.requests.finish(mark(number), [told(request=number)])
            say("ended", number=number)

    async def prune(self) -> None:
        """Little room: what was fetched first goes again."""
        while True:
            await self.upkeep.enforce_limit("home", KEPT)
            await self.upkeep.delete_unused_files(0.0)


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


def _deadly(killer: Killer, holder: Any, name: str, point: str) -> None:
    real: Callable[..., Any] = getattr(holder, name)

    def watched(*arguments: Any) -> Any:
        killer(f"before:{point}")
        result = real(*arguments)
        killer(f"after:{point}")
        return result

    setattr(holder, name, watched)


async def main(folder: Path, point: str, count: int) -> None:
    """All of it until death."""
    signal.alarm(TOO_LONG)
    killer = Killer(point, count)
    for holder, name, step in [
        (os, "write", "write"),
        (os, "fsync", "fsync"),
        (Path, "replace", "rename"),
        (blobs_module, "sync_folder", "folder"),
    ]:
        _deadly(killer, holder, name, step)
    database = await SqliteDatabase.open(folder / "wx2mqtt.db", killer)
    life = Life(database, folder)
    await life.blobs.open()
    await life.journal.open()
    say("open")
    await asyncio.gather(life.receive(), life.send(), life.requests(), life.prune())


def run(arguments: list[str]) -> None:
    folder, point, count = arguments
    asyncio.run(main(Path(folder), point, int(count)))
