"""Messages that have killed instances are counted for all that share a database."""

from __future__ import annotations

from pathlib import Path

from tests.support.postgresql import empty_database
from tests.unit.store.test_mapped_files import is_killed_by
from wx2mqtt.store.encrypted_logins import EncryptedLogins
from wx2mqtt.store.mapped_files import (
    MARKS_SUFFIX,
    MAX_KILLS,
    ProcessingMarks,
)
from wx2mqtt.store.postgresql_database import PostgresqlDatabase
from wx2mqtt.store.shared_marks import SharedMarks


async def test_in_a_database_three_instances_that_were_killed_once_each_make_a_message_fatal(
    tmp_path: Path,
) -> None:
    """Each instance has its mark in a file of its own, and counts it when it starts again."""
    database = await PostgresqlDatabase.open(empty_database())
    marks = SharedMarks(database)
    folders = [tmp_path / name for name in ("east", "west", "south")]
    for number, folder in enumerate(folders):
        folder.mkdir()
        file = folder / f"home{MARKS_SUFFIX}"
        assert is_killed_by(file, "a", "fatal-1", "b")
        assert not ProcessingMarks(tmp_path / "new", await marks.fatal("home")).is_fatal("fatal-1")
        assert len(await marks.fatal("home")) == 0
        await marks.count(folder)
        await marks.count(folder)  # once for each kill
        assert len(await marks.fatal("home")) == (number + 1 == MAX_KILLS)
    local_marks = ProcessingMarks(tmp_path / "new", await marks.fatal("home"))
    assert [local_marks.is_fatal(key) for key in ("a", "fatal-1", "b")] == [False, True, False]
    assert await marks.fatal("work") == []

    orderly = tmp_path / "orderly"
    orderly.mkdir()
    assert not is_killed_by(orderly / f"work{MARKS_SUFFIX}", "a")
    await marks.count(orderly)
    await EncryptedLogins(database, [bytes(32)]).delete("home")
    assert await marks.fatal("home") == []
    assert await database.read(lambda db: db.execute("SELECT * FROM mark").fetchall()) == []
    await database.close()
