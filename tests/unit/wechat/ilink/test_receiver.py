"""Receiving: the cursor, reply windows, quotes, and every failure of a poll."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from email.utils import formatdate
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from tests.support.loop_turns import turns_during
from tests.unit.wechat.ilink.entries import ME, OTHER, WROTE, entry, image, text
from tests.unit.wechat.ilink.server import DEAD, ILinkRig, answer, raw
from wx2mqtt.errors import LoggedOut, Throttled, Unreachable
from wx2mqtt.model import Event, Handle, Kind, Message, QuotedMessage, ReplyWindow
from wx2mqtt.wechat.http_client import BadAnswer
from wx2mqtt.wechat.ilink.protocol import session
from wx2mqtt.wechat.ilink.protocol.message_ids import hash_entry
from wx2mqtt.wechat.ilink.protocol.messages import MAX_ITEMS
from wx2mqtt.wechat.ilink.protocol.reply_window import WINDOW_OPEN_MS
from wx2mqtt.wechat.ilink.protocol.session import MAX_CHATS_PER_BOT, Bot, SyncCursor


def asked(rig: ILinkRig) -> list[str]:
    return [body["get_updates_buf"] for body in rig.bodies("getupdates")]


async def test_the_same_cursor_brings_the_same_again(online: ILinkRig) -> None:
    first = await online.receive(entry())
    again = await online.poll()
    assert [message.key for message in first.items] == [message.key for message in again.items]
    assert first.cursor == again.cursor
    await online.poll(first.cursor)
    assert asked(online) == ["", "", "C2"]


async def test_no_news_leaves_the_cursor_where_it_is(online: ILinkRig) -> None:
    for no_news in (answer(), answer(ret=0), answer(msgs=[]), answer(ret=0, get_updates_buf="")):
        online.put("getupdates", no_news)
        batch = await online.poll()
        assert (batch.cursor, batch.items, batch.unreadable_count) == (online.cursor, (), 0)


async def test_a_cursor_that_moves_without_news_is_followed(online: ILinkRig) -> None:
    batch = await online.receive()
    assert SyncCursor.from_cursor(batch.cursor).buf == "C2"
    assert batch.items == ()


async def test_an_empty_cursor_beside_messages_keeps_the_old_one(online: ILinkRig) -> None:
    stored_cursor = (await online.receive()).cursor
    batch = await online.receive(entry(), buf="", cursor=stored_cursor)
    assert SyncCursor.from_cursor(batch.cursor).buf == "C2"
    assert len(batch.items) == 1


async def test_a_sender_is_reported_once_as_a_contact(online: ILinkRig) -> None:
    batch = await online.receive(entry(), entry(from_user_id=OTHER, number=5))
    assert [(contact.handle, contact.permanent_id) for contact in batch.contacts] == [
        (ME, ME),
        (OTHER, OTHER),
    ]
    assert (
        await online.receive(entry(number=6, create_time_ms=WROTE + 9), cursor=batch.cursor)
    ).contacts == ()


async def test_a_message_twice_in_one_answer_is_one(online: ILinkRig) -> None:
    batch = await online.receive(
        entry(), entry(text("two"), number=6), entry(number=5, context_token="AARz9")
    )
    assert [message.text for message in batch.items] == ["heating on", "two"]


async def test_one_bad_message_never_stops_the_others(online: ILinkRig) -> None:
    bad: list[Any] = [5, None, {"from_user_id": ""}, {"from_user_id": []}]
    online.put("getupdates", answer(msgs=[*bad, entry()], get_updates_buf="C2"))
    batch = await online.poll()
    assert (len(batch.items), batch.unreadable_count) == (1, 4)


async def test_a_message_that_ended_the_process_twice_is_skipped_and_reported(online: ILinkRig) -> None:
    nameless = {**entry(text("b"), number=6), "message_id": 0}
    online.marks.fatal |= {"71", hash_entry(nameless)}
    batch = await online.receive(entry(text("a")), {**entry(number=6), "message_id": 71}, nameless)
    assert [item.text for item in batch.items if isinstance(item, Message)] == ["a"]
    events = [item for item in batch.items if isinstance(item, Event)]
    assert [(event.name, event.fields) for event in events] == [
        ("unreadable", {"message_id": "71"}),
        ("unreadable", {}),
    ]
    assert batch.cursor != online.cursor


async def test_a_batch_of_skipped_messages_alone_moves_the_cursor(online: ILinkRig) -> None:
    online.marks.fatal.add("71")
    batch = await online.receive({**entry(), "message_id": 71}, buf="")
    assert [item.key for item in batch.items] == ["unreadable:71"]


async def test_a_message_of_a_group_is_nobodys_and_opens_no_window(online: ILinkRig) -> None:
    group = {
        **entry(text("of a group")),
        "message_id": 71,
        "group_id": "r1@im.group",
        "context_token": "AARz9",
    }
    batch = await online.receive(group, buf="C2")
    (event,) = batch.items
    assert isinstance(event, Event)
    assert (event.name, event.fields) == ("unreadable", {"message_id": "71", "reason": "group"})
    assert (event.chat, event.actor, batch.contacts) == (None, None, ())
    assert "AARz9" not in batch.cursor
    assert not online.window().open


@pytest.mark.parametrize("empty", ["", None, 0])
async def test_an_empty_group_is_none(online: ILinkRig, empty: object) -> None:
    batch = await online.receive(entry(text("a"), group_id=empty))
    assert [item.text for item in batch.items if isinstance(item, Message)] == ["a"]


async def test_what_the_bot_wrote_itself_is_no_message(online: ILinkRig) -> None:
    batch = await online.receive(entry(message_type=2))
    assert (batch.items, batch.unreadable_count) == ((), 0)


# the window and the token


async def test_a_message_opens_the_window(online: ILinkRig) -> None:
    assert online.window() == ReplyWindow(open=False, remaining=0, reason="never_wrote")
    await online.receive(entry())
    assert online.window() == ReplyWindow(open=True, until=WROTE + WINDOW_OPEN_MS, remaining=10)
    assert online.window(OTHER) == ReplyWindow(open=False, remaining=0, reason="never_wrote")


async def test_the_window_is_counted_by_the_server_s_clock(online: ILinkRig) -> None:
    online.clock.ahead = 10 * 86400  # ours is ten days ahead
    online.date = formatdate(WROTE / 1000 + 3600, usegmt=True)
    batch = await online.receive(entry())
    window = online.window()
    assert window.open
    assert window.until is not None
    told_wall = online.clock.wall() * 1000
    assert abs(window.until - told_wall - (WINDOW_OPEN_MS - 3_600_000)) < 1000
    online.clock.ahead = 0  # somebody sets it right
    assert online.window().open
    online.clock.time += 23 * 3600
    assert online.window().reason == "too_long_ago"
    assert batch.items


async def test_a_crash_right_after_the_commit_loses_no_token(online: ILinkRig) -> None:
    batch = await online.receive(entry())
    online.restart()  # and the credentials were not saved since
    step = await online.log_in(resume=True)
    assert step.cursor == SyncCursor().to_cursor()
    online.put("getupdates", answer())
    await online.poll(batch.cursor)
    assert online.window().open
    assert SyncCursor.from_cursor(batch.cursor).chats[Handle(ME)].context_token == "AARzSECRET1"


async def test_what_is_known_is_saved_now_and_then_and_at_the_end(online: ILinkRig) -> None:
    stored_cursor = (await online.receive(entry())).cursor
    saves = online.vault.saves
    online.put("getupdates", answer())
    for _ in range(5):
        await online.poll(stored_cursor)
    assert online.vault.saves == saves  # a moment ago
    online.clock.time += 3
    for _ in range(5):
        await online.poll(stored_cursor)
    assert online.vault.saves == saves + 1
    (bot,) = online.saved["bots"]
    assert bot["chats"][ME]["token"] == "AARzSECRET1"
    assert bot["cursor"] == stored_cursor
    await online.receive(entry(number=7, create_time_ms=WROTE + 5), buf="C3", cursor=stored_cursor)
    await online.backend.close()
    assert online.vault.saves == saves + 2


async def test_without_a_journal_receiving_goes_on_where_the_vault_says(online: ILinkRig) -> None:
    stored_cursor = (await online.receive(entry())).cursor
    await online.poll(stored_cursor)
    await online.backend.close()
    online.restart()
    assert (await online.log_in(resume=True)).cursor == stored_cursor


# quotes


def sent(text: str, command_id: str, *, chat: str = ME) -> QuotedMessage:
    """Returns a message that the bridge has sent."""
    return QuotedMessage(kind=Kind.TEXT, text=text, chat=chat, from_self=True, command_id=command_id)


async def test_a_quote_by_id_is_looked_up_among_theirs_and_ours(online: ILinkRig) -> None:
    online.history["55"] = sent("door open", "alarm-7")
    online.history["56"] = QuotedMessage(kind=Kind.IMAGE, text="[image]", chat=ME, user="me")
    batch = await online.receive(
        entry(text("off", ref_msg={"svr_id": 55})),
        entry(text("nice", ref_msg={"svr_id": 56}), number=2),
        entry(text("?", ref_msg={"svr_id": 57}), number=3),
    )
    assert [dict(message.detail) for message in batch.items] == [
        {"id": "55", "kind": "text", "text": "door open", "self": True, "command_id": "alarm-7"},
        {"id": "56", "kind": "image", "text": "[image]", "user": "me"},
        {"id": "57"},
    ]
    assert {item.kind for item in batch.items} == {Kind.QUOTE}


async def test_a_quoted_part_of_a_sent_message_is_found(online: ILinkRig) -> None:
    online.history["55"] = sent("door open, window shut", "a")
    part = {"start": "window", "end": "shut", "startindex": 0, "endindex": 0}
    batch = await online.receive(entry(text("ok", ref_msg={"svr_id": 55, "partial_text": part})))
    assert batch.items[0].detail["text"] == "window shut"


async def test_what_the_store_has_goes_before_what_the_phone_brings(online: ILinkRig) -> None:
    online.history["55"] = sent("stored", "a")
    whole = {"svr_id": 55, "message_item": text("brought")}
    batch = await online.receive(entry(text("ok", ref_msg=whole)))
    assert batch.items[0].detail["text"] == "stored"
    assert batch.items[0].detail["command_id"] == "a"


async def test_of_a_message_of_another_chat_only_what_the_phone_brings_is_known(online: ILinkRig) -> None:
    online.history["55"] = sent("stored", "a", chat="somebody@im.wechat")
    whole = {"svr_id": 55, "message_item": text("brought")}
    batch = await online.receive(
        entry(text("ok", ref_msg=whole)), entry(text("and?", ref_msg={"svr_id": 55}), number=2)
    )
    assert [dict(message.detail) for message in batch.items] == [
        {"id": "55", "kind": "text", "text": "brought"},
        {"id": "55"},
    ]


# how long, and what goes wrong


async def test_a_poll_is_given_as_long_as_the_server_says_and_some(online: ILinkRig) -> None:
    limits: list[float] = []

    def note(request: httpx.Request) -> httpx.Response:
        limits.append(request.extensions["timeout"]["read"])
        return answer(longpolling_timeout_ms=20_000)

    online.put("getupdates", note)
    await online.poll()
    await online.poll()
    online.put("getupdates", answer(), note)
    await online.poll()
    await online.poll()
    assert limits == [43.0, 28.0, 43.0]


async def test_a_poll_is_not_cut_short_because_news_alone_tell_how_long_it_may_take(online: ILinkRig) -> None:
    limits: list[float] = []

    def note(request: httpx.Request) -> httpx.Response:
        limits.append(request.extensions["timeout"]["read"])
        return answer()

    online.put("getupdates", answer(longpolling_timeout_ms=46_000), note)
    for _ in range(3):
        await online.poll()
    assert limits == [54.0, 54.0]


@pytest.mark.parametrize(
    "dead", [answer(**DEAD), answer(ret=-14), answer(ret=0, errcode=-14), answer(ret=-1, errcode=-14)]
)
async def test_minus_14_is_a_logout_with_its_reason_and_the_login_is_kept(
    online: ILinkRig, dead: httpx.Response
) -> None:
    await online.receive(entry())
    online.put("getupdates", dead)
    with pytest.raises(LoggedOut, match="connected somewhere else, or the login expired"):
        await online.poll()
    await online.backend.close()
    assert online.saved["bots"][0]["over"] is False


async def test_a_second_program_with_the_same_login_is_reported_and_the_polls_slow_down(
    online: ILinkRig,
) -> None:
    online.put("getupdates", *[raw(b"", 403)] * 5, answer(), raw(b"", 403))
    for pause in (5, 10, 20, 30, 30):
        with pytest.raises(Throttled, match="another program") as raised:
            await online.poll()
        assert raised.value.retry_after == pause
    await online.poll()
    with pytest.raises(Throttled) as raised:
        await online.poll()
    assert raised.value.retry_after == 5


@pytest.mark.parametrize(
    "failure",
    [
        answer(ret=-1),
        answer(errcode=-2),
        raw(b""),
        raw(b"<html>busy</html>"),
        raw(b'{"ret": 0, "msgs": ['),
        raw(b"[]"),
        raw(b"[" * 100_000),
        raw(b'{"a":' * 100_000),
        raw(b"", 500),
        raw(b"", 302, Location="https://evil.example"),
        httpx.ConnectError("x"),
        httpx.ReadError("x"),
        httpx.DecodingError("x"),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_what_is_no_answer_is_tried_again_by_who_asked(online: ILinkRig, failure: Any) -> None:
    online.put("getupdates", failure)
    with pytest.raises(Unreachable) as raised:
        await online.poll()
    assert not raised.value.poll_timed_out
    assert "SECRET" not in str(raised.value)
    online.put("getupdates", answer(msgs=[entry()], get_updates_buf="C2"))
    assert len((await online.poll()).items) == 1


async def test_a_poll_that_is_cut_says_that_it_hung(online: ILinkRig) -> None:
    online.put("getupdates", httpx.ReadTimeout("x"))
    with pytest.raises(Unreachable) as raised:
        await online.poll()
    assert raised.value.poll_timed_out


async def test_an_answer_that_is_far_too_large_is_given_up() -> None:
    rig = ILinkRig()
    step = await rig.log_in()
    rig.put("getupdates", raw(b"[" + b"1," * (17 << 20)))
    with pytest.raises(BadAnswer, match="too large"):
        await rig.poll(step.cursor)


async def test_a_hanging_server_is_left_in_time() -> None:
    rig = ILinkRig(timeouts={"getupdates": 0.02})
    step = await rig.log_in()

    async def hang(_request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    rig.put("getupdates", hang)
    with pytest.raises(Unreachable) as raised:
        await rig.poll(step.cursor)
    assert raised.value.poll_timed_out


async def test_the_people_are_who_scanned_and_who_has_written(online: ILinkRig) -> None:
    await online.receive(entry(), entry(from_user_id=OTHER, number=2))
    counts: list[int] = []
    (page,) = [page async for page in online.backend.list_contacts(counts.append)]
    assert [contact.handle for contact in page] == [ME, OTHER]
    assert counts == [2]
    assert await online.backend.list_members(Handle(ME)) == ()
    assert online.backend.avatar(Handle(ME)) is None


async def test_pictures_have_their_keys_in_the_locator_and_nowhere_else(online: ILinkRig) -> None:
    batch = await online.receive(entry(image()))
    (message,) = batch.items
    assert message.media.locator["key"]
    assert message.media.locator["key"] not in json.dumps(dict(message.detail))
    assert message.media.locator["key"] not in batch.cursor


async def test_a_server_that_has_nothing_and_answers_at_once_is_asked_less_and_less(online: ILinkRig) -> None:
    online.put("getupdates", answer(ret=0))
    began = online.clock.time
    for _ in range(20):
        await online.poll()
    assert online.clock.slept[:3] == [0.375, 0.75, 1.5]
    assert max(online.clock.slept) <= 10
    assert online.clock.time - began > 60
    await online.receive(entry())
    online.clock.slept.clear()
    await online.receive(entry(number=2, create_time_ms=WROTE + 1))
    assert online.clock.slept == []


async def test_a_server_that_is_stuck_with_the_same_messages_is_asked_less_and_less(online: ILinkRig) -> None:
    for _ in range(10):
        await online.receive(entry())
    assert online.clock.slept == [0.375, 0.75, 1.5, 3.0, 6.0]


async def test_a_poll_that_is_held_is_followed_at_once(online: ILinkRig) -> None:
    def hold(_request: httpx.Request) -> httpx.Response:
        online.clock.time += 35
        return answer(ret=0)

    online.put("getupdates", hold)
    for _ in range(10):
        await online.poll()
    assert online.clock.slept == []


async def test_thousands_that_cannot_be_read_let_others_run_and_are_one_line_of_the_log(
    online: ILinkRig,
) -> None:
    with capture_logs() as logs:
        batch, turns = await turns_during(online.receive(*[{"message_type": 1}] * 1000, entry()))
    assert len(batch.items) == 1
    assert batch.unreadable_count == 1000
    assert turns > 500
    assert [line for line in logs if line["event"] == "message cannot be read"] == [
        {"event": "message cannot be read", "log_level": "warning", "type": "1", "count": 1000}
    ]


async def test_a_message_of_many_items_lets_others_run(online: ILinkRig) -> None:
    items = [{"type": 1, "text_item": {"text": str(number)}} for number in range(MAX_ITEMS)]
    batch, turns = await turns_during(online.receive(entry(*items)))
    assert [item.text for item in batch.items] == [str(number) for number in range(MAX_ITEMS)]
    assert turns > MAX_ITEMS // 2


async def test_the_chats_of_many_senders_are_made_at_once_and_the_owners_stays(
    online: ILinkRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await online.receive(entry())
    changes: list[int] = []
    with_changed_bot = session.with_changed_bot

    def counted(bots: Iterable[Bot], bot: Bot) -> tuple[Bot, ...]:
        changes.append(len(bot.chats))
        return with_changed_bot(bots, bot)

    monkeypatch.setattr(session, "with_changed_bot", counted)
    senders = [f"stranger{number}@im.wechat" for number in range(1000)]
    batch = await online.receive(*(entry(from_user_id=sender) for sender in senders), cursor=batch.cursor)
    assert len(batch.items) == 1000
    assert len(changes) <= 3
    assert max(changes) == MAX_CHATS_PER_BOT
    for user in (ME, *senders[-MAX_CHATS_PER_BOT + 1 :]):
        assert online.window(user).open
