"""Received batches: named, filtered, stored with their cursor and announced, whatever fails."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.cost import is_in_proportion
from tests.support.pauseless_loop import PauselessLoop
from tests.support.rows import every_row
from tests.unit.bridge.contexts import changed
from tests.unit.bridge.inbound_harness import (
    FILE_HELPER,
    IN_GROUP,
    MOM,
    PICTURE,
    PINS,
    InboundHarness,
    run_scenario,
)
from tests.unit.bridge.session_harness import OWNER, WIFE, batch, message
from wx2mqtt.bridge.inbound import MAX_UNSTORED_SECONDS
from wx2mqtt.bridge.inbound_rows import MessageRows
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.errors import StoreError, StoreFull
from wx2mqtt.model import (
    ChatKind,
    Contact,
    Cursor,
    Event,
    Handle,
    Kind,
    Message,
    Owner,
)
from wx2mqtt.settings.schema import Receive
from wx2mqtt.store.mapped_files import MAX_KILLS, ProcessingMarks
from wx2mqtt.store.person_records import Person
from wx2mqtt.store.records import NewMessage
from wx2mqtt.wechat.backend import fatal_message_event


def test_what_was_stored_is_published_before_the_signals_about_it():
    async def scenario(harness: InboundHarness) -> None:
        order: list[str] = []
        inbound: Any = harness.inbound
        inbound._publisher = SimpleNamespace(add=lambda _batch: order.append("published"))
        inbound._status = SimpleNamespace(show_last=lambda _payload: order.append("last"))
        harness.session_harness.ctx.broker = cast(
            "Any", SimpleNamespace(flush=lambda: order.append("written"))
        )
        harness.session_harness.ctx.signals.received.connect(lambda _recorded: order.append("received"))
        harness.session_harness.ctx.people_file = cast(
            "Any", SimpleNamespace(request=lambda: order.append("people"))
        )
        await harness.process(message("1"))
        assert order == ["published", "last", "written", "received", "people"]

    run_scenario(scenario)


def test_no_message_is_marked_while_a_commit_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def scenario(harness: InboundHarness) -> None:
        path = tmp_path / "marks"
        harness.session_harness.ctx.marks = ProcessingMarks(path)
        during: list[str] = []
        record = harness.journal.received.record

        async def recorded(*args: Any) -> Any:
            during.append(path.read_text())
            return await record(*args)

        monkeypatch.setattr(harness.journal.received, "record", recorded)
        await harness.process(message("1"), message("2"))
        assert [mark.startswith("- 0 ") for mark in during] == [True]

    run_scenario(scenario)


def test_somebody_who_is_in_no_list_gets_a_topic_and_keeps_it():
    async def scenario(harness: InboundHarness) -> None:
        first = await harness.body(message("1", chat=Handle("@new"), sender=Handle("@new")))
        second = await harness.body(message("2", chat=Handle("@new"), sender=Handle("@new")))
        assert first["user"] == second["user"] != ""

    run_scenario(scenario)


def test_a_store_that_cannot_be_read_skips_nobody(monkeypatch: pytest.MonkeyPatch):
    async def broken(_message_id: str) -> bool:
        raise StoreError("the disk has a bad sector")

    async def scenario(harness: InboundHarness) -> None:
        monkeypatch.setattr(harness.journal.commands, "is_sent_message", broken)
        note = message(
            "1", chat=FILE_HELPER.handle, chat_kind=ChatKind.SELF, sender=OWNER.handle, from_self=True
        )
        with pytest.raises(StoreError):
            await harness.process(note)
        assert harness.journal.cursors == []
        monkeypatch.undo()
        await harness.process(note)
        assert len(harness.journal.messages()) == 1

    run_scenario(scenario)


def test_the_echo_of_an_answered_send_is_not_taken_for_that_of_an_unanswered_one(
    monkeypatch: pytest.MonkeyPatch,
):
    """After a restart the journal knows the answered sends; two pictures differ in nothing but their id."""
    picture: dict[str, Any] = {
        "kind": Kind.IMAGE,
        "chat": WIFE.handle,
        "sender": OWNER.handle,
        "from_self": True,
    }

    async def is_answered(message_id: str) -> bool:
        return message_id == "answered"

    async def scenario(harness: InboundHarness) -> None:
        monkeypatch.setattr(harness.journal.commands, "is_sent_message", is_answered)
        harness.session_harness.echoes.add_unanswered(WIFE.handle, Kind.IMAGE, "", 0, 10**15)
        await harness.process(message("answered", **picture), message("unanswered", **picture))
        assert harness.journal.messages() == []
        await harness.process(message("from the phone", **picture))
        assert [item.key for item in harness.journal.messages()] == ["from the phone"]

    run_scenario(scenario, Receive(own=True))


def test_a_message_that_raises_an_error_is_counted_and_the_others_are_stored():
    async def scenario(harness: InboundHarness) -> None:
        bad = message("2", time=None)
        await harness.process(message("1"), bad, message("3"))
        assert [message.id for message in harness.journal.messages()] == ["1", "3"]
        assert harness.inbound._ctx.counters.left_out["unreadable"] == 1

    run_scenario(scenario)


def test_what_happened_among_people_is_published_even_if_the_disk_was_full_at_first():
    async def scenario(harness: InboundHarness) -> None:
        renamed = Contact(handle=MOM.handle, kind=ChatKind.FRIEND, nickname="平安", remark="老妈")
        harness.journal.errors.append(StoreFull())
        with pytest.raises(StoreFull):
            await harness.process(message("1"), contacts=(renamed,))
        await harness.process(message("1"), contacts=(renamed,))
        assert [event.body["to"] for event in harness.journal.events("contact_renamed")] == ["老妈"]
        assert [event.user for event in harness.journal.events("contact_renamed")] == ["妈妈"]
        assert [
            person.remark for person in harness.journal.people.persons if person.topic_name == "妈妈"
        ] == ["老妈"]
        assert len(harness.journal.messages()) == 1

    run_scenario(scenario)


def test_a_decision_of_the_owner_is_retried_until_stored_and_published_once():
    async def scenario(harness: InboundHarness) -> None:
        harness.journal.errors += [StoreFull(), StoreFull()]
        changes = harness.session_harness.registry.set_pins({**PINS, "mother": ContactPin(remark="妈妈")})
        await harness.inbound.apply_people(changes)
        assert len(harness.journal.events("topic_changed")) == 1

    run_scenario(scenario)


def test_two_who_store_at_the_same_time_lose_nothing_of_each_other():
    async def scenario(harness: InboundHarness) -> None:
        harness.journal.errors.append(StoreFull())
        renamed = Contact(handle=MOM.handle, kind=ChatKind.FRIEND, nickname="平安", remark="老妈")

        async def decided() -> None:
            await harness.inbound.apply_people(
                harness.session_harness.registry.set_pins({**PINS, "mother": ContactPin(remark="老妈")})
            )

        async def received() -> None:
            with pytest.raises(StoreFull):
                await harness.process(message("1"), contacts=(renamed,))

        await asyncio.gather(received(), decided())
        stored = {person.topic_name: person for person in harness.journal.people.persons}
        assert stored["mother"].remark == "老妈"
        assert len(harness.journal.events("contact_renamed")) == 1
        assert len(harness.journal.events("topic_changed")) == 1

    run_scenario(scenario)


def test_the_directory_is_published_for_changes_and_not_for_messages():
    async def scenario(harness: InboundHarness) -> None:
        stored: list[None] = []
        harness.session_harness.ctx.people_file = cast(
            "Any", SimpleNamespace(request=lambda: stored.append(None))
        )
        before = harness.session_harness.people_changes
        await harness.process(message("1"))
        assert any(person.wrote for person in harness.journal.people.persons)
        assert len(stored) == 1, "that somebody has written is stored, and nobody sees it"
        await harness.process(message("2"))
        assert len(stored) == 1
        assert harness.session_harness.people_changes == before
        await harness.process(contacts=(Contact(handle=WIFE.handle, kind=ChatKind.FRIEND, nickname="梅"),))
        assert harness.session_harness.people_changes == before + 1

    run_scenario(scenario)


def test_a_batch_without_anything_still_moves_the_cursor():
    async def scenario(harness: InboundHarness) -> None:
        await harness.inbound.store(batch(7), "login-1")
        assert harness.journal.cursors == [("login-1", "login-1:7")]

    run_scenario(scenario)


RECALL = Event(key="e1", name="recall", time=1, chat=WIFE.handle, fields={"message_id": "9"})


@every_row(
    ("filters", "arrived"),
    [
        (Receive(), 2),
        (Receive(deny=("wife",)), 1),
        (Receive(groups="none"), 1),
        (Receive(groups="listed"), 2),
        (Receive(allow=("mom",)), 0),
    ],
)
def test_events_go_through_the_filters_as_messages_do(filters: Receive, arrived: int):
    async def scenario(harness: InboundHarness) -> None:
        before = len(harness.journal.items)
        await harness.process(RECALL, IN_GROUP)
        assert len(harness.journal.items) == before + arrived

    run_scenario(scenario, filters)


def test_a_filtered_person_causes_no_events_but_a_topic_that_changes_is():
    async def scenario(harness: InboundHarness) -> None:
        renamed = Contact(handle=MOM.handle, kind=ChatKind.FRIEND, nickname="平安", remark="老妈")
        await harness.process(contacts=(renamed,), removed=(MOM.handle,))
        assert harness.journal.events("contact_renamed") == []
        assert harness.journal.events("contact_removed") == []
        await harness.process(contacts=(renamed,))
        await harness.inbound.apply_people(
            harness.session_harness.registry.set_pins({"mother": ContactPin(remark="老妈")})
        )
        assert [event.body["user"] for event in harness.journal.events("topic_changed")] == ["mother"]

    run_scenario(scenario, Receive(deny=("妈妈", "mother")))


def test_the_backend_learns_what_is_published_after_its_commit():
    async def scenario(harness: InboundHarness) -> None:
        backend = harness.session_harness.backend
        harness.journal.errors.append(StoreFull())
        with pytest.raises(StoreFull):
            await harness.process(message("7"))
        assert backend.published == []
        await harness.process(message("8"), message("9", chat=MOM.handle), IN_GROUP)
        assert backend.published == ["9"]

    run_scenario(scenario, Receive(deny=("wife",)))


def test_what_is_filtered_or_not_stored_is_not_fetched():
    async def scenario(harness: InboundHarness) -> None:
        await harness.process(message("7", **PICTURE))
        harness.session_harness.ctx.settings = changed(
            harness.session_harness.ctx.settings, receive=Receive()
        )
        harness.journal.errors.append(StoreFull())
        with pytest.raises(StoreFull):
            await harness.process(message("8", **PICTURE))
        assert harness.session_harness.enqueued_media == []

    run_scenario(scenario, Receive(deny=("wife",)))


class Killed(BaseException):
    """Ends the process in the middle of a message; `mark` is the processing mark that it leaves."""

    def __init__(self, mark: bytes) -> None:
        self.mark = mark


def test_a_message_that_ends_the_process_three_times_is_skipped_and_reported(tmp_path, monkeypatch):
    path = tmp_path / "home.json.processing"
    row = MessageRows.row

    def kill(rows: MessageRows, message: Message, person: Person, owner: Owner | None) -> NewMessage:
        if message.key == "2":
            raise Killed(path.read_bytes())
        return row(rows, message, person, owner)

    monkeypatch.setattr(MessageRows, "row", kill)

    async def receive_batch(harness: InboundHarness) -> None:
        """Receives the batch as a new process that finds the mark of the one before."""
        harness.session_harness.ctx.marks = ProcessingMarks(path)
        await harness.process(message("1"), message("2"), message("3"))

    for _ in range(MAX_KILLS):
        with pytest.raises(Killed) as killed:
            run_scenario(receive_batch)
        path.write_bytes(killed.value.mark)

    async def scenario(harness: InboundHarness) -> None:
        await receive_batch(harness)
        assert [message.id for message in harness.journal.messages()] == ["1", "3"]
        (event,) = harness.journal.events("unreadable")
        assert (event.key, event.body["message_id"]) == ("unreadable:2", "2")
        assert harness.inbound._ctx.counters.left_out["unreadable"] == 1
        assert harness.journal.cursors == [("login-1", Cursor("c"))]

    run_scenario(scenario)


def test_a_message_that_the_backend_has_skipped_is_counted():
    async def scenario(harness: InboundHarness) -> None:
        body = await harness.body(fatal_message_event("8", "8", 1))
        assert (body["event"], body["message_id"]) == ("unreadable", "8")
        assert harness.inbound._ctx.counters.left_out["unreadable"] == 1

    run_scenario(scenario)


def test_a_batch_that_takes_long_is_stored_in_parts(monkeypatch):
    async def scenario(harness: InboundHarness) -> None:
        row = MessageRows.row

        def slowly(rows: MessageRows, message: Message, person: Person, owner: Owner | None) -> NewMessage:
            loop = cast(PauselessLoop, asyncio.get_running_loop())
            loop.skip(MAX_UNSTORED_SECONDS * 0.6)
            return row(rows, message, person, owner)

        monkeypatch.setattr(MessageRows, "row", slowly)
        await harness.process(*(message(str(number)) for number in range(5)))
        assert [message.id for message in harness.journal.messages()] == ["0", "1", "2", "3", "4"]
        assert [result.messages for result in harness.session_harness.stored if result.messages] == [2, 2, 1]
        assert harness.journal.cursors == [("login-1", Cursor("c"))]

    run_scenario(scenario)


def test_a_batch_of_new_chats_costs_no_more_than_in_proportion():
    def process(count: int) -> None:
        async def scenario(harness: InboundHarness) -> None:
            strangers = [Handle(f"@stranger{number}") for number in range(count)]
            await harness.process(
                *(message(stranger, chat=stranger, sender=stranger) for stranger in strangers)
            )
            assert len(harness.journal.messages()) == count

        run_scenario(scenario)

    assert is_in_proportion(process, 4000)
