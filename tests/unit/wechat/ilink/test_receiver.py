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
from tests.unit.wechat.ilink.server import DEAD, World, answer, raw
from wx2mqtt.errors import LoggedOut, Throttled, Unreachable
from wx2mqtt.model import Cursor, Event, Handle, Kind, Message, QuotedMessage, ReplyWindow
from wx2mqtt.wechat.http_client import BadAnswer
from wx2mqtt.wechat.ilink.protocol import session
from wx2mqtt.wechat.ilink.protocol.identity import hash_entry
from wx2mqtt.wechat.ilink.protocol.messages import MAX_ITEMS
from wx2mqtt.wechat.ilink.protocol.reply_window import WINDOW_OPEN_MS
from wx2mqtt.wechat.ilink.protocol.responses import SyncCursor
from wx2mqtt.wechat.ilink.protocol.session import MAX_CHATS_PER_BOT, Bot


def asked(world: World) -> list[str]:
    return [body["get_updates_buf"] for body in world.server.bodies("getupdates")]


async def test_the_same_cursor_brings_the_same_again(world: World, cursor: Cursor) -> None:
    first = await world.receive(cursor, entry())
    again = await world.gateway.receive(cursor)
    assert [message.key for message in first.items] == [message.key for message in again.items]
    assert first.cursor == again.cursor
    await world.gateway.receive(first.cursor)
    assert asked(world) == ["", "", "C2"]


async def test_no_news_leaves_the_cursor_where_it_is(world: World, cursor: Cursor) -> None:
    for nothing in (answer(), answer(ret=0), answer(msgs=[]), answer(ret=0, get_updates_buf="")):
        world.server.put("getupdates", nothing)
        batch = await world.gateway.receive(cursor)
        assert (batch.cursor, batch.items, batch.unreadable_count) == (cursor, (), 0)


async def test_a_cursor_that_moves_without_news_is_followed(world: World, cursor: Cursor) -> None:
    batch = await world.receive(cursor)
    assert SyncCursor.from_cursor(batch.cursor).buf == "C2"
    assert batch.items == ()


async def test_an_empty_cursor_beside_messages_keeps_the_old_one(world: World, cursor: Cursor) -> None:
    there = (await world.receive(cursor)).cursor
    batch = await world.receive(there, entry(), buf="")
    assert SyncCursor.from_cursor(batch.cursor).buf == "C2"
    assert len(batch.items) == 1


async def test_a_sender_is_reported_once_as_a_contact(world: World, cursor: Cursor) -> None:
    batch = await world.receive(cursor, entry(), entry(from_user_id=OTHER, number=5))
    assert [(contact.handle, contact.permanent_id) for contact in batch.contacts] == [
        (ME, ME),
        (OTHER, OTHER),
    ]
    assert (await world.receive(batch.cursor, entry(number=6, create_time_ms=WROTE + 9))).contacts == ()


async def test_a_message_twice_in_one_answer_is_one(world: World, cursor: Cursor) -> None:
    batch = await world.receive(
        cursor, entry(), entry(text("two"), number=6), entry(number=5, context_token="AARz9")
    )
    assert [message.text for message in batch.items] == ["heating on", "two"]


async def test_one_bad_message_never_stops_the_others(world: World, cursor: Cursor) -> None:
    bad: list[Any] = [5, None, {"from_user_id": ""}, {"from_user_id": []}]
    world.server.put("getupdates", answer(msgs=[*bad, entry()], get_updates_buf="C2"))
    batch = await world.gateway.receive(cursor)
    assert (len(batch.items), batch.unreadable_count) == (1, 4)


async def test_a_message_that_ended_the_process_twice_is_skipped_and_reported(
    world: World, cursor: Cursor
) -> None:
    nameless = {**entry(text("b"), number=6), "message_id": 0}
    world.marks.fatal |= {"71", hash_entry(nameless)}
    batch = await world.receive(cursor, entry(text("a")), {**entry(number=6), "message_id": 71}, nameless)
    assert [item.text for item in batch.items if isinstance(item, Message)] == ["a"]
    events = [item for item in batch.items if isinstance(item, Event)]
    assert [(event.name, event.fields) for event in events] == [
        ("unreadable", {"message_id": "71"}),
        ("unreadable", {}),
    ]
    assert batch.cursor != cursor


async def test_a_batch_of_skipped_messages_alone_moves_the_cursor(world: World, cursor: Cursor) -> None:
    world.marks.fatal.add("71")
    batch = await world.receive(cursor, {**entry(), "message_id": 71}, buf="")
    assert [item.key for item in batch.items] == ["unreadable:71"]


