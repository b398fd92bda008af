"""Received batches: named, filtered, stored with their cursor and announced, whatever fails."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.cost import is_in_proportion
from tests.support.pauseless_loop import PauselessLoop, run_without_pauses
from tests.support.rows import every_row
from tests.unit.bridge.contexts import changed
from tests.unit.bridge.session_harness import OWNER, WIFE, FakeJournal, SessionHarness, batch, message
from wx2mqtt.bridge import inbound_rows
from wx2mqtt.bridge.inbound import MAX_UNSTORED_SECONDS, InboundMessages
from wx2mqtt.bridge.inbound_rows import MessageRows, StoredQuotes
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError, StoreFull
from wx2mqtt.model import (
    ChatKind,
    Contact,
    Cursor,
    Event,
    Handle,
    Kind,
    MediaRef,
    Member,
    Message,
    Owner,
    QuotedMessage,
)
from wx2mqtt.settings.schema import Media, Plain, Receive
from wx2mqtt.store.history import MessageHistory
from wx2mqtt.store.mapped_files import MAX_KILLS, ProcessingMarks
from wx2mqtt.store.person_records import Person
from wx2mqtt.store.records import NewMessage
from wx2mqtt.wechat.backend import Batch, fatal_message_event

MOM = Contact(handle=Handle("@mom"), kind=ChatKind.FRIEND, nickname="平安是福", remark="妈妈")
FAMILY = Contact(
    handle=Handle("@@family"),
    kind=ChatKind.GROUP,
    nickname="一家人",
    members=(Member(handle=WIFE.handle, nickname="晓梅"), Member(handle=Handle("@eve"), nickname="老婆")),
)
HELPER = Contact(handle=Handle("filehelper"), kind=ChatKind.SELF, permanent_id="filehelper")
PINS = {"wife": ContactPin(remark="老婆"), "family": ContactPin(group="一家人")}
IN_FAMILY: dict[str, Any] = {"chat": FAMILY.handle, "chat_kind": ChatKind.GROUP}


class InboundHarness:
    """An inbound whose people are known."""

    def __init__(self, filters: Receive | None = None) -> None:
        self.session_harness = SessionHarness(
            identity=PeopleRegistry([], {}, PINS), filters=filters or Receive()
        )
        self.inbound: InboundMessages = self.session_harness.inbound
        self.inbound.owner = OWNER
        self.journal: FakeJournal = self.session_harness.journal

    async def add_contacts(self, *contacts: Contact) -> None:
        people = contacts or (WIFE, MOM, FAMILY, HELPER)
        changes = self.session_harness.identity.apply_directory(people, "login-1", OWNER, 1, complete=True)
        await self.inbound.apply_people(changes)

    async def process(self, *items: object, **more: object) -> None:
        values: dict[str, Any] = {"cursor": Cursor("c"), "items": items, **more}
        await self.inbound.store(Batch(**values), "login-1")

    async def body(self, item: object) -> dict[str, Any]:
        before = len(self.journal.items)
        await self.process(item)
        assert len(self.journal.items) == before + 1
        return dict(self.journal.items[-1].body)


def at_home(story, filters: Receive | None = None) -> None:
    async def whole() -> None:
        harness = InboundHarness(filters)
        await harness.add_contacts()
        await story(harness)

    run_without_pauses(whole())


def test_what_was_stored_is_published_before_anybody_else_hears_of_it():
    async def story(harness: InboundHarness) -> None:
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

    at_home(story)


def test_no_message_is_marked_while_a_commit_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def story(harness: InboundHarness) -> None:
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

    at_home(story)


def test_a_message_is_named_after_the_owners_pin_and_its_sender_is_trusted_for_it():
    async def story(harness: InboundHarness) -> None:
        body = await harness.body(message("1"))
        assert body["user"] == "wife"
        assert body["chat"] == {"kind": "friend", "name": "老婆"}
        assert body["sender"] == {"user": "wife", "name": "老婆", "self": False}
        assert body["trusted"] is True
        stored = harness.journal.messages()[0]
        assert (stored.topic, stored.user, stored.text) == ("wx/in/wife", "wife", "开灯 ☀")

    at_home(story)


def test_a_friend_without_a_pin_is_not_trusted():
    async def story(harness: InboundHarness) -> None:
        body = await harness.body(message("1", chat=MOM.handle, sender=MOM.handle))
        assert (body["user"], body["trusted"]) == ("妈妈", False)

    at_home(story)


def test_in_a_group_the_sender_counts_and_a_borrowed_nickname_gives_nothing():
    async def story(harness: InboundHarness) -> None:
        wife = await harness.body(message("1", sender=WIFE.handle, sender_name="晓梅", **IN_FAMILY))
        assert wife["user"] == "family"
        assert wife["sender"] == {"user": "wife", "name": "老婆", "self": False}
        assert wife["trusted"] is True
        eve = await harness.body(message("2", sender=Handle("@eve"), sender_name="老婆", **IN_FAMILY))
        assert eve["sender"] == {"name": "老婆", "self": False}
        assert eve["trusted"] is False

    at_home(story)


def test_system_texts_have_no_sender_and_no_trust():
    async def story(harness: InboundHarness) -> None:
        body = await harness.body(message("1", kind=Kind.SYSTEM, sender=None))
        assert "sender" not in body
        assert body["trusted"] is False

    at_home(story)


def test_the_owner_is_self_and_trusted():
    async def story(harness: InboundHarness) -> None:
        note = message("1", chat=HELPER.handle, chat_kind=ChatKind.SELF, sender=OWNER.handle, from_self=True)
        body = await harness.body(note)
        assert body["user"] == "filehelper"
        assert body["sender"] == {"name": "王小明", "self": True}
        assert body["trusted"] is True

    at_home(story)


def test_somebody_who_is_in_no_list_gets_a_topic_and_keeps_it():
    async def story(harness: InboundHarness) -> None:
        first = await harness.body(message("1", chat=Handle("@new"), sender=Handle("@new")))
        second = await harness.body(message("2", chat=Handle("@new"), sender=Handle("@new")))
        assert first["user"] == second["user"] != ""

    at_home(story)


def test_a_name_that_is_not_known_is_absent_and_never_empty():
    async def story(harness: InboundHarness) -> None:
        member = await harness.body(message("1", sender=Handle("@nobody"), **IN_FAMILY))
        assert member["sender"] == {"self": False}
        stranger = await harness.body(
            message("2", chat=Handle("@new"), sender=Handle("@new"), sender_name="")
        )
        assert stranger["sender"] == {"user": stranger["user"], "name": stranger["user"], "self": False}

    at_home(story)


def test_a_store_that_cannot_be_read_skips_nobody(monkeypatch: pytest.MonkeyPatch):
    async def broken(_message_id: str) -> bool:
        raise StoreError("the disk has a bad sector")

    async def story(harness: InboundHarness) -> None:
        monkeypatch.setattr(harness.journal.commands, "is_sent_message", broken)
        note = message("1", chat=HELPER.handle, chat_kind=ChatKind.SELF, sender=OWNER.handle, from_self=True)
        with pytest.raises(StoreError):
            await harness.process(note)
        assert harness.journal.cursors == []
        monkeypatch.undo()
        await harness.process(note)
        assert len(harness.journal.messages()) == 1

    at_home(story)


def test_the_echo_of_an_answered_send_is_not_taken_for_that_of_an_unanswered_one(
    monkeypatch: pytest.MonkeyPatch,
):
    """After a restart the journal knows the answered ones; of pictures nothing but the id tells them apart."""
    picture: dict[str, Any] = {
        "kind": Kind.IMAGE,
        "chat": WIFE.handle,
        "sender": OWNER.handle,
        "from_self": True,
    }

    async def is_answered(message_id: str) -> bool:
        return message_id == "answered"

    async def story(harness: InboundHarness) -> None:
        monkeypatch.setattr(harness.journal.commands, "is_sent_message", is_answered)
        harness.session_harness.echoes.add_unanswered(WIFE.handle, Kind.IMAGE, "", 0, 10**15)
        await harness.process(message("answered", **picture), message("unanswered", **picture))
        assert harness.journal.messages() == []
        await harness.process(message("from the phone", **picture))
        assert [item.key for item in harness.journal.messages()] == ["from the phone"]

    at_home(story, Receive(own=True))


def test_a_message_that_makes_us_stumble_is_counted_and_the_others_go_on():
    async def story(harness: InboundHarness) -> None:
        bad = message("2", time=None)
        await harness.process(message("1"), bad, message("3"))
        assert [one.id for one in harness.journal.messages()] == ["1", "3"]
        assert harness.inbound._ctx.counters.left_out["unreadable"] == 1

    at_home(story)


def test_what_happened_among_people_is_published_even_if_the_disk_was_full_at_first():
    async def story(harness: InboundHarness) -> None:
        renamed = Contact(handle=MOM.handle, kind=ChatKind.FRIEND, nickname="平安", remark="老妈")
        harness.journal.troubles.append(StoreFull())
        with pytest.raises(StoreFull):
            await harness.process(message("1"), contacts=(renamed,))
        await harness.process(message("1"), contacts=(renamed,))
        assert [one.body["to"] for one in harness.journal.events("contact_renamed")] == ["老妈"]
        assert [one.user for one in harness.journal.events("contact_renamed")] == ["妈妈"]
        assert [one.remark for one in harness.journal.people.persons if one.topic_name == "妈妈"] == ["老妈"]
        assert len(harness.journal.messages()) == 1

    at_home(story)


def test_a_decision_of_the_owner_is_retried_until_stored_and_published_once():
    async def story(harness: InboundHarness) -> None:
        harness.journal.troubles += [StoreFull(), StoreFull()]
        changes = harness.session_harness.identity.set_pins({**PINS, "mother": ContactPin(remark="妈妈")})
        await harness.inbound.apply_people(changes)
        assert len(harness.journal.events("topic_changed")) == 1

    at_home(story)


def test_two_who_store_at_the_same_time_lose_nothing_of_each_other():
    async def story(harness: InboundHarness) -> None:
        harness.journal.troubles.append(StoreFull())
        renamed = Contact(handle=MOM.handle, kind=ChatKind.FRIEND, nickname="平安", remark="老妈")

        async def decided() -> None:
            await harness.inbound.apply_people(
                harness.session_harness.identity.set_pins({**PINS, "mother": ContactPin(remark="老妈")})
            )

        async def received() -> None:
            with pytest.raises(StoreFull):
                await harness.process(message("1"), contacts=(renamed,))

        await asyncio.gather(received(), decided())
        stored = {one.topic_name: one for one in harness.journal.people.persons}
        assert stored["mother"].remark == "老妈"
        assert len(harness.journal.events("contact_renamed")) == 1
        assert len(harness.journal.events("topic_changed")) == 1

    at_home(story)


def test_the_directory_is_published_for_changes_and_not_for_messages():
    async def story(harness: InboundHarness) -> None:
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

    at_home(story)


def test_a_batch_without_anything_still_moves_the_cursor():
    async def story(harness: InboundHarness) -> None:
        await harness.inbound.store(batch(7), "login-1")
        assert harness.journal.cursors == [("login-1", "login-1:7")]

    at_home(story)


RECALL = Event(key="e1", name="recall", time=1, chat=WIFE.handle, fields={"message_id": "9"})
IN_GROUP = Event(key="e2", name="recall", time=1, chat=FAMILY.handle, actor=WIFE.handle)


def test_an_event_names_its_chat_and_who_did_it():
    async def story(harness: InboundHarness) -> None:
        body = await harness.body(IN_GROUP)
        assert (body["event"], body["user"], body["by"]) == ("recall", "family", "wife")
        assert harness.journal.items[-1].topic == "wx/event/recall"

    at_home(story)


def test_a_recall_has_the_id_of_the_message_that_was_withdrawn():
    async def story(harness: InboundHarness) -> None:
        recall = Event(key="e3", name="recall", time=1, fields={"id": "9", "message_id": "9", "text": "x"})
        body = await harness.body(recall)
        assert (body["id"], body["message_id"], harness.journal.items[-1].key) == ("9", "9", "e3")
        assert (await harness.body(IN_GROUP))["id"] == "e2"

    at_home(story)


def test_people_in_an_event_are_named_by_their_topics_and_else_by_name():
    turnover = Event(
        key="e3",
        name="group_members",
        time=1,
        chat=FAMILY.handle,
        fields={"count": 3},
        people={
            "added": (
                Member(handle=MOM.handle, nickname="老妈"),
                Member(handle=Handle("@x"), nickname="三姨"),
            ),
            "removed": (
                Member(handle=Handle(""), display_name="wife"),
                Member(handle=WIFE.handle, display_name="梅"),
            ),
        },
    )

    async def story(harness: InboundHarness) -> None:
        body = await harness.body(turnover)
        assert (body["added"], body["removed"], body["count"]) == (["妈妈", "三姨"], ["“wife”", "wife"], 3)
        assert "by" not in body
        assert "@" not in str(body)

    at_home(story)


def test_whoever_did_it_and_has_no_topic_is_given_by_name():
    async def story(harness: InboundHarness) -> None:
        recall = Event(key="e4", name="recall", time=1, chat=FAMILY.handle, fields={"by": "三姨"})
        assert (await harness.body(recall))["by"] == "三姨"
        own = Event(
            key="e5", name="recall", time=1, chat=FAMILY.handle, fields={"by": "mom"}, actor=MOM.handle
        )
        assert (await harness.body(own))["by"] == "妈妈"

    at_home(story)


def test_whoever_wrote_a_message_in_a_group_is_who_withdrew_it():
    async def story(harness: InboundHarness) -> None:
        await harness.process(message("8", sender=MOM.handle, sender_name="平安是福", **IN_FAMILY))
        await harness.process(message("9", sender=Handle("@eve"), sender_name="三姨", **IN_FAMILY))
        for number, by in (("8", "妈妈"), ("9", "三姨"), ("7", "三姨")):
            fields = {"id": number, "message_id": number, "by": "三姨"}
            recall = Event(key=f"r{number}", name="recall", time=1, chat=FAMILY.handle, fields=fields)
            body = await harness.body(recall)
            assert (body["id"], body["by"]) == (number, by)

    at_home(story)


def quoting(number: str, claimed: str, **more: Any) -> Message:
    """A message that says that `number` has the text `claimed`."""
    detail = {"id": number, "kind": "text", "text": claimed, "sender": "平安是福"}
    return message(f"q{number}", kind=Kind.QUOTE, detail=detail, **more)


def test_a_quote_has_the_author_and_the_words_of_what_it_answers_where_that_is_known():
    async def story(harness: InboundHarness) -> None:
        await harness.process(
            message("8", text="关\n灯", sender=MOM.handle, sender_name="平安是福", **IN_FAMILY)
        )
        for number, user, text in (("8", "妈妈", "关 灯"), ("7", None, "开门")):
            shown = (await harness.body(quoting(number, "开门", sender=WIFE.handle, **IN_FAMILY)))["quote"]
            assert (shown.get("user"), shown["text"], shown["sender"]) == (user, text, "平安是福")

    at_home(story)


def test_a_quote_from_another_chat_vouches_for_nothing():
    async def story(harness: InboundHarness) -> None:
        await harness.process(message("8", text="关灯"))
        sent = QuotedMessage(kind=Kind.TEXT, text="关灯", chat="wife", from_self=True, command_id="alarm-7")
        harness.journal.sent["9"] = sent
        for number in ("8", "9"):
            for elsewhere in (
                {"sender": WIFE.handle, **IN_FAMILY},
                {"chat": MOM.handle, "sender": MOM.handle},
            ):
                shown = (await harness.body(quoting(number, "开门", **elsewhere)))["quote"]
                assert shown == {"id": number, "kind": "text", "text": "开门", "sender": "平安是福"}

    at_home(story)


def test_a_quote_of_ours_has_its_command_and_its_words():
    async def story(harness: InboundHarness) -> None:
        sent = QuotedMessage(
            kind=Kind.TEXT, text="开窗吗？", chat="wife", from_self=True, command_id="alarm-7"
        )
        harness.journal.sent["9"] = sent
        shown = (await harness.body(quoting("9", "开门吗？")))["quote"]
        assert shown == {
            "id": "9",
            "kind": "text",
            "text": "开窗吗？",
            "sender": "平安是福",
            "self": True,
            "command_id": "alarm-7",
        }

    at_home(story)


def test_a_quoted_file_without_a_name_has_no_words_of_whoever_quotes_it():
    async def story(harness: InboundHarness) -> None:
        harness.journal.sent["9"] = QuotedMessage(kind=Kind.IMAGE, text="", chat="wife", from_self=True)
        shown = (await harness.body(quoting("9", "开门")))["quote"]
        assert shown == {"id": "9", "kind": "image", "sender": "平安是福", "self": True}

    at_home(story)


def test_a_backend_that_looks_quotes_up_finds_those_of_the_same_chat():
    async def story(harness: InboundHarness) -> None:
        await harness.process(message("8", text="关灯"))
        quotes = StoredQuotes(cast(MessageHistory, harness.journal), harness.session_harness.identity)
        found = await quotes.lookup("8", WIFE.handle)
        assert found == QuotedMessage(kind=Kind.TEXT, text="关灯", chat="wife", user="wife")
        assert await quotes.lookup("8", MOM.handle) is None
        assert await quotes.lookup("8", Handle("@nobody")) is None
        # Its text may be a part of the stored one, so it stays.
        detail = {"id": "8", "kind": "text", "text": "灯", "user": "wife"}
        shown = (await harness.body(message("9", kind=Kind.QUOTE, detail=detail)))["quote"]
        assert shown["text"] == "灯"

    at_home(story)


def test_what_is_needed_to_answer_a_friend_request_is_stored_and_not_published():
    async def story(harness: InboundHarness) -> None:
        request = Event(
            key="7", name="friend_request", time=1, fields={"name": "Bob"}, private={"ticket": "v2_secret"}
        )
        body = await harness.body(request)
        assert "v2_secret" not in str(body)
        private = harness.journal.items[-1].private  # type: ignore[union-attr]
        assert private == {"ticket": "v2_secret", "login": "login-1"}

    at_home(story)


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
    async def story(harness: InboundHarness) -> None:
        before = len(harness.journal.items)
        await harness.process(RECALL, IN_GROUP)
        assert len(harness.journal.items) == before + arrived

    at_home(story, filters)


def test_a_filtered_person_causes_no_events_but_a_topic_that_changes_is():
    async def story(harness: InboundHarness) -> None:
        renamed = Contact(handle=MOM.handle, kind=ChatKind.FRIEND, nickname="平安", remark="老妈")
        await harness.process(contacts=(renamed,), removed=(MOM.handle,))
        assert harness.journal.events("contact_renamed") == []
        assert harness.journal.events("contact_removed") == []
        await harness.process(contacts=(renamed,))
        await harness.inbound.apply_people(
            harness.session_harness.identity.set_pins({"mother": ContactPin(remark="老妈")})
        )
        assert [one.body["user"] for one in harness.journal.events("topic_changed")] == ["mother"]

    at_home(story, Receive(deny=("妈妈", "mother")))


# bytes


PICTURE: dict[str, Any] = {"kind": Kind.IMAGE, "media": MediaRef(locator={"msgid": "7"}, name="a.jpg")}


def test_a_message_with_bytes_says_where_they_will_be_and_has_them_fetched():
    async def story(harness: InboundHarness) -> None:
        body = await harness.body(message("7", "[图片]", **PICTURE))
        (stored,) = harness.session_harness.to_fetch
        (job,) = stored.media
        assert body["image"] == {"name": "a.jpg", "state": "pending", "url": f"/media/{job.id}"}
        assert stored.waits_for_file is False
        await harness.process(message("8"))
        assert harness.session_harness.to_fetch == [stored]

    at_home(story)


def test_a_text_has_no_file_whatever_a_backend_says():
    async def story(harness: InboundHarness) -> None:
        body = await harness.body(message("7", media=PICTURE["media"]))
        assert body.keys().isdisjoint({"state", "url"})
        assert isinstance(body["text"], str)
        assert [one.media for one in harness.journal.messages()] == [()]
        assert harness.session_harness.to_fetch == []

    at_home(story)


def test_what_is_filtered_or_not_stored_is_not_fetched():
    async def story(harness: InboundHarness) -> None:
        await harness.process(message("7", **PICTURE))
        harness.session_harness.ctx.settings = changed(
            harness.session_harness.ctx.settings, receive=Receive()
        )
        harness.journal.troubles.append(StoreFull())
        with pytest.raises(StoreFull):
            await harness.process(message("8", **PICTURE))
        assert harness.session_harness.to_fetch == []

    at_home(story, Receive(deny=("wife",)))


def test_where_small_ones_stand_in_the_message_it_waits():
    async def story(harness: InboundHarness) -> None:
        harness.session_harness.ctx.settings = changed(
            harness.session_harness.ctx.settings, media=Media(inline_below=1000)
        )
        await harness.process(message("7", **PICTURE), message("8"))
        assert [one.waits_for_file for one in harness.journal.messages()] == [True, False]

    at_home(story)


# bare text for small devices


def plains(harness: InboundHarness) -> list[tuple[str, str]]:
    """Topic and payload of what goes out as bare text."""
    found = (one.plain for one in harness.journal.messages())
    return [(one.topic, one.payload.decode()) for one in found if one is not None]


def test_with_plain_what_trusted_people_write_goes_out_as_bare_text_too():
    async def story(harness: InboundHarness) -> None:
        harness.session_harness.ctx.settings = changed(
            harness.session_harness.ctx.settings, plain=Plain(max_age=60.0)
        )
        note = message(
            "2",
            "开门",
            chat=HELPER.handle,
            chat_kind=ChatKind.SELF,
            sender=OWNER.handle,
            from_self=True,
            time=now_ms(),
        )
        await harness.process(
            message("1", time=now_ms()),
            note,
            message("3", "on", sender=WIFE.handle, sender_name="晓梅", time=now_ms(), **IN_FAMILY),
            message("4", "[图片]", **{**PICTURE, "time": now_ms()}),
        )
        assert plains(harness) == [
            ("wx/text/wife", "开灯 ☀"),
            ("wx/text/filehelper", "开门"),
            ("wx/text/family", "on"),
            ("wx/text/wife", "[图片]"),
        ]
        (first, *_) = harness.journal.messages()
        assert first.plain is not None
        assert first.plain.content_type == "text/plain"

    at_home(story)


@pytest.mark.parametrize(
    ("age_seconds", "expiry"),
    [
        (0.0, 60),
        (20.5, 39),
        (58.9, 1),
        (59.5, None),
        (61.0, None),
        (86_400.0, None),
        (-5.0, 60),  # the clock of WeChat goes a little before that of this machine
        (-61.0, None),  # one of the two is wrong, so the age is not known
    ],
)
def test_bare_text_goes_out_while_it_is_young_and_for_what_is_left_of_that(monkeypatch, age_seconds, expiry):
    now = now_ms()
    monkeypatch.setattr(inbound_rows, "now_ms", lambda: now)

    async def story(harness: InboundHarness) -> None:
        harness.session_harness.ctx.settings = changed(
            harness.session_harness.ctx.settings, plain=Plain(max_age=60.0)
        )
        await harness.process(message("1", time=now - round(age_seconds * 1000)))
        (row,) = harness.journal.messages()
        assert (None if row.plain is None else row.plain.expiry) == expiry

    at_home(story)


def test_nobody_else_gets_onto_the_topics_of_bare_text():
    async def story(harness: InboundHarness) -> None:
        harness.session_harness.ctx.settings = changed(
            harness.session_harness.ctx.settings, plain=Plain(max_age=60.0)
        )
        await harness.process(
            message("1", "on", chat=MOM.handle, sender=MOM.handle, time=now_ms()),
            message("2", "on", sender=Handle("@eve"), sender_name="老婆", time=now_ms(), **IN_FAMILY),
            message("3", "on", kind=Kind.SYSTEM, sender=None, time=now_ms()),
            message("4", "", time=now_ms()),
        )
        assert len(harness.journal.messages()) == 4
        assert plains(harness) == []

    at_home(story)


def test_without_plain_there_is_no_bare_text():
    async def story(harness: InboundHarness) -> None:
        await harness.process(message("1", time=now_ms()))
        assert plains(harness) == []

    at_home(story)


class Killed(BaseException):
    """The process ends while it processes a message; `mark` is what it leaves behind."""

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

    async def life(harness: InboundHarness) -> None:
        """One life of the process, which receives the same batch as the one before."""
        harness.session_harness.ctx.marks = ProcessingMarks(path)
        await harness.process(message("1"), message("2"), message("3"))

    for _ in range(MAX_KILLS):
        with pytest.raises(Killed) as killed:
            at_home(life)
        path.write_bytes(killed.value.mark)

    async def story(harness: InboundHarness) -> None:
        await life(harness)
        assert [one.id for one in harness.journal.messages()] == ["1", "3"]
        (event,) = harness.journal.events("unreadable")
        assert (event.key, event.body["message_id"]) == ("unreadable:2", "2")
        assert harness.inbound._ctx.counters.left_out["unreadable"] == 1
        assert harness.journal.cursors == [("login-1", Cursor("c"))]

    at_home(story)


def test_a_message_that_the_backend_has_skipped_is_counted():
    async def story(harness: InboundHarness) -> None:
        body = await harness.body(fatal_message_event("8", "8", 1))
        assert (body["event"], body["message_id"]) == ("unreadable", "8")
        assert harness.inbound._ctx.counters.left_out["unreadable"] == 1

    at_home(story)


def test_a_batch_that_takes_long_is_stored_in_parts(monkeypatch):
    async def story(harness: InboundHarness) -> None:
        row = MessageRows.row

        def slowly(rows: MessageRows, message: Message, person: Person, owner: Owner | None) -> NewMessage:
            loop = cast(PauselessLoop, asyncio.get_running_loop())
            loop.skip(MAX_UNSTORED_SECONDS * 0.6)
            return row(rows, message, person, owner)

        monkeypatch.setattr(MessageRows, "row", slowly)
        await harness.process(*(message(str(number)) for number in range(5)))
        assert [one.id for one in harness.journal.messages()] == ["0", "1", "2", "3", "4"]
        assert [result.messages for result in harness.session_harness.stored if result.messages] == [2, 2, 1]
        assert harness.journal.cursors == [("login-1", Cursor("c"))]

    at_home(story)


def test_a_batch_of_new_chats_costs_no_more_than_in_proportion():
    def process(count: int) -> None:
        async def story(harness: InboundHarness) -> None:
            strangers = [Handle(f"@stranger{number}") for number in range(count)]
            await harness.process(*(message(one, chat=one, sender=one) for one in strangers))
            assert len(harness.journal.messages()) == count

        at_home(story)

    assert is_in_proportion(process, 4000)
