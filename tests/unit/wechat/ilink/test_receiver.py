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
from tests.unit.wechat.ilink.server import DEAD, BackendHarness, answer, raw
from wx2mqtt.errors import LoggedOut, Throttled, Unreachable
from wx2mqtt.model import Cursor, Event, Handle, Kind, Message, QuotedMessage, ReplyWindow
from wx2mqtt.wechat.http_client import BadAnswer
from wx2mqtt.wechat.ilink.protocol import session
from wx2mqtt.wechat.ilink.protocol.message_ids import hash_entry
from wx2mqtt.wechat.ilink.protocol.messages import MAX_ITEMS
from wx2mqtt.wechat.ilink.protocol.reply_window import WINDOW_OPEN_MS
from wx2mqtt.wechat.ilink.protocol.session import MAX_CHATS_PER_BOT, Bot, SyncCursor


def asked(harness: BackendHarness) -> list[str]:
    return [body["get_updates_buf"] for body in harness.server.bodies("getupdates")]


async def test_the_same_cursor_brings_the_same_again(harness: BackendHarness, cursor: Cursor) -> None:
    first = await harness.receive(cursor, entry())
    again = await harness.gateway.receive(cursor)
    assert [message.key for message in first.items] == [message.key for message in again.items]
    assert first.cursor == again.cursor
    await harness.gateway.receive(first.cursor)
    assert asked(harness) == ["", "", "C2"]


async def test_no_news_leaves_the_cursor_where_it_is(harness: BackendHarness, cursor: Cursor) -> None:
    for no_news in (answer(), answer(ret=0), answer(msgs=[]), answer(ret=0, get_updates_buf="")):
        harness.server.put("getupdates", no_news)
        batch = await harness.gateway.receive(cursor)
        assert (batch.cursor, batch.items, batch.unreadable_count) == (cursor, (), 0)


async def test_a_cursor_that_moves_without_news_is_followed(harness: BackendHarness, cursor: Cursor) -> None:
    batch = await harness.receive(cursor)
    assert SyncCursor.from_cursor(batch.cursor).buf == "C2"
    assert batch.items == ()


async def test_an_empty_cursor_beside_messages_keeps_the_old_one(
    harness: BackendHarness, cursor: Cursor
) -> None:
    stored_cursor = (await harness.receive(cursor)).cursor
    batch = await harness.receive(stored_cursor, entry(), buf="")
    assert SyncCursor.from_cursor(batch.cursor).buf == "C2"
    assert len(batch.items) == 1


async def test_a_sender_is_reported_once_as_a_contact(harness: BackendHarness, cursor: Cursor) -> None:
    batch = await harness.receive(cursor, entry(), entry(from_user_id=OTHER, number=5))
    assert [(contact.handle, contact.permanent_id) for contact in batch.contacts] == [
        (ME, ME),
        (OTHER, OTHER),
    ]
    assert (await harness.receive(batch.cursor, entry(number=6, create_time_ms=WROTE + 9))).contacts == ()


async def test_a_message_twice_in_one_answer_is_one(harness: BackendHarness, cursor: Cursor) -> None:
    batch = await harness.receive(
        cursor, entry(), entry(text("two"), number=6), entry(number=5, context_token="AARz9")
    )
    assert [message.text for message in batch.items] == ["heating on", "two"]


async def test_one_bad_message_never_stops_the_others(harness: BackendHarness, cursor: Cursor) -> None:
    bad: list[Any] = [5, None, {"from_user_id": ""}, {"from_user_id": []}]
    harness.server.put("getupdates", answer(msgs=[*bad, entry()], get_updates_buf="C2"))
    batch = await harness.gateway.receive(cursor)
    assert (len(batch.items), batch.unreadable_count) == (1, 4)


