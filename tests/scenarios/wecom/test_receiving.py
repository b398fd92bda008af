"""What comes in from WeCom at a gateway: messages, presses, files, receipts, gaps."""

from __future__ import annotations

import asyncio
import os
import time
from itertools import count

import pytest

from tests.fuzz.targets.wecom import KEY_TEXT, encrypted
from tests.scenarios.wecom.logins import (
    GROUP,
    SECTION,
    SINGLE,
    START,
    FakeCredentialStore,
    backend_at,
    logged_in,
    receive,
    text_of,
    texts,
)
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.wecom_gateway import answer_nothing, answer_ok, refusing
from wx2mqtt.clock import Clock
from wx2mqtt.errors import BackendError, NoContentYet, Rejected, Unreachable
from wx2mqtt.model import ButtonPress, Cursor, Draft, Event, Handle, Kind, Message, SendKey
from wx2mqtt.wechat.backend_options import PastMessage
from wx2mqtt.wechat.wecom import client as client_module
from wx2mqtt.wechat.wecom import connection as connection_module

SEND_KEY = SendKey("1")


async def test_a_batch_is_returned_again_until_its_cursor_comes_back(gateway):
    async with backend_at(gateway) as backend:
        await logged_in(backend)
        await gateway.say(text_of("one"))
        first = await receive(backend)
        assert await receive(backend) is first
        await gateway.say(text_of("two", "m2"))
        second = await receive(backend, first.cursor)
    assert (texts(first.items), texts(second.items)) == (["one"], ["two"])
    assert [contact.handle for contact in first.contacts] == ["user:zhangsan"]
    assert second.contacts == ()


async def test_the_parts_of_a_mixed_message_are_of_one_batch(gateway):
    parts = [
        {"msgtype": "text", "text": {"content": "@Bot look"}},
        {"msgtype": "image", "image": {"url": "https://files.example/1", "aeskey": KEY_TEXT}},
    ]
    async with backend_at(gateway) as backend:
        await logged_in(backend)
        await gateway.say({**GROUP, "msgtype": "mixed", "mixed": {"msg_item": parts}})
        batch = await receive(backend)
    assert [(item.id, item.kind, item.text) for item in batch.items] == [
        ("m1", Kind.TEXT, "look"),
        ("m1-2", Kind.IMAGE, "[image]"),
    ]
    assert [contact.handle for contact in batch.contacts] == ["group:wrkABC", "user:zhangsan"]


async def test_unreadable_and_unknown_frames_are_counted_and_do_not_stop_the_others(gateway):
    async with backend_at(gateway) as backend:
        await logged_in(backend)
        await gateway.send("no frame")
        await gateway.say({"msgtype": "text"})
        await gateway.say({}, cmd="aibot_new_callback")
        await gateway.tell("new_event")
        for ignored in ("enter_chat", "feedback_event"):
            await gateway.tell(ignored)
        await gateway.say(text_of("hello"))
        counted, cursor = 0, Cursor("")
        received: list[str] = []
        while not received:
            batch = await receive(backend, cursor)
            cursor, counted = batch.cursor, counted + batch.unreadable_count
            received = texts(batch.items)
    assert (counted, received) == (4, ["hello"])


async def test_a_press_names_its_card_and_the_connection_that_brought_it(gateway):
    details = {"card_type": "button_interaction", "event_key": "yes", "task_id": "q1"}
    async with backend_at(gateway) as backend:
        await logged_in(backend)
        request_id = await gateway.tell(
            "template_card_event", **SINGLE,
            event={"eventtype": "template_card_event", "template_card_event": details},
        )  # fmt: skip
        batch = await receive(backend)
        connection_id = backend._client.connection.id
    (press,) = batch.items
    assert isinstance(press, ButtonPress)
    assert (press.card_id, press.button, press.sender) == ("q1", "yes", "user:zhangsan")
    assert press.private == {"connection": connection_id, "request_id": request_id}


async def test_a_receipt_goes_out_after_the_commit_and_once(gateway):
    async with backend_at(gateway) as backend:
        await logged_in(backend)
        first_id = await gateway.say(text_of("one"))
        batch = await receive(backend)
        await receive(backend)  # the first batch is not stored yet
        assert gateway.sent("aibot_respond_msg") == []
        publish(backend, batch)
        await gateway.say(text_of("one"))  # WeCom delivers it twice
        await gateway.say(text_of("filtered", "m3"))
        await gateway.say(text_of("two", "m2"))
        batch = await receive(backend, batch.cursor)
        while "two" not in texts(batch.items):
            batch = await receive(backend, batch.cursor)
        backend.on_published(["m1", "m2"])
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            await gateway.until(lambda: len(gateway.sent("aibot_respond_msg")) == 2)
    first, _second = gateway.sent("aibot_respond_msg")
    assert first["headers"]["req_id"] == first_id
    assert first["body"]["stream"]["finish"]
    assert first["body"]["stream"]["content"] == "✓"


