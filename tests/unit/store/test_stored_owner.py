"""Another owner of an account takes over nothing of the previous one."""

from __future__ import annotations

import pytest

from tests.unit.store.make import accept, command, command_row, person, publication, result
from wx2mqtt.errors import StoreError
from wx2mqtt.model import PersonId, Result, Status
from wx2mqtt.store.account_removal import AccountRemoval
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.people import StoredPeople
from wx2mqtt.store.person_records import PeopleChanges
from wx2mqtt.store.records import NewPublication
from wx2mqtt.store.remembered_owners import NamedOwner


async def test_another_owner_is_stored_in_one_commit_with_the_end_of_all_waiting_commands(
    journal: Journal, work: Journal
) -> None:
    rows = await accept(journal, *(command(name) for name in "abc"))
    await journal.commands.finish(rows[0].id, result("a"), ())
    await accept(work, command("of-the-office"))
    await journal.owner.remember("webwx", "1")

    def fail(row: CommandRow) -> tuple[Result, list[NewPublication]]:
        return result(row.command_id, Status.FAILED), [publication(f"wx/result/{row.command_id}")]

    finished, outbox = await journal.owner.change("webwx", "2", fail)
    assert [row.command_id for row in finished] == ["b", "c"]
    assert [row.topic for row in outbox.rows] == ["wx/result/b", "wx/result/c"]
    ends = [result("a"), result("b", Status.FAILED), result("c", Status.FAILED)]
    assert [(await command_row(journal, name)).result for name in "abc"] == ends
    assert (await journal.open()).owner_ids == {"webwx": "2"}
    assert len(await work.commands.list_due(10)) == 1


async def test_a_change_of_the_owner_that_fails_changes_nothing(journal: Journal) -> None:
    await accept(journal, command("a"))
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
    people = StoredPeople(database, journal.account)
    await people.save(
        PeopleChanges(persons=(person(1, "zhangsan", wrote=True),), topic_names=(("me", PersonId(1)),))
    )
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
