"""Bots, their people and their reply windows (ilink 9, 10)."""

from __future__ import annotations

import pytest

from tests.support.rows import every_row
from wx2mqtt.simulator.ilink.file_from_person import BadDetail
from wx2mqtt.simulator.ilink.message_injection import CannotSend, MessageOrder, inject, inject_raw
from wx2mqtt.simulator.ilink.message_kinds import partial_text
from wx2mqtt.simulator.ilink.simulated_ilink import user_id_of
from wx2mqtt.simulator.wechat import WeChat
from wx2mqtt.simulator.world import UnknownPerson


@pytest.fixture
def ilink():
    return WeChat(seed=1).ilink


def bind(ilink, person="me"):
    code = ilink.codes.create((), lifetime=60, address="http://x")
    ilink.scan(code, person)
    ilink.confirm(code)
    return ilink.active_bot_of(person)


def test_a_person_is_the_same_for_ever_and_a_bot_is_new_each_time(ilink):
    first = bind(ilink)
    second = bind(ilink)
    assert first.user_id == second.user_id == user_id_of("me")
    assert first.bot_id != second.bot_id
    assert (first.alive, second.alive) == (False, True)
    assert ilink.active_bot_of("wife") is None


def test_only_a_person_can_scan(ilink):
    code = ilink.codes.create((), lifetime=60, address="")
    for name in ("nobody", "family"):
        with pytest.raises(UnknownPerson):
            ilink.scan(code, name)


def test_the_window_opens_with_their_message_and_ends_with_the_last_second(ilink):
    bot = bind(ilink)
    assert not bot.is_window_open(ilink.clock.now(), 24)
    inject(ilink, MessageOrder(person="me", text="hi"))
    wrote = bot.last_message_at
    assert bot.is_window_open(wrote, 24)
    assert bot.is_window_open(wrote + 24 * 3600, 24)
    assert not bot.is_window_open(wrote + 24 * 3600 + 1, 24)


def test_a_new_binding_begins_without_a_window(ilink):
    bind(ilink)
    inject(ilink, MessageOrder(person="me", text="hi"))
    assert bind(ilink).last_message_at is None


def test_what_they_write_gives_the_whole_quota_back(ilink):
    bot = bind(ilink)
    bot.replies = 10
    inject_raw(ilink, "me", [{}])
    assert bot.replies == 0


def test_nobody_writes_to_a_bot_that_is_not_there(ilink):
    with pytest.raises(CannotSend):
        inject(ilink, MessageOrder(person="wife", text="hi"))


def test_the_clock_can_be_ahead(ilink):
    before = ilink.clock.now_ms()
    ilink.clock.offset_seconds = 3600
    assert ilink.clock.now_ms() - before >= 3_600_000


def test_a_cursor_names_a_position_of_its_own_bot_only(ilink):
    bot, other = bind(ilink, "me"), bind(ilink, "wife")
    cursor = bot.new_cursor(3)
    assert (bot.position(cursor), other.position(cursor), bot.position("")) == (3, None, 0)


def test_every_cursor_and_every_context_token_is_new(ilink):
    bot = bind(ilink)
    assert bot.new_cursor(1) != bot.new_cursor(1)
    assert bot.new_context_token() != bot.new_context_token()


def test_a_message_is_found_by_its_id_or_as_the_newest(ilink):
    bot = bind(ilink)
    first, second = inject(ilink, MessageOrder(person="me", text="{n}", count=2))
    assert b'"text": "1"' in bot.find(first)
    assert bot.find(second) == bot.find("")
    assert bot.find("5") is None


@every_row(
    ("part", "occurrence", "relative", "result"),
    [
        ("offen", 0, False, ("of", "en", 0, 1)),
        ("offen", 1, False, ("of", "en", 1, 2)),
        ("offen", 1, True, ("of", "en", 1, 0)),
        ("☀", 0, False, ("☀", "☀", 0, 0)),
    ],
)
def test_a_part_is_told_by_its_ends_and_their_number(part, occurrence, relative, result):
    found = partial_text("Fenster offen, Tür offen ☀", part, occurrence, relative=relative)
    assert (found["start"], found["end"], found["startindex"], found["endindex"]) == result


@pytest.mark.parametrize(("part", "occurrence"), [("", 0), ("zu", 0), ("offen", 2)])
def test_what_is_no_part_cannot_be_quoted(part, occurrence):
    with pytest.raises(BadDetail):
        partial_text("Fenster offen, Tür offen", part, occurrence, relative=False)


def test_a_reset_kills_every_bot_and_keeps_the_ids_of_people():
    wechat = WeChat(seed=1)
    bot = bind(wechat.ilink)
    wechat.reset()
    assert not bot.alive
    assert bind(wechat.ilink).user_id == bot.user_id