def publish(backend, batch):
    """Says that the messages of a batch are stored and published."""
    backend.on_published([item.key for item in batch.items if isinstance(item, Message)])


async def receipts_after(gateway, backend, count, cursor=START):
    """Receives `count` messages of one chat in one burst; returns how many receipts were sent so far."""
    for _ in range(count):
        await gateway.say(text_of("x", os.urandom(4).hex()))
    received = 0
    while received < count:
        batch = await receive(backend, cursor)
        publish(backend, batch)
        cursor, received = batch.cursor, received + len(batch.items)
    await asyncio.gather(*backend._receipts._tasks)
    return len(gateway.sent("aibot_respond_msg"))


async def test_receipts_take_a_third_of_the_rate_of_a_chat(gateway):
    async with backend_at(gateway) as backend:
        await logged_in(backend)
        assert await receipts_after(gateway, backend, 15) == 10


async def test_the_receipts_of_the_process_before_count_after_an_orderly_stop(gateway):
    credentials, seconds = FakeCredentialStore(), [0.0]
    clock = Clock(boot_time=lambda: seconds[0], wall=lambda: 1_790_000_000 + seconds[0])
    for sent in (4, 8, 10):
        async with backend_at(gateway, credentials, clock=clock) as backend:
            cursor = await logged_in_after_gap(backend)
            assert await receipts_after(gateway, backend, 4, cursor) == sent
    seconds[0] = 61.0
    async with backend_at(gateway, credentials, clock=clock) as backend:
        cursor = await logged_in_after_gap(backend)
        assert await receipts_after(gateway, backend, 3, cursor) == 13


@pytest.mark.parametrize(("received", "sent"), [(0, 3), (8, 2), (30, 0)])
async def test_after_a_kill_the_messages_of_the_journal_count(gateway, received, sent):
    credentials = FakeCredentialStore()
    async with backend_at(gateway, credentials) as backend:
        await logged_in(backend)
        killed_with = credentials.saved  # of what a process saves at its stop there is nothing yet

    async def past_messages(since):
        assert 0 < since < time.time() * 1000 - 3_590_000
        now = int(time.time() * 1000)
        return [PastMessage(chat=Handle("user:zhangsan"), time=now, is_received=True)] * received

    credentials.saved = killed_with
    async with backend_at(gateway, credentials, past_messages=past_messages) as backend:
        cursor = await logged_in_after_gap(backend)
        assert await receipts_after(gateway, backend, 3, cursor) == sent


async def logged_in_after_gap(backend):
    """Logs in; returns the cursor behind the event about the gap, where there is one."""
    step = await logged_in(backend)
    return (await receive(backend)).cursor if step.resumed else START


async def test_without_a_text_there_is_no_receipt(gateway):
    async with backend_at(gateway, section={**SECTION, "receipt": None}) as backend:
        await logged_in(backend)
        assert await receipts_after(gateway, backend, 3) == 0


async def test_a_broken_connection_is_made_anew_and_the_gap_is_an_event(gateway):
    async with backend_at(gateway) as backend:
        await logged_in(backend)
        await gateway.sockets[0].close()
        with pytest.raises(Unreachable) as caught:
            await receive(backend)
        assert caught.value.retry_after == 1
        batch = await receive(backend)
        assert await receive(backend) is batch  # not stored
        await gateway.say(text_of("again"))
        assert texts((await receive(backend, batch.cursor)).items) == ["again"]
    (gap,) = batch.items
    assert isinstance(gap, Event)
    assert gap.name == "gap"
    assert str(gap.fields["since"]) <= str(gap.fields["until"])
    assert len(gateway.sent("aibot_subscribe")) == 2


async def test_the_time_without_a_process_is_a_gap_too(gateway):
    credentials = FakeCredentialStore()
    async with backend_at(gateway, credentials) as backend:
        await logged_in(backend)
    assert credentials.saved["alive"] > 0
    async with backend_at(gateway, credentials) as backend:
        await logged_in(backend)
        (gap,) = (await receive(backend)).items
    assert gap.name == "gap"


def ticking_clock():
    """Returns a clock that is a second later at each reading."""
    seconds = count(int(time.time()))
    return Clock(wall=lambda: float(next(seconds)))


