"""The store stays within its bounds, whatever fills it."""

from __future__ import annotations

from pathlib import Path

from wx2mqtt.app.upkeep import DATABASE, Upkeep
from wx2mqtt.model import Cursor
from wx2mqtt.store.database import Database
from wx2mqtt.store.folder import Folder
from wx2mqtt.store.journal import Journal, NewMessage
from wx2mqtt.store.people import PeopleChanges

LONG_AGO = 1_000


def message(number: int) -> NewMessage:
    return NewMessage(
        key=str(number),
        id=str(number),
        topic="wx/in/wife",
        user="wife",
        kind="text",
        sender="wife",
        time=LONG_AGO,
        text="x" * 1000,
        body={"text": "x" * 1000},
    )


async def _count(journal: Journal) -> int:
    def job(connection) -> int:
        return int(connection.execute("SELECT count(*) FROM publication").fetchone()[0])

    return await journal._database.read(job)


async def test_history_goes_when_other_files_fill_the_folder(tmp_path: Path) -> None:
    """90 % is of everything below the folder (DESIGN 4.3): a small database must give way to large media, too."""
    folder = Folder.open(tmp_path / "store")
    (folder.path / "media").write_bytes(b"\0" * 900_000)
    database = await Database.open(folder.path / DATABASE)
    journal = Journal(database, "home", lambda: LONG_AGO)
    await journal.open()
    await journal.record([message(number) for number in range(100)], PeopleChanges(), Cursor("c"), "l")
    await journal.published([row.id for row in await journal.waiting(0, 200)])
    upkeep = Upkeep(folder, limit=1_000_000)
    upkeep.journals = {journal: 1e9}

    assert await upkeep.look(due=False)

    assert await _count(journal) == 1  # the newest is kept for `last`

    await database.close()
    folder.close()


async def test_the_size_follows_the_database_between_two_looks(tmp_path: Path) -> None:
    """A full store must be seen before the next message, not at the next look."""
    folder = Folder.open(tmp_path / "store")
    (folder.path / "other").write_bytes(b"\0" * 5_000)
    database = await Database.open(folder.path / DATABASE)
    journal = Journal(database, "home", lambda: LONG_AGO)
    await journal.open()
    upkeep = Upkeep(folder, limit=10_000_000)
    before = upkeep.size

    await journal.record([message(number) for number in range(200)], PeopleChanges(), Cursor("c"), "l")

    assert upkeep.size > before + 200_000
    assert upkeep.size == folder.size()
    await database.close()
    folder.close()
