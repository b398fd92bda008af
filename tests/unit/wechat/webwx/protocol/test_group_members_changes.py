"""Members who join or leave a group give an event for each changed list (webwx 2.11)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.cost import is_in_proportion
from tests.unit.wechat.webwx.entries import BOB, FAMILY, ME, OWNER, WIFE, appmsg, entry, escaped
from tests.unit.wechat.webwx.server import BackendHarness, answer, check
from tests.unit.wechat.webwx.test_receiver import load_contacts, put_sync
from wx2mqtt.errors import LoggedOut
from wx2mqtt.model import ChatKind, Contact, Cursor, Event, Handle, Kind, Member, Message
from wx2mqtt.wechat.backend import Batch
from wx2mqtt.wechat.webwx.protocol.group_members import GroupChanges, GroupMembers
from wx2mqtt.wechat.webwx.protocol.membership_texts import GroupNotice


def group(*members: tuple[str, str], count: int | None = None) -> dict[str, Any]:
    listed = [{"UserName": handle, "NickName": name} for handle, name in members]
    size = len(members) if count is None else count
    return {"UserName": FAMILY, "NickName": "一家人", "MemberCount": size, "MemberList": listed}


OLD = group((ME, "me"), (WIFE, "梅"))
NEW = group((ME, "me"), (BOB, "Bob"))


def events(batch: Batch) -> list[Event]:
    return [item for item in batch.items if isinstance(item, Event)]


async def receive_group_lists(harness: BackendHarness, cursor: Cursor, *groups: dict[str, Any]) -> Batch:
    put_sync(harness, ModContactList=list(groups))
    return await harness.backend.receive(cursor)


async def load_group(harness: BackendHarness) -> None:
    harness.server.put("webwxbatchgetcontact", answer(ContactList=[OLD]))
    await load_contacts(harness, OLD)


async def test_members_who_join_and_leave_are_named(harness: BackendHarness, cursor: Cursor) -> None:
    await load_group(harness)
    (event,) = events(await receive_group_lists(harness, cursor, NEW))
    assert (event.name, event.chat) == ("group_members", FAMILY)
    assert event.fields == {"count": 2}
    assert event.people == {
        "added": (Member(handle=BOB, nickname="Bob"),),
        "removed": (Member(handle=Handle(""), display_name="梅"),),
    }
    for handle in (FAMILY, BOB, WIFE):
        assert handle not in event.key


async def test_a_contact_who_leaves_is_named_by_handle(harness: BackendHarness, cursor: Cursor) -> None:
    harness.server.put("webwxbatchgetcontact", answer(ContactList=[OLD]))
    await load_contacts(harness, OLD, {"UserName": WIFE, "NickName": "晓梅"})
    batch = await receive_group_lists(harness, cursor, group((BOB, "Bob"), (WIFE, "梅")))
    assert [event.people["removed"] for event in events(batch)] == [(Member(handle=ME, display_name="me"),)]
    batch = await receive_group_lists(harness, batch.cursor, group((BOB, "Bob")))
    assert [event.people["removed"] for event in events(batch)] == [(Member(handle=WIFE, display_name="梅"),)]


async def test_the_members_of_a_group_are_those_of_now_and_its_news_still_come(
    harness: BackendHarness, cursor: Cursor
) -> None:
    await load_group(harness)
    harness.server.put("webwxbatchgetcontact", answer(ContactList=[NEW]))
    members = await harness.backend.list_members(Handle(FAMILY))
    assert [(member.handle, member.shown_name) for member in members] == [(ME, "me"), (BOB, "Bob")]
    assert len(events(await receive_group_lists(harness, cursor, NEW))) == 1


async def test_nobody_can_be_asked_for_without_a_login(harness: BackendHarness) -> None:
    with pytest.raises(LoggedOut):
        await harness.backend.list_members(Handle(FAMILY))


async def test_of_a_group_that_wechat_does_not_know_nobody_is_a_member(
    harness: BackendHarness, cursor: Cursor
) -> None:
    harness.server.put("webwxbatchgetcontact", answer(ContactList=[]))
    assert await harness.backend.list_members(Handle("@@none")) == ()


async def test_another_name_is_no_other_member(harness: BackendHarness, cursor: Cursor) -> None:
    await load_group(harness)
    assert events(await receive_group_lists(harness, cursor, group((ME, "me"), (WIFE, "小梅")))) == []


async def test_a_list_that_is_not_whole_says_nothing(harness: BackendHarness, cursor: Cursor) -> None:
    await load_group(harness)
    assert events(await receive_group_lists(harness, cursor, group((BOB, "Bob"), count=300))) == []
    assert events(await receive_group_lists(harness, cursor, group())) == []


async def test_a_group_that_was_not_known_has_no_news(harness: BackendHarness, cursor: Cursor) -> None:
    await load_contacts(harness)
    assert events(await receive_group_lists(harness, cursor, NEW)) == []


async def test_the_same_cursor_gives_the_same_events_again(harness: BackendHarness, cursor: Cursor) -> None:
    await load_group(harness)
    first = await receive_group_lists(harness, cursor, NEW)
    again = await receive_group_lists(harness, cursor, NEW)
    assert events(again) == events(first) != []
    assert events(await receive_group_lists(harness, again.cursor, NEW)) == []


async def test_it_stands_before_the_messages_of_its_batch(harness: BackendHarness, cursor: Cursor) -> None:
    await load_group(harness)
    harness.server.put("webwxbatchgetcontact", answer(ContactList=[]))
    put_sync(harness, entry(MsgId="1"), ModContactList=[NEW])
    batch = await harness.backend.receive(cursor)
    assert [type(item) for item in batch.items] == [Event, Message]


# what WeChat says of it


INVITED = '"梅"邀请"Bob"加入了群聊'
REMOVED = '你将"梅"移出了群聊'


def text(sentence: str, **fields: Any) -> dict[str, Any]:
    return entry(**{"MsgId": "77", **fields}, MsgType=10000, FromUserName=FAMILY, Content=sentence)


def lookup_count(harness: BackendHarness) -> int:
    return len(harness.server.asked("webwxbatchgetcontact"))


async def test_the_text_names_the_actor_of_a_change_that_is_one_event(
    harness: BackendHarness, cursor: Cursor
) -> None:
    await load_group(harness)
    before = lookup_count(harness)
    put_sync(harness, text(INVITED), ModContactList=[group((ME, "me"), (WIFE, "梅"), (BOB, "Bob"))])
    batch = await harness.backend.receive(cursor)
    (event,) = events(batch)
    assert event.fields == {"count": 3, "by": "梅"}
    assert event.people == {"added": (Member(handle=BOB, nickname="Bob"),), "removed": ()}
    assert event.actor is None
    assert lookup_count(harness) == before  # the list came along
    assert [item.text for item in batch.items if isinstance(item, Message)] == [INVITED]


async def test_what_the_owner_did(harness: BackendHarness, cursor: Cursor) -> None:
    await load_group(harness)
    put_sync(harness, text(REMOVED), ModContactList=[group((ME, "me"))])
    (event,) = events(await harness.backend.receive(cursor))
    assert (event.actor, event.fields) == (ME, {"count": 1, "by": "王小明"})


async def test_a_text_alone_has_the_group_looked_up(harness: BackendHarness, cursor: Cursor) -> None:
    await load_group(harness)
    harness.server.put(
        "webwxbatchgetcontact", answer(ContactList=[group((ME, "me"), (WIFE, "梅"), (BOB, "Bob"))])
    )
    put_sync(harness, text(INVITED))
    batch = await harness.backend.receive(cursor)
    (event,) = events(batch)
    assert (event.fields["by"], event.people["added"]) == ("梅", (Member(handle=BOB, nickname="Bob"),))
    assert [contact.handle for contact in batch.contacts] == [FAMILY]
    put_sync(harness, ModContactList=[group((ME, "me"), (WIFE, "梅"), (BOB, "Bob"))])
    assert events(await harness.backend.receive(batch.cursor)) == []


async def test_the_new_name_of_a_group_is_looked_up(harness: BackendHarness, cursor: Cursor) -> None:
    await load_group(harness)
    harness.server.put("webwxbatchgetcontact", answer(ContactList=[{**OLD, "NickName": "新家"}]))
    put_sync(harness, text('"梅"修改群名为“新家”'))
    batch = await harness.backend.receive(cursor)
    assert [contact.nickname for contact in batch.contacts] == ["新家"]
    assert events(batch) == []


async def test_a_group_that_does_not_answer_is_looked_up_again_but_not_for_ever(
    harness: BackendHarness, cursor: Cursor
) -> None:
    await load_group(harness)
    harness.server.put("webwxbatchgetcontact", httpx.ReadError("x"))
    put_sync(harness, text('"梅"修改群名为“新家”'))
    first = lookup_count(harness)
    cursor = (await harness.backend.receive(cursor)).cursor
    harness.server.put("synccheck", check())
    for _ in range(5):
        await harness.backend.receive(cursor)
    assert lookup_count(harness) - first == 1  # not at once
    harness.clock.time += 11
    harness.server.put("webwxbatchgetcontact", answer(ContactList=[{**OLD, "NickName": "新家"}]))
    assert [contact.nickname for contact in (await harness.backend.receive(cursor)).contacts] == ["新家"]
    harness.clock.time += 100
    assert (await harness.backend.receive(cursor)).contacts == ()
    assert lookup_count(harness) - first == 2
    harness.server.put("webwxbatchgetcontact", httpx.ReadError("x"))
    put_sync(harness, text('"梅"修改群名为“新家”'))
    for _ in range(10):
        cursor = (await harness.backend.receive(cursor)).cursor
        harness.server.put("synccheck", check())
        harness.clock.time += 100
    assert lookup_count(harness) - first == 5


async def test_a_change_that_a_later_look_up_finds_is_an_event_too(
    harness: BackendHarness, cursor: Cursor
) -> None:
    await load_group(harness)
    harness.server.put("webwxbatchgetcontact", httpx.ReadError("x"))
    put_sync(harness, text(INVITED))
    batch = await harness.backend.receive(cursor)
    assert events(batch) == []
    harness.clock.time += 11
    harness.server.put("webwxbatchgetcontact", answer(ContactList=[NEW]))
    late = await harness.backend.receive(batch.cursor)
    assert [event.people["added"] for event in events(late)] == [(Member(handle=BOB, nickname="Bob"),)]
    assert late.cursor == batch.cursor


async def test_for_a_group_without_a_list_the_event_comes_from_the_text(
    harness: BackendHarness, cursor: Cursor
) -> None:
    await load_contacts(harness)
    put_sync(harness, text(INVITED))
    (event,) = events(await harness.backend.receive(cursor))
    assert event.fields == {"by": "梅"}
    assert event.people == {"added": (Member(handle=Handle(""), display_name="Bob"),), "removed": ()}
    assert (event.key, event.time) == ("members:77", 1700000000000)


async def test_the_removal_of_the_owner_comes_from_the_text(harness: BackendHarness, cursor: Cursor) -> None:
    await load_group(harness)
    before = lookup_count(harness)
    put_sync(harness, text('你被"梅"移出群聊'))
    batch = await harness.backend.receive(cursor)
    (event,) = events(batch)
    assert event.fields == {"by": "梅"}
    assert event.people == {"added": (), "removed": (Member(handle=ME, nickname="王小明"),)}
    assert lookup_count(harness) == before
    assert events(await receive_group_lists(harness, batch.cursor, group((WIFE, "梅")))) == []


async def test_two_actors_give_no_actor(harness: BackendHarness, cursor: Cursor) -> None:
    await load_group(harness)
    more = group((ME, "me"), (WIFE, "梅"), (BOB, "Bob"), ("@c", "Carl"))
    put_sync(harness, text(INVITED), text('你邀请"Carl"加入了群聊', MsgId="78"), ModContactList=[more])
    (event,) = events(await harness.backend.receive(cursor))
    assert event.fields == {"count": 4}


async def test_a_template_names_who_came(harness: BackendHarness, cursor: Cursor) -> None:
    await load_contacts(harness)
    links = (
        '<link name="username"><memberlist><member><username>wxid_a</username><nickname>A</nickname></member>'
        '</memberlist></link><link name="names"><memberlist><member><username>wxid_b</username>'
        "<nickname>B</nickname></member></memberlist></link>"
    )
    xml = (
        '<sysmsg type="sysmsgtemplate"><sysmsgtemplate><content_template type="tmpl_type_profile"><plain/>'
        f'<template>"$username$"邀请"$names$"加入了群聊</template><link_list>{links}</link_list>'
        "</content_template></sysmsgtemplate></sysmsg>"
    )
    put_sync(harness, entry(MsgType=10002, FromUserName=FAMILY, Content=escaped(xml)))
    (event,) = events(await harness.backend.receive(cursor))
    assert event.fields == {"by": "A"}
    assert event.people["added"] == (Member(handle=Handle(""), display_name="B"),)
    assert "wxid" not in str(event)


async def test_the_same_text_in_a_private_chat_is_about_no_group(
    harness: BackendHarness, cursor: Cursor
) -> None:
    await load_contacts(harness)
    put_sync(harness, entry(MsgType=10000, Content=INVITED))
    assert events(await harness.backend.receive(cursor)) == []


@pytest.mark.parametrize("sentence", [INVITED, REMOVED, '你被"梅"移出群聊', '"梅"修改群名为“新家”'])
async def test_a_member_who_writes_like_wechat_gives_no_news(
    harness: BackendHarness, cursor: Cursor, sentence: str
) -> None:
    """A pat, which is an app message of type 62, can have any text, and counted as WeChat's own words."""
    await load_group(harness)
    before = lookup_count(harness)
    content = f"{WIFE}:<br/>{appmsg(f'<title>{sentence}</title><type>62</type>')}"
    put_sync(harness, entry(MsgType=49, FromUserName=FAMILY, Content=content))
    batch = await harness.backend.receive(cursor)
    (message,) = batch.items
    assert isinstance(message, Message)
    assert (message.sender, message.sender_name, message.text) == (WIFE, "梅", sentence)
    put_sync(harness, ModContactList=[group((ME, "me"), (WIFE, "梅"), (BOB, "Bob"))])
    assert len(events(await harness.backend.receive(batch.cursor))) == 1  # the group was not forgotten
    assert lookup_count(harness) == before


