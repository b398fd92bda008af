"""Sending: requests, the meaning of each answer, and the reply window after it (ilink 6, 10)."""

from __future__ import annotations

from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.wechat.ilink.entries import ME, OTHER, WROTE, entry
from tests.unit.wechat.ilink.files import draft
from tests.unit.wechat.ilink.server import DEAD, ILinkRig, another_bot, answer, raw
from tests.unit.wechat.rig import refused
from wx2mqtt.errors import (
    BackendError,
    LoggedOut,
    OutcomeUnknown,
    Rejected,
    Throttled,
    Unreachable,
    WindowClosed,
)
from wx2mqtt.model import Draft, Handle, Kind, Recall, Receipt, ReplyWindow, SendKey
from wx2mqtt.wechat.ilink.protocol.reply_window import WINDOW_OPEN_MS

KEY = SendKey("17900000000001")


def text(content: str = "ok") -> Draft:
    return Draft(chat=Handle(ME), kind=Kind.TEXT, text=content)


def refusal(words: str = "", ret: int = -2) -> httpx.Response:
    return answer(ret=ret, **({"errmsg": words} if words else {}))


@pytest.fixture
async def open_rig(online: ILinkRig) -> ILinkRig:
    """Returns a logged in backend whose person has written a moment ago, so that the reply window is open."""
    online.clock.time = 1001 + (WROTE - 1_790_000_000_000) / 1000
    await online.receive(entry(create_time_ms=int(online.clock.wall() * 1000) - 1000))
    return online


def tokens(rig: ILinkRig) -> list[str | None]:
    return [body["msg"].get("context_token") for body in rig.bodies("sendmessage")]


async def test_a_text(open_rig: ILinkRig) -> None:
    assert await open_rig.send(text("灯已打开 ☀"), KEY) == Receipt(message_id="7500000000000000201")
    (body,) = open_rig.bodies("sendmessage")
    assert body["msg"]["item_list"] == [{"type": 1, "text_item": {"text": "灯已打开 ☀"}}]
    assert body["msg"]["client_id"] == "wx2mqtt:17900000000001"
    assert body["msg"]["context_token"] == "AARzSECRET1"
    assert body["base_info"]["channel_version"] == "2.4.9"


async def test_each_attempt_has_the_same_client_id(open_rig: ILinkRig) -> None:
    open_rig.put("sendmessage", httpx.ReadTimeout("x"), answer(ret=0, message_id=5))
    with pytest.raises(OutcomeUnknown):
        await open_rig.send(text(), KEY)
    await open_rig.send(text(), KEY)
    assert len({body["msg"]["client_id"] for body in open_rig.bodies("sendmessage")}) == 1


async def test_the_newest_token_goes_along(open_rig: ILinkRig) -> None:
    later = int(open_rig.clock.wall() * 1000)
    await open_rig.receive(entry(number=2, create_time_ms=later, context_token="AARz2"))
    await open_rig.send(text(), KEY)
    assert tokens(open_rig) == ["AARz2"]


async def test_to_somebody_who_never_wrote_it_goes_without_one(online: ILinkRig) -> None:
    online.put("sendmessage", refusal("prepare failed"))
    with pytest.raises(WindowClosed) as raised:
        await online.send(text(), KEY)
    assert raised.value.code == "window_closed"
    assert tokens(online) == [None]


@pytest.mark.parametrize(
    ("response", "receipt"),
    [
        (answer(ret=0, message_id=7_500_000_000_000_000_201), "7500000000000000201"),
        (answer(message_id="7500000000000000201"), "7500000000000000201"),
        (answer(ret=0), ""),
        (answer(), ""),
        (raw(b""), ""),
        (raw(b" \n"), ""),
        (answer(ret=0, message_id=0), ""),
    ],
)
async def test_taken_with_and_without_a_number(
    open_rig: ILinkRig, response: httpx.Response, receipt: str
) -> None:
    open_rig.put("sendmessage", response)
    assert await open_rig.send(text(), KEY) == Receipt(message_id=receipt)
    assert open_rig.window().remaining == 9


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (httpx.ConnectError("x"), Unreachable),
        (raw(b"", 502), Unreachable),
        (raw(b"", 404), Unreachable),
        (raw(b"", 302, Location="https://evil.example"), Unreachable),
        (httpx.ReadError("x"), OutcomeUnknown),
        (httpx.ReadTimeout("x"), OutcomeUnknown),
        (raw(b"<html>busy"), OutcomeUnknown),
        (raw(b'{"ret": 0, "mess'), OutcomeUnknown),
        (raw(b"[1]"), OutcomeUnknown),
        (answer(**DEAD), LoggedOut),
        (refusal(ret=-1), Unreachable),
        (refusal(ret=-3), Rejected),
        (refusal("invalid arguments"), Rejected),
        (refusal("text not allowed"), Rejected),
        (refusal("rate limited"), Throttled),
        (refusal(ret=-12), Throttled),
        (refusal(), WindowClosed),
        (refusal("prepare failed"), WindowClosed),
    ],
)
async def test_what_each_answer_asks_for(
    open_rig: ILinkRig, response: Any, error: type[BackendError]
) -> None:
    open_rig.put("sendmessage", response)
    with pytest.raises(error) as raised:
        await open_rig.send(text(), KEY)
    assert type(raised.value) is error or error is Unreachable
    assert "SECRET" not in str(raised.value)