async def killed_after_a_message(gateway, credentials):
    """Runs a process on a saved login until it is killed after a message; returns its gap and the saved login."""
    async with backend_at(gateway, credentials) as backend:
        await logged_in(backend)
        batch = await receive(backend)
        await gateway.say(text_of("hello", f"after {batch.items[0].key}"))
        await receive(backend, batch.cursor)
        saved = dict(credentials.saved)  # a kill does not save what an orderly end saves
    return batch.items[0], FakeCredentialStore(saved)


async def test_each_kill_has_a_gap_of_its_own(gateway):
    credentials = FakeCredentialStore()
    async with backend_at(gateway, credentials) as backend:
        await logged_in(backend)
    first, credentials = await killed_after_a_message(gateway, credentials)
    second, _ = await killed_after_a_message(gateway, credentials)
    assert first.key != second.key
    assert str(first.fields["until"]) <= str(second.fields["since"]) <= str(second.fields["until"])


async def test_a_gap_that_was_stored_but_not_saved_as_over_is_reported_again_with_its_new_end(gateway):
    credentials = FakeCredentialStore()
    async with backend_at(gateway, credentials) as backend:
        await logged_in(backend)
    clock, saved, gaps = ticking_clock(), dict(credentials.saved), []
    for _ in range(2):  # killed right after the commit of the event
        async with backend_at(gateway, FakeCredentialStore(saved), clock=clock) as backend:
            await logged_in(backend)
            gaps += (await receive(backend)).items
    assert gaps[0].fields["since"] == gaps[1].fields["since"]
    assert gaps[0].key != gaps[1].key


async def test_a_kill_soon_after_the_first_login_is_a_gap_too(gateway):
    credentials = FakeCredentialStore()
    async with backend_at(gateway, credentials) as backend:
        await logged_in(backend)
        saved = dict(credentials.saved)  # killed before it asked for anything
        await gateway.say(text_of("lost"))
        assert [item.key for item in (await receive(backend)).items] == ["m1"]
    async with backend_at(gateway, FakeCredentialStore(saved)) as backend:
        await logged_in(backend)
        (gap,) = (await receive(backend)).items
    assert gap.name == "gap"


async def test_a_message_that_was_not_stored_at_an_orderly_end_lies_in_the_gap(gateway):
    credentials = FakeCredentialStore()
    async with backend_at(gateway, credentials, clock=ticking_clock()) as backend:
        await logged_in(backend)
        await gateway.say(text_of("one"))
        batch = await receive(backend)
        await gateway.say(text_of("two", "m2"))
        await backend._client.connection.request("ping")  # it waits now
    assert texts(batch.items) == ["one"]
    assert credentials.saved["alive"] <= batch.items[0].time


async def test_nothing_is_sent_before_the_next_subscription_is_accepted(gateway):
    hello = Draft(chat=Handle("user:zhangsan"), kind=Kind.TEXT, text="hello")
    async with backend_at(gateway) as backend:
        await logged_in(backend)
        await gateway.sockets[0].close()
        with pytest.raises(Unreachable):
            await receive(backend)
        gateway.behave = answer_nothing
        waiting = asyncio.create_task(receive(backend))
        await gateway.until(lambda: len(gateway.sent("aibot_subscribe")) == 2)
        assert not backend.has_connection
        with pytest.raises(Unreachable, match="no connection"):
            await backend.send(hello, SEND_KEY)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert gateway.sent("aibot_send_msg") == []
        await gateway.until(lambda: not gateway.sockets)


async def test_a_lost_subscription_is_made_anew_after_half_a_minute(gateway):
    gateway.behave = refusing(846609, "aibot_send_msg")
    async with backend_at(gateway) as backend:
        await logged_in(backend)
        waiting = asyncio.create_task(backend.receive(Cursor("")))
        assert backend.has_connection
        with pytest.raises(Unreachable, match="subscription"):
            await backend.send(Draft(chat=Handle("user:zhangsan"), kind=Kind.TEXT, text="hello"), SEND_KEY)
        assert not backend.has_connection
        with pytest.raises(Unreachable) as caught:
            await waiting
        assert not backend.has_connection
        assert caught.value.retry_after is not None
        assert 25 < caught.value.retry_after <= 30
        gateway.behave = answer_ok
        await receive(backend)
        assert backend.has_connection
        await backend.send(Draft(chat=Handle("user:zhangsan"), kind=Kind.TEXT, text="hello"), SEND_KEY)
    assert len(gateway.sent("aibot_subscribe")) == 2