@pytest.mark.parametrize(
    "xml",
    [
        "<sysmsg type='roomtoolstips'><todo><op>0</op><title>%s</title></todo></sysmsg>",
        "<sysmsg type='announcement'><announcement><content>%s</content></announcement></sysmsg>",
    ],
)
@pytest.mark.parametrize("sentence", [INVITED, REMOVED, '你被"梅"移出群聊', '"梅"修改群名为“新家”'])
async def test_what_a_member_writes_into_a_system_xml_is_no_news(
    harness: BackendHarness, cursor: Cursor, xml: str, sentence: str
) -> None:
    await load_group(harness)
    before = lookup_count(harness)
    put_sync(harness, entry(MsgType=10002, FromUserName=FAMILY, Content=escaped(xml % sentence)))
    batch = await harness.backend.receive(cursor)
    (message,) = batch.items
    assert isinstance(message, Message)
    assert (message.sender, message.text) == (None, sentence)
    put_sync(harness, ModContactList=[group((ME, "me"), (WIFE, "梅"), (BOB, "Bob"))])
    assert len(events(await harness.backend.receive(batch.cursor))) == 1  # the group was not forgotten
    assert lookup_count(harness) == before


async def test_a_name_with_the_words_of_a_removal_removes_nobody(
    harness: BackendHarness, cursor: Cursor
) -> None:
    await load_contacts(harness)
    put_sync(harness, text('"x"将你移出群聊"加入了群聊'))
    (event,) = events(await harness.backend.receive(cursor))
    assert event.people == {
        "added": (Member(handle=Handle(""), display_name='x"将你移出群聊'),),
        "removed": (),
    }


