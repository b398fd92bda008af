"""Echoes of own sends are recognized; what the owner wrote is published."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from wx2mqtt.bridge.wechat_calls import (
    CLOCK_TOLERANCE_MS,
    MEDIA_CLOCK_TOLERANCE_MS,
    SENT_CACHE_SIZE,
    EchoFilter,
)
from wx2mqtt.model import ChatKind, Handle, Kind, MediaRef, Message

CHAT, OTHER = Handle("filehelper"), Handle("@mom")
TEXT = Kind.TEXT
NOW = 1_795_600_000_000


def own(message_id, text="开灯", *, chat=CHAT, time=NOW, kind=TEXT, size=None):
    return Message(
        key=message_id,
        id=message_id,
        chat=chat,
        chat_kind=ChatKind.SELF,
        sender=Handle("@me"),
        from_self=True,
        kind=kind,
        text=text,
        time=time,
        media=None if kind is TEXT else MediaRef(locator={}, size=size),
    )


@pytest.fixture
def echoes():
    echoes = EchoFilter()
    echoes.recovered.set()
    return echoes


def send(echoes, message_id, chat=CHAT):
    with echoes.open_attempt(chat, TEXT):
        echoes.add_sent_id(message_id)


def test_an_echo_is_known_by_its_id_however_often_it_comes(echoes):
    send(echoes, "m1")
    assert echoes.is_echo(own("m1"))
    assert echoes.is_echo(own("m1", "WeChat changed the text"))


def test_the_owners_equal_text_has_another_id_and_is_no_echo(echoes):
    send(echoes, "m1")
    assert not echoes.is_echo(own("m2"))


async def test_an_echo_that_comes_before_the_answer_waits_for_it(echoes):
    with echoes.open_attempt(CHAT, TEXT):
        waiting = asyncio.create_task(echoes.wait_for_open_attempts(own("m1", "WeChat changed the text")))
        await asyncio.sleep(0)
        assert not waiting.done()
        echoes.add_sent_id("m1")
    await asyncio.wait_for(waiting, MAX_WAIT_SECONDS)
    assert echoes.is_echo(own("m1", "WeChat changed the text"))


async def test_own_messages_in_other_chats_do_not_wait(echoes):
    with echoes.open_attempt(CHAT, TEXT):
        await asyncio.wait_for(echoes.wait_for_open_attempts(own("m2", chat=OTHER)), MAX_WAIT_SECONDS)


async def test_all_open_attempts_of_a_chat_are_awaited(echoes):
    with echoes.open_attempt(CHAT, TEXT):
        with echoes.open_attempt(CHAT, TEXT):
            waiting = asyncio.create_task(echoes.wait_for_open_attempts(own("m2")))
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
    await asyncio.wait_for(waiting, MAX_WAIT_SECONDS)


async def test_an_attempt_that_never_ends_holds_reception_up_for_a_while_only(echoes, monkeypatch):
    monkeypatch.setattr("wx2mqtt.bridge.wechat_calls.ECHO_WAIT_SECONDS", 0.01)
    with echoes.open_attempt(CHAT, TEXT):
        await asyncio.wait_for(echoes.wait_for_open_attempts(own("m1")), MAX_WAIT_SECONDS)


@pytest.mark.parametrize("changed", ["开灯", "开灯\n", " 开灯"])
def test_the_echo_of_an_unanswered_attempt_is_known_by_its_text_once(echoes, changed):
    echoes.add_unanswered(CHAT, TEXT, "开灯", NOW, NOW)
    assert echoes.is_echo(own("m1", changed))
    assert not echoes.is_echo(own("m2"))


def test_line_ends_that_wechat_changes_make_no_difference(echoes):
    echoes.add_unanswered(CHAT, TEXT, "a\r\nb", NOW, NOW)
    assert echoes.is_echo(own("m1", "a\nb"))


def test_an_equal_text_elsewhere_is_no_echo_of_it(echoes):
    echoes.add_unanswered(CHAT, TEXT, "开灯", NOW, NOW)
    assert not echoes.is_echo(own("m1", chat=OTHER))
    assert not echoes.is_echo(own("m1", "关灯"))


def test_what_the_owner_writes_long_before_or_after_the_attempt_is_no_echo_of_it(echoes):
    echoes.add_unanswered(CHAT, TEXT, "开灯", NOW, NOW + 5)
    assert not echoes.is_echo(own("m1", time=NOW + 5 + CLOCK_TOLERANCE_MS))
    assert not echoes.is_echo(own("m1", time=NOW - CLOCK_TOLERANCE_MS - 1))
    assert echoes.is_echo(own("m2", time=NOW - CLOCK_TOLERANCE_MS))


def test_an_echo_that_was_known_by_its_text_is_known_when_it_is_handed_over_again(echoes):
    echoes.add_unanswered(CHAT, TEXT, "开灯", NOW, NOW)
    assert echoes.is_echo(own("m1"))
    assert echoes.is_echo(own("m1"))
    assert not echoes.is_echo(own("m2"))


async def test_nothing_is_decided_before_the_attempts_of_the_previous_process_are_known():
    echoes = EchoFilter()
    waiting = asyncio.create_task(echoes.wait_for_open_attempts(own("m1")))
    await asyncio.sleep(0)
    assert not waiting.done()
    echoes.recovered.set()
    await asyncio.wait_for(waiting, MAX_WAIT_SECONDS)


def test_two_unanswered_attempts_have_two_echoes(echoes):
    echoes.add_unanswered(CHAT, TEXT, "开灯", NOW, NOW)
    echoes.add_unanswered(CHAT, TEXT, "开灯", NOW, NOW)
    assert [echoes.is_echo(own(f"m{number}")) for number in range(3)] == [True, True, False]


def test_what_is_remembered_has_a_limit(echoes):
    for number in range(SENT_CACHE_SIZE + 1):
        send(echoes, f"m{number}")
    assert not echoes.is_echo(own("m0"))
    assert echoes.is_echo(own(f"m{SENT_CACHE_SIZE}"))


# pictures, videos and files


def test_the_echo_of_a_picture_is_known_by_its_kind_since_wechat_gives_it_another_text(echoes):
    echoes.add_unanswered(CHAT, Kind.IMAGE, "", NOW, NOW)
    assert not echoes.is_echo(own("m1", "[Photo]", kind=Kind.VIDEO))
    assert not echoes.is_echo(own("m2", "", kind=TEXT))
    assert not echoes.is_echo(own("m3", "[Photo]", kind=Kind.IMAGE, chat=OTHER))
    assert not echoes.is_echo(own("m4", "[Photo]", kind=Kind.IMAGE, time=NOW + MEDIA_CLOCK_TOLERANCE_MS + 1))
    assert echoes.is_echo(own("m5", "[图片]", kind=Kind.IMAGE))
    assert not echoes.is_echo(own("m6", "[图片]", kind=Kind.IMAGE))


@pytest.mark.parametrize("kind", [Kind.IMAGE, Kind.VIDEO])
@pytest.mark.parametrize("away", [-60_001, 60_001])
def test_a_picture_from_the_phone_a_minute_away_from_an_unanswered_one_is_no_echo_of_it(echoes, kind, away):
    echoes.add_unanswered(CHAT, kind, "", NOW, NOW, size=4711)
    assert not echoes.is_echo(own("phone", kind=kind, time=NOW + away))
    assert echoes.is_echo(own("ours", kind=kind, time=NOW + away // 3))


def test_a_file_from_the_phone_has_another_size_than_an_unanswered_one(echoes):
    echoes.add_unanswered(CHAT, Kind.FILE, "", NOW, NOW, size=4711)
    assert not echoes.is_echo(own("phone", "[File] b.pdf", kind=Kind.FILE, size=4712))
    assert echoes.is_echo(own("ours", "[File] a.pdf", kind=Kind.FILE, size=4711, time=NOW + 120_000))


def test_what_was_sent_without_an_answer_days_ago_takes_no_memory(echoes):
    for day in range(100):
        echoes.add_unanswered(CHAT, TEXT, "开灯", NOW + day * 86_400_000, NOW + day * 86_400_000)
    assert sum(map(len, echoes._unanswered.values())) <= 2
    assert echoes.is_echo(own("m1", time=NOW + 99 * 86_400_000))


def test_a_file_whose_size_wechat_leaves_out_may_be_the_echo(echoes):
    echoes.add_unanswered(CHAT, Kind.FILE, "", NOW, NOW, size=4711)
    assert echoes.is_echo(own("ours", kind=Kind.FILE))


async def test_a_text_from_the_phone_does_not_wait_for_the_upload_of_a_picture(echoes):
    with echoes.open_attempt(CHAT, Kind.IMAGE):
        await asyncio.wait_for(echoes.wait_for_open_attempts(own("m1")), MAX_WAIT_SECONDS)


async def test_a_picture_from_the_phone_waits_for_the_attempt_at_one_of_the_bridge(echoes):
    with echoes.open_attempt(CHAT, Kind.IMAGE):
        waiting = asyncio.create_task(echoes.wait_for_open_attempts(own("m1", kind=Kind.IMAGE)))
        await asyncio.sleep(0)
        assert not waiting.done()
        echoes.add_sent_id("m1")
    await asyncio.wait_for(waiting, MAX_WAIT_SECONDS)
    assert echoes.is_echo(own("m1", kind=Kind.IMAGE))