async def test_a_message_that_ended_the_process_twice_is_skipped_and_reported(
    harness: BackendHarness, cursor: Cursor
) -> None:
    nameless = {**entry(text("b"), number=6), "message_id": 0}
    harness.marks.fatal |= {"71", hash_entry(nameless)}
    batch = await harness.receive(cursor, entry(text("a")), {**entry(number=6), "message_id": 71}, nameless)
    assert [item.text for item in batch.items if isinstance(item, Message)] == ["a"]
    events = [item for item in batch.items if isinstance(item, Event)]
    assert [(event.name, event.fields) for event in events] == [
        ("unreadable", {"message_id": "71"}),
        ("unreadable", {}),
    ]
    assert batch.cursor != cursor


async def test_a_batch_of_skipped_messages_alone_moves_the_cursor(
    harness: BackendHarness, cursor: Cursor
) -> None:
    harness.marks.fatal.add("71")
    batch = await harness.receive(cursor, {**entry(), "message_id": 71}, buf="")
    assert [item.key for item in batch.items] == ["unreadable:71"]


async def test_a_message_of_a_group_is_nobodys_and_opens_no_window(
    harness: BackendHarness, cursor: Cursor
) -> None:
    group = {
        **entry(text("of a group")),
        "message_id": 71,
        "group_id": "r1@im.group",
        "context_token": "AARz9",
    }
    batch = await harness.receive(cursor, group, buf="C2")
    (event,) = batch.items
    assert isinstance(event, Event)
    assert (event.name, event.fields) == ("unreadable", {"message_id": "71", "reason": "group"})
    assert (event.chat, event.actor, batch.contacts) == (None, None, ())
    assert "AARz9" not in batch.cursor
    window = harness.gateway.reply_window(Handle(group["from_user_id"]))
    assert window is not None
    assert not window.open


@pytest.mark.parametrize("empty", ["", None, 0])
async def test_an_empty_group_is_none(harness: BackendHarness, cursor: Cursor, empty: object) -> None:
    batch = await harness.receive(cursor, entry(text("a"), group_id=empty))
    assert [item.text for item in batch.items if isinstance(item, Message)] == ["a"]


async def test_what_the_bot_wrote_itself_is_no_message(harness: BackendHarness, cursor: Cursor) -> None:
    batch = await harness.receive(cursor, entry(message_type=2))
    assert (batch.items, batch.unreadable_count) == ((), 0)


# the window and the token


async def test_a_message_opens_the_window(harness: BackendHarness, cursor: Cursor) -> None:
    assert harness.gateway.reply_window(harness.me) == ReplyWindow(
        open=False, remaining=0, reason="never_wrote"
    )
    await harness.receive(cursor, entry())
    assert harness.gateway.reply_window(harness.me) == ReplyWindow(
        open=True, until=WROTE + WINDOW_OPEN_MS, remaining=10
    )
    assert harness.gateway.reply_window(Handle(OTHER)) == ReplyWindow(
        open=False, remaining=0, reason="never_wrote"
    )


async def test_the_window_is_counted_by_the_server_s_clock(harness: BackendHarness, cursor: Cursor) -> None:
    harness.clock.ahead = 10 * 86400  # ours is ten days ahead
    harness.server.date = formatdate(WROTE / 1000 + 3600, usegmt=True)
    batch = await harness.receive(cursor, entry())
    window = harness.gateway.reply_window(harness.me)
    assert window is not None
    assert window.open
    assert window.until is not None
    told_wall = harness.clock.wall() * 1000
    assert abs(window.until - told_wall - (WINDOW_OPEN_MS - 3_600_000)) < 1000
    harness.clock.ahead = 0  # somebody sets it right
    window = harness.gateway.reply_window(harness.me)
    assert window is not None
    assert window.open
    harness.clock.time += 23 * 3600
    window = harness.gateway.reply_window(harness.me)
    assert window is not None
    assert window.reason == "too_long_ago"
    assert batch.items


async def test_a_crash_right_after_the_commit_loses_no_token(harness: BackendHarness, cursor: Cursor) -> None:
    batch = await harness.receive(cursor, entry())
    harness.restarted()  # and the credentials were not saved since
    step = await harness.log_in(resume=True)
    assert step.cursor == SyncCursor().to_cursor()
    harness.server.put("getupdates", answer())
    await harness.gateway.receive(batch.cursor)
    window = harness.gateway.reply_window(harness.me)
    assert window is not None
    assert window.open
    assert SyncCursor.from_cursor(batch.cursor).chats[harness.me].context_token == "AARzSECRET1"


