"""Receiving: polls, keys, names, the end of a login, and repeated cursors (webwx 2.10, 2.11, 3)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from tests.support.loop_turns import turns_during
from tests.unit.wechat.rig import body, query
from tests.unit.wechat.webwx.entries import BOB, FAMILY, ME, WIFE, entry
from tests.unit.wechat.webwx.server import WebWxRig, answer, check, key, synced, text
from tests.unit.wechat.webwx.test_contact_list import group, person
from wx2mqtt.errors import LoggedOut, Throttled, Unreachable
from wx2mqtt.model import ChatKind, Cursor, Event, Message
from wx2mqtt.wechat.backend import Batch
from wx2mqtt.wechat.webwx.protocol.messages import entry_key


def texts(batch: Batch) -> list[str]:
    return [item.text for item in batch.items if isinstance(item, Message)]


async def test_a_poll_that_ends_with_nothing(online: WebWxRig) -> None:
    assert await online.poll() == Batch(cursor=online.cursor)
    assert online.calls()[-1] == "synccheck"
    assert query(online.asked("synccheck")[0])["synckey"] == "1_1"


async def test_messages_and_the_cursor_after_them(online: WebWxRig) -> None:
    await online.know(person(WIFE))
    batch = await online.receive(entry(MsgId="1", Content="a"), entry(MsgId="2", Content="b"))
    assert texts(batch) == ["a", "b"]
    assert batch.cursor == '{"sync":[[1,2]],"check":[[1,102]],"more":false}'
    assert body(online.asked("webwxsync")[0])["SyncKey"] == key(1)
    await online.poll(batch.cursor)
    assert query(online.asked("synccheck")[1])["synckey"] == "1_102"
    assert body(online.asked("webwxsync")[1])["SyncKey"] == key(2)


async def test_the_same_cursor_brings_the_same_again(online: WebWxRig) -> None:
    await online.know(person(WIFE))
    first, second = await online.receive(entry(MsgId="1")), await online.poll()
    assert first == second
    assert [body(request)["SyncKey"] for request in online.asked("webwxsync")] == [key(1), key(1)]


@pytest.mark.parametrize("selector", [1, 2, 3, 4, 5, 6, 7, 42])
async def test_any_selector_but_0_is_synced(online: WebWxRig, selector: int) -> None:
    online.put("synccheck", check(selector=selector))
    await online.poll()
    assert len(online.asked("webwxsync")) == 1


@pytest.mark.parametrize("retcode", [1100, 1101, 1102, 1103])
async def test_the_end_of_the_login_is_said_in_words(online: WebWxRig, retcode: int) -> None:
    online.put("synccheck", check(retcode))
    with pytest.raises(LoggedOut, match=str(retcode)):
        await online.poll()
    online.put("synccheck", check(selector=2))
    online.put("webwxsync", answer(retcode))
    with pytest.raises(LoggedOut, match=str(retcode)):
        await online.poll()
    assert online.saved


@pytest.mark.parametrize(
    "failed_answer",
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
    online: WebWxRig, failed_answer: httpx.Response | Exception
) -> None:
    online.put("synccheck", failed_answer)
    with pytest.raises(Unreachable) as failure:
        await online.poll()
    assert failure.value.poll_timed_out is isinstance(failed_answer, httpx.ReadTimeout)


async def test_too_often(online: WebWxRig) -> None:
    pauses = []
    for answered in (check(1205), check(1205), check(1205), check(), check(1205)):
        online.put("synccheck", answered)
        try:
            await online.poll()
        except Throttled as slow:
            pauses.append(slow.retry_after)
    assert pauses == [60.0, 120.0, 240.0, 60.0]


@pytest.mark.parametrize("ret", [3, -1, 1])
async def test_a_sync_that_fails_is_tried_later_and_synccheck_is_asked_again(
    online: WebWxRig, ret: int
) -> None:
    await online.know(person(WIFE))
    more = (await online.receive(entry(MsgId="1"), ContinueFlag=1)).cursor
    online.put("webwxsync", answer(ret, SyncKey={"Count": 0, "List": []}))
    with pytest.raises(Unreachable):
        await online.poll(more)
    online.put("synccheck", check(1101))
    with pytest.raises(LoggedOut):
        await online.poll(more)


@pytest.mark.parametrize("answered", [text("<html>"), text("[]"), text('{"AddMsgList": []}'), text("", 502)])
async def test_a_sync_that_cannot_be_read_is_tried_later(online: WebWxRig, answered: httpx.Response) -> None:
    online.put("synccheck", check(selector=2))
    online.put("webwxsync", answered)
    with pytest.raises(Unreachable):
        await online.poll()


async def test_where_more_waits_no_poll_is_needed(online: WebWxRig) -> None:
    await online.know(person(WIFE))
    batch = await online.receive(entry(MsgId="1"), ContinueFlag=1)
    online.put("webwxsync", synced(entry(MsgId="2"), at=3))
    assert [item.key for item in (await online.poll(batch.cursor)).items] == ["2"]
    assert len(online.asked("synccheck")) == 1


async def test_behind_a_large_answer_the_next_one_is_asked_for_without_a_poll(online: WebWxRig) -> None:
    await online.know(person(WIFE))
    batch = await online.receive(*(entry(MsgId=str(number)) for number in range(50)))
    online.put("webwxsync", synced(entry(MsgId="50"), at=3))
    batch = await online.poll(batch.cursor)
    assert [item.key for item in batch.items] == ["50"]
    assert online.calls()[-2:] == ["webwxsync", "webwxsync"]
    online.put("synccheck", check())
    await online.poll(batch.cursor)
    assert online.calls()[-1] == "synccheck"


async def test_where_nothing_waits_behind_a_large_answer_the_next_poll_comes_at_once(
    online: WebWxRig,
) -> None:
    """No poll had promised more, so that a sync without news is no sign of a server that is stuck."""
    cursor = online.cursor
    await online.know(person(WIFE))
    for number in range(3):
        messages = [entry(MsgId=f"{number}-{place}") for place in range(50)]
        online.put("synccheck", check(selector=2))
        online.put("webwxsync", synced(*messages, at=2 + number), synced(at=2 + number))
        cursor = (await online.poll(cursor)).cursor
        empty = await online.poll(cursor)
        assert empty.items == ()
        cursor = empty.cursor
    assert online.clock.slept == []


async def test_an_empty_answer_that_promises_more_is_followed_by_a_poll(online: WebWxRig) -> None:
    batch = await online.receive(*(entry(MsgId=str(number), MsgType=50) for number in range(50)))
    online.put("webwxsync", synced(at=3, ContinueFlag=1))
    batch = await online.poll(batch.cursor)
    online.put("synccheck", check())
    await online.poll(batch.cursor)
    assert online.calls()[-3:] == ["webwxsync", "webwxsync", "synccheck"]


async def test_a_server_that_repeats_a_large_answer_under_new_keys_is_asked_with_pauses(
    online: WebWxRig,
) -> None:
    cursor = online.cursor
    await online.know(person(WIFE))
    messages = [entry(MsgId=str(number)) for number in range(50)]
    online.put("synccheck", check(selector=2))
    online.put("webwxsync", *(synced(*messages, at=number) for number in range(2, 12)))
    for _ in range(10):
        cursor = (await online.poll(cursor)).cursor
    assert len(online.clock.slept) >= 8


async def test_missing_keys_leave_the_old_ones(online: WebWxRig) -> None:
    online.put("synccheck", check(selector=2))
    online.put("webwxsync", answer(AddMsgList=[], SyncKey={"Count": 0, "List": []}))
    assert (await online.poll()).cursor == online.cursor


@pytest.mark.parametrize("strange", ["", "x", "{}"])
async def test_a_cursor_that_is_none_means_where_the_login_stands(online: WebWxRig, strange: str) -> None:
    await online.poll(Cursor(strange))
    assert query(online.asked("synccheck")[0])["synckey"] == "1_1"


# pace


async def test_quiet_polls_that_are_answered_at_once_are_a_second_apart(online: WebWxRig) -> None:
    for _ in range(4):
        await online.poll()
    assert online.clock.slept == [1.0, 1.0, 1.0]


async def test_no_pause_while_messages_flow(online: WebWxRig) -> None:
    cursor = online.cursor
    await online.know(person(WIFE))
    online.put("synccheck", check(selector=2))
    online.put("webwxsync", *(synced(entry(MsgId=str(n)), at=n) for n in range(1, 30)))
    for _ in range(25):
        cursor = (await online.poll(cursor)).cursor
    assert online.clock.slept == []


async def test_a_stuck_selector_slows_down_and_the_login_stays(online: WebWxRig) -> None:
    online.put("synccheck", check(selector=6))
    online.put("webwxsync", answer(AddMsgList=[]))
    for _ in range(11):
        await online.poll()
    assert online.clock.slept == [1.0, 1.0, 1.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


@pytest.mark.parametrize("sign", ["message", "key", "quiet"])
async def test_any_sign_of_life_ends_the_slowness(online: WebWxRig, sign: str) -> None:
    await online.know(person(WIFE))
    online.put_sync(at=1, SyncCheckKey=key(1))
    for _ in range(9):
        await online.poll()
    assert online.clock.slept[-1] == 16.0
    if sign == "quiet":
        online.put("synccheck", check())
    else:
        messages = [entry(MsgId="1")] if sign == "message" else []
        online.put_sync(*messages, at=1, SyncCheckKey=key(2))
    sync_key = (await online.poll()).cursor
    online.clock.slept.clear()
    await online.poll(sync_key)
    assert sum(online.clock.slept) <= 1.0


async def test_a_server_that_repeats_itself_slows_down_too(online: WebWxRig) -> None:
    await online.know(person(WIFE))
    online.put_sync(entry(MsgId="1"), at=1, SyncCheckKey=key(1))
    for _ in range(8):
        await online.poll()
    assert online.clock.slept == [1.0, 1.0, 1.0, 1.0, 2.0, 4.0]


# keys and cookies


async def test_a_new_skey_and_new_cookies_are_used_and_saved(online: WebWxRig) -> None:
    online.put("synccheck", check(selector=2))
    online.put("webwxsync", answer(SKey="@crypt_new", cookies=("webwx_data_ticket=new; Domain=.qq.com",)))
    saves = online.vault.saves
    await online.poll()
    assert online.vault.saves == saves + 1
    assert online.saved["skey"] == "@crypt_new"
    await online.poll()
    assert query(online.asked("synccheck")[1])["skey"] == "@crypt_new"
    assert "webwx_data_ticket=new" in online.asked("synccheck")[1].headers["Cookie"]
    assert online.vault.saves == saves + 1


async def test_keys_alone_are_not_saved_with_each_batch_but_at_the_end(online: WebWxRig) -> None:
    cursor = online.cursor
    saves = online.vault.saves
    online.put("synccheck", check(selector=2))
    for at in (5, 6, 7):
        online.put("webwxsync", synced(entry(MsgType=51), at=at))
        cursor = (await online.poll(cursor)).cursor
    assert online.vault.saves == saves
    await online.backend.close()
    assert online.saved["position"] == cursor


# contacts and names


async def test_changed_and_deleted_contacts_come_with_the_batch(online: WebWxRig) -> None:
    batch = await online.receive(
        ModContactList=[person(BOB, "Bob")],
        DelContactList=[{"UserName": WIFE, "ContactFlag": 0}, {}, {"UserName": 5.5}],
    )
    assert [(contact.handle, contact.nickname) for contact in batch.contacts] == [(BOB, "Bob")]
    assert batch.removed == (WIFE,)


async def test_contacts_are_learned_before_messages_are_read(online: WebWxRig) -> None:
    (item,) = (
        await online.receive(
            entry(FromUserName=FAMILY, Content=f"{BOB}:<br/>hi @{ME} you"),
            ModContactList=[group(FAMILY, ME, BOB)],
        )
    ).items
    assert isinstance(item, Message)
    assert (item.sender_name, item.mentioned) == (BOB, True)
    assert online.asked("webwxbatchgetcontact") == []


async def test_an_unknown_group_is_looked_up_before_its_message_is_returned(online: WebWxRig) -> None:
    online.put_sync(entry(FromUserName=FAMILY, Content=f"{BOB}:<br/>hi"))
    online.put("webwxbatchgetcontact", answer(ContactList=[group(FAMILY, ME, BOB)]))
    batch = await online.poll()
    (item,) = batch.items
    assert isinstance(item, Message)
    assert (item.sender_name, item.chat_kind) == (BOB, ChatKind.GROUP)
    assert len(online.marks.processed) == 1, "its message is read once"
    assert [contact.handle for contact in batch.contacts] == [FAMILY]
    assert [requested["UserName"] for requested in body(online.asked("webwxbatchgetcontact")[0])["List"]] == [
        FAMILY
    ]


async def test_an_unknown_person_is_looked_up_too(online: WebWxRig) -> None:
    online.put_sync(entry(FromUserName=BOB))
    online.put("webwxbatchgetcontact", answer(ContactList=[{**person(BOB), "VerifyFlag": 8}]))
    batch = await online.poll()
    (item,) = batch.items
    assert isinstance(item, Message)
    assert item.chat_kind is ChatKind.OFFICIAL


async def test_who_stays_unknown_is_asked_for_once_in_a_while(online: WebWxRig) -> None:
    online.put_sync(entry(FromUserName=FAMILY, Content=f"{BOB}:<br/>hi"))
    for _ in range(3):
        batch = await online.poll()
        assert texts(batch) == ["hi"]
    assert len(online.asked("webwxbatchgetcontact")) == 1
    online.clock.time += 601
    await online.poll()
    assert len(online.asked("webwxbatchgetcontact")) == 2


@pytest.mark.parametrize(
    "failed_answer", [httpx.ReadTimeout("x"), text("<html>"), answer(1101), answer(1205), text("", 500)]
)
async def test_a_failing_look_up_holds_no_message_up(
    online: WebWxRig, failed_answer: httpx.Response | Exception
) -> None:
    online.put_sync(entry(FromUserName=FAMILY, Content=f"{BOB}:<br/>hi"))
    online.put("webwxbatchgetcontact", failed_answer)
    assert texts(await online.poll()) == ["hi"]


async def test_events_ask_for_nobody(online: WebWxRig) -> None:
    assert len((await online.receive(entry(FromUserName=BOB, MsgType=50))).items) == 1
    assert online.asked("webwxbatchgetcontact") == []


async def test_what_is_remembered_of_the_unknown_is_bounded(online: WebWxRig) -> None:
    cursor = online.cursor
    for batch in range(45):
        strangers = (entry(MsgId=f"{batch}{n:02}1", FromUserName=f"@{batch}x{n}") for n in range(50))
        cursor = (await online.receive(*strangers, at=batch + 2, cursor=cursor)).cursor
    assert len(online.asked("webwxbatchgetcontact")) == 45
    assert len(online.backend._login.contact_list._requested_at) == 2048


async def test_many_unknown_chats_cost_one_call(online: WebWxRig) -> None:
    assert (
        len((await online.receive(*(entry(MsgId=str(n), FromUserName=f"@{n}") for n in range(1, 80)))).items)
        == 79
    )
    assert [body(request)["Count"] for request in online.asked("webwxbatchgetcontact")] == [50]


async def test_the_phones_recent_chats_are_looked_up_in_slices(online: WebWxRig) -> None:
    names = ",".join(f"@@{n}" for n in range(70))
    online.put_sync(entry(MsgType=51, StatusNotifyCode=4, StatusNotifyUserName=f"filehelper,{names},"))

    def found(request: httpx.Request) -> httpx.Response:
        return answer(
            ContactList=[group(requested["UserName"], ME, BOB) for requested in body(request)["List"]]
        )

    online.put("webwxbatchgetcontact", found)
    batch = await online.poll()
    assert (batch.items, batch.contacts) == ((), ())
    first, second = await online.poll(batch.cursor), await online.poll(batch.cursor)
    assert (len(first.contacts), len(second.contacts)) == (50, 20)
    assert (first.cursor, second.cursor) == (batch.cursor, batch.cursor)
    online.put("synccheck", check())
    assert (await online.poll(batch.cursor)).contacts == ()


async def test_a_new_name_of_the_owner_counts_at_once(online: WebWxRig) -> None:
    batch = await online.receive(
        entry(FromUserName=FAMILY, Content=f"{BOB}:<br/>@Neu hi"),
        Profile={"BitFlag": 190, "NickName": {"Buff": "Neu"}},
    )
    assert (batch.contacts[0].handle, batch.contacts[0].nickname) == (ME, "Neu")
    (item,) = batch.items
    assert isinstance(item, Message)
    assert item.mentioned


# hostile content


async def test_one_bad_entry_never_stops_the_others(online: WebWxRig) -> None:
    await online.know(person(WIFE))
    online.put("synccheck", check(selector=2))
    bad: list[Any] = [5, None, {}, {"MsgType": 1}, {"FromUserName": [], "ToUserName": {}}]
    online.put(
        "webwxsync",
        answer(
            AddMsgList=[entry(MsgId="1"), *bad, entry(MsgId="2")],
            ModContactList=[7],
            DelContactList=["x"],
            SyncKey=key(2),
        ),
    )
    batch = await online.poll()
    assert [item.key for item in batch.items] == ["1", "2"]
    assert batch.unreadable_count == 7


async def test_an_error_in_reading_is_counted_and_says_nothing_of_the_content(
    online: WebWxRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("SECRET")

    await online.know(person(WIFE))
    monkeypatch.setattr("wx2mqtt.wechat.webwx.receiver.read_message", fail)
    assert (await online.receive(entry())).unreadable_count == 1


async def test_a_message_that_ended_the_process_twice_is_skipped_and_reported(online: WebWxRig) -> None:
    await online.know(person(WIFE))
    online.marks.fatal.add("2")
    batch = await online.receive(
        entry(MsgId="1", Content="a"), entry(MsgId="2", Content="b"), entry(MsgId="3", Content="c")
    )
    assert texts(batch) == ["a", "c"]
    (event,) = [item for item in batch.items if isinstance(item, Event)]
    assert (event.name, event.key, event.fields) == ("unreadable", "unreadable:2", {"message_id": "2"})
    assert batch.cursor != online.cursor
    assert online.marks.processed == ["1", "3"]


async def test_a_skipped_message_without_an_id_is_reported_without_one(online: WebWxRig) -> None:
    await online.know(person(WIFE))
    nameless = entry(MsgId="", NewMsgId="")
    online.marks.fatal.add(entry_key(nameless))
    (event,) = (await online.receive(nameless)).items
    assert isinstance(event, Event)
    assert (event.name, event.fields) == ("unreadable", {})


async def test_nothing_is_received_without_a_login(rig: WebWxRig) -> None:
    with pytest.raises(LoggedOut):
        await rig.poll(Cursor(""))


async def test_thousands_that_cannot_be_read_let_others_run_and_are_one_line_of_the_log(
    online: WebWxRig,
) -> None:
    await online.know(person(WIFE))
    online.put_sync(*[{"MsgType": 1}] * 1000, entry(MsgId="1", Content="a"))
    with capture_logs() as logs:
        batch, turns = await turns_during(online.poll())
    assert texts(batch) == ["a"]
    assert batch.unreadable_count == 1000
    assert turns > 1000
    assert [line for line in logs if line["event"] == "message cannot be read"] == [
        {"event": "message cannot be read", "log_level": "warning", "type": "1", "count": 1000}
    ]
