"""An account that is no longer wanted: all of it goes, nothing of the others."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.store.make import (
    blob,
    command,
    event,
    mark,
    media,
    message,
    person,
    picture,
    publication,
    result,
)
from wx2mqtt.model import Cursor
from wx2mqtt.store.announced import Announced
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal, NewEvent, NewMessage
from wx2mqtt.store.people import NO_CHANGES, People, PeopleChanges
from wx2mqtt.store.removal import Remains, Removal

MANY = 1234  # more than two commits take away


async def fill(database: Database, account: str, messages: int = 3) -> Journal:
    """Something in every table."""
    journal = Journal(database, account)
    await journal.open()
    await journal.set_base_topic(f"base/{account}")
    people = PeopleChanges(persons=(person(1, "wife"), person(2, "老婆")))
    await People(database, account).save(people)
    items: list[NewMessage | NewEvent] = [message(f"{number}") for number in range(messages)]
    await journal.record([*items, event("e")], NO_CHANGES, Cursor("c"), "login")
    await journal.record([picture("p", media(f"m-{account}"))], NO_CHANGES, Cursor("c"), "login")
    await journal.media_ready(f"m-{account}", blob(account), [publication()])
    await journal.accept([replace(command("a"), blob=blob("x")), command("b", settled=result("b"))])
    await journal.deed_begin(mark(1))
    await journal.announce(Announced(topics=(f"homeassistant/device/wx2mqtt_{account}/config",)))
    return journal


def rows(path: Path) -> dict[str, dict[str, int]]:
    """How many rows each account has in each table."""
    with closing(sqlite3.connect(path)) as connection:
        names = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if name not in {"meta", "sqlite_sequence"}
        ]
        return {
            name: dict(
                connection.execute(
                    f"SELECT {'name' if name == 'account' else 'account'}, count(*) FROM {name} GROUP BY 1"
                )
            )
            for name in names
        }


async def test_all_rows_of_the_account_go_and_none_of_another(database: Database) -> None:
    await fill(database, "gone", MANY)
    await fill(database, "stays")
    seen_before = rows(database.path)
    await database.write(
        "seen", lambda db: db.executemany("INSERT INTO seen VALUES (?, 'k', 1)", [("gone",), ("stays",)])
    )
    removal = Removal(database)
    assert all("gone" in table for name, table in seen_before.items() if name != "seen")

    await removal.empty("gone")
    left = rows(database.path)
    assert {name for name, table in left.items() if "gone" in table} == {"account"}
    await removal.forget("gone")
    left = rows(database.path)
    assert all("gone" not in table for table in left.values())
    assert left == {
        **{name: {"stays": table["stays"]} for name, table in seen_before.items() if name != "seen"},
        "seen": {"stays": 1},
    }
    assert await removal.accounts() == ["stays"]


async def test_what_there_is_is_told(database: Database) -> None:
    await fill(database, "home", 5)
    assert await Removal(database).remains("home") == Remains(
        base="base/home",
        announced=("homeassistant/device/wx2mqtt_home/config",),
        levels=("wife", "老婆"),
        messages=6,
        commands=2,
        people=2,
        media=1,
    )
    assert await Removal(database).remains("nobody") == Remains()


async def test_what_was_cut_off_is_begun_again(database: Database) -> None:
    await fill(database, "home", MANY)
    removal = Removal(database)
    await removal.empty("home")
    assert await removal.accounts() == ["home"], "it can still be asked for"
    await removal.empty("home")
    await removal.forget("home")
    await removal.forget("home")
    assert await removal.accounts() == []


async def test_the_journal_of_another_account_goes_on_meanwhile(database: Database) -> None:
    await fill(database, "gone", MANY)
    journal = await fill(database, "stays")
    removing = Removal(database).empty("gone")
    writing = journal.record([message("new")], NO_CHANGES, Cursor("d"), "login")
    await asyncio.gather(removing, writing)
    assert (await journal.open()).cursor == "d"


@pytest.mark.parametrize("account", ["gone", "never"])
async def test_to_remove_what_is_not_there_does_nothing(database: Database, account: str) -> None:
    await fill(database, "stays")
    before = rows(database.path)
    await Removal(database).empty(account)
    await Removal(database).forget(account)
    assert rows(database.path) == before