async def test_what_is_known_is_saved_now_and_then_and_at_the_end(
    harness: BackendHarness, cursor: Cursor
) -> None:
    stored_cursor = (await harness.receive(cursor, entry())).cursor
    saves = harness.credentials.saves
    harness.server.put("getupdates", answer())
    for _ in range(5):
        await harness.gateway.receive(stored_cursor)
    assert harness.credentials.saves == saves  # a moment ago
    harness.clock.time += 3
    for _ in range(5):
        await harness.gateway.receive(stored_cursor)
    assert harness.credentials.saves == saves + 1
    assert harness.credentials.content is not None
    (bot,) = harness.credentials.content["bots"]
    assert bot["chats"][ME]["token"] == "AARzSECRET1"
    assert bot["cursor"] == stored_cursor
    await harness.receive(stored_cursor, entry(number=7, create_time_ms=WROTE + 5), buf="C3")
    await harness.gateway.close()
    assert harness.credentials.saves == saves + 2


async def test_without_a_journal_receiving_goes_on_where_the_vault_says(
    harness: BackendHarness, cursor: Cursor
) -> None:
    stored_cursor = (await harness.receive(cursor, entry())).cursor
    await harness.gateway.receive(stored_cursor)
    await harness.gateway.close()
    harness.restarted()
    assert (await harness.log_in(resume=True)).cursor == stored_cursor


# quotes


def sent(text: str, command_id: str, *, chat: str = ME) -> QuotedMessage:
    """Returns a message that the bridge has sent."""
    return QuotedMessage(kind=Kind.TEXT, text=text, chat=chat, from_self=True, command_id=command_id)


