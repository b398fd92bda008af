"""Members who join or leave a group give an event for each changed list (webwx 2.11)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.cost import is_in_proportion
from tests.unit.wechat.webwx.entries import BOB, FAMILY, ME, OWNER, WIFE, appmsg, entry, escaped
from tests.unit.wechat.webwx.server import WebWxRig, answer, check
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


async def receive_group_lists(rig: WebWxRig, cursor: Cursor, *groups: dict[str, Any]) -> Batch:
    return await rig.receive(ModContactList=list(groups), cursor=cursor)


async def load_group(rig: WebWxRig) -> None:
    rig.put("webwxbatchgetcontact", answer(ContactList=[OLD]))
    await rig.know(OLD)


async def test_members_who_join_and_leave_are_named(online: WebWxRig) -> None:
    await load_group(online)
    (event,) = events(await receive_group_lists(online, online.cursor, NEW))
    assert (event.name, event.chat) == ("group_members", FAMILY)
    assert event.fields == {"count": 2}
    assert event.people == {
        "added": (Member(handle=BOB, nickname="Bob"),),
        "removed": (Member(handle=Handle(""), display_name="梅"),),
    }
    for handle in (FAMILY, BOB, WIFE):
        assert handle not in event.key


async def test_a_contact_who_leaves_is_named_by_handle(online: WebWxRig) -> None:
    online.put("webwxbatchgetcontact", answer(ContactList=[OLD]))
    await online.know(OLD, {"UserName": WIFE, "NickName": "晓梅"})
    batch = await receive_group_lists(online, online.cursor, group((BOB, "Bob"), (WIFE, "梅")))
    assert [event.people["removed"] for event in events(batch)] == [(Member(handle=ME, display_name="me"),)]
    batch = await receive_group_lists(online, batch.cursor, group((BOB, "Bob")))
    assert [event.people["removed"] for event in events(batch)] == [(Member(handle=WIFE, display_name="梅"),)]


async def test_the_members_of_a_group_are_those_of_now_and_its_news_still_come(online: WebWxRig) -> None:
    await load_group(online)
    online.put("webwxbatchgetcontact", answer(ContactList=[NEW]))
    members = await online.backend.list_members(Handle(FAMILY))
    assert [(member.handle, member.shown_name) for member in members] == [(ME, "me"), (BOB, "Bob")]
    assert len(events(await receive_group_lists(online, online.cursor, NEW))) == 1


async def test_nobody_can_be_asked_for_without_a_login(rig: WebWxRig) -> None:
    with pytest.raises(LoggedOut):
        await rig.backend.list_members(Handle(FAMILY))


async def test_of_a_group_that_wechat_does_not_know_nobody_is_a_member(online: WebWxRig) -> None:
    online.put("webwxbatchgetcontact", answer(ContactList=[]))
    assert await online.backend.list_members(Handle("@@none")) == ()


async def test_another_name_is_no_other_member(online: WebWxRig) -> None:
    await load_group(online)
    assert events(await receive_group_lists(online, online.cursor, group((ME, "me"), (WIFE, "小梅")))) == []


async def test_a_list_that_is_not_whole_says_nothing(online: WebWxRig) -> None:
    await load_group(online)
    assert events(await receive_group_lists(online, online.cursor, group((BOB, "Bob"), count=300))) == []
    assert events(await receive_group_lists(online, online.cursor, group())) == []


async def test_a_group_that_was_not_known_has_no_news(online: WebWxRig) -> None:
    await online.know()
    assert events(await receive_group_lists(online, online.cursor, NEW)) == []


async def test_the_same_cursor_gives_the_same_events_again(online: WebWxRig) -> None:
    await load_group(online)
    first = await receive_group_lists(online, online.cursor, NEW)
    again = await receive_group_lists(online, online.cursor, NEW)
    assert events(again) == events(first) != []
    assert events(await receive_group_lists(online, again.cursor, NEW)) == []


async def test_it_stands_before_the_messages_of_its_batch(online: WebWxRig) -> None:
    await load_group(online)
    online.put("webwxbatchgetcontact", answer(ContactList=[]))
    batch = await online.receive(entry(MsgId="1"), ModContactList=[NEW])
    assert [type(item) for item in batch.items] == [Event, Message]


# what WeChat says of it


INVITED = '"梅"邀请"Bob"加入了群聊'
REMOVED = '你将"梅"移出了群聊'


def text(sentence: str, **fields: Any) -> dict[str, Any]:
    return entry(**{"MsgId": "77", **fields}, MsgType=10000, FromUserName=FAMILY, Content=sentence)


def lookup_count(rig: WebWxRig) -> int:
    return len(rig.asked("webwxbatchgetcontact"))


async def test_the_text_names_the_actor_of_a_change_that_is_one_event(online: WebWxRig) -> None:
    await load_group(online)
    before = lookup_count(online)
    batch = await online.receive(
        text(INVITED), ModContactList=[group((ME, "me"), (WIFE, "梅"), (BOB, "Bob"))]
    )
    (event,) = events(batch)
    assert event.fields == {"count": 3, "by": "梅"}
    assert event.people == {"added": (Member(handle=BOB, nickname="Bob"),), "removed": ()}
    assert event.actor is None
    assert lookup_count(online) == before  # the list came along
    assert [item.text for item in batch.items if isinstance(item, Message)] == [INVITED]


async def test_what_the_owner_did(online: WebWxRig) -> None:
    await load_group(online)
    (event,) = events(await online.receive(text(REMOVED), ModContactList=[group((ME, "me"))]))
    assert (event.actor, event.fields) == (ME, {"count": 1, "by": "王小明"})


async def test_a_text_alone_has_the_group_looked_up(online: WebWxRig) -> None:
    await load_group(online)
    online.put("webwxbatchgetcontact", answer(ContactList=[group((ME, "me"), (WIFE, "梅"), (BOB, "Bob"))]))
    batch = await online.receive(text(INVITED))
    (event,) = events(batch)
    assert (event.fields["by"], event.people["added"]) == ("梅", (Member(handle=BOB, nickname="Bob"),))
    assert [contact.handle for contact in batch.contacts] == [FAMILY]
    assert (
        events(
            await online.receive(
                ModContactList=[group((ME, "me"), (WIFE, "梅"), (BOB, "Bob"))], cursor=batch.cursor
            )
        )
        == []
    )


async def test_the_new_name_of_a_group_is_looked_up(online: WebWxRig) -> None:
    await load_group(online)
    online.put("webwxbatchgetcontact", answer(ContactList=[{**OLD, "NickName": "新家"}]))
    batch = await online.receive(text('"梅"修改群名为“新家”'))
    assert [contact.nickname for contact in batch.contacts] == ["新家"]
    assert events(batch) == []


async def test_a_group_that_does_not_answer_is_looked_up_again_but_not_for_ever(online: WebWxRig) -> None:
    cursor = online.cursor
    await load_group(online)
    online.put("webwxbatchgetcontact", httpx.ReadError("x"))
    online.put_sync(text('"梅"修改群名为“新家”'))
    first = lookup_count(online)
    cursor = (await online.poll(cursor)).cursor
    online.put("synccheck", check())
    for _ in range(5):
        await online.poll(cursor)
    assert lookup_count(online) - first == 1  # not at once
    online.clock.time += 11
    online.put("webwxbatchgetcontact", answer(ContactList=[{**OLD, "NickName": "新家"}]))
    assert [contact.nickname for contact in (await online.poll(cursor)).contacts] == ["新家"]
    online.clock.time += 100
    assert (await online.poll(cursor)).contacts == ()
    assert lookup_count(online) - first == 2
    online.put("webwxbatchgetcontact", httpx.ReadError("x"))
    online.put_sync(text('"梅"修改群名为“新家”'))
    for _ in range(10):
        cursor = (await online.poll(cursor)).cursor
        online.put("synccheck", check())
        online.clock.time += 100
    assert lookup_count(online) - first == 5


async def test_a_change_that_a_later_look_up_finds_is_an_event_too(online: WebWxRig) -> None:
    await load_group(online)
    online.put("webwxbatchgetcontact", httpx.ReadError("x"))
    batch = await online.receive(text(INVITED))
    assert events(batch) == []
    online.clock.time += 11
    online.put("webwxbatchgetcontact", answer(ContactList=[NEW]))
    late = await online.poll(batch.cursor)
    assert [event.people["added"] for event in events(late)] == [(Member(handle=BOB, nickname="Bob"),)]
    assert late.cursor == batch.cursor


async def test_for_a_group_without_a_list_the_event_comes_from_the_text(online: WebWxRig) -> None:
    await online.know()
    (event,) = events(await online.receive(text(INVITED)))
    assert event.fields == {"by": "梅"}
    assert event.people == {"added": (Member(handle=Handle(""), display_name="Bob"),), "removed": ()}
    assert (event.key, event.time) == ("members:77", 1700000000000)


async def test_the_removal_of_the_owner_comes_from_the_text(online: WebWxRig) -> None:
    await load_group(online)
    before = lookup_count(online)
    batch = await online.receive(text('你被"梅"移出群聊'))
    (event,) = events(batch)
    assert event.fields == {"by": "梅"}
    assert event.people == {"added": (), "removed": (Member(handle=ME, nickname="王小明"),)}
    assert lookup_count(online) == before
    assert events(await receive_group_lists(online, batch.cursor, group((WIFE, "梅")))) == []


async def test_two_actors_give_no_actor(online: WebWxRig) -> None:
    await load_group(online)
    more = group((ME, "me"), (WIFE, "梅"), (BOB, "Bob"), ("@c", "Carl"))
    (event,) = events(
        await online.receive(text(INVITED), text('你邀请"Carl"加入了群聊', MsgId="78"), ModContactList=[more])
    )
    assert event.fields == {"count": 4}


async def test_a_template_names_who_came(online: WebWxRig) -> None:
    await online.know()
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
    (event,) = events(await online.receive(entry(MsgType=10002, FromUserName=FAMILY, Content=escaped(xml))))
    assert event.fields == {"by": "A"}
    assert event.people["added"] == (Member(handle=Handle(""), display_name="B"),)
    assert "wxid" not in str(event)


async def test_the_same_text_in_a_private_chat_is_about_no_group(online: WebWxRig) -> None:
    await online.know()
    assert events(await online.receive(entry(MsgType=10000, Content=INVITED))) == []


@pytest.mark.parametrize("sentence", [INVITED, REMOVED, '你被"梅"移出群聊', '"梅"修改群名为“新家”'])
async def test_a_member_who_writes_like_wechat_gives_no_news(online: WebWxRig, sentence: str) -> None:
    """A pat, which is an app message of type 62, can have any text, and counted as WeChat's own words."""
    await load_group(online)
    before = lookup_count(online)
    content = f"{WIFE}:<br/>{appmsg(f'<title>{sentence}</title><type>62</type>')}"
    batch = await online.receive(entry(MsgType=49, FromUserName=FAMILY, Content=content))
    (message,) = batch.items
    assert isinstance(message, Message)
    assert (message.sender, message.sender_name, message.text) == (WIFE, "梅", sentence)
    assert (
        len(
            events(
                await online.receive(
                    ModContactList=[group((ME, "me"), (WIFE, "梅"), (BOB, "Bob"))], cursor=batch.cursor
                )
            )
        )
        == 1
    )  # the group was not forgotten
    assert lookup_count(online) == before


