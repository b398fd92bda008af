"""Receiving: polls, keys, names, the end of a login, and repeated cursors (webwx 2.10, 2.11, 3)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from tests.support.loop_turns import turns_during
from tests.unit.wechat.webwx.entries import BOB, FAMILY, ME, WIFE, entry
from tests.unit.wechat.webwx.server import World, answer, body, check, key, query, synced, text
from tests.unit.wechat.webwx.test_contact_list import group, person
from wx2mqtt.errors import LoggedOut, Throttled, Unreachable
from wx2mqtt.model import ChatKind, Cursor, Event, Message
from wx2mqtt.wechat.backend import Batch
from wx2mqtt.wechat.webwx.protocol.messages import entry_key


def texts(batch: Batch) -> list[str]:
    return [item.text for item in batch.items if isinstance(item, Message)]


def news(world: World, *messages: dict[str, Any], **fields: Any) -> None:
    world.server.put("synccheck", check(selector=2))
    world.server.put("webwxsync", synced(*messages, **fields))


async def know(world: World, *contacts: dict[str, Any]) -> None:
    world.server.put("webwxgetcontact", answer(MemberList=[person(ME), *contacts], Seq=0))
    async for _ in world.backend.list_contacts(lambda _: None):
        pass


async def test_a_poll_that_ends_with_nothing(world: World, cursor: Cursor) -> None:
    assert await world.backend.receive(cursor) == Batch(cursor=cursor)
    assert world.server.calls()[-1] == "synccheck"
    assert query(world.server.asked("synccheck")[0])["synckey"] == "1_1"


async def test_messages_and_the_cursor_after_them(world: World, cursor: Cursor) -> None:
    await know(world, person(WIFE))
    news(world, entry(MsgId="1", Content="a"), entry(MsgId="2", Content="b"))
    batch = await world.backend.receive(cursor)
    assert texts(batch) == ["a", "b"]
    assert batch.cursor == '{"sync":[[1,2]],"check":[[1,102]],"more":false}'
    assert body(world.server.asked("webwxsync")[0])["SyncKey"] == key(1)
    await world.backend.receive(batch.cursor)
    assert query(world.server.asked("synccheck")[1])["synckey"] == "1_102"
    assert body(world.server.asked("webwxsync")[1])["SyncKey"] == key(2)


async def test_the_same_cursor_brings_the_same_again(world: World, cursor: Cursor) -> None:
    await know(world, person(WIFE))
    news(world, entry(MsgId="1"))
    first, second = await world.backend.receive(cursor), await world.backend.receive(cursor)
    assert first == second
    assert [body(request)["SyncKey"] for request in world.server.asked("webwxsync")] == [key(1), key(1)]


@pytest.mark.parametrize("selector", [1, 2, 3, 4, 5, 6, 7, 42])
async def test_any_selector_but_0_is_synced(world: World, cursor: Cursor, selector: int) -> None:
    world.server.put("synccheck", check(selector=selector))
    await world.backend.receive(cursor)
    assert len(world.server.asked("webwxsync")) == 1


@pytest.mark.parametrize("retcode", [1100, 1101, 1102, 1103])
async def test_the_end_of_the_login_is_said_in_words(world: World, cursor: Cursor, retcode: int) -> None:
    world.server.put("synccheck", check(retcode))
    with pytest.raises(LoggedOut, match=str(retcode)):
        await world.backend.receive(cursor)
    world.server.put("synccheck", check(selector=2))
    world.server.put("webwxsync", answer(retcode))
    with pytest.raises(LoggedOut, match=str(retcode)):
        await world.backend.receive(cursor)
    assert world.vault.content is not None


@pytest.mark.parametrize(
    "trouble",
    [
        text("", 503),
        text(""),
        text("HTTP status 0"),
        text("<html>"),
        check(1),
        check(-1),
        httpx.RemoteProtocolError("bad status line"),
        httpx.ConnectError("x"),
        httpx.ReadTimeout("x"),
    ],
)
async def test_other_trouble_with_the_poll_passes(
    world: World, cursor: Cursor, trouble: httpx.Response | Exception
) -> None:
    world.server.put("synccheck", trouble)
    with pytest.raises(Unreachable) as failure:
        await world.backend.receive(cursor)
    assert failure.value.poll_timed_out is isinstance(trouble, httpx.ReadTimeout)


async def test_too_often(world: World, cursor: Cursor) -> None:
    pauses = []
    for answered in (check(1205), check(1205), check(1205), check(), check(1205)):
        world.server.put("synccheck", answered)
        try:
            await world.backend.receive(cursor)
        except Throttled as slow:
            pauses.append(slow.retry_after)
    assert pauses == [60.0, 120.0, 240.0, 60.0]


@pytest.mark.parametrize("ret", [3, -1, 1])
async def test_a_sync_that_fails_is_tried_later_and_synccheck_is_asked_again(
    world: World, cursor: Cursor, ret: int
) -> None:
    await know(world, person(WIFE))
    news(world, entry(MsgId="1"), ContinueFlag=1)
    more = (await world.backend.receive(cursor)).cursor
    world.server.put("webwxsync", answer(ret, SyncKey={"Count": 0, "List": []}))
    with pytest.raises(Unreachable):
        await world.backend.receive(more)
    world.server.put("synccheck", check(1101))
    with pytest.raises(LoggedOut):
        await world.backend.receive(more)


@pytest.mark.parametrize("answered", [text("<html>"), text("[]"), text('{"AddMsgList": []}'), text("", 502)])
async def test_a_sync_that_cannot_be_read_is_tried_later(
    world: World, cursor: Cursor, answered: httpx.Response
) -> None:
    world.server.put("synccheck", check(selector=2))
    world.server.put("webwxsync", answered)
    with pytest.raises(Unreachable):
        await world.backend.receive(cursor)


async def test_where_more_waits_no_poll_is_needed(world: World, cursor: Cursor) -> None:
    await know(world, person(WIFE))
    news(world, entry(MsgId="1"), ContinueFlag=1)
    batch = await world.backend.receive(cursor)
    world.server.put("webwxsync", synced(entry(MsgId="2"), at=3))
    assert [item.key for item in (await world.backend.receive(batch.cursor)).items] == ["2"]
    assert len(world.server.asked("synccheck")) == 1


async def test_behind_a_large_answer_the_next_one_is_asked_for_without_a_poll(
    world: World, cursor: Cursor
) -> None:
    await know(world, person(WIFE))
    news(world, *(entry(MsgId=str(number)) for number in range(50)))
    batch = await world.backend.receive(cursor)
    world.server.put("webwxsync", synced(entry(MsgId="50"), at=3))
    batch = await world.backend.receive(batch.cursor)
    assert [item.key for item in batch.items] == ["50"]
    assert world.server.calls()[-2:] == ["webwxsync", "webwxsync"]
    world.server.put("synccheck", check())
    await world.backend.receive(batch.cursor)
    assert world.server.calls()[-1] == "synccheck"


async def test_where_nothing_waits_behind_a_large_answer_the_next_poll_comes_at_once(
    world: World, cursor: Cursor
) -> None:
    """No poll had promised more, so that a sync without news is no sign of a server that is stuck."""
    await know(world, person(WIFE))
    for number in range(3):
        messages = [entry(MsgId=f"{number}-{place}") for place in range(50)]
        world.server.put("synccheck", check(selector=2))
        world.server.put("webwxsync", synced(*messages, at=2 + number), synced(at=2 + number))
        cursor = (await world.backend.receive(cursor)).cursor
        empty = await world.backend.receive(cursor)
        assert empty.items == ()
        cursor = empty.cursor
    assert world.clock.slept == []


async def test_a_server_that_repeats_a_large_answer_under_new_keys_is_asked_with_pauses(
    world: World, cursor: Cursor
) -> None:
    await know(world, person(WIFE))
    messages = [entry(MsgId=str(number)) for number in range(50)]
    world.server.put("synccheck", check(selector=2))
    world.server.put("webwxsync", *(synced(*messages, at=number) for number in range(2, 12)))
    for _ in range(10):
        cursor = (await world.backend.receive(cursor)).cursor
    assert len(world.clock.slept) >= 8


async def test_missing_keys_leave_the_old_ones(world: World, cursor: Cursor) -> None:
    world.server.put("synccheck", check(selector=2))
    world.server.put("webwxsync", answer(AddMsgList=[], SyncKey={"Count": 0, "List": []}))
    assert (await world.backend.receive(cursor)).cursor == cursor


@pytest.mark.parametrize("strange", ["", "x", "{}"])
async def test_a_cursor_that_is_none_means_where_the_login_stands(
    world: World, cursor: Cursor, strange: str
) -> None:
    await world.backend.receive(Cursor(strange))
    assert query(world.server.asked("synccheck")[0])["synckey"] == "1_1"


# pace


async def test_quiet_polls_that_are_answered_at_once_are_a_second_apart(world: World, cursor: Cursor) -> None:
    for _ in range(4):
        await world.backend.receive(cursor)
    assert world.clock.slept == [1.0, 1.0, 1.0]


async def test_no_pause_while_messages_flow(world: World, cursor: Cursor) -> None:
    await know(world, person(WIFE))
    world.server.put("synccheck", check(selector=2))
    world.server.put("webwxsync", *(synced(entry(MsgId=str(n)), at=n) for n in range(1, 30)))
    for _ in range(25):
        cursor = (await world.backend.receive(cursor)).cursor
    assert world.clock.slept == []


async def test_a_stuck_selector_slows_down_and_the_login_stays(world: World, cursor: Cursor) -> None:
    world.server.put("synccheck", check(selector=6))
    world.server.put("webwxsync", answer(AddMsgList=[]))
    for _ in range(9):
        await world.backend.receive(cursor)
    assert world.clock.slept == [1.0, 1.0, 1.0, 1.0, 2.0, 4.0, 8.0, 16.0]


async def test_a_server_that_repeats_itself_slows_down_too(world: World, cursor: Cursor) -> None:
    await know(world, person(WIFE))
    news(world, entry(MsgId="1"), at=1, SyncCheckKey=key(1))
    for _ in range(8):
        await world.backend.receive(cursor)
    assert world.clock.slept == [1.0, 1.0, 1.0, 1.0, 2.0, 4.0]


# keys and cookies


async def test_a_new_skey_and_new_cookies_are_used_and_saved(world: World, cursor: Cursor) -> None:
    world.server.put("synccheck", check(selector=2))
    world.server.put(
        "webwxsync", answer(SKey="@crypt_new", cookies=("webwx_data_ticket=new; Domain=.qq.com",))
    )
    saves = world.vault.saves
    await world.backend.receive(cursor)
    assert world.vault.saves == saves + 1
    assert world.vault.content is not None
    assert world.vault.content["skey"] == "@crypt_new"
    await world.backend.receive(cursor)
    assert query(world.server.asked("synccheck")[1])["skey"] == "@crypt_new"
    assert "webwx_data_ticket=new" in world.server.asked("synccheck")[1].headers["Cookie"]
    assert world.vault.saves == saves + 1


async def test_keys_alone_are_not_saved_with_each_batch_but_at_the_end(world: World, cursor: Cursor) -> None:
    saves = world.vault.saves
    world.server.put("synccheck", check(selector=2))
    for at in (5, 6, 7):
        world.server.put("webwxsync", synced(entry(MsgType=51), at=at))
        cursor = (await world.backend.receive(cursor)).cursor
    assert world.vault.saves == saves
    await world.backend.close()
    assert world.vault.content is not None
    assert world.vault.content["position"] == cursor


# contacts and names


async def test_changed_and_deleted_contacts_come_with_the_batch(world: World, cursor: Cursor) -> None:
    news(world, ModContactList=[person(BOB, "Bob")], DelContactList=[{"UserName": WIFE, "ContactFlag": 0}])
    batch = await world.backend.receive(cursor)
    assert [(contact.handle, contact.nickname) for contact in batch.contacts] == [(BOB, "Bob")]
    assert batch.removed == (WIFE,)


async def test_contacts_are_learned_before_messages_are_read(world: World, cursor: Cursor) -> None:
    news(
        world,
        entry(FromUserName=FAMILY, Content=f"{BOB}:<br/>hi @{ME} you"),
        ModContactList=[group(FAMILY, ME, BOB)],
    )
    (item,) = (await world.backend.receive(cursor)).items
    assert isinstance(item, Message)
    assert (item.sender_name, item.mentioned) == (BOB, True)
    assert world.server.asked("webwxbatchgetcontact") == []


async def test_an_unknown_group_is_looked_up_before_its_message_is_returned(
    world: World, cursor: Cursor
) -> None:
    news(world, entry(FromUserName=FAMILY, Content=f"{BOB}:<br/>hi"))
    world.server.put("webwxbatchgetcontact", answer(ContactList=[group(FAMILY, ME, BOB)]))
    batch = await world.backend.receive(cursor)
    (item,) = batch.items
    assert isinstance(item, Message)
    assert (item.sender_name, item.chat_kind) == (BOB, ChatKind.GROUP)
    assert [contact.handle for contact in batch.contacts] == [FAMILY]
    assert [one["UserName"] for one in body(world.server.asked("webwxbatchgetcontact")[0])["List"]] == [
        FAMILY
    ]


async def test_an_unknown_person_is_looked_up_too(world: World, cursor: Cursor) -> None:
    news(world, entry(FromUserName=BOB))
    world.server.put("webwxbatchgetcontact", answer(ContactList=[{**person(BOB), "VerifyFlag": 8}]))
    batch = await world.backend.receive(cursor)
    (item,) = batch.items
    assert isinstance(item, Message)
    assert item.chat_kind is ChatKind.OFFICIAL


async def test_who_stays_unknown_is_asked_for_once_in_a_while(world: World, cursor: Cursor) -> None:
    news(world, entry(FromUserName=FAMILY, Content=f"{BOB}:<br/>hi"))
    for _ in range(3):
        batch = await world.backend.receive(cursor)
        assert texts(batch) == ["hi"]
    assert len(world.server.asked("webwxbatchgetcontact")) == 1
    world.clock.time += 601
    await world.backend.receive(cursor)
    assert len(world.server.asked("webwxbatchgetcontact")) == 2


@pytest.mark.parametrize(
    "trouble", [httpx.ReadTimeout("x"), text("<html>"), answer(1101), answer(1205), text("", 500)]
)
async def test_a_failing_look_up_holds_no_message_up(
    world: World, cursor: Cursor, trouble: httpx.Response | Exception
) -> None:
    news(world, entry(FromUserName=FAMILY, Content=f"{BOB}:<br/>hi"))
    world.server.put("webwxbatchgetcontact", trouble)
    assert texts(await world.backend.receive(cursor)) == ["hi"]


async def test_events_ask_for_nobody(world: World, cursor: Cursor) -> None:
    news(world, entry(FromUserName=BOB, MsgType=50))
    assert len((await world.backend.receive(cursor)).items) == 1
    assert world.server.asked("webwxbatchgetcontact") == []


async def test_what_is_remembered_of_the_unknown_is_bounded(world: World, cursor: Cursor) -> None:
    for batch in range(45):
        strangers = (entry(MsgId=f"{batch}{n:02}1", FromUserName=f"@{batch}x{n}") for n in range(50))
        news(world, *strangers, at=batch + 2)
        cursor = (await world.backend.receive(cursor)).cursor
    assert len(world.server.asked("webwxbatchgetcontact")) == 45
    assert len(world.backend._login.contact_list._requested_at) == 2048


async def test_many_unknown_chats_cost_one_call(world: World, cursor: Cursor) -> None:
    news(world, *(entry(MsgId=str(n), FromUserName=f"@{n}") for n in range(1, 80)))
    assert len((await world.backend.receive(cursor)).items) == 79
    assert [body(request)["Count"] for request in world.server.asked("webwxbatchgetcontact")] == [50]


async def test_the_phones_recent_chats_are_looked_up_in_slices(world: World, cursor: Cursor) -> None:
    names = ",".join(f"@@{n}" for n in range(70))
    news(world, entry(MsgType=51, StatusNotifyCode=4, StatusNotifyUserName=f"filehelper,{names},"))

    def found(request: httpx.Request) -> httpx.Response:
        return answer(ContactList=[group(one["UserName"], ME, BOB) for one in body(request)["List"]])

    world.server.put("webwxbatchgetcontact", found)
    batch = await world.backend.receive(cursor)
    assert (batch.items, batch.contacts) == ((), ())
    first, second = await world.backend.receive(batch.cursor), await world.backend.receive(batch.cursor)
    assert (len(first.contacts), len(second.contacts)) == (50, 20)
    assert (first.cursor, second.cursor) == (batch.cursor, batch.cursor)
    world.server.put("synccheck", check())
    assert (await world.backend.receive(batch.cursor)).contacts == ()


async def test_a_new_name_of_the_owner_counts_at_once(world: World, cursor: Cursor) -> None:
    news(
        world,
        entry(FromUserName=FAMILY, Content=f"{BOB}:<br/>@Neu hi"),
        Profile={"BitFlag": 190, "NickName": {"Buff": "Neu"}},
    )
    batch = await world.backend.receive(cursor)
    assert (batch.contacts[0].handle, batch.contacts[0].nickname) == (ME, "Neu")
    (item,) = batch.items
    assert isinstance(item, Message)
    assert item.mentioned


# hostile content


async def test_one_bad_entry_never_stops_the_others(world: World, cursor: Cursor) -> None:
    await know(world, person(WIFE))
    world.server.put("synccheck", check(selector=2))
    bad: list[Any] = [5, None, {}, {"MsgType": 1}, {"FromUserName": [], "ToUserName": {}}]
    world.server.put(
        "webwxsync",
        answer(
            AddMsgList=[entry(MsgId="1"), *bad, entry(MsgId="2")],
            ModContactList=[7],
            DelContactList=["x"],
            SyncKey=key(2),
        ),
    )
    batch = await world.backend.receive(cursor)
    assert [item.key for item in batch.items] == ["1", "2"]
    assert batch.unreadable_count == 7


async def test_an_error_in_reading_is_counted_and_says_nothing_of_the_content(
    world: World, cursor: Cursor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("SECRET")

    await know(world, person(WIFE))
    monkeypatch.setattr("wx2mqtt.wechat.webwx.receiver.read_message", fail)
    news(world, entry())
    assert (await world.backend.receive(cursor)).unreadable_count == 1


async def test_a_message_that_ended_the_process_twice_is_skipped_and_reported(
    world: World, cursor: Cursor
) -> None:
    await know(world, person(WIFE))
    world.marks.fatal.add("2")
    news(world, entry(MsgId="1", Content="a"), entry(MsgId="2", Content="b"), entry(MsgId="3", Content="c"))
    batch = await world.backend.receive(cursor)
    assert texts(batch) == ["a", "c"]
    (event,) = [item for item in batch.items if isinstance(item, Event)]
    assert (event.name, event.key, event.fields) == ("unreadable", "unreadable:2", {"message_id": "2"})
    assert batch.cursor != cursor
    assert world.marks.processed == ["1", "3"]


async def test_a_skipped_message_without_an_id_is_reported_without_one(world: World, cursor: Cursor) -> None:
    await know(world, person(WIFE))
    nameless = entry(MsgId="", NewMsgId="")
    world.marks.fatal.add(entry_key(nameless))
    news(world, nameless)
    (event,) = (await world.backend.receive(cursor)).items
    assert isinstance(event, Event)
    assert (event.name, event.fields) == ("unreadable", {})


async def test_nothing_is_received_without_a_login(world: World) -> None:
    with pytest.raises(LoggedOut):
        await world.backend.receive(Cursor(""))


async def test_thousands_that_cannot_be_read_let_others_run_and_are_one_line_of_the_log(
    world: World, cursor: Cursor
) -> None:
    await know(world, person(WIFE))
    news(world, *[{"MsgType": 1}] * 1000, entry(MsgId="1", Content="a"))
    with capture_logs() as logs:
        batch, turns = await turns_during(world.backend.receive(cursor))
    assert texts(batch) == ["a"]
    assert batch.unreadable_count == 1000
    assert turns > 1500  # once for their keys, once to read them
    assert [line for line in logs if line["event"] == "message cannot be read"] == [
        {"event": "message cannot be read", "log_level": "warning", "type": "1", "count": 1000}
    ]
