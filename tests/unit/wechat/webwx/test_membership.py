"""Who joined a group and who left it: an event each time that WeChat tells another list (webwx 2.11)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.wechat.webwx.entries import BOB, FAMILY, ME, WIFE, entry
from tests.unit.wechat.webwx.server import World, answer
from tests.unit.wechat.webwx.test_inbox import know, news
from wx2mqtt.errors import LoggedOut
from wx2mqtt.model import Cursor, Event, Handle, Member, Message
from wx2mqtt.wechat.gateway import Batch


def group(*members: tuple[str, str], count: int | None = None) -> dict[str, Any]:
    listed = [{"UserName": handle, "NickName": name} for handle, name in members]
    size = len(members) if count is None else count
    return {"UserName": FAMILY, "NickName": "一家人", "MemberCount": size, "MemberList": listed}


OLD = group((ME, "me"), (WIFE, "梅"))
NEW = group((ME, "me"), (BOB, "Bob"))


def events(batch: Batch) -> list[Event]:
    return [item for item in batch.items if isinstance(item, Event)]


async def changed(world: World, cursor: Cursor, *groups: dict[str, Any]) -> Batch:
    news(world, ModContactList=list(groups))
    return await world.gateway.receive(cursor)


async def known(world: World) -> None:
    world.server.put("webwxbatchgetcontact", answer(ContactList=[OLD]))
    await know(world, OLD)


async def test_who_came_and_who_went_is_told_by_name(world: World, cursor: Cursor) -> None:
    await known(world)
    (event,) = events(await changed(world, cursor, NEW))
    assert (event.name, event.chat) == ("group_members", FAMILY)
    assert event.fields == {"count": 2}
    assert event.people == {
        "added": (Member(handle=BOB, nickname="Bob"),),
        "removed": (Member(handle=Handle(""), display_name="梅"),),
    }
    for handle in (FAMILY, BOB, WIFE):
        assert handle not in event.key


async def test_whoever_left_and_is_a_contact_is_told_by_handle(world: World, cursor: Cursor) -> None:
    world.server.put("webwxbatchgetcontact", answer(ContactList=[OLD]))
    await know(world, OLD, {"UserName": WIFE, "NickName": "晓梅"})
    batch = await changed(world, cursor, group((BOB, "Bob"), (WIFE, "梅")))
    assert [one.people["removed"] for one in events(batch)] == [(Member(handle=ME, display_name="me"),)]
    batch = await changed(world, batch.cursor, group((BOB, "Bob")))
    assert [one.people["removed"] for one in events(batch)] == [(Member(handle=WIFE, display_name="梅"),)]


async def test_the_members_of_a_group_are_those_of_now_and_its_news_still_come(
    world: World, cursor: Cursor
) -> None:
    await known(world)
    world.server.put("webwxbatchgetcontact", answer(ContactList=[NEW]))
    members = await world.gateway.members(Handle(FAMILY))
    assert [(one.handle, one.shown) for one in members] == [(ME, "me"), (BOB, "Bob")]
    assert len(events(await changed(world, cursor, NEW))) == 1


async def test_nobody_can_be_asked_for_without_a_login(world: World) -> None:
    with pytest.raises(LoggedOut):
        await world.gateway.members(Handle(FAMILY))


async def test_of_a_group_that_wechat_does_not_know_nobody_is_a_member(world: World, cursor: Cursor) -> None:
    world.server.put("webwxbatchgetcontact", answer(ContactList=[]))
    assert await world.gateway.members(Handle("@@none")) == ()


async def test_another_name_is_no_other_member(world: World, cursor: Cursor) -> None:
    await known(world)
    assert events(await changed(world, cursor, group((ME, "me"), (WIFE, "小梅")))) == []


async def test_a_list_that_is_not_whole_says_nothing(world: World, cursor: Cursor) -> None:
    await known(world)
    assert events(await changed(world, cursor, group((BOB, "Bob"), count=300))) == []
    assert events(await changed(world, cursor, group())) == []


async def test_a_group_that_was_not_known_has_no_news(world: World, cursor: Cursor) -> None:
    await know(world)
    assert events(await changed(world, cursor, NEW)) == []


async def test_the_same_cursor_tells_the_same_again(world: World, cursor: Cursor) -> None:
    await known(world)
    first = await changed(world, cursor, NEW)
    again = await changed(world, cursor, NEW)
    assert events(again) == events(first) != []
    assert events(await changed(world, again.cursor, NEW)) == []


async def test_it_stands_before_the_messages_of_its_batch(world: World, cursor: Cursor) -> None:
    await known(world)
    news(world, entry(MsgId="1"), ModContactList=[NEW])
    batch = await world.gateway.receive(cursor)
    assert [type(item) for item in batch.items] == [Event, Message]
