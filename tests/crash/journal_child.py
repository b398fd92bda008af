"""Uses a journal until it is killed, and reports on standard output what the journal said is stored.

`run([ADDRESS, POINT, COUNT])`, in a process of its own: it kills itself at the COUNT-th time that the
writing thread reaches POINT; with POINT `-` another process kills it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
from pathlib import Path

from wx2mqtt.model import ChatKind, Command, Cursor, PersonId, Result, SendKey, Status
from wx2mqtt.store.command_records import NewCommand, ReplyTarget
from wx2mqtt.store.database import Database, OnCommitPoint, ignore_commit_point
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import PeopleChanges, Person
from wx2mqtt.store.postgresql_database import PostgresqlDatabase
from wx2mqtt.store.records import NewEvent, NewMessage, NewPublication
from wx2mqtt.store.sqlite_database import SqliteDatabase

ROUNDS = 2000
MAX_SECONDS = 60  # then it ends by another signal, which its test treats as a failure
BATCH = 5


def report(what: str, **facts: object) -> None:
    """Writes a line at once: this was committed."""
    os.write(1, (json.dumps({"what": what, **facts}) + "\n").encode())


class KillAtPoint:
    """Kills this process at the COUNT-th time that a point is reached."""

    def __init__(self, point: str, count: int) -> None:
        self._point = point
        self._left = count

    def __call__(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def message(key: str) -> NewMessage:
    return NewMessage(
        key=key,
        id=key,
        topic="wx/in/wife",
        user="wife",
        kind="text",
        time=1,
        text="x" * 300,
        body={"id": key, "text": "x" * 300},
    )


def result_publication(command_id: str) -> NewPublication:
    payload = json.dumps({"result": command_id}).encode()
    return NewPublication(
        topic="wx/result/wife", payload=payload, category="result", content_type="application/json"
    )


async def receive(journal: Journal) -> None:
    """Records batches of five messages, an event and a cursor, as an account that receives."""
    for number in range(ROUNDS):
        keys = [f"m{number}-{index}" for index in range(BATCH)]
        event = NewEvent(
            key=f"e{number}", topic="wx/event/x", user="", name="x", time=1, body={"id": f"e{number}"}
        )
        person = Person(
            id=PersonId(number + 1),
            topic_name=f"p{number}",
            kind=ChatKind.FRIEND,
            handle=None,
            login_id="login",
            matched_by="new",
        )
        recorded = await journal.received.record(
            [*map(message, keys), event], PeopleChanges(persons=(person,)), Cursor(str(number)), "login"
        )
        report("recorded", batch=number, seq=recorded.seq)


async def command(journal: Journal) -> None:
    """Accepts two commands at a time, begins and finishes them; finishing the first one begins the second one."""
    for number in range(0, ROUNDS, 2):
        names = [f"c{number}", f"c{number + 1}"]
        accepted = await journal.commands.accept([_command(name) for name in names])
        report("accepted", names=names)
        first, second = (outcome.row for outcome in accepted)
        assert first is not None
        assert second is not None
        await journal.commands.begin_attempt(first.id)
        report("begun", name=names[0])
        if number % 6 == 0:
            await journal.commands.end_unanswered(first.id)
            report("unanswered", name=names[0])
        await journal.commands.finish(first.id, _sent(names[0]), [result_publication(names[0])], second.id)
        report("finished", name=names[0])
        await journal.commands.finish(second.id, _sent(names[1]), [result_publication(names[1])])
        report("finished", name=names[1])


async def publish(journal: Journal) -> None:
    """Marks publications as published or rejected, and adds one now and then."""
    after = 0
    for number in itertools.count():
        rows = await journal.outbox.list_waiting(after, 7)
        if not rows or number % 5 == 0:
            await journal.outbox.add([result_publication("by itself")])
            continue
        after = rows[-1].id
        await journal.outbox.mark_rejected([rows[0].id], "for the test")
        await journal.outbox.mark_published([row.id for row in rows[1:]])
        report("published", rows=[row.id for row in rows[1:]])


def _command(name: str) -> NewCommand:
    return NewCommand(
        command=Command(user="wife", text=name),
        command_id=name,
        fingerprint=name,
        person=None,
        key=SendKey(name[1:]),
        accepted=1,
        expires=None,
        replies=(
            ReplyTarget(topic="wx/result/wife", correlation=None, shape="result", name="", transaction=None),
        ),
    )


def _sent(name: str) -> Result:
    return Result(id=name, user="wife", status=Status.SENT, code="ok", message_id=f"sent {name}", time=1)


async def open_database(address: str, on_commit_point: OnCommitPoint = ignore_commit_point) -> Database:
    """Opens the store at an address: of a database of PostgreSQL, or the path of a file."""
    if address.startswith("postgresql:"):
        return await PostgresqlDatabase.open(address, on_commit_point)
    return await SqliteDatabase.open(Path(address), on_commit_point)


async def main(address: str, point: str, count: int) -> None:
    """Does all of it at the same time, so that commits have several jobs."""
    signal.alarm(MAX_SECONDS)
    database = await open_database(address, KillAtPoint(point, count))
    journal = Journal(database, "home")
    await journal.open()
    report("open")
    await asyncio.gather(receive(journal), command(journal), publish(journal))


def run(arguments: list[str]) -> None:
    address, point, count = arguments
    asyncio.run(main(address, point, int(count)))
