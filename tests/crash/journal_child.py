"""Uses a journal until it is killed, and says on standard output what it was told is on the disk.

`run([ADDRESS, POINT, COUNT])`, in a process of its own: it kills itself at the COUNT-th time that the
writing thread reaches POINT; POINT `-` leaves the killing to others.
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
TOO_LONG = 60  # seconds after which it ends by another signal, which its test takes for a failure
BATCH = 5


def say(what: str, **facts: object) -> None:
    """One line, written at once: what stands here was reported as committed."""
    os.write(1, (json.dumps({"what": what, **facts}) + "\n").encode())


class Killer:
    """Ends this process without any goodbye."""

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


def told(command_id: str) -> NewPublication:
    payload = json.dumps({"result": command_id}).encode()
    return NewPublication(
        topic="wx/result/wife", payload=payload, category="result", content_type="application/json"
    )


async def receive(journal: Journal) -> None:
    """WeChat to the journal: five messages and an event in each batch, and the cursor behind them."""
    for number in range(ROUNDS):
        keys = [f"m{number}-{index}" for index in range(BATCH)]
        happened = NewEvent(
            key=f"e{number}", topic="wx/event/x", user="", name="x", time=1, body={"id": f"e{number}"}
        )
        somebody = Person(
            id=PersonId(number + 1),
            topic_name=f"p{number}",
            kind=ChatKind.FRIEND,
            handle=None,
            login_id="login",
            matched_by="new",
        )
        recorded = await journal.received.record(
            [*map(message, keys), happened], PeopleChanges(persons=(somebody,)), Cursor(str(number)), "login"
        )
        say("recorded", batch=number, seq=recorded.seq)


async def command(journal: Journal) -> None:
    """Two commands at a time: accepted, tried, the second one's attempt marked by the first one's end."""
    for number in range(0, ROUNDS, 2):
        names = [f"c{number}", f"c{number + 1}"]
        accepted = await journal.commands.accept([_command(name) for name in names])
        say("accepted", names=names)
        first, second = (one.row for one in accepted)
        assert first is not None
        assert second is not None
        await journal.commands.begin_attempt(first.id)
        say("begun", name=names[0])
        if number % 6 == 0:
            await journal.commands.end_unanswered(first.id)
            say("doubted", name=names[0])
        await journal.commands.finish(first.id, _sent(names[0]), [told(names[0])], second.id)
        say("settled", name=names[0])
        await journal.commands.finish(second.id, _sent(names[1]), [told(names[1])])
        say("settled", name=names[1])


async def publish(journal: Journal) -> None:
    """The journal to the broker, and a message of its own now and then."""
    after = 0
    for number in itertools.count():
        rows = await journal.outbox.list_waiting(after, 7)
        if not rows or number % 5 == 0:
            await journal.outbox.add([told("by itself")])
            continue
        after = rows[-1].id
        await journal.outbox.mark_rejected([rows[0].id], "for the test")
        await journal.outbox.mark_published([row.id for row in rows[1:]])
        say("published", rows=[row.id for row in rows[1:]])


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
    """Everything at once, so that commits hold several jobs."""
    signal.alarm(TOO_LONG)
    database = await open_database(address, Killer(point, count))
    journal = Journal(database, "home")
    await journal.open()
    say("open")
    await asyncio.gather(receive(journal), command(journal), publish(journal))


def run(arguments: list[str]) -> None:
    address, point, count = arguments
    asyncio.run(main(address, point, int(count)))