async def test_a_quote_by_id_is_looked_up_among_theirs_and_ours(
    harness: BackendHarness, cursor: Cursor
) -> None:
    harness.history["55"] = sent("door open", "alarm-7")
    harness.history["56"] = QuotedMessage(kind=Kind.IMAGE, text="[image]", chat=ME, user="me")
    batch = await harness.receive(
        cursor,
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


async def test_a_quoted_part_of_a_sent_message_is_found(harness: BackendHarness, cursor: Cursor) -> None:
    harness.history["55"] = sent("door open, window shut", "a")
    part = {"start": "window", "end": "shut", "startindex": 0, "endindex": 0}
    batch = await harness.receive(cursor, entry(text("ok", ref_msg={"svr_id": 55, "partial_text": part})))
    assert batch.items[0].detail["text"] == "window shut"


async def test_what_the_store_has_goes_before_what_the_phone_brings(
    harness: BackendHarness, cursor: Cursor
) -> None:
    harness.history["55"] = sent("stored", "a")
    whole = {"svr_id": 55, "message_item": text("brought")}
    batch = await harness.receive(cursor, entry(text("ok", ref_msg=whole)))
    assert batch.items[0].detail["text"] == "stored"
    assert batch.items[0].detail["command_id"] == "a"


async def test_of_a_message_of_another_chat_only_what_the_phone_brings_is_known(
    harness: BackendHarness, cursor: Cursor
) -> None:
    harness.history["55"] = sent("stored", "a", chat="somebody@im.wechat")
    whole = {"svr_id": 55, "message_item": text("brought")}
    batch = await harness.receive(
        cursor, entry(text("ok", ref_msg=whole)), entry(text("and?", ref_msg={"svr_id": 55}), number=2)
    )
    assert [dict(message.detail) for message in batch.items] == [
        {"id": "55", "kind": "text", "text": "brought"},
        {"id": "55"},
    ]


# how long, and what goes wrong


async def test_a_poll_is_given_as_long_as_the_server_says_and_some(
    harness: BackendHarness, cursor: Cursor
) -> None:
    limits: list[float] = []

    def note(request: httpx.Request) -> httpx.Response:
        limits.append(request.extensions["timeout"]["read"])
        return answer(longpolling_timeout_ms=20_000)

    harness.server.put("getupdates", note)
    await harness.gateway.receive(cursor)
    await harness.gateway.receive(cursor)
    harness.server.put("getupdates", answer(), note)
    await harness.gateway.receive(cursor)
    await harness.gateway.receive(cursor)
    assert limits == [43.0, 28.0, 43.0]


async def test_a_poll_is_not_cut_short_because_news_alone_tell_how_long_it_may_take(
    harness: BackendHarness, cursor: Cursor
) -> None:
    limits: list[float] = []

    def note(request: httpx.Request) -> httpx.Response:
        limits.append(request.extensions["timeout"]["read"])
        return answer()

    harness.server.put("getupdates", answer(longpolling_timeout_ms=46_000), note)
    for _ in range(3):
        await harness.gateway.receive(cursor)
    assert limits == [54.0, 54.0]


@pytest.mark.parametrize(
    "dead", [answer(**DEAD), answer(ret=-14), answer(ret=0, errcode=-14), answer(ret=-1, errcode=-14)]
)
async def test_minus_14_is_a_logout_with_its_reason_and_the_login_is_kept(
    harness: BackendHarness, cursor: Cursor, dead: httpx.Response
) -> None:
    await harness.receive(cursor, entry())
    harness.server.put("getupdates", dead)
    with pytest.raises(LoggedOut, match="connected somewhere else, or the login expired"):
        await harness.gateway.receive(cursor)
    await harness.gateway.close()
    assert harness.credentials.content is not None
    assert harness.credentials.content["bots"][0]["over"] is False


async def test_a_second_program_with_the_same_login_is_reported_and_the_polls_slow_down(
    harness: BackendHarness, cursor: Cursor
) -> None:
    harness.server.put("getupdates", *[raw(b"", 403)] * 5, answer(), raw(b"", 403))
    for pause in (5, 10, 20, 30, 30):
        with pytest.raises(Throttled, match="another program") as raised:
            await harness.gateway.receive(cursor)
        assert raised.value.retry_after == pause
    await harness.gateway.receive(cursor)
    with pytest.raises(Throttled) as raised:
        await harness.gateway.receive(cursor)
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
async def test_what_is_no_answer_is_tried_again_by_who_asked(
    harness: BackendHarness, cursor: Cursor, failure: Any
) -> None:
    harness.server.put("getupdates", failure)
    with pytest.raises(Unreachable) as raised:
        await harness.gateway.receive(cursor)
    assert not raised.value.poll_timed_out
    assert "SECRET" not in str(raised.value)
    harness.server.put("getupdates", answer(msgs=[entry()], get_updates_buf="C2"))
    assert len((await harness.gateway.receive(cursor)).items) == 1


async def test_a_poll_that_is_cut_says_that_it_hung(harness: BackendHarness, cursor: Cursor) -> None:
    harness.server.put("getupdates", httpx.ReadTimeout("x"))
    with pytest.raises(Unreachable) as raised:
        await harness.gateway.receive(cursor)
    assert raised.value.poll_timed_out


async def test_an_answer_that_is_far_too_large_is_given_up() -> None:
    harness = BackendHarness()
    step = await harness.log_in()
    harness.server.put("getupdates", raw(b"[" + b"1," * (17 << 20)))
    with pytest.raises(BadAnswer, match="too large"):
        await harness.gateway.receive(step.cursor)
    await harness.gateway.close()


async def test_a_hanging_server_is_left_in_time() -> None:
    harness = BackendHarness(timeouts={"getupdates": 0.02})
    step = await harness.log_in()

    async def hang(_request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    harness.server.put("getupdates", hang)
    with pytest.raises(Unreachable) as raised:
        await harness.gateway.receive(step.cursor)
    assert raised.value.poll_timed_out
    await harness.gateway.close()


async def test_the_people_are_who_scanned_and_who_has_written(
    harness: BackendHarness, cursor: Cursor
) -> None:
    await harness.receive(cursor, entry(), entry(from_user_id=OTHER, number=2))
    counts: list[int] = []
    (page,) = [page async for page in harness.gateway.list_contacts(counts.append)]
    assert [contact.handle for contact in page] == [ME, OTHER]
    assert counts == [2]
    assert await harness.gateway.list_members(harness.me) == ()
    assert harness.gateway.avatar(harness.me) is None


async def test_pictures_have_their_keys_in_the_locator_and_nowhere_else(
    harness: BackendHarness, cursor: Cursor
) -> None:
    batch = await harness.receive(cursor, entry(image()))
    (message,) = batch.items
    assert message.media.locator["key"]
    assert message.media.locator["key"] not in json.dumps(dict(message.detail))
    assert message.media.locator["key"] not in batch.cursor


async def test_a_server_that_has_nothing_and_answers_at_once_is_asked_less_and_less(
    harness: BackendHarness, cursor: Cursor
) -> None:
    harness.server.put("getupdates", answer(ret=0))
    began = harness.clock.time
    for _ in range(20):
        await harness.gateway.receive(cursor)
    assert harness.clock.slept[:3] == [0.375, 0.75, 1.5]
    assert max(harness.clock.slept) <= 10
    assert harness.clock.time - began > 60
    await harness.receive(cursor, entry())
    harness.clock.slept.clear()
    await harness.receive(cursor, entry(number=2, create_time_ms=WROTE + 1))
    assert harness.clock.slept == []


async def test_a_server_that_is_stuck_with_the_same_messages_is_asked_less_and_less(
    harness: BackendHarness, cursor: Cursor
) -> None:
    for _ in range(10):
        await harness.receive(cursor, entry())
    assert harness.clock.slept == [0.375, 0.75, 1.5, 3.0, 6.0]


async def test_a_poll_that_is_held_is_followed_at_once(harness: BackendHarness, cursor: Cursor) -> None:
    def hold(_request: httpx.Request) -> httpx.Response:
        harness.clock.time += 35
        return answer(ret=0)

    harness.server.put("getupdates", hold)
    for _ in range(10):
        await harness.gateway.receive(cursor)
    assert harness.clock.slept == []


async def test_thousands_that_cannot_be_read_let_others_run_and_are_one_line_of_the_log(
    harness: BackendHarness, cursor: Cursor
) -> None:
    with capture_logs() as logs:
        batch, turns = await turns_during(harness.receive(cursor, *[{"message_type": 1}] * 1000, entry()))
    assert len(batch.items) == 1
    assert batch.unreadable_count == 1000
    assert turns > 500
    assert [line for line in logs if line["event"] == "message cannot be read"] == [
        {"event": "message cannot be read", "log_level": "warning", "type": "1", "count": 1000}
    ]


async def test_a_message_of_many_items_lets_others_run(harness: BackendHarness, cursor: Cursor) -> None:
    items = [{"type": 1, "text_item": {"text": str(number)}} for number in range(MAX_ITEMS)]
    batch, turns = await turns_during(harness.receive(cursor, entry(*items)))
    assert [item.text for item in batch.items] == [str(number) for number in range(MAX_ITEMS)]
    assert turns > MAX_ITEMS // 2


async def test_the_chats_of_many_senders_are_made_at_once_and_the_owners_stays(
    harness: BackendHarness, cursor: Cursor, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await harness.receive(cursor, entry())
    changes: list[int] = []
    with_changed_bot = session.with_changed_bot

    def counted(bots: Iterable[Bot], bot: Bot) -> tuple[Bot, ...]:
        changes.append(len(bot.chats))
        return with_changed_bot(bots, bot)

    monkeypatch.setattr(session, "with_changed_bot", counted)
    senders = [f"stranger{number}@im.wechat" for number in range(1000)]
    batch = await harness.receive(batch.cursor, *(entry(from_user_id=sender) for sender in senders))
    assert len(batch.items) == 1000
    assert len(changes) <= 3
    assert max(changes) == MAX_CHATS_PER_BOT
    for user in (ME, *senders[-MAX_CHATS_PER_BOT + 1 :]):
        window = harness.gateway.reply_window(Handle(user))
        assert window is not None
        assert window.open
