"""Another owner of an account takes over nothing of the previous one."""

from __future__ import annotations

import pytest

from tests.unit.store.make import command, publication, result
from wx2mqtt.errors import StoreError
from wx2mqtt.model import ChatKind, Handle, PersonId, Result, Status
from wx2mqtt.store.account_removal import AccountRemoval
from wx2mqtt.store.command_records import CommandRow, NewCommand
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.people import StoredPeople
from wx2mqtt.store.person_records import PeopleChanges, Person
from wx2mqtt.store.records import NewPublication
from wx2mqtt.store.remembered_owners import NamedOwner


async def _accept(journal: Journal, *new: NewCommand) -> list[CommandRow]:
    rows = [accepted.row for accepted in await journal.commands.accept(new)]
    assert all(rows)
    return [row for row in rows if row]


async def _row(journal: Journal, command_id: str) -> CommandRow:
    row = await journal.commands.get(command_id)
    assert row is not None
    return row


async def test_another_owner_is_stored_in_one_commit_with_the_end_of_all_waiting_commands(
    database: Database, journal: Journal
) -> None:
    rows = await _accept(journal, *(command(name) for name in "abc"))
    await journal.commands.finish(rows[0].id, result("a"), ())
    other_account = Journal(database, "office")
    await other_account.open()
    await _accept(other_account, command("of-the-office"))
    await journal.open()
    await journal.owner.remember("webwx", "1")

    def fail(row: CommandRow) -> tuple[Result, list[NewPublication]]:
        return result(row.command_id, Status.FAILED), [publication(f"wx/result/{row.command_id}")]

    finished, outbox = await journal.owner.change("webwx", "2", fail)
    assert [row.command_id for row in finished] == ["b", "c"]
    assert [row.topic for row in outbox.rows] == ["wx/result/b", "wx/result/c"]
    assert [(await _row(journal, name)).result for name in "abc"] == [
        result("a"),
        result("b", Status.FAILED),
        result("c", Status.FAILED),
    ]
    assert (await journal.open()).owner_ids == {"webwx": "2"}
    assert len(await other_account.commands.list_due(10)) == 1


async def test_a_change_of_the_owner_that_fails_changes_nothing(journal: Journal) -> None:
    await _accept(journal, command("a"))
    await journal.open()
    await journal.owner.remember("ilink", "me")

    def fail(_row: CommandRow) -> tuple[Result, list[NewPublication]]:
        raise StoreError("the disk is away")

    with pytest.raises(StoreError):
        await journal.owner.change("ilink", "wife", fail)
    assert (await journal.open()).owner_ids == {"ilink": "me"}
    assert len(await journal.commands.list_due(10)) == 1


async def test_the_people_of_the_previous_bot_are_forgotten_with_the_change_to_another_bot(
    database: Database, journal: Journal
) -> None:
    await journal.open()
    people = StoredPeople(database, journal.account)
    person = Person(
        id=PersonId(1),
        topic_name="zhangsan",
        kind=ChatKind.FRIEND,
        handle=Handle("user:zhangsan"),
        login_id="aib1",
        matched_by="id",
        wrote=True,
    )
    await people.save(PeopleChanges(persons=(person,), topic_names=(("me", PersonId(1)),)))
    await journal.owner.remember("wecom", "aib1", NamedOwner(is_confirmed=True, person="user:zhangsan"))

    def finish(row: CommandRow) -> tuple[Result, list[NewPublication]]:
        raise AssertionError(row)

    await journal.owner.change("wecom", "aib2", finish, NamedOwner(), forgets_people=True)
    state = await journal.open()
    assert (state.owner_ids, state.named_owners) == ({"wecom": "aib2"}, {})
    assert await people.load() == ([], {})
    assert people.next_id == PersonId(2)


async def test_each_backend_has_its_owner_and_a_removed_account_has_none(
    database: Database, journal: Journal
) -> None:
    await journal.open()
    await journal.owner.remember("webwx", "1")
    await journal.owner.remember("ilink", "me@im.wechat")
    assert (await journal.open()).owner_ids == {"webwx": "1", "ilink": "me@im.wechat"}
    removal = AccountRemoval(database)
    await removal.delete_rows(journal.account)
    await removal.delete_account(journal.account)
    assert (await journal.open()).owner_ids == {}
