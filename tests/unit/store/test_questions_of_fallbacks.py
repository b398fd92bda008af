"""A question that fallback accounts send as well stays one question, of the account that asks it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.store.conftest import Clock
from tests.unit.store.make import result
from tests.unit.store.test_questions import BUTTONS, WIFE, QuestionsHarness
from wx2mqtt.model import AskingCommand, PersonId, Status
from wx2mqtt.store.account_removal import AccountRemoval
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.question_records import NewQuestion
from wx2mqtt.store.records import OutboxBatch


class AccountsHarness:
    """Three accounts: `home` asks the questions, `office` and `shop` are its fallback accounts."""

    def __init__(self, home: QuestionsHarness, office: QuestionsHarness, shop: QuestionsHarness) -> None:
        self.home = home
        self.office = office
        self.shop = shop

    async def send_as_fallback(self, account: QuestionsHarness, command_id: str = "lock") -> None:
        """Sends the question of home's command on another account."""
        own_id = f"{command_id}~fallback"
        row_id = await account.accept(own_id)
        asked_by = AskingCommand(
            account="home", row_id=self.home.rows[command_id], command_id=command_id, user="wife"
        )
        question = NewQuestion(
            command_id=own_id,
            user="zhangsan",
            person=PersonId(3),
            card=f"card {own_id}",
            text=f"{command_id}?",
            buttons=BUTTONS,
            anyone=False,
            lasts=60_000,
            asked=account.clock.now,
            asked_by=asked_by,
        )
        await account.journal.commands.begin_attempt(row_id, question)
        await account.finish(own_id)

    async def events_of_home(self) -> list[Any]:
        """Returns topic and body of the events that home publishes."""
        rows = await self.home.journal.outbox.list_waiting(0, 100)
        return [(row.topic, json.loads(row.payload)) for row in rows if row.category == "event"]


@pytest.fixture
async def accounts(database: Database, clock: Clock) -> AccountsHarness:
    """The command `lock` of home was accepted, and office has sent its question."""
    harnesses = []
    for name in ("home", "office", "shop"):
        journal = Journal(database, name, clock)
        await journal.open()
        await journal.set_base_topic("wx" if name == "home" else f"wx/{name}")
        harnesses.append(QuestionsHarness(journal, clock))
    accounts = AccountsHarness(*harnesses)
    await accounts.home.accept("lock")
    await accounts.send_as_fallback(accounts.office)
    return accounts


async def test_an_answer_on_a_fallback_account_is_an_event_of_the_account_that_asks(
    accounts: AccountsHarness,
) -> None:
    recorded = await accounts.office.write("m", "yes", person=PersonId(3))
    ((topic, event),) = await accounts.events_of_home()
    assert topic == "wx/event/button"
    assert (event["account"], event["user"], event["command_id"]) == ("home", "wife", "lock")
    assert (event["key"], event["pressed_on"], event["message_id"]) == ("yes", "office/zhangsan", "m")
    assert event["id"] == f"button:lock:{accounts.office.clock.now}"
    ((message,), events) = await accounts.office.stored()
    assert message["button"] == {"account": "home", "command_id": "lock", "key": "yes"}
    assert events == []
    (batch,) = recorded.for_other_accounts.values()
    (row,) = await accounts.home.journal.outbox.list_waiting(0, 100)
    assert batch == OutboxBatch(rows=(), after_id=None, last_id=row.id)
    assert recorded.answers.proven == (accounts.office.rows["lock~fallback"],)


async def test_a_press_on_a_fallback_account_counts_once_and_updates_its_card(
    accounts: AccountsHarness,
) -> None:
    for _ in range(2):  # it is delivered again, or pressed again
        recorded = await accounts.office.press("p", "lock~fallback", "no", person=PersonId(3))
        (update,) = recorded.answers.updates
        assert update.chosen == "Nö"
    ((_, event),) = await accounts.events_of_home()
    assert (event["key"], event["pressed_on"]) == ("no", "office/zhangsan")


@pytest.mark.parametrize("first", ["home", "office", "shop"])
async def test_only_the_first_answer_counts_on_whichever_account_it_is_given(
    accounts: AccountsHarness, first: str
) -> None:
    await accounts.home.begin("lock")
    await accounts.home.finish("lock")
    await accounts.send_as_fallback(accounts.shop)
    people = {"home": WIFE, "office": PersonId(3), "shop": PersonId(3)}
    for number, name in enumerate((first, *people)):
        await getattr(accounts, name).write(f"m{number}", "1", person=people[name])
    ((_, event),) = await accounts.events_of_home()
    assert event.get("pressed_on") == (None if first == "home" else f"{first}/zhangsan")
    assert not (await accounts.office.stored())[1]
    assert await accounts.home.open_ids() == []
    assert (await accounts.home.get("lock")).answer == "yes"


async def test_the_question_is_listed_once_and_by_the_account_that_asks(accounts: AccountsHarness) -> None:
    await accounts.send_as_fallback(accounts.shop)
    await accounts.home.ask("heat")
    (other, listed) = await accounts.home.journal.questions.list_open(accounts.home.clock.now, 10)
    assert other.command_id == "heat"
    assert (listed.account, listed.user) == ("office", "zhangsan")
    assert listed.asked_by is not None
    assert (listed.asked_by.command_id, listed.asked_by.user) == ("lock", "wife")
    assert await accounts.office.open_ids() == []
    assert not await accounts.office.journal.questions.close("lock~fallback", accounts.office.clock.now)
    assert await accounts.home.journal.questions.close("lock", accounts.home.clock.now)
    assert await accounts.home.open_ids() == ["heat"]
    await accounts.office.write("m", "1", person=PersonId(3))
    await accounts.shop.write("m", "1", person=PersonId(3))
    assert await accounts.events_of_home() == []


async def test_a_command_that_is_sent_after_the_answer_opens_no_question(accounts: AccountsHarness) -> None:
    await accounts.office.write("m", "yes", person=PersonId(3))
    await accounts.home.begin("lock")  # also_wechat
    await accounts.home.finish("lock")
    assert await accounts.home.open_ids() == []
    recorded = await accounts.home.press("p", "lock", "no")
    (update,) = recorded.answers.updates
    assert update.chosen == "Yes"
    assert len(await accounts.events_of_home()) == 1


async def test_an_untrusted_person_on_a_fallback_account_answers_nothing(accounts: AccountsHarness) -> None:
    await accounts.office.write("m", "1", person=PersonId(3), trusted=False)
    assert await accounts.events_of_home() == []
    ((message,), _) = await accounts.office.stored()
    assert "button" not in message
    assert await accounts.home.open_ids() == ["lock~fallback"]


async def test_the_question_is_closed_with_the_change_of_the_owner_of_the_account_that_asks(
    accounts: AccountsHarness,
) -> None:
    await accounts.home.journal.owner.change(
        "ilink", "another", lambda row: (result(row.command_id, Status.FAILED), [])
    )
    await accounts.office.write("m", "1", person=PersonId(3))
    assert await accounts.events_of_home() == []


async def test_when_the_account_that_asks_was_removed_an_answer_is_no_event(
    accounts: AccountsHarness, database: Database
) -> None:
    removal = AccountRemoval(database)
    await removal.delete_rows("home")
    await removal.delete_account("home")
    recorded = await accounts.office.write("m", "1", person=PersonId(3))
    assert recorded.for_other_accounts == {}
    ((message,), events) = await accounts.office.stored()
    assert (message["button"]["command_id"], events) == ("lock", [])
