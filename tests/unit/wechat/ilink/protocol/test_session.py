"""Saved logins: no error removes one, and none is used with another endpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wechat.ilink.entries import BOT, ME, NOW, OTHER, TOKEN, WROTE
from tests.unit.wechat.test_json_reader import ANYTHING
from wx2mqtt.model import Cursor, Handle
from wx2mqtt.wechat.ilink.protocol.reply_window import QUOTA_USED, ChatWindow
from wx2mqtt.wechat.ilink.protocol.session import (
    MAX_SAVED_BOTS,
    Bot,
    SyncCursor,
    bots_from_saved,
    bots_to_saved,
    with_bot,
    with_changed_bot,
)

CHAT = ChatWindow(
    context_token="AARzSECRET",
    last_wrote=WROTE,
    sent=(WROTE + 1, WROTE + 2),
    refused_reason=QUOTA_USED,
    throttle_count=1,
    throttled_until=5,
)
FIRST = Bot(id=BOT, token=TOKEN, user=Handle(ME), base="https://a", cursor="C", chats={Handle(ME): CHAT})


def bot(number: int, user: str = ME, **more: Any) -> Bot:
    return replace(
        Bot(id=f"{number}@im.bot", token=f"{number}:t", user=Handle(user), base="https://a"), **more
    )


def through_json(*bots: Bot) -> tuple[Bot, ...]:
    return bots_from_saved(json.loads(json.dumps(bots_to_saved(bots))))


def test_a_login_survives_being_saved() -> None:
    second = bot(2, endpoint="http://127.0.0.1:1", logged_out=True)
    assert through_json(FIRST, second) == (FIRST, second)


def test_what_cannot_be_read_is_none() -> None:
    assert bots_from_saved({}) == ()
    assert bots_from_saved({"version": 99, "bots": [{"id": "a"}]}) == ()
    saved = bots_to_saved([FIRST])
    assert bots_from_saved({**saved, "bots": [5, {}, *saved["bots"]]}) == (FIRST,)  # type: ignore[misc]


@given(st.dictionaries(st.sampled_from(["version", "bots"]), ANYTHING))
def test_no_file_makes_it_fail(saved: dict[str, Any]) -> None:
    bots_from_saved({"version": 1, **saved})


@given(
    st.dictionaries(st.sampled_from(["id", "token", "user", "base", "chats", "over", "endpoint"]), ANYTHING)
)
def test_no_login_in_a_file_makes_it_fail(entry: dict[str, Any]) -> None:
    for result in bots_from_saved(
        {"version": 1, "bots": [{"id": "a", "token": "b", "user": "c", "base": "d", **entry}]}
    ):
        for chat in result.chats.values():
            chat.reply_window(NOW)


def test_the_newest_login_is_first_and_the_person_s_earlier_one_is_removed() -> None:
    other = bot(3, OTHER)
    assert [saved.id for saved in with_bot([FIRST, other], bot(2))] == ["2@im.bot", "3@im.bot"]


def test_a_new_bot_remembers_that_they_wrote_to_an_earlier_one_and_nothing_else() -> None:
    result = with_bot([FIRST], bot(2))[0]
    assert result.chats == {ME: ChatWindow(wrote_to_earlier_bot=True)}
    assert result.cursor == ""


def test_the_same_bot_keeps_what_is_known_of_it() -> None:
    again = replace(bot(1), id=BOT, token="another")
    result = with_bot([FIRST, bot(3, OTHER)], again)
    assert (result[0].token, result[0].chats, result[0].cursor) == ("another", FIRST.chats, "C")
    assert [saved.id for saved in result] == [BOT, "3@im.bot"]


def test_a_login_through_another_endpoint_stays() -> None:
    own = bot(2, endpoint="http://127.0.0.1:1")
    assert with_bot([FIRST], own) == (own, FIRST)


def test_at_most_ten_are_kept() -> None:
    bots: tuple[Bot, ...] = ()
    for number in range(15):
        bots = with_bot(bots, bot(number, f"{number}@im.wechat"))
    assert [saved.id for saved in bots] == [
        f"{number}@im.bot" for number in range(14, 14 - MAX_SAVED_BOTS, -1)
    ]


def test_a_changed_login_stays_where_it_is() -> None:
    other = bot(3, OTHER)
    assert with_changed_bot([other, FIRST], replace(FIRST, logged_out=True)) == (
        other,
        replace(FIRST, logged_out=True),
    )


def test_the_id_of_a_login_reveals_nothing() -> None:
    assert len(FIRST.login_id) == 16
    assert FIRST.login_id != bot(2).login_id
    assert BOT not in FIRST.login_id
    assert (FIRST.owner.handle, FIRST.owner.nickname, FIRST.owner.uin) == (ME, "", "")


def test_nothing_secret_is_shown() -> None:
    assert "SECRET" not in repr(FIRST)
    assert "SECRET" not in repr(SyncCursor(buf="SECRET", chats={Handle(ME): CHAT}))


def test_a_position_survives_being_a_cursor() -> None:
    position = SyncCursor(
        buf="Q1VSU09SMg==", chats={Handle(ME): ChatWindow(context_token="AARzSECRET", last_wrote=WROTE)}
    )
    assert SyncCursor.from_cursor(position.to_cursor()) == position


@given(st.text())
def test_a_cursor_of_others_is_the_beginning(cursor: str) -> None:
    assert SyncCursor.from_cursor(Cursor(cursor)).buf == ""


@given(st.dictionaries(st.sampled_from(["buf", "chats"]), ANYTHING))
def test_no_cursor_makes_it_fail(result: dict[str, Any]) -> None:
    SyncCursor.from_cursor(Cursor(json.dumps(result)))
    assert SyncCursor.from_cursor(Cursor("[" * 100_000)) == SyncCursor()