async def test_what_the_bot_wrote_itself_is_no_message(world: World, cursor: Cursor) -> None:
    batch = await world.receive(cursor, entry(message_type=2))
    assert (batch.items, batch.unreadable_count) == ((), 0)


# the window and the token


async def test_a_message_opens_the_window(world: World, cursor: Cursor) -> None:
    assert world.gateway.reply_window(world.me) == ReplyWindow(open=False, remaining=0, reason="never_wrote")
    await world.receive(cursor, entry())
    assert world.gateway.reply_window(world.me) == ReplyWindow(
        open=True, until=WROTE + WINDOW_OPEN_MS, remaining=10
    )
    assert world.gateway.reply_window(Handle(OTHER)) == ReplyWindow(
        open=False, remaining=0, reason="never_wrote"
    )


async def test_the_window_is_counted_by_the_server_s_clock(world: World, cursor: Cursor) -> None:
    world.clock.ahead = 10 * 86400  # ours is ten days ahead
    world.server.date = formatdate(WROTE / 1000 + 3600, usegmt=True)
    batch = await world.receive(cursor, entry())
    window = world.gateway.reply_window(world.me)
    assert window is not None
    assert window.open
    assert window.until is not None
    told_wall = world.clock.wall() * 1000
    assert abs(window.until - told_wall - (WINDOW_OPEN_MS - 3_600_000)) < 1000
    world.clock.ahead = 0  # somebody sets it right
    window = world.gateway.reply_window(world.me)
    assert window is not None
    assert window.open
    world.clock.time += 23 * 3600
    window = world.gateway.reply_window(world.me)
    assert window is not None
    assert window.reason == "too_long_ago"
    assert batch.items


async def test_a_crash_right_after_the_commit_loses_no_token(world: World, cursor: Cursor) -> None:
    batch = await world.receive(cursor, entry())
    world.restarted()  # and the credentials were not saved since
    step = await world.log_in(resume=True)
    assert step.cursor == SyncCursor().to_cursor()
    world.server.put("getupdates", answer())
    await world.gateway.receive(batch.cursor)
    window = world.gateway.reply_window(world.me)
    assert window is not None
    assert window.open
    assert SyncCursor.from_cursor(batch.cursor).chats[world.me].token == "AARzSECRET1"


async def test_what_is_known_is_saved_now_and_then_and_at_the_end(world: World, cursor: Cursor) -> None:
    there = (await world.receive(cursor, entry())).cursor
    saves = world.credentials.saves
    world.server.put("getupdates", answer())
    for _ in range(5):
        await world.gateway.receive(there)
    assert world.credentials.saves == saves  # a moment ago
    world.clock.time += 3
    for _ in range(5):
        await world.gateway.receive(there)
    assert world.credentials.saves == saves + 1
    assert world.credentials.content is not None
    (bot,) = world.credentials.content["bots"]
    assert bot["chats"][ME]["token"] == "AARzSECRET1"
    assert bot["cursor"] == there
    await world.receive(there, entry(number=7, create_time_ms=WROTE + 5), buf="C3")
    await world.gateway.close()
    assert world.credentials.saves == saves + 2


async def test_without_a_journal_receiving_goes_on_where_the_vault_says(world: World, cursor: Cursor) -> None:
    there = (await world.receive(cursor, entry())).cursor
    await world.gateway.receive(there)
    await world.gateway.close()
    world.restarted()
    assert (await world.log_in(resume=True)).cursor == there


# quotes


def sent(said: str, command_id: str, *, chat: str = ME) -> QuotedMessage:
    """A message that the bridge has sent."""
    return QuotedMessage(kind=Kind.TEXT, text=said, chat=chat, from_self=True, command_id=command_id)