async def test_who_is_called_you_is_not_the_owner_in_a_template(
    harness: BackendHarness, cursor: Cursor
) -> None:
    await load_contacts(harness)
    xml = (
        "<sysmsg type='sysmsgtemplate'><sysmsgtemplate><content_template><template>$who$退出了群聊</template>"
        "<link_list><link name='who'><memberlist><member><nickname>你</nickname></member></memberlist></link>"
        "</link_list></content_template></sysmsgtemplate></sysmsg>"
    )
    put_sync(harness, entry(MsgType=10002, FromUserName=FAMILY, Content=escaped(xml)))
    (event,) = events(await harness.backend.receive(cursor))
    assert event.people["removed"] == (Member(handle=Handle(""), display_name="你"),)


async def test_news_in_system_xml_is_news(harness: BackendHarness, cursor: Cursor) -> None:
    await load_group(harness)
    harness.server.put(
        "webwxbatchgetcontact", answer(ContactList=[group((ME, "me"), (WIFE, "梅"), (BOB, "Bob"))])
    )
    inner = f"<sysmsg type='x'><x><text><![CDATA[{INVITED}]]></text></x></sysmsg>"
    put_sync(harness, entry(MsgType=10002, FromUserName=FAMILY, Content=escaped(inner)))
    batch = await harness.backend.receive(cursor)
    (event,) = events(batch)
    assert event.fields["by"] == "梅"
    assert [item.sender for item in batch.items if isinstance(item, Message)] == [None]


def text_in(group: Handle) -> Message:
    return Message(
        key=f"k{group}",
        id="1",
        chat=group,
        chat_kind=ChatKind.GROUP,
        sender=None,
        kind=Kind.SYSTEM,
        text="t",
        time=1,
    )


def test_changes_of_many_groups_with_a_notice_each_cost_no_more_than_in_proportion() -> None:
    def change(count: int) -> None:
        known_groups = GroupMembers(OWNER)
        groups = [Handle(f"@@{number}") for number in range(count)]
        for name in ("Bob", "Eve"):
            members = (Member(handle=Handle(f"@{name}"), nickname=name),)
            known_groups.update(
                Contact(handle=group, kind=ChatKind.GROUP, nickname="g", members=members) for group in groups
            )
        notices = [(text_in(group), GroupNotice(added=("Eve",), by="Ann")) for group in groups]
        events = GroupChanges(known_groups).events(Cursor("c"), notices, 1)
        assert [event.fields["by"] for event in events] == ["Ann"] * count

    assert is_in_proportion(change, 3000)
