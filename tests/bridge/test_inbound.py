"""What is received: who wrote it, what is published of it, what is filtered, and that nothing is lost or twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount, opened_bridge
from tests.support.cost import is_in_proportion
from tests.support.memory_backend import MOM, OWNER, WIFE, MemoryBackend
from tests.support.single_thread import SingleThreadLoop
from wx2mqtt.bridge.inbound import MAX_UNSTORED_SECONDS
from wx2mqtt.bridge.inbound_rows import MessageRows
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.model import ChatKind, Contact, Event, Handle, Kind, MediaRef, Member, Message, Receipt
from wx2mqtt.store.mapped_files import MAX_KILLS, ProcessingMarks
from wx2mqtt.wechat.backend_options import fatal_message_event

FAMILY = Contact(
    handle=Handle("@@family"),
    kind=ChatKind.GROUP,
    nickname="一家人",
    members=(Member(handle=WIFE.handle, nickname="晓梅"), Member(handle=Handle("@eve"), nickname="老婆")),
)
HELPER = Contact(handle=Handle("filehelper"), kind=ChatKind.SELF, permanent_id="filehelper")
EVE, STRANGER = Handle("@eve"), Contact(handle=Handle("@new"), kind=ChatKind.FRIEND)
CONTACTS: dict[str, Any] = {"wife": {"remark": "老婆"}, "family": {"group": "一家人"}}
PICTURE: dict[str, Any] = {"kind": Kind.IMAGE, "media": MediaRef(locator={"id": "7"}, name="a.jpg")}
RECALL = Event(key="e1", name="recall", time=1, chat=WIFE.handle, fields={"message_id": "9"})
IN_GROUP = Event(key="e2", name="recall", time=1, chat=FAMILY.handle, actor=WIFE.handle)
RENAMED = replace(MOM, remark="老妈")


async def bridge_with(open_bridge: OpenBridge, **sections: Any) -> BridgedAccount:
    backend = MemoryBackend(contacts=[WIFE, MOM, FAMILY, HELPER])
    return await open_bridge(backend, **{"contacts": CONTACTS, **sections})


@pytest.fixture
async def bridge(open_bridge: OpenBridge) -> BridgedAccount:
    return await bridge_with(open_bridge)


async def received(bridge: BridgedAccount, contact: Contact, text: str = "开灯", **more: Any) -> Any:
    """Lets WeChat deliver a message; returns what is published of it."""
    user = {"老婆": "wife", "一家人": "family", "妈妈": "妈妈"}.get(contact.remark or contact.nickname, "")
    message = bridge.backend.write(contact, text, **more)
    return await bridge.next(f"wx/in/{user or message.chat}")


async def event_of(bridge: BridgedAccount, event: Event) -> Any:
    bridge.backend.deliver(event)
    return await bridge.event(event.name)


def left_out(bridge: BridgedAccount, reason: str) -> int:
    return bridge.account.ctx.counters.left_out[reason]


# who wrote it


@pytest.mark.parametrize(
    ("contact", "more", "sender", "trusted"),
    [
        (WIFE, {}, {"user": "wife", "name": "老婆", "self": False}, True),
        (MOM, {}, {"user": "妈妈", "name": "妈妈", "self": False}, False),
        (FAMILY, {"sender_name": "晓梅"}, {"user": "wife", "name": "老婆", "self": False}, True),
        (FAMILY, {"sender": EVE, "sender_name": "老婆"}, {"name": "老婆", "self": False}, False),
        (FAMILY, {"sender": Handle("@nobody")}, {"self": False}, False),
        (WIFE, {"kind": Kind.SYSTEM, "sender": None}, None, False),
        (HELPER, {"sender": OWNER.handle, "from_self": True}, {"name": "王小明", "self": True}, True),
    ],
    ids=["pin", "no pin", "in a group", "borrowed nickname", "unknown member", "system", "owner"],
)
async def test_the_sender_counts_and_is_trusted_for_a_pin_only(
    bridge: BridgedAccount, contact: Contact, more: Any, sender: Any, trusted: bool
):
    body = await received(bridge, contact, **more)
    assert (body.get("sender"), body["trusted"]) == (sender, trusted)
    if contact is WIFE:
        assert (body["user"], body["chat"]) == ("wife", {"kind": "friend", "name": "老婆"})


async def test_somebody_who_is_in_no_list_gets_a_topic_and_keeps_it(bridge: BridgedAccount):
    for _ in range(2):
        bridge.backend.write(STRANGER)
        body = await bridge.next("wx/in/friend")
        assert body["sender"] == {"user": "friend", "name": "friend", "self": False}


# events


async def test_an_event_names_its_chat_and_who_did_it_by_topic_and_else_by_name(bridge: BridgedAccount):
    body = await event_of(bridge, IN_GROUP)
    assert (body["event"], body["user"], body["by"], body["id"]) == ("recall", "family", "wife", "e2")
    group: dict[str, Any] = {"name": "recall", "time": 1, "chat": FAMILY.handle}
    assert (await event_of(bridge, Event(key="e4", fields={"by": "三姨"}, **group)))["by"] == "三姨"
    own = Event(key="e5", fields={"by": "mom"}, actor=MOM.handle, **group)
    assert (await event_of(bridge, own))["by"] == "妈妈"
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
    body = await event_of(bridge, turnover)
    assert (body["added"], body["removed"], body["count"]) == (["妈妈", "三姨"], ["“wife”", "wife"], 3)
    assert "by" not in body
    assert "@" not in str(body)


async def test_whoever_wrote_a_message_in_a_group_is_who_withdrew_it(bridge: BridgedAccount):
    await received(bridge, FAMILY, key="8", id="8", sender=MOM.handle, sender_name="平安是福")
    await received(bridge, FAMILY, key="9", id="9", sender=EVE, sender_name="三姨")
    for number, by in (("8", "妈妈"), ("9", "三姨"), ("7", "三姨")):
        fields = {"id": number, "message_id": number, "by": "三姨"}
        recall = Event(key=f"r{number}", name="recall", time=1, chat=FAMILY.handle, fields=fields)
        body = await event_of(bridge, recall)
        assert (body["id"], body["message_id"], body["by"]) == (number, number, by)


# quotes


async def quoted(bridge: BridgedAccount, contact: Contact, number: str, **more: Any) -> Any:
    """Returns the quote of a reply that claims that the message `number` has another text."""
    detail = {"id": number, "kind": "text", "text": "开门", "sender": "平安是福", **more}
    return (await received(bridge, contact, kind=Kind.QUOTE, detail=detail))["quote"]


async def test_a_quote_has_author_and_text_of_the_stored_message_of_its_chat_only(bridge: BridgedAccount):
    claimed = {"kind": "text", "text": "开门", "sender": "平安是福"}
    await received(bridge, FAMILY, "关\n灯" + "x" * 2000, id="8", sender=MOM.handle, sender_name="平安是福")
    shown = await quoted(bridge, FAMILY, "8")
    assert (shown["user"], shown["text"]) == ("妈妈", "关 灯" + "x" * 997)
    for contact, number in ((FAMILY, "7"), (WIFE, "8"), (MOM, "8")):
        assert await quoted(bridge, contact, number) == {"id": number, **claimed}
    named = await quoted(bridge, FAMILY, "8", user="妈妈", text="灯")
    assert named["text"] == "灯", "a backend that looked it up may quote a part"


@pytest.mark.parametrize(
    ("command", "kind", "text"),
    [
        ({"text": "开窗吗？", "id": "alarm-7"}, "text", {"text": "开窗吗？"}),
        ({"kind": "image", "data": "QUJD", "name": "", "id": "alarm-7"}, "image", {}),
    ],
)
async def test_a_quote_of_a_sent_message_has_its_command_id_and_nothing_that_its_quoter_claims(
    bridge: BridgedAccount, command: dict[str, Any], kind: str, text: dict[str, str]
):
    bridge.backend.outcomes.append(Receipt(message_id="9"))
    assert (await bridge.send("wife", command))["status"] == "sent"
    shown = await quoted(bridge, WIFE, "9")
    known = {"id": "9", "kind": kind, **text, "sender": "平安是福", "self": True, "command_id": "alarm-7"}
    shown.pop("name", None)
    assert shown == known
    elsewhere = await quoted(bridge, MOM, "9")
    assert "command_id" not in elsewhere


# bare text


@pytest.mark.parametrize(
    ("age", "expiry"),
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
async def test_bare_text_goes_out_while_it_is_young_and_for_what_is_left_of_that(
    open_bridge: OpenBridge, age: float, expiry: int | None
):
    bridge = await bridge_with(open_bridge, plain={"max_age": "60s"})
    await received(bridge, WIFE, time=now_ms() - round(age * 1000))
    await bridge.wait_until_published()
    sent = [publication.publication.expiry for publication in bridge.sent("wx/text/wife")]
    assert sent == ([] if expiry is None else [pytest.approx(expiry, abs=1)])


async def test_with_plain_only_what_trusted_people_write_goes_out_as_bare_text(open_bridge: OpenBridge):
    bridge = await bridge_with(open_bridge, plain={"max_age": "60s"})
    await received(bridge, WIFE)
    await received(bridge, HELPER, "开门", sender=OWNER.handle, from_self=True)
    await received(bridge, FAMILY, "on", sender_name="晓梅")
    await received(bridge, WIFE, "[图片]", **PICTURE)
    await received(bridge, MOM, "on")
    await received(bridge, FAMILY, "on", sender=EVE, sender_name="老婆")
    await received(bridge, WIFE, "on", kind=Kind.SYSTEM, sender=None)
    await received(bridge, WIFE, "")
    await bridge.wait_until_published()
    bare = [sent for sent in bridge.broker.sent if sent.topic.startswith("wx/text/")]
    assert [(sent.topic.removeprefix("wx/text/"), sent.payload.decode()) for sent in bare] == [
        ("wife", "开灯"),
        ("filehelper", "开门"),
        ("family", "on"),
        ("wife", "[图片]"),
    ]
    assert {sent.publication.content_type for sent in bare} == {"text/plain"}


# files


async def test_a_picture_says_where_its_bytes_will_be_and_a_text_has_no_file(bridge: BridgedAccount):
    body = await received(bridge, WIFE, "[图片]", **PICTURE)
    assert (body["image"]["name"], body["image"]["state"]) == ("a.jpg", "pending")
    assert body["image"]["url"].startswith("/media/")
    body = await received(bridge, WIFE, media=PICTURE["media"])
    assert body.keys().isdisjoint({"state", "url", "image"})
    assert await bridge.rows("SELECT count(*) FROM media") == [(1,)]


# filters


@pytest.mark.parametrize(
    ("receive", "arrived"),
    [
        ({}, 2),
        ({"deny": ["wife"]}, 1),
        ({"groups": "none"}, 1),
        ({"groups": "listed"}, 2),
        ({"allow": ["mom"]}, 0),
    ],
)
async def test_events_and_messages_go_through_the_filters_and_what_is_filtered_is_not_fetched(
    open_bridge: OpenBridge, receive: dict[str, Any], arrived: int
):
    bridge = await bridge_with(open_bridge, receive=receive)
    backend = bridge.backend
    backend.deliver(RECALL, IN_GROUP, backend.message(WIFE, **PICTURE), backend.message(FAMILY, **PICTURE))
    await bridge.pass_time(5)
    await bridge.wait_until_published()
    assert len(bridge.published("wx/event/recall")) == arrived
    assert len(bridge.published("wx/in/wife") + bridge.published("wx/in/family")) == arrived
    assert len(set(backend.downloads)) == (arrived > 0)
    assert left_out(bridge, "filtered") == 4 - 2 * arrived


async def test_a_filtered_person_causes_no_events_but_a_topic_that_changes_is(open_bridge: OpenBridge):
    receive = {"deny": ["妈妈", "mother"]}
    bridge = await bridge_with(open_bridge, receive=receive)
    bridge.backend.deliver(contacts=(RENAMED,))
    bridge.backend.deliver(removed=(MOM.handle,))
    bridge.backend.deliver(contacts=(RENAMED,))
    await bridge.pass_time(1)
    await bridge.reload(receive=receive, contacts={"mother": {"remark": "老妈"}})
    assert (await bridge.event("topic_changed"))["user"] == "mother"
    names = [topic for topic in bridge.broker.topics if topic.startswith("wx/event/contact_")]
    assert names == []


# stored once, whatever fails


@pytest.mark.parametrize("failures", [1, 2])
async def test_what_happened_among_people_is_published_once_even_if_the_disk_was_full_at_first(
    bridge: BridgedAccount, failures: int
):
    message = bridge.backend.message(WIFE, "hi")
    bridge.fail_store(*["record"] * failures)
    for _ in range(failures + 1):
        bridge.backend.deliver(message, contacts=(RENAMED,))
    await bridge.pass_time(0.01)
    await bridge.reload(contacts={**CONTACTS, "mother": {"remark": "老妈"}})
    await bridge.pass_time(120)
    renamed, changed = (
        [(body["user"], body["to"]) for body in bridge.published(f"wx/event/{name}")]
        for name in ("contact_renamed", "topic_changed")
    )
    assert ([to for _, to in renamed], changed) == (["老妈"], [("mother", "mother")])
    assert len(bridge.published("wx/in/wife")) == 1
    mother = next(c for c in bridge.last("wx/contacts")["contacts"] if c["user"] == "mother")
    assert mother["remark"] == "老妈"


async def test_a_store_that_cannot_be_read_skips_nobody(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch
):
    asked = []
    is_sent_message = bridge.account.ctx.journal.commands.is_sent_message

    async def fail_once(message_id: str) -> bool:
        asked.append(message_id)
        if len(asked) == 1:
            raise StoreError("the disk has a bad sector")
        return await is_sent_message(message_id)

    monkeypatch.setattr(bridge.account.ctx.journal.commands, "is_sent_message", fail_once)
    note = bridge.backend.message(HELPER, sender=OWNER.handle, from_self=True)
    for _ in range(2):
        bridge.backend.deliver(note)
    await bridge.next("wx/in/filehelper")
    assert len(asked) >= 2


async def test_a_message_that_raises_an_error_is_counted_and_the_others_are_stored(bridge: BridgedAccount):
    one, bad, three = (bridge.backend.message(WIFE, text) for text in ("1", "2", "3"))
    bridge.backend.deliver(one, replace(bad, time=None), three)  # type: ignore[arg-type]
    assert [(await bridge.next("wx/in/wife"))["text"] for _ in range(2)] == ["1", "3"]
    assert left_out(bridge, "unreadable") == 1
    bridge.backend.deliver(fatal_message_event("8", "8", 1))
    assert (await bridge.event("unreadable"))["message_id"] == "8"
    assert left_out(bridge, "unreadable") == 2


class Killed(BaseException):
    """Ends the process in the middle of a message."""


async def test_a_message_that_ends_the_process_three_times_is_skipped_and_reported(
    bridge: BridgedAccount, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
):
    path, row = tmp_path / "home.processing", MessageRows.row
    kept: list[bytes] = []

    def kill(rows: MessageRows, message: Message, *others: Any) -> Any:
        if message.text == "2":
            kept.append(path.read_bytes())
            raise Killed
        return row(rows, message, *others)

    monkeypatch.setattr(MessageRows, "row", kill)
    messages = tuple(bridge.backend.message(WIFE, text, id=text, key=text) for text in ("1", "2", "3"))
    bridge.account.ctx.marks = ProcessingMarks(path)
    batch: Any = type("Batch", (), {"unreadable_count": 0, "contacts": (), "removed": (), "items": messages})
    batch.cursor = "c"
    for _ in range(MAX_KILLS):
        with pytest.raises(Killed):
            await bridge.account.components.inbound.store(batch, "login-1")
        path.write_bytes(kept[-1])
        bridge.account.ctx.marks = ProcessingMarks(path)
    bridge.backend.deliver(*messages)
    assert [(await bridge.next("wx/in/wife"))["text"] for _ in range(2)] == ["1", "3"]
    assert (await bridge.event("unreadable"))["message_id"] == "2"
    assert left_out(bridge, "unreadable") == 1


async def test_a_batch_that_takes_long_is_stored_in_parts(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch
):
    row = MessageRows.row

    def slowly(rows: MessageRows, *others: Any) -> Any:
        bridge.skip_time(MAX_UNSTORED_SECONDS * 0.6)
        return row(rows, *others)

    monkeypatch.setattr(MessageRows, "row", slowly)
    before = bridge.store_jobs["record"]
    bridge.backend.deliver(*(bridge.backend.message(WIFE, str(number)) for number in range(5)))
    assert [(await bridge.next("wx/in/wife"))["text"] for _ in range(5)] == list("01234")
    assert bridge.store_jobs["record"] - before == 3


async def test_the_directory_is_published_for_changes_and_not_for_messages(bridge: BridgedAccount):
    await bridge.pass_time(60)
    before = len(bridge.sent("wx/contacts"))
    for _ in range(2):
        await received(bridge, WIFE)
    await bridge.pass_time(60)
    assert len(bridge.sent("wx/contacts")) == before
    assert await bridge.rows("SELECT count(*) FROM person WHERE wrote") == [(1,)]
    bridge.backend.deliver(contacts=(replace(WIFE, nickname="梅"),))
    await bridge.pass_time(60)
    assert len(bridge.sent("wx/contacts")) == before + 1


async def test_wechat_learns_what_is_published_after_its_commit(
    open_bridge: OpenBridge, monkeypatch: pytest.MonkeyPatch
):
    bridge = await bridge_with(open_bridge, receive={"deny": ["wife"]})
    published: list[str] = []
    monkeypatch.setattr(bridge.backend, "on_published", published.extend)
    held = bridge.hold_store("record")
    messages = [bridge.backend.message(contact, key=contact.handle) for contact in (WIFE, MOM)]
    bridge.backend.deliver(*messages, IN_GROUP)
    await bridge.pass_time(1)
    assert published == []
    held.set_result(None)
    await bridge.next("wx/in/妈妈")
    assert published == [MOM.handle]


async def test_no_message_is_marked_while_a_commit_runs(bridge: BridgedAccount, tmp_path: Any):
    path = tmp_path / "marks"
    bridge.account.ctx.marks = ProcessingMarks(path)
    held = bridge.hold_store("record")
    bridge.backend.deliver(bridge.backend.message(WIFE), bridge.backend.message(WIFE))
    await bridge.pass_time(1)
    assert path.read_text().startswith("- 0 ")
    held.set_result(None)


def test_a_batch_of_new_chats_costs_no_more_than_in_proportion(store_folder: Path):
    def process(count: int) -> None:
        async def receive() -> None:
            async with opened_bridge(store_folder / str(count)) as bridge:
                await bridge.start()
                chats = [Handle(f"@stranger{number}") for number in range(count)]
                messages = [bridge.backend.message(replace(STRANGER, handle=chat)) for chat in chats]
                bridge.backend.deliver(*messages)
                await bridge.wait_until(lambda: bridge.account.ctx.registry.count >= count)

        with asyncio.Runner(loop_factory=SingleThreadLoop) as runner:
            runner.run(receive())

    assert is_in_proportion(process, 1000)


@pytest.mark.parametrize("is_event", [False, True], ids=["message", "event"])
async def test_the_page_hears_of_each_message_and_each_event(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch, is_event: bool
):
    heard: list[str] = []
    monkeypatch.setattr(bridge.account.ctx.shared.changes, "notify", lambda: heard.append("change"))
    await received(bridge, MOM)  # that somebody writes for the first time is a change of people
    heard.clear()
    bridge.backend.deliver(IN_GROUP if is_event else bridge.backend.message(MOM))
    await bridge.pass_time(0.01)
    assert heard