async def test_ten_go_out_and_then_they_must_write(open_rig: ILinkRig) -> None:
    for number in range(10):
        assert open_rig.window().remaining == 10 - number
        await open_rig.send(text(), SendKey(str(number)))
    assert open_rig.window() == ReplyWindow(open=False, remaining=0, reason="quota_used")


async def test_a_text_counts_to_the_window_in_which_it_was_sent(open_rig: ILinkRig) -> None:
    """WeChat's clock is known by whole seconds only, so that a guess of it may be half a second ahead."""
    open_rig.clock.time = float(int(open_rig.clock.time)) + 0.1
    open_rig.date = formatdate(int(open_rig.clock.wall()), usegmt=True)
    for number in range(6):
        await open_rig.send(text(), SendKey(str(number)))
    assert open_rig.window().remaining == 4
    await open_rig.receive(entry(create_time_ms=int(open_rig.clock.wall() * 1000) + 100, message_id=2))
    assert open_rig.window().remaining == 10


async def test_a_text_that_follows_a_message_counts_whatever_the_clocks_say(open_rig: ILinkRig) -> None:
    open_rig.date = formatdate(int(open_rig.clock.wall()), usegmt=True)
    await open_rig.receive(entry(create_time_ms=int(open_rig.clock.wall() * 1000) + 900, message_id=2))
    for number in range(3):
        await open_rig.send(text(), SendKey(str(number)))
    assert open_rig.window().remaining == 7


async def test_a_message_of_the_future_is_one_of_now(open_rig: ILinkRig) -> None:
    """Otherwise no message that they write until then would open the window again."""
    now = int(open_rig.clock.wall() * 1000)
    await open_rig.receive(entry(create_time_ms=now + 400 * WINDOW_OPEN_MS))
    assert open_rig.window().until == now + WINDOW_OPEN_MS
    for number in range(10):
        await open_rig.send(text(), SendKey(str(number)))
    open_rig.clock.time += 60
    await open_rig.receive(entry(create_time_ms=now + 50_000))
    assert open_rig.window().remaining == 10


async def test_the_server_s_word_beats_our_count(open_rig: ILinkRig) -> None:
    open_rig.put("sendmessage", refusal())
    with pytest.raises(WindowClosed) as raised:
        await open_rig.send(text(), KEY)
    assert raised.value.code == "quota_used"
    assert open_rig.window() == ReplyWindow(open=False, remaining=0, reason="quota_used")
    open_rig.put("sendmessage", answer(ret=0, message_id=5))
    await open_rig.send(text(), KEY)
    assert open_rig.window().open


async def test_after_a_day_a_refusal_is_the_window(open_rig: ILinkRig) -> None:
    open_rig.clock.time += WINDOW_OPEN_MS / 1000
    for words in ("", "rate limited", "prepare failed", "freq limit"):
        open_rig.put("sendmessage", refusal(words))
        with pytest.raises(WindowClosed) as raised:
            await open_rig.send(text(), KEY)
        assert raised.value.code == "window_closed"


@pytest.mark.parametrize("words", ["prepare failed", "unknown error"])
async def test_once_more_without_the_token_where_the_window_is_open(open_rig: ILinkRig, words: str) -> None:
    open_rig.put("sendmessage", refusal(words), answer(ret=0, message_id=5))
    assert (await open_rig.send(text(), KEY)).message_id == "5"
    assert tokens(open_rig) == ["AARzSECRET1", None]
    await open_rig.send(text(), SendKey("2"))
    assert tokens(open_rig)[-1] is None  # it is known by now to be of no use
    assert open_rig.window().remaining == 8


async def test_a_refused_message_is_never_tried_a_third_time(open_rig: ILinkRig) -> None:
    open_rig.put("sendmessage", refusal("prepare failed"))
    with pytest.raises(WindowClosed):
        await open_rig.send(text(), KEY)
    assert tokens(open_rig) == ["AARzSECRET1", None]
    assert open_rig.window() == ReplyWindow(open=False, remaining=0, reason="too_long_ago")


async def test_outside_the_window_it_is_tried_once(open_rig: ILinkRig) -> None:
    open_rig.clock.time += WINDOW_OPEN_MS / 1000
    open_rig.put("sendmessage", refusal("prepare failed"))
    with pytest.raises(WindowClosed):
        await open_rig.send(text(), KEY)
    assert tokens(open_rig) == ["AARzSECRET1"]


async def test_too_often_is_a_pause_that_grows_and_ends(open_rig: ILinkRig) -> None:
    open_rig.put("sendmessage", refusal("rate limited"))
    for seconds in (30, 60, 90):
        with pytest.raises(Throttled) as raised:
            await open_rig.send(text(), KEY)
        assert raised.value.retry_after == seconds
        assert open_rig.window().reason == "rate_limited"
    open_rig.clock.time += 91
    assert open_rig.window().open


