"""Of a removed account all rows are deleted, and of other accounts none."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from tests.unit.store.make import (
    blob,
    command,
    delivery_mark,
    event,
    media,
    message,
    person,
    picture,
    publication,
    result,
)
from wx2mqtt.model import Cursor
from wx2mqtt.store.account_removal import AccountRemoval, StoredData
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.outbox import DiscoveryRecord
from wx2mqtt.store.people import StoredPeople
from wx2mqtt.store.person_records import NO_CHANGES, PeopleChanges
from wx2mqtt.store.records import NewEvent, NewMessage
from wx2mqtt.store.sqlite_database import SqliteDatabase

MORE_THAN_TWO_BATCHES = 1234  # messages: their removal takes more than two commits


ADD_QUESTION = (
    'INSERT INTO question (account, command, command_id, "user", person, card, text, buttons, anyone, lasts, asked)'
    " VALUES (?, 1, 'a', 'wife', 7, '17', 'Lock?', '[]', 1, 60000, 1)"
)


async def fill(database: Database, account: str, messages: int = 3) -> Journal:
    """Adds an account that has rows in every table."""
    journal = Journal(database, account)
    await journal.open()
    await journal.set_base_topic(f"base/{account}")
    people = PeopleChanges(persons=(person(1, "wife"), person(2, "老婆")))
    await StoredPeople(database, account).save(people)
    items: list[NewMessage | NewEvent] = [message(f"{number}") for number in range(messages)]
    await journal.received.record([*items, event("e")], NO_CHANGES, Cursor("c"), "login")
    await journal.received.record([picture("p", media(f"m-{account}"))], NO_CHANGES, Cursor("c"), "login")
    await journal.media.mark_ready(f"m-{account}", blob(account), [publication()])
    await journal.commands.accept([replace(command("a"), blob=blob("x")), command("b", result=result("b"))])
    await database.write("question", lambda db: db.execute(ADD_QUESTION, (account,)))
    await journal.requests.start(delivery_mark(1))
    await journal.discovery.save(DiscoveryRecord(topics=(f"homeassistant/device/wx2mqtt_{account}/config",)))
    return journal


async def row_counts(database: Database) -> dict[str, dict[str, int]]:
    """Returns how many rows each account has in each table."""
    return await database.read(partial(_count_rows, database))


def _count_rows(database: Database, connection: Connection) -> dict[str, dict[str, int]]:
    listing = (
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        if isinstance(database, SqliteDatabase)
        else "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    names = {name for (name,) in connection.execute(listing)} - {
        "meta",
        "sqlite_sequence",
        "login",
        "mark",
        "operation",
        "instance",
        "ownership",
        "media_file",
        "media_piece",
        "login_key",
        "login_number",
        "drained",
    }
    assert len(names) == 9
    return {
        name: dict(
            connection.execute(
                f"SELECT {'name' if name == 'account' else 'account'}, count(*) FROM {name} GROUP BY 1"
            ).fetchall()
        )
        for name in names
    }


async def test_all_rows_of_the_account_are_deleted_and_none_of_another(database: Database) -> None:
    await fill(database, "gone", MORE_THAN_TWO_BATCHES)
    await fill(database, "stays")
    counts_before = await row_counts(database)
    await database.write(
        "seen", lambda db: db.executemany("INSERT INTO seen VALUES (?, 'k', 1)", [("gone",), ("stays",)])
    )
    removal = AccountRemoval(database)
    assert all("gone" in table for name, table in counts_before.items() if name != "seen")

    await removal.delete_rows("gone")
    remaining = await row_counts(database)
    assert {name for name, table in remaining.items() if "gone" in table} == {"account"}
    await removal.delete_account("gone")
    remaining = await row_counts(database)
    assert all("gone" not in table for table in remaining.values())
    assert remaining == {
        **{name: {"stays": table["stays"]} for name, table in counts_before.items() if name != "seen"},
        "seen": {"stays": 1},
    }
    assert await removal.list_accounts() == ["stays"]


async def test_the_stored_data_of_an_account_is_reported(database: Database) -> None:
    await fill(database, "home", 5)
    assert await AccountRemoval(database).stored_data("home") == StoredData(
        base="base/home",
        announced=("homeassistant/device/wx2mqtt_home/config",),
        topic_names=("wife", "老婆"),
        messages=6,
        commands=2,
        people=2,
        media=1,
    )
    assert await AccountRemoval(database).stored_data("nobody") == StoredData()


async def test_a_removal_that_was_interrupted_is_continued(database: Database) -> None:
    await fill(database, "home", MORE_THAN_TWO_BATCHES)
    removal = AccountRemoval(database)
    await removal.delete_rows("home")
    assert await removal.list_accounts() == ["home"], "its removal can still be requested"
    await removal.delete_rows("home")
    await removal.delete_account("home")
    await removal.delete_account("home")
    assert await removal.list_accounts() == []


async def test_another_account_stores_messages_meanwhile(database: Database) -> None:
    await fill(database, "gone", MORE_THAN_TWO_BATCHES)
    journal = await fill(database, "stays")
    removing = AccountRemoval(database).delete_rows("gone")
    writing = journal.received.record([message("new")], NO_CHANGES, Cursor("d"), "login")
    await asyncio.gather(removing, writing)
    assert (await journal.open()).cursor == "d"


@pytest.mark.parametrize("account", ["gone", "never"])
async def test_the_removal_of_an_unknown_account_changes_nothing(database: Database, account: str) -> None:
    await fill(database, "stays")
    before = await row_counts(database)
    await AccountRemoval(database).delete_rows(account)
    await AccountRemoval(database).delete_account(account)
    assert await row_counts(database) == before