async def test_a_quote_by_id_is_looked_up_among_theirs_and_ours(world: World, cursor: Cursor) -> None:
    world.history["55"] = sent("door open", "alarm-7")
    world.history["56"] = QuotedMessage(kind=Kind.IMAGE, text="[image]", chat=ME, user="me")
    batch = await world.receive(
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
    assert {one.kind for one in batch.items} == {Kind.QUOTE}


async def test_a_quoted_part_of_a_sent_message_is_found(world: World, cursor: Cursor) -> None:
    world.history["55"] = sent("door open, window shut", "a")
    part = {"start": "window", "end": "shut", "startindex": 0, "endindex": 0}
    batch = await world.receive(cursor, entry(text("ok", ref_msg={"svr_id": 55, "partial_text": part})))
    assert batch.items[0].detail["text"] == "window shut"


async def test_what_the_store_has_goes_before_what_the_phone_brings(world: World, cursor: Cursor) -> None:
    world.history["55"] = sent("stored", "a")
    whole = {"svr_id": 55, "message_item": text("brought")}
    batch = await world.receive(cursor, entry(text("ok", ref_msg=whole)))
    assert batch.items[0].detail["text"] == "stored"
    assert batch.items[0].detail["command_id"] == "a"


async def test_of_a_message_of_another_chat_only_what_the_phone_brings_is_known(
    world: World, cursor: Cursor
) -> None:
    world.history["55"] = sent("stored", "a", chat="somebody@im.wechat")
    whole = {"svr_id": 55, "message_item": text("brought")}
    batch = await world.receive(
        cursor, entry(text("ok", ref_msg=whole)), entry(text("and?", ref_msg={"svr_id": 55}), number=2)
    )
    assert [dict(message.detail) for message in batch.items] == [
        {"id": "55", "kind": "text", "text": "brought"},
        {"id": "55"},
    ]


# how long, and what goes wrong


async def test_a_poll_is_given_as_long_as_the_server_says_and_some(world: World, cursor: Cursor) -> None:
    limits: list[float] = []

    def note(request: httpx.Request) -> httpx.Response:
        limits.append(request.extensions["timeout"]["read"])
        return answer(longpolling_timeout_ms=20_000)

    world.server.put("getupdates", note)
    await world.gateway.receive(cursor)
    await world.gateway.receive(cursor)
    world.server.put("getupdates", answer(), note)
    await world.gateway.receive(cursor)
    await world.gateway.receive(cursor)
    assert limits == [43.0, 28.0, 43.0]


async def test_a_poll_is_not_cut_short_because_news_alone_tell_how_long_it_may_take(
    world: World, cursor: Cursor
) -> None:
    limits: list[float] = []

    def note(request: httpx.Request) -> httpx.Response:
        limits.append(request.extensions["timeout"]["read"])
        return answer()

    world.server.put("getupdates", answer(longpolling_timeout_ms=46_000), note)
    for _ in range(3):
        await world.gateway.receive(cursor)
    assert limits == [54.0, 54.0]


@pytest.mark.parametrize(
    "dead", [answer(**DEAD), answer(ret=-14), answer(ret=0, errcode=-14), answer(ret=-1, errcode=-14)]
)
async def test_minus_14_is_a_logout_with_its_reason_and_the_login_is_kept(
    world: World, cursor: Cursor, dead: httpx.Response
) -> None:
    await world.receive(cursor, entry())
    world.server.put("getupdates", dead)
    with pytest.raises(LoggedOut, match="connected somewhere else, or the login expired"):
        await world.gateway.receive(cursor)
    await world.gateway.close()
    assert world.credentials.content is not None
    assert world.credentials.content["bots"][0]["over"] is False


async def test_a_second_program_with_the_same_login_is_reported_and_the_polls_slow_down(
    world: World, cursor: Cursor
) -> None:
    world.server.put("getupdates", *[raw(b"", 403)] * 5, answer(), raw(b"", 403))
    for pause in (5, 10, 20, 30, 30):
        with pytest.raises(Throttled, match="another program") as raised:
            await world.gateway.receive(cursor)
        assert raised.value.retry_after == pause
    await world.gateway.receive(cursor)
    with pytest.raises(Throttled) as raised:
        await world.gateway.receive(cursor)
    assert raised.value.retry_after == 5


@pytest.mark.parametrize(
    "trouble",
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
    ids=lambda trouble: type(trouble).__name__,
)
async def test_what_is_no_answer_is_tried_again_by_who_asked(
    world: World, cursor: Cursor, trouble: Any
) -> None:
    world.server.put("getupdates", trouble)
    with pytest.raises(Unreachable) as raised:
        await world.gateway.receive(cursor)
    assert not raised.value.poll_timed_out
    assert "SECRET" not in str(raised.value)
    world.server.put("getupdates", answer(msgs=[entry()], get_updates_buf="C2"))
    assert len((await world.gateway.receive(cursor)).items) == 1


async def test_a_poll_that_is_cut_says_that_it_hung(world: World, cursor: Cursor) -> None:
    world.server.put("getupdates", httpx.ReadTimeout("x"))
    with pytest.raises(Unreachable) as raised:
        await world.gateway.receive(cursor)
    assert raised.value.poll_timed_out


async def test_an_answer_that_is_far_too_large_is_given_up() -> None:
    world = World()
    step = await world.log_in()
    world.server.put("getupdates", raw(b"[" + b"1," * (17 << 20)))
    with pytest.raises(BadAnswer, match="too large"):
        await world.gateway.receive(step.cursor)
    await world.gateway.close()


async def test_a_hanging_server_is_left_in_time() -> None:
    world = World(timeouts={"getupdates": 0.02})
    step = await world.log_in()

    async def hang(_request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    world.server.put("getupdates", hang)
    with pytest.raises(Unreachable) as raised:
        await world.gateway.receive(step.cursor)
    assert raised.value.poll_timed_out
    await world.gateway.close()


async def test_the_people_are_who_scanned_and_who_has_written(world: World, cursor: Cursor) -> None:
    await world.receive(cursor, entry(), entry(from_user_id=OTHER, number=2))
    counts: list[int] = []
    (page,) = [page async for page in world.gateway.list_contacts(counts.append)]
    assert [one.handle for one in page] == [ME, OTHER]
    assert counts == [2]
    assert await world.gateway.list_members(world.me) == ()
    assert world.gateway.avatar(world.me) is None


async def test_pictures_have_their_keys_in_the_locator_and_nowhere_else(world: World, cursor: Cursor) -> None:
    batch = await world.receive(cursor, entry(image()))
    (message,) = batch.items
    assert message.media.locator["key"]
    assert message.media.locator["key"] not in json.dumps(dict(message.detail))
    assert message.media.locator["key"] not in batch.cursor


async def test_a_server_that_has_nothing_and_answers_at_once_is_asked_less_and_less(
    world: World, cursor: Cursor
) -> None:
    world.server.put("getupdates", answer(ret=0))
    began = world.clock.time
    for _ in range(20):
        await world.gateway.receive(cursor)
    assert world.clock.slept[:3] == [0.375, 0.75, 1.5]
    assert max(world.clock.slept) <= 10
    assert world.clock.time - began > 60
    await world.receive(cursor, entry())
    world.clock.slept.clear()
    await world.receive(cursor, entry(number=2, create_time_ms=WROTE + 1))
    assert world.clock.slept == []


async def test_a_server_that_is_stuck_with_the_same_messages_is_asked_less_and_less(
    world: World, cursor: Cursor
) -> None:
    for _ in range(10):
        await world.receive(cursor, entry())
    assert world.clock.slept == [0.375, 0.75, 1.5, 3.0, 6.0]


async def test_a_poll_that_is_held_is_followed_at_once(world: World, cursor: Cursor) -> None:
    def hold(_request: httpx.Request) -> httpx.Response:
        world.clock.time += 35
        return answer(ret=0)

    world.server.put("getupdates", hold)
    for _ in range(10):
        await world.gateway.receive(cursor)
    assert world.clock.slept == []


async def test_thousands_that_cannot_be_read_let_others_run_and_are_one_line_of_the_log(
    world: World, cursor: Cursor
) -> None:
    with capture_logs() as logs:
        batch, turns = await turns_during(world.receive(cursor, *[{"message_type": 1}] * 1000, entry()))
    assert len(batch.items) == 1
    assert batch.unreadable_count == 1000
    assert turns > 500
    assert [line for line in logs if line["event"] == "message cannot be read"] == [
        {"event": "message cannot be read", "log_level": "warning", "type": "1", "count": 1000}
    ]


async def test_a_message_of_many_items_lets_others_run(world: World, cursor: Cursor) -> None:
    items = [{"type": 1, "text_item": {"text": str(number)}} for number in range(MAX_ITEMS)]
    batch, turns = await turns_during(world.receive(cursor, entry(*items)))
    assert [item.text for item in batch.items] == [str(number) for number in range(MAX_ITEMS)]
    assert turns > MAX_ITEMS // 2


async def test_the_chats_of_many_senders_are_made_at_once_and_the_owners_stays(
    world: World, cursor: Cursor, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await world.receive(cursor, entry())
    changes: list[int] = []
    with_changed_bot = session.with_changed_bot

    def counted(bots: Iterable[Bot], bot: Bot) -> tuple[Bot, ...]:
        changes.append(len(bot.chats))
        return with_changed_bot(bots, bot)

    monkeypatch.setattr(session, "with_changed_bot", counted)
    senders = [f"stranger{number}@im.wechat" for number in range(1000)]
    batch = await world.receive(batch.cursor, *(entry(from_user_id=sender) for sender in senders))
    assert len(batch.items) == 1000
    assert len(changes) <= 3
    assert max(changes) == MAX_CHATS_PER_BOT
    for user in (ME, *senders[-MAX_CHATS_PER_BOT + 1 :]):
        window = world.gateway.reply_window(Handle(user))
        assert window is not None
        assert window.open