async def test_messages_that_cannot_be_stored_close_the_connection_and_none_is_lost(gateway, monkeypatch):
    monkeypatch.setattr(connection_module, "MAX_WAITING_CALLBACKS", 5)
    async with backend_at(gateway) as backend:
        await logged_in(backend)
        for number in range(6):
            await gateway.say(text_of(str(number), f"m{number}"))
        await gateway.until(lambda: not gateway.sockets)
        batch = await receive(backend)
        with pytest.raises(Unreachable, match="more messages came"):
            await receive(backend, batch.cursor)
    assert texts(batch.items) == ["0", "1", "2", "3", "4", "5"]


async def media_of(gateway, backend, url):
    await gateway.say({**SINGLE, "msgtype": "file", "file": {"url": url, "aeskey": KEY_TEXT}})
    (message,) = (await receive(backend)).items
    return message.media


async def downloaded(backend, media):
    return b"".join([chunk async for chunk in backend.download(media)])


@pytest.mark.parametrize("size", [1, 100_000])
async def test_a_file_is_downloaded_and_decrypted(gateway, size):
    data = bytes(range(256)) * (size // 256 + 1)
    gateway.bodies["/files/1"] = [encrypted(data)]
    async with backend_at(gateway) as backend:
        await logged_in(backend)
        media = await media_of(gateway, backend, f"{gateway.endpoint}/files/1?sign=x")
        assert await downloaded(backend, media) == data


async def test_the_name_of_a_file_is_known_before_its_bytes(gateway):
    names: list[str] = []
    gateway.bodies["/files/1"] = [encrypted(b"whole")]
    gateway.names["/files/1"] = "attachment; filename*=UTF-8''%E6%8A%A5.pdf"
    async with backend_at(gateway) as backend:
        await logged_in(backend)
        media = await media_of(gateway, backend, f"{gateway.endpoint}/files/1")
        chunks = [(chunk, list(names)) async for chunk in backend.download(media, names.append)]
    assert chunks == [(b"whole", ["报.pdf"])]


@pytest.mark.parametrize("body", [b"", b"short", bytes(64), encrypted(b"whole")[:-1]])
async def test_a_file_with_another_key_or_cut_off_fails_at_its_end(gateway, body):
    gateway.bodies["/files/1"] = [body]
    async with backend_at(gateway) as backend:
        await logged_in(backend)
        media = await media_of(gateway, backend, f"{gateway.endpoint}/files/1")
        with pytest.raises(Unreachable):
            await downloaded(backend, media)


async def test_a_file_that_is_not_there_is_tried_again_until_its_address_expires(gateway):
    async with backend_at(gateway, clock=Clock(wall=lambda: 1_790_000_000.0)) as backend:
        await logged_in(backend)
        media = await media_of(gateway, backend, f"{gateway.endpoint}/files/none")
        with pytest.raises(NoContentYet):
            await downloaded(backend, media)
    assert media.expires == 1_790_000_300_000


async def test_a_file_at_another_address_is_not_fetched(gateway):
    async with backend_at(gateway) as backend:
        await logged_in(backend)
        media = await media_of(gateway, backend, "http://127.0.0.1:1/private")
        with pytest.raises(Rejected):
            await downloaded(backend, media)


@pytest.mark.parametrize(
    ("errcode", "code"),
    [(93006, "no_chat"), (93001, "no_chat"), (93008, "no_chat"), (40201, "refused_by_wechat")],
)
async def test_a_refused_text_says_why(gateway, errcode, code):
    gateway.behave = refusing(errcode, "aibot_send_msg", errmsg="invalid chatid")
    async with backend_at(gateway) as backend:
        await logged_in(backend)
        with pytest.raises(Rejected, match="invalid chatid") as caught:
            await backend.send(Draft(chat=Handle("group:wrkABC"), kind=Kind.TEXT, text="hello"), SEND_KEY)
    assert caught.value.code == code


async def test_without_a_connection_nothing_is_sent(gateway):
    async with backend_at(gateway) as backend:
        await logged_in(backend)
        await gateway.sockets[0].close()
        with pytest.raises(BackendError):
            await receive(backend)
        with pytest.raises(Unreachable):
            await backend.send(Draft(chat=Handle("user:zhangsan"), kind=Kind.TEXT, text="hello"), SEND_KEY)


async def test_people_who_have_written_are_listed_after_a_restart_too(gateway):
    credentials = FakeCredentialStore()
    async with backend_at(gateway, credentials) as backend:
        await logged_in(backend)
        await gateway.say(text_of("x"))
        await receive(backend)
    async with backend_at(gateway, credentials) as backend:
        await logged_in(backend)
        (page,) = [page async for page in backend.list_contacts(lambda count: None)]
    assert [contact.handle for contact in page] == ["user:zhangsan"]


def test_the_pauses_are_those_of_the_contract():
    assert client_module.REFUSED_PAUSES_SECONDS == (60, 300, 900, 3600)
