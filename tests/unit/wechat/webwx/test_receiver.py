"""Receiving: polls, keys, names, the end of a login, and repeated cursors (webwx 2.10, 2.11, 3)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from tests.support.loop_turns import turns_during
from tests.unit.wechat.webwx.entries import BOB, FAMILY, ME, WIFE, entry
from tests.unit.wechat.webwx.server import BackendHarness, answer, body, check, key, query, synced, text
from tests.unit.wechat.webwx.test_contact_list import group, person
from wx2mqtt.errors import LoggedOut, Throttled, Unreachable
from wx2mqtt.model import ChatKind, Cursor, Event, Message
from wx2mqtt.wechat.backend import Batch
from wx2mqtt.wechat.webwx.protocol.messages import entry_key


def texts(batch: Batch) -> list[str]:
    return [item.text for item in batch.items if isinstance(item, Message)]


def put_sync(harness: BackendHarness, *messages: dict[str, Any], **fields: Any) -> None:
    harness.server.put("synccheck", check(selector=2))
    harness.server.put("webwxsync", synced(*messages, **fields))


async def load_contacts(harness: BackendHarness, *contacts: dict[str, Any]) -> None:
    harness.server.put("webwxgetcontact", answer(MemberList=[person(ME), *contacts], Seq=0))
    async for _ in harness.backend.list_contacts(lambda _: None):
        pass


async def test_a_poll_that_ends_with_nothing(harness: BackendHarness, cursor: Cursor) -> None:
    assert await harness.backend.receive(cursor) == Batch(cursor=cursor)
    assert harness.server.calls()[-1] == "synccheck"
    assert query(harness.server.asked("synccheck")[0])["synckey"] == "1_1"


async def test_messages_and_the_cursor_after_them(harness: BackendHarness, cursor: Cursor) -> None:
    await load_contacts(harness, person(WIFE))
    put_sync(harness, entry(MsgId="1", Content="a"), entry(MsgId="2", Content="b"))
    batch = await harness.backend.receive(cursor)
    assert texts(batch) == ["a", "b"]
    assert batch.cursor == '{"sync":[[1,2]],"check":[[1,102]],"more":false}'
    assert body(harness.server.asked("webwxsync")[0])["SyncKey"] == key(1)
    await harness.backend.receive(batch.cursor)
    assert query(harness.server.asked("synccheck")[1])["synckey"] == "1_102"
    assert body(harness.server.asked("webwxsync")[1])["SyncKey"] == key(2)


async def test_the_same_cursor_brings_the_same_again(harness: BackendHarness, cursor: Cursor) -> None:
    await load_contacts(harness, person(WIFE))
    put_sync(harness, entry(MsgId="1"))
    first, second = await harness.backend.receive(cursor), await harness.backend.receive(cursor)
    assert first == second
    assert [body(request)["SyncKey"] for request in harness.server.asked("webwxsync")] == [key(1), key(1)]


@pytest.mark.parametrize("selector", [1, 2, 3, 4, 5, 6, 7, 42])
async def test_any_selector_but_0_is_synced(harness: BackendHarness, cursor: Cursor, selector: int) -> None:
    harness.server.put("synccheck", check(selector=selector))
    await harness.backend.receive(cursor)
    assert len(harness.server.asked("webwxsync")) == 1


@pytest.mark.parametrize("retcode", [1100, 1101, 1102, 1103])
async def test_the_end_of_the_login_is_said_in_words(
    harness: BackendHarness, cursor: Cursor, retcode: int
) -> None:
    harness.server.put("synccheck", check(retcode))
    with pytest.raises(LoggedOut, match=str(retcode)):
        await harness.backend.receive(cursor)
    harness.server.put("synccheck", check(selector=2))
    harness.server.put("webwxsync", answer(retcode))
    with pytest.raises(LoggedOut, match=str(retcode)):
        await harness.backend.receive(cursor)
    assert harness.vault.content is not None


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
    harness: BackendHarness, cursor: Cursor, failed_answer: httpx.Response | Exception
) -> None:
    harness.server.put("synccheck", failed_answer)
    with pytest.raises(Unreachable) as failure:
        await harness.backend.receive(cursor)
    assert failure.value.poll_timed_out is isinstance(failed_answer, httpx.ReadTimeout)


async def test_too_often(harness: BackendHarness, cursor: Cursor) -> None:
    pauses = []
    for answered in (check(1205), check(1205), check(1205), check(), check(1205)):
        harness.server.put("synccheck", answered)
        try:
            await harness.backend.receive(cursor)
        except Throttled as slow:
            pauses.append(slow.retry_after)
    assert pauses == [60.0, 120.0, 240.0, 60.0]


@pytest.mark.parametrize("ret", [3, -1, 1])
async def test_a_sync_that_fails_is_tried_later_and_synccheck_is_asked_again(
    harness: BackendHarness, cursor: Cursor, ret: int
) -> None:
    await load_contacts(harness, person(WIFE))
    put_sync(harness, entry(MsgId="1"), ContinueFlag=1)
    more = (await harness.backend.receive(cursor)).cursor
    harness.server.put("webwxsync", answer(ret, SyncKey={"Count": 0, "List": []}))
    with pytest.raises(Unreachable):
        await harness.backend.receive(more)
    harness.server.put("synccheck", check(1101))
    with pytest.raises(LoggedOut):
        await harness.backend.receive(more)


@pytest.mark.parametrize("answered", [text("<html>"), text("[]"), text('{"AddMsgList": []}'), text("", 502)])
async def test_a_sync_that_cannot_be_read_is_tried_later(
    harness: BackendHarness, cursor: Cursor, answered: httpx.Response
) -> None:
    harness.server.put("synccheck", check(selector=2))
    harness.server.put("webwxsync", answered)
    with pytest.raises(Unreachable):
        await harness.backend.receive(cursor)


async def test_where_more_waits_no_poll_is_needed(harness: BackendHarness, cursor: Cursor) -> None:
    await load_contacts(harness, person(WIFE))
    put_sync(harness, entry(MsgId="1"), ContinueFlag=1)
    batch = await harness.backend.receive(cursor)
    harness.server.put("webwxsync", synced(entry(MsgId="2"), at=3))
    assert [item.key for item in (await harness.backend.receive(batch.cursor)).items] == ["2"]
    assert len(harness.server.asked("synccheck")) == 1


async def test_behind_a_large_answer_the_next_one_is_asked_for_without_a_poll(
    harness: BackendHarness, cursor: Cursor
) -> None:
    await load_contacts(harness, person(WIFE))
    put_sync(harness, *(entry(MsgId=str(number)) for number in range(50)))
    batch = await harness.backend.receive(cursor)
    harness.server.put("webwxsync", synced(entry(MsgId="50"), at=3))
    batch = await harness.backend.receive(batch.cursor)
    assert [item.key for item in batch.items] == ["50"]
    assert harness.server.calls()[-2:] == ["webwxsync", "webwxsync"]
    harness.server.put("synccheck", check())
    await harness.backend.receive(batch.cursor)
    assert harness.server.calls()[-1] == "synccheck"


async def test_where_nothing_waits_behind_a_large_answer_the_next_poll_comes_at_once(
    harness: BackendHarness, cursor: Cursor
) -> None:
    """No poll had promised more, so that a sync without news is no sign of a server that is stuck."""
    await load_contacts(harness, person(WIFE))
    for number in range(3):
        messages = [entry(MsgId=f"{number}-{place}") for place in range(50)]
        harness.server.put("synccheck", check(selector=2))
        harness.server.put("webwxsync", synced(*messages, at=2 + number), synced(at=2 + number))
        cursor = (await harness.backend.receive(cursor)).cursor
        empty = await harness.backend.receive(cursor)
        assert empty.items == ()
        cursor = empty.cursor
    assert harness.clock.slept == []


async def test_a_server_that_repeats_a_large_answer_under_new_keys_is_asked_with_pauses(
    harness: BackendHarness, cursor: Cursor
) -> None:
    await load_contacts(harness, person(WIFE))
    messages = [entry(MsgId=str(number)) for number in range(50)]
    harness.server.put("synccheck", check(selector=2))
    harness.server.put("webwxsync", *(synced(*messages, at=number) for number in range(2, 12)))
    for _ in range(10):
        cursor = (await harness.backend.receive(cursor)).cursor
    assert len(harness.clock.slept) >= 8


async def test_missing_keys_leave_the_old_ones(harness: BackendHarness, cursor: Cursor) -> None:
    harness.server.put("synccheck", check(selector=2))
    harness.server.put("webwxsync", answer(AddMsgList=[], SyncKey={"Count": 0, "List": []}))
    assert (await harness.backend.receive(cursor)).cursor == cursor


@pytest.mark.parametrize("strange", ["", "x", "{}"])
async def test_a_cursor_that_is_none_means_where_the_login_stands(
    harness: BackendHarness, cursor: Cursor, strange: str
) -> None:
    await harness.backend.receive(Cursor(strange))
    assert query(harness.server.asked("synccheck")[0])["synckey"] == "1_1"


# pace


async def test_quiet_polls_that_are_answered_at_once_are_a_second_apart(
    harness: BackendHarness, cursor: Cursor
) -> None:
    for _ in range(4):
        await harness.backend.receive(cursor)
    assert harness.clock.slept == [1.0, 1.0, 1.0]


async def test_no_pause_while_messages_flow(harness: BackendHarness, cursor: Cursor) -> None:
    await load_contacts(harness, person(WIFE))
    harness.server.put("synccheck", check(selector=2))
    harness.server.put("webwxsync", *(synced(entry(MsgId=str(n)), at=n) for n in range(1, 30)))
    for _ in range(25):
        cursor = (await harness.backend.receive(cursor)).cursor
    assert harness.clock.slept == []


async def test_a_stuck_selector_slows_down_and_the_login_stays(
    harness: BackendHarness, cursor: Cursor
) -> None:
    harness.server.put("synccheck", check(selector=6))
    harness.server.put("webwxsync", answer(AddMsgList=[]))
    for _ in range(11):
        await harness.backend.receive(cursor)
    assert harness.clock.slept == [1.0, 1.0, 1.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


@pytest.mark.parametrize("sign", ["message", "key", "quiet"])
async def test_any_sign_of_life_ends_the_slowness(harness: BackendHarness, cursor: Cursor, sign: str) -> None:
    await load_contacts(harness, person(WIFE))
    put_sync(harness, at=1, SyncCheckKey=key(1))
    for _ in range(9):
        await harness.backend.receive(cursor)
    assert harness.clock.slept[-1] == 16.0
    if sign == "quiet":
        harness.server.put("synccheck", check())
    else:
        put_sync(harness, *([entry(MsgId="1")] if sign == "message" else []), at=1, SyncCheckKey=key(2))
    sync_key = (await harness.backend.receive(cursor)).cursor
    harness.clock.slept.clear()
    await harness.backend.receive(sync_key)
    assert sum(harness.clock.slept) <= 1.0


async def test_a_server_that_repeats_itself_slows_down_too(harness: BackendHarness, cursor: Cursor) -> None:
    await load_contacts(harness, person(WIFE))
    put_sync(harness, entry(MsgId="1"), at=1, SyncCheckKey=key(1))
    for _ in range(8):
        await harness.backend.receive(cursor)
    assert harness.clock.slept == [1.0, 1.0, 1.0, 1.0, 2.0, 4.0]


# keys and cookies


async def test_a_new_skey_and_new_cookies_are_used_and_saved(harness: BackendHarness, cursor: Cursor) -> None:
    harness.server.put("synccheck", check(selector=2))
    harness.server.put(
        "webwxsync", answer(SKey="@crypt_new", cookies=("webwx_data_ticket=new; Domain=.qq.com",))
    )
    saves = harness.vault.saves
    await harness.backend.receive(cursor)
    assert harness.vault.saves == saves + 1
    assert harness.vault.content is not None
    assert harness.vault.content["skey"] == "@crypt_new"
    await harness.backend.receive(cursor)
    assert query(harness.server.asked("synccheck")[1])["skey"] == "@crypt_new"
    assert "webwx_data_ticket=new" in harness.server.asked("synccheck")[1].headers["Cookie"]
    assert harness.vault.saves == saves + 1


async def test_keys_alone_are_not_saved_with_each_batch_but_at_the_end(
    harness: BackendHarness, cursor: Cursor
) -> None:
    saves = harness.vault.saves
    harness.server.put("synccheck", check(selector=2))
    for at in (5, 6, 7):
        harness.server.put("webwxsync", synced(entry(MsgType=51), at=at))
        cursor = (await harness.backend.receive(cursor)).cursor
    assert harness.vault.saves == saves
    await harness.backend.close()
    assert harness.vault.content is not None
    assert harness.vault.content["position"] == cursor


# contacts and names


async def test_changed_and_deleted_contacts_come_with_the_batch(
    harness: BackendHarness, cursor: Cursor
) -> None:
    put_sync(
        harness,
        ModContactList=[person(BOB, "Bob")],
        DelContactList=[{"UserName": WIFE, "ContactFlag": 0}, {}, {"UserName": 5.5}],
    )
    batch = await harness.backend.receive(cursor)
    assert [(contact.handle, contact.nickname) for contact in batch.contacts] == [(BOB, "Bob")]
    assert batch.removed == (WIFE,)


async def test_contacts_are_learned_before_messages_are_read(harness: BackendHarness, cursor: Cursor) -> None:
    put_sync(
        harness,
        entry(FromUserName=FAMILY, Content=f"{BOB}:<br/>hi @{ME} you"),
        ModContactList=[group(FAMILY, ME, BOB)],
    )
    (item,) = (await harness.backend.receive(cursor)).items
    assert isinstance(item, Message)
    assert (item.sender_name, item.mentioned) == (BOB, True)
    assert harness.server.asked("webwxbatchgetcontact") == []


async def test_an_unknown_group_is_looked_up_before_its_message_is_returned(
    harness: BackendHarness, cursor: Cursor
) -> None:
    put_sync(harness, entry(FromUserName=FAMILY, Content=f"{BOB}:<br/>hi"))
    harness.server.put("webwxbatchgetcontact", answer(ContactList=[group(FAMILY, ME, BOB)]))
    batch = await harness.backend.receive(cursor)
    (item,) = batch.items
    assert isinstance(item, Message)
    assert (item.sender_name, item.chat_kind) == (BOB, ChatKind.GROUP)
    assert len(harness.marks.processed) == 1, "its message is read once"
    assert [contact.handle for contact in batch.contacts] == [FAMILY]
    assert [
        requested["UserName"] for requested in body(harness.server.asked("webwxbatchgetcontact")[0])["List"]
    ] == [FAMILY]


async def test_an_unknown_person_is_looked_up_too(harness: BackendHarness, cursor: Cursor) -> None:
    put_sync(harness, entry(FromUserName=BOB))
    harness.server.put("webwxbatchgetcontact", answer(ContactList=[{**person(BOB), "VerifyFlag": 8}]))
    batch = await harness.backend.receive(cursor)
    (item,) = batch.items
    assert isinstance(item, Message)
    assert item.chat_kind is ChatKind.OFFICIAL


async def test_who_stays_unknown_is_asked_for_once_in_a_while(
    harness: BackendHarness, cursor: Cursor
) -> None:
    put_sync(harness, entry(FromUserName=FAMILY, Content=f"{BOB}:<br/>hi"))
    for _ in range(3):
        batch = await harness.backend.receive(cursor)
        assert texts(batch) == ["hi"]
    assert len(harness.server.asked("webwxbatchgetcontact")) == 1
    harness.clock.time += 601
    await harness.backend.receive(cursor)
    assert len(harness.server.asked("webwxbatchgetcontact")) == 2


@pytest.mark.parametrize(
    "failed_answer", [httpx.ReadTimeout("x"), text("<html>"), answer(1101), answer(1205), text("", 500)]
)
async def test_a_failing_look_up_holds_no_message_up(
    harness: BackendHarness, cursor: Cursor, failed_answer: httpx.Response | Exception
) -> None:
    put_sync(harness, entry(FromUserName=FAMILY, Content=f"{BOB}:<br/>hi"))
    harness.server.put("webwxbatchgetcontact", failed_answer)
    assert texts(await harness.backend.receive(cursor)) == ["hi"]


async def test_events_ask_for_nobody(harness: BackendHarness, cursor: Cursor) -> None:
    put_sync(harness, entry(FromUserName=BOB, MsgType=50))
    assert len((await harness.backend.receive(cursor)).items) == 1
    assert harness.server.asked("webwxbatchgetcontact") == []


async def test_what_is_remembered_of_the_unknown_is_bounded(harness: BackendHarness, cursor: Cursor) -> None:
    for batch in range(45):
        strangers = (entry(MsgId=f"{batch}{n:02}1", FromUserName=f"@{batch}x{n}") for n in range(50))
        put_sync(harness, *strangers, at=batch + 2)
        cursor = (await harness.backend.receive(cursor)).cursor
    assert len(harness.server.asked("webwxbatchgetcontact")) == 45
    assert len(harness.backend._login.contact_list._requested_at) == 2048


async def test_many_unknown_chats_cost_one_call(harness: BackendHarness, cursor: Cursor) -> None:
    put_sync(harness, *(entry(MsgId=str(n), FromUserName=f"@{n}") for n in range(1, 80)))
    assert len((await harness.backend.receive(cursor)).items) == 79
    assert [body(request)["Count"] for request in harness.server.asked("webwxbatchgetcontact")] == [50]


async def test_the_phones_recent_chats_are_looked_up_in_slices(
    harness: BackendHarness, cursor: Cursor
) -> None:
    names = ",".join(f"@@{n}" for n in range(70))
    put_sync(harness, entry(MsgType=51, StatusNotifyCode=4, StatusNotifyUserName=f"filehelper,{names},"))

    def found(request: httpx.Request) -> httpx.Response:
        return answer(
            ContactList=[group(requested["UserName"], ME, BOB) for requested in body(request)["List"]]
        )

    harness.server.put("webwxbatchgetcontact", found)
    batch = await harness.backend.receive(cursor)
    assert (batch.items, batch.contacts) == ((), ())
    first, second = await harness.backend.receive(batch.cursor), await harness.backend.receive(batch.cursor)
    assert (len(first.contacts), len(second.contacts)) == (50, 20)
    assert (first.cursor, second.cursor) == (batch.cursor, batch.cursor)
    harness.server.put("synccheck", check())
    assert (await harness.backend.receive(batch.cursor)).contacts == ()


async def test_a_new_name_of_the_owner_counts_at_once(harness: BackendHarness, cursor: Cursor) -> None:
    put_sync(
        harness,
        entry(FromUserName=FAMILY, Content=f"{BOB}:<br/>@Neu hi"),
        Profile={"BitFlag": 190, "NickName": {"Buff": "Neu"}},
    )
    batch = await harness.backend.receive(cursor)
    assert (batch.contacts[0].handle, batch.contacts[0].nickname) == (ME, "Neu")
    (item,) = batch.items
    assert isinstance(item, Message)
    assert item.mentioned


# hostile content


async def test_one_bad_entry_never_stops_the_others(harness: BackendHarness, cursor: Cursor) -> None:
    await load_contacts(harness, person(WIFE))
    harness.server.put("synccheck", check(selector=2))
    bad: list[Any] = [5, None, {}, {"MsgType": 1}, {"FromUserName": [], "ToUserName": {}}]
    harness.server.put(
        "webwxsync",
        answer(
            AddMsgList=[entry(MsgId="1"), *bad, entry(MsgId="2")],
            ModContactList=[7],
            DelContactList=["x"],
            SyncKey=key(2),
        ),
    )
    batch = await harness.backend.receive(cursor)
    assert [item.key for item in batch.items] == ["1", "2"]
    assert batch.unreadable_count == 7


async def test_an_error_in_reading_is_counted_and_says_nothing_of_the_content(
    harness: BackendHarness, cursor: Cursor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("SECRET")

    await load_contacts(harness, person(WIFE))
    monkeypatch.setattr("wx2mqtt.wechat.webwx.receiver.read_message", fail)
    put_sync(harness, entry())
    assert (await harness.backend.receive(cursor)).unreadable_count == 1


async def test_a_message_that_ended_the_process_twice_is_skipped_and_reported(
    harness: BackendHarness, cursor: Cursor
) -> None:
    await load_contacts(harness, person(WIFE))
    harness.marks.fatal.add("2")
    put_sync(
        harness, entry(MsgId="1", Content="a"), entry(MsgId="2", Content="b"), entry(MsgId="3", Content="c")
    )
    batch = await harness.backend.receive(cursor)
    assert texts(batch) == ["a", "c"]
    (event,) = [item for item in batch.items if isinstance(item, Event)]
    assert (event.name, event.key, event.fields) == ("unreadable", "unreadable:2", {"message_id": "2"})
    assert batch.cursor != cursor
    assert harness.marks.processed == ["1", "3"]


async def test_a_skipped_message_without_an_id_is_reported_without_one(
    harness: BackendHarness, cursor: Cursor
) -> None:
    await load_contacts(harness, person(WIFE))
    nameless = entry(MsgId="", NewMsgId="")
    harness.marks.fatal.add(entry_key(nameless))
    put_sync(harness, nameless)
    (event,) = (await harness.backend.receive(cursor)).items
    assert isinstance(event, Event)
    assert (event.name, event.fields) == ("unreadable", {})


async def test_nothing_is_received_without_a_login(harness: BackendHarness) -> None:
    with pytest.raises(LoggedOut):
        await harness.backend.receive(Cursor(""))


async def test_thousands_that_cannot_be_read_let_others_run_and_are_one_line_of_the_log(
    harness: BackendHarness, cursor: Cursor
) -> None:
    await load_contacts(harness, person(WIFE))
    put_sync(harness, *[{"MsgType": 1}] * 1000, entry(MsgId="1", Content="a"))
    with capture_logs() as logs:
        batch, turns = await turns_during(harness.backend.receive(cursor))
    assert texts(batch) == ["a"]
    assert batch.unreadable_count == 1000
    assert turns > 1000
    assert [line for line in logs if line["event"] == "message cannot be read"] == [
        {"event": "message cannot be read", "log_level": "warning", "type": "1", "count": 1000}
    ]
