"""Backup, restore and purge are killed at every step: there is a whole file or none, the old store or the new one."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.crash.store_child import main
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.forks import CONTEXT
from tests.support.repetitions import repetitions
from tests.unit.store.test_account_removal import fill
from tests.unit.store.test_folder_backup import OpenStore
from wx2mqtt.store.backup_archive import read_archive
from wx2mqtt.store.folder import DATABASE_NAME, PEOPLE_FILE_NAME, SESSIONS_FOLDER, StoreFolder
from wx2mqtt.store.folder_backup import create_backup
from wx2mqtt.store.folder_replacement import REPLACED_PREFIX
from wx2mqtt.store.people_file import PeopleFile
from wx2mqtt.store.sqlite_database import SqliteDatabase

State = dict[str, object]


def killed(work: str, folder: Path, step: int, file: Path) -> bool:
    """Does the work in a process that is killed at this step; returns whether it reached the step."""
    process = CONTEXT.Process(target=main, args=(work, folder, step, file, file.with_name("step_count")))
    process.start()
    process.join(MAX_WAIT_SECONDS)
    code = process.exitcode
    process.close()
    assert code in (0, -signal.SIGKILL)
    return code != 0


def steps_of(work: str, folder: Path, file: Path) -> int:
    """Does the work; returns the number of its steps."""
    assert not killed(work, folder, 0, file)
    return int(file.with_name("step_count").read_text())


def sampled_steps(count: int) -> list[int]:
    """Returns every step of a few; of many the first, the last, and others in between."""
    first, between, last = repetitions(4, 12), repetitions(6, 14), repetitions(4, 8)
    return sorted(
        {
            *range(1, min(count, first) + 1),
            *range(1, count, max(1, count // between)),
            *range(max(1, count - last), count + 1),
        }
    )


async def _fill(path: Path, text: str) -> None:
    open_store = await OpenStore.open(path)
    await open_store.fill()
    await open_store.database.write("mark", lambda db: db.execute("UPDATE account SET login_id = ?", (text,)))
    (path / SESSIONS_FOLDER / "home.json").write_text(json.dumps({"skey": text}))
    await open_store.close()


def filled_store(path: Path, text: str) -> Path:
    """Returns the folder of a closed store with `text` in each of its parts."""
    asyncio.run(_fill(path, text))
    data = text.encode()
    name = hashlib.sha256(data).hexdigest()
    (path / "media" / name[:2]).mkdir(exist_ok=True)
    (path / "media" / name[:2] / f"{name}.txt").write_bytes(data)
    return path


def state(path: Path) -> State:
    """Returns what a bridge finds when it opens the store."""
    StoreFolder.open(path).close()
    with closing(sqlite3.connect(path / DATABASE_NAME)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (login,) = connection.execute("SELECT login_id FROM account").fetchone()
        count = connection.execute("SELECT count(*) FROM publication").fetchone()
    media = sorted(file.read_text() for file in (path / "media").glob("*/*.txt"))
    return {
        "login": login,
        "session": json.loads((path / SESSIONS_FOLDER / "home.json").read_bytes()),
        "people": (path / PEOPLE_FILE_NAME).exists(),
        "media": media,
        "count": count,
    }


def copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def test_a_restore_that_is_killed_leaves_the_old_store_or_the_new_one(tmp_path: Path) -> None:
    old, other = filled_store(tmp_path / "old", "old"), filled_store(tmp_path / "other", "new")
    file = tmp_path / "backup"
    with file.open("wb") as out:
        create_backup(other, out, tmp_path, media=True)
    before = state(copied(old, tmp_path / "before"))
    count = steps_of("restore", whole := copied(old, tmp_path / "whole"), file)
    after = state(whole)
    assert (before["login"], after["login"]) == ("old", "new")
    found = []
    for step in range(1, count + 1):
        folder = copied(old, tmp_path / f"at-{step}")
        assert killed("restore", folder, step, file)
        found.append(left := state(folder))
        assert left in (before, after), f"a mixture at step {step}"
        assert not list(folder.glob("restore.*"))
        if left == after:
            (kept,) = folder.glob(f"{REPLACED_PREFIX}*")
            assert state(kept) == before
        shutil.rmtree(folder)
    assert found[0] == before
    assert found[-1] == after
    assert found == sorted(found, key=lambda found_state: found_state == after), (
        "after the first step with the new store there is no old one"
    )


def test_a_backup_that_is_killed_leaves_a_whole_file_or_none_and_the_store_as_it_is(tmp_path: Path) -> None:
    store = filled_store(tmp_path / "store", "text")
    before = state(store)
    (there := tmp_path / "there").mkdir()
    count = steps_of("backup", store, there / "backup")
    for step in sampled_steps(count):
        target = tmp_path / f"at-{step}"
        target.mkdir()
        assert killed("backup", store, step, target / "backup")
        if (target / "backup").exists():
            (target / "to").mkdir()
            read_archive(io.BytesIO((target / "backup").read_bytes()), target / "to", lambda _: None)
        left = [
            path for path in target.rglob("*") if path.is_file() and path.name not in {"backup", "step_count"}
        ]
        assert all(path.stat().st_mode & 0o077 == 0 for path in left), (
            "only the owner may read the secrets in it"
        )
        assert state(store) == before


async def _fill_two_accounts(path: Path) -> None:
    folder = StoreFolder.open(path)
    database = await SqliteDatabase.open(path / DATABASE_NAME)
    open_store = OpenStore(path, folder, database)
    await open_store.blobs.open()
    (path / SESSIONS_FOLDER).mkdir(mode=0o700)
    for account in ("gone", "home"):
        await fill(database, account, 600)
        (path / SESSIONS_FOLDER / f"{account}.json").write_text("{}")
    await open_store.blobs.store(b"%PDF nobody's", 1000)
    await PeopleFile(database, path / PEOPLE_FILE_NAME).write()
    await open_store.close()


def rows(path: Path, account: str) -> int:
    """Returns the number of rows of an account in all tables."""
    columns = {"account": "name"}
    tables = ("account", "publication", "command", "person", "level", "media", "question", "deed")
    counts = (
        f"(SELECT count(*) FROM {table} WHERE {columns.get(table, 'account')} = :account)" for table in tables
    )
    with closing(sqlite3.connect(path / DATABASE_NAME)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = connection.execute(f"SELECT {' + '.join(counts)}", {"account": account}).fetchone()
    return int(found[0])


def test_a_purge_that_is_killed_can_be_repeated_and_deletes_nothing_of_other_accounts(tmp_path: Path) -> None:
    asyncio.run(_fill_two_accounts(tmp_path / "store"))
    whole = copied(tmp_path / "store", tmp_path / "whole")
    count = steps_of("purge", whole, tmp_path / "-")
    others = rows(whole, "home")
    assert others == rows(tmp_path / "store", "home") > 600
    for step in sampled_steps(count):
        folder = copied(tmp_path / "store", tmp_path / f"at-{step}")
        assert killed("purge", folder, step, tmp_path / "-")
        assert rows(folder, "home") == others
        if rows(folder, "gone"):
            assert not killed("purge", folder, 0, tmp_path / "-")
        assert rows(folder, "gone") == 0
        assert [file.name for file in (folder / SESSIONS_FOLDER).iterdir()] == ["home.json"]
        assert json.loads((folder / PEOPLE_FILE_NAME).read_bytes())["accounts"].keys() == {"home"}
        assert rows(folder, "home") == others
        shutil.rmtree(folder)


@pytest.mark.parametrize("work", ["backup", "restore", "purge"])
def test_each_kind_of_work_has_several_steps(work: str, tmp_path: Path) -> None:
    if work == "purge":
        asyncio.run(_fill_two_accounts(tmp_path / "store"))
    else:
        filled_store(tmp_path / "store", "text")
    with (tmp_path / "b").open("wb") as out:
        create_backup(tmp_path / "store", out, tmp_path, media=False)
    assert steps_of(work, tmp_path / "store", tmp_path / ("b" if work == "restore" else "new")) > 5