async def test_who_writes_while_we_are_refused_has_opened_the_window(open_rig: ILinkRig) -> None:
    async def refuse(_request: httpx.Request) -> httpx.Response:
        await open_rig.receive(entry(number=9, create_time_ms=int(open_rig.clock.wall() * 1000) + 5))
        return refusal()

    open_rig.put("sendmessage", refuse)
    with pytest.raises(WindowClosed):
        await open_rig.send(text(), KEY)
    assert open_rig.window().open


async def test_a_refused_message_says_why_as_the_server_does(open_rig: ILinkRig) -> None:
    open_rig.put("sendmessage", refusal("bad\nwords", ret=-7))
    with pytest.raises(Rejected, match=r"WeChat refused the message \(-7\): bad words"):
        await open_rig.send(text(), KEY)


async def test_what_is_too_long_or_nothing_is_not_sent(open_rig: ILinkRig) -> None:
    for content, code in (
        ("x" * 16385, "too_long"),
        ("灯" * 5462, "too_long"),
        ("", "empty"),
        ("\ud83d", "bad_command"),
    ):
        with refused(code):
            await open_rig.send(text(content), KEY)
    assert open_rig.asked("sendmessage") == []
    await open_rig.send(text("x" * 16384), KEY)


async def test_what_a_bot_cannot_send_is_unsupported(open_rig: ILinkRig, tmp_path: Path) -> None:
    for bad in (Draft(chat=Handle(ME), kind=Kind.STICKER), Draft(chat=Handle(ME), kind=Kind.IMAGE)):
        with refused("unsupported"):
            await open_rig.send(bad, KEY)
    with refused("unsupported"):
        await open_rig.send(draft(tmp_path, kind=Kind.IMAGE, mime="image/tiff"), KEY)
    with refused("empty"):
        await open_rig.send(draft(tmp_path, b""), KEY)


async def test_a_bot_can_do_nothing_else(open_rig: ILinkRig) -> None:
    with refused("unsupported"):
        await open_rig.backend.perform(Recall(chat=Handle(ME), message_id="5"), KEY)


async def test_without_a_login_nothing_goes_out(rig: ILinkRig) -> None:
    with pytest.raises(LoggedOut):
        await rig.send(text(), KEY)


async def test_after_a_new_binding_they_must_write_to_the_new_bot(open_rig: ILinkRig) -> None:
    open_rig.put("get_qrcode_status", another_bot())
    await open_rig.log_in()
    assert open_rig.window() == ReplyWindow(open=False, remaining=0, reason="new_binding")
    open_rig.restart()
    await open_rig.log_in(resume=True)
    assert open_rig.window() == ReplyWindow(open=False, remaining=0, reason="new_binding")


async def test_nothing_is_sent_to_a_person_who_wrote_only_to_another_bot(
    open_rig: ILinkRig,
) -> None:
    """Somebody else has scanned: the open window belongs to the earlier bot, which does not send any more."""
    assert open_rig.window().open
    confirmed = answer(
        ret=0, status="confirmed", bot_token="2@im.bot:x", ilink_bot_id="2@im.bot", ilink_user_id=OTHER
    )
    open_rig.put("notifystart", answer(**DEAD), answer(ret=0))
    open_rig.put("get_qrcode_status", confirmed)
    await open_rig.log_in(resume=True)
    assert open_rig.window() == ReplyWindow(open=False, remaining=0, reason="new_binding")


async def test_a_message_that_was_taken_is_sent_though_the_login_ends_before_the_answer(
    open_rig: ILinkRig,
) -> None:
    async def take(_request: httpx.Request) -> httpx.Response:
        await open_rig.backend.logout()
        return answer(ret=0, message_id=7)

    open_rig.put("sendmessage", take)
    assert await open_rig.send(text(), KEY) == Receipt(message_id="7")


async def test_a_message_of_the_login_before_does_not_count_in_the_next_one(
    open_rig: ILinkRig,
) -> None:
    async def take(_request: httpx.Request) -> httpx.Response:
        await open_rig.log_in()
        return answer(ret=0)

    open_rig.put("get_qrcode_status", another_bot())
    open_rig.put("sendmessage", take)
    await open_rig.send(text(), KEY)
    bot = open_rig.backend._client.logins.bot
    assert (bot.id, bot.chats[Handle(ME)].sent) == ("2@im.bot", ())


# After the end of the login


async def test_after_a_refused_poll_the_client_is_announced_once_and_sends_go_on(
    rig: ILinkRig,
) -> None:
    step = await rig.log_in()
    rig.put("getupdates", answer(**DEAD))
    with pytest.raises(LoggedOut):
        await rig.poll(step.cursor)
    calls = len(rig.calls())
    for key in ("1", "2"):
        await rig.send(text(), SendKey(key))
    assert rig.calls()[calls:] == ["notifystart", "sendmessage", "sendmessage"]