@pytest.mark.parametrize(
    "xml",
    [
        "<sysmsg type='roomtoolstips'><todo><op>0</op><title>%s</title></todo></sysmsg>",
        "<sysmsg type='announcement'><announcement><content>%s</content></announcement></sysmsg>",
    ],
)
@pytest.mark.parametrize("sentence", [INVITED, REMOVED, '你被"梅"移出群聊', '"梅"修改群名为“新家”'])
async def test_what_a_member_writes_into_a_system_xml_is_no_news(
    online: WebWxRig, xml: str, sentence: str
) -> None:
    await load_group(online)
    before = lookup_count(online)
    batch = await online.receive(entry(MsgType=10002, FromUserName=FAMILY, Content=escaped(xml % sentence)))
    (message,) = batch.items
    assert isinstance(message, Message)
    assert (message.sender, message.text) == (None, sentence)
    assert (
        len(
            events(
                await online.receive(
                    ModContactList=[group((ME, "me"), (WIFE, "梅"), (BOB, "Bob"))], cursor=batch.cursor
                )
            )
        )
        == 1
    )  # the group was not forgotten
    assert lookup_count(online) == before


async def test_a_name_with_the_words_of_a_removal_removes_nobody(online: WebWxRig) -> None:
    await online.know()
    (event,) = events(await online.receive(text('"x"将你移出群聊"加入了群聊')))
    assert event.people == {
        "added": (Member(handle=Handle(""), display_name='x"将你移出群聊'),),
        "removed": (),
    }


async def test_who_is_called_you_is_not_the_owner_in_a_template(online: WebWxRig) -> None:
    await online.know()
    xml = (
        "<sysmsg type='sysmsgtemplate'><sysmsgtemplate><content_template><template>$who$退出了群聊</template>"
        "<link_list><link name='who'><memberlist><member><nickname>你</nickname></member></memberlist></link>"
        "</link_list></content_template></sysmsgtemplate></sysmsg>"
    )
    (event,) = events(await online.receive(entry(MsgType=10002, FromUserName=FAMILY, Content=escaped(xml))))
    assert event.people["removed"] == (Member(handle=Handle(""), display_name="你"),)


async def test_news_in_system_xml_is_news(online: WebWxRig) -> None:
    await load_group(online)
    online.put("webwxbatchgetcontact", answer(ContactList=[group((ME, "me"), (WIFE, "梅"), (BOB, "Bob"))]))
    inner = f"<sysmsg type='x'><x><text><![CDATA[{INVITED}]]></text></x></sysmsg>"
    batch = await online.receive(entry(MsgType=10002, FromUserName=FAMILY, Content=escaped(inner)))
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
