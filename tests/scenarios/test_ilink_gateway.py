"""The iLink backend over real HTTP, on servers that forgive nothing and fail in every way."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.backend_options import backend_options
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.ilink_home import ILinkControl
from tests.support.pauseless_loop import PauseClock
from wx2mqtt.errors import (
    BackendError,
    LoggedOut,
    OutcomeUnknown,
    Rejected,
    Throttled,
    Unreachable,
    WindowClosed,
)
from wx2mqtt.model import Attachment, Blob, Cursor, Draft, Handle, Kind, ReplyWindow, SendKey
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.wechat.backend import LoggedIn, QrExpired, Scanned, ShowQr
from wx2mqtt.wechat.ilink.backend import ILinkBackend
from wx2mqtt.wechat.ilink.ilink_http import ILinkHttp
from wx2mqtt.wechat.ilink.protocol.reply_window import WINDOW_OPEN_MS

QUICK = {
    "get_qrcode_status": 1.5,
    "getupdates": 1.5,
    "sendmessage": 1.0,
    "getuploadurl": 1.0,
    "upload": 2.0,
    "download": 1.0,
}
LOST = [
    "hang",
    "reset",
    "drop_answer",
    "truncate",
    "stall",
    "garbage",
    "html",
    "bad_status_line",
    "deep",
    "digits",
]


class MemoryCredentials:
    """A vault on one sheet of JSON."""

    def __init__(self) -> None:
        self.sheet: str | None = None

    async def load(self) -> Mapping[str, object] | None:
        return None if self.sheet is None else json.loads(self.sheet)

    async def save(self, session: Mapping[str, object]) -> None:
        self.sheet = json.dumps(session)

    async def clear(self) -> None:
        self.sheet = None


def blob_of(file: Path) -> Blob:
    plain = file.read_bytes()
    return Blob(sha256=hashlib.sha256(plain).hexdigest(), size=len(plain), mime="application/pdf", path="x")


class Bot:
    """The gateway, the vault and the phone of one account."""

    def __init__(self, sim: Simulator) -> None:
        self.control = ILinkControl(sim.url)
        self.vault = MemoryCredentials()
        self._url = sim.url
        self.gateway = self.again()
        self.cursor = Cursor("")
        self.me = Handle("")
        self._keys = 0

    def again(self, **more: Any) -> ILinkBackend:
        options = backend_options(credentials=self.vault, endpoint=self._url, clock=PauseClock().clock)
        self.gateway = ILinkBackend(options, ILinkHttp(options, timeouts=QUICK), **more)
        return self.gateway

    async def log_in(self, *, resume: bool = False) -> LoggedIn:
        async for step in self.gateway.login(resume=resume):
            match step:
                case ShowQr():
                    await self.control.post("ilink/scan")
                case Scanned():
                    await self.control.post("ilink/confirm")
                case LoggedIn(owner=owner, cursor=cursor):
                    self.me, self.cursor = owner.handle, cursor
                    return step
        raise AssertionError

    async def in_thread(self) -> Any:
        """The next batch with something in it; the cursor moves."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while not (batch := await self.gateway.receive(self.cursor)).items:
                pass
        self.cursor = batch.cursor
        return batch

    async def said(self, text: str = "hello", **more: Any) -> Any:
        """The person writes, and we hear it."""
        await self.control.write(text, **more)
        return await self.in_thread()

    async def send(self, text: str = "ok", key: str = "") -> Any:
        self._keys += 1
        draft = Draft(chat=self.me, kind=Kind.TEXT, text=text)
        return await self.gateway.send(draft, SendKey(key or f"1790000000{self._keys:04d}"))

    async def send_file(self, file: Path) -> Any:
        self._keys += 1
        attachment = Attachment(file=file, name="a.pdf", blob=blob_of(file))
        draft = Draft(chat=self.me, kind=Kind.FILE, attachment=attachment)
        return await self.gateway.send(draft, SendKey(f"1790000001{self._keys:04d}"))

    async def fault(self, call: str, kind: str, **more: Any) -> None:
        await self.control.post("fault", endpoint=call, kind=kind, **more)

    def window(self) -> ReplyWindow:
        found = self.gateway.reply_window(self.me)
        assert found is not None
        return found


@pytest.fixture
async def bot() -> AsyncIterator[Bot]:
    """Not logged in yet. Nothing may have been wrong in the end."""
    async with Simulator() as sim:
        bot = Bot(sim)
        await bot.control.post("settings", strict=True)
        await bot.control.post("ilink/settings", hold_status=0.4, hold_updates=0.4, poll_limit=0)
        yield bot
        await bot.gateway.close()
        assert await bot.control.get("violations") == []
        await bot.control.close()


@pytest.fixture
async def talking(bot: Bot) -> Bot:
    """Logged in, and the person has written."""
    await bot.log_in()
    await bot.said()
    return bot


# login


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "value": 524},
        {"kind": "status", "value": 502},
        *({"kind": kind} for kind in LOST if kind != "drop_answer"),
    ],
)
async def test_whatever_happens_to_a_poll_the_code_stays(bot: Bot, fault: dict[str, Any]):
    await bot.control.post("fault", endpoint="get_qrcode_status", **fault)
    codes = 0
    async for step in bot.gateway.login(resume=False):
        match step:
            case ShowQr():
                codes += 1
                await bot.control.post("ilink/scan")
            case Scanned():
                await bot.control.post("ilink/confirm")
            case LoggedIn():
                break
    assert codes == 1


async def test_an_old_code_is_followed_by_a_new_one(bot: Bot):
    await bot.control.post("ilink/settings", qr_lifetime=0.3)
    shown = []
    async for step in bot.gateway.login(resume=False):
        if isinstance(step, ShowQr | QrExpired):
            shown.append(type(step))
        if len(shown) == 4:
            break
    assert shown == [ShowQr, QrExpired, ShowQr, QrExpired]


async def test_a_login_is_taken_up_after_a_restart(talking: Bot):
    await talking.gateway.close()
    talking.again()
    step = await talking.log_in(resume=True)
    assert step.resumed
    assert talking.window().open
    assert (await talking.send()).message_id
    assert (await talking.control.bot_sent(1))[0]["token"] == "newest"


async def test_a_newer_version_of_the_client_is_named_from_the_code_to_the_messages(bot: Bot):
    bot.again(client_version="2.5.0")
    await bot.log_in()
    await bot.said()
    assert (await bot.send("with 2.5.0")).message_id
    assert [line["text"] for line in await bot.control.bot_sent(1)] == ["with 2.5.0"]


async def test_bound_elsewhere_is_a_logout_and_a_new_scan_a_new_bot(talking: Bot):
    await talking.control.post("ilink/kill")
    for work in (talking.gateway.receive(talking.cursor), talking.send()):
        with pytest.raises(LoggedOut, match="somewhere else"):
            await work
    step = await talking.log_in()
    assert not step.resumed
    assert talking.window() == ReplyWindow(open=False, remaining=0, reason="new_binding")
    await talking.said()
    assert (await talking.send()).message_id


# receiving


@pytest.mark.parametrize("kind", LOST)
async def test_whatever_happens_to_an_answer_the_message_comes(bot: Bot, kind: str):
    await bot.log_in()
    await bot.control.write("hello")
    await bot.fault("getupdates", kind)
    with pytest.raises(Unreachable):
        await bot.gateway.receive(bot.cursor)
    batch = await bot.in_thread()
    assert [one.text for one in batch.items] == ["hello"]


async def test_far_too_much_is_given_up(bot: Bot):
    await bot.log_in()
    await bot.fault("getupdates", "huge", value=200_000_000)
    tracemalloc.start()
    with pytest.raises(Unreachable):
        await bot.gateway.receive(bot.cursor)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150_000_000  # of which the simulator has its part


async def test_a_redelivery_has_the_key_of_the_first_delivery(bot: Bot):
    await bot.log_in()
    batch = await bot.said("toggle")
    await bot.control.post("ilink/redeliver")
    again = await bot.in_thread()
    (first,), (second,) = batch.items, again.items
    assert first.key == second.key
    assert first.id != second.id
    await bot.said("toggle")
    assert (await bot.send()).message_id


# sending


@pytest.mark.parametrize("kind", LOST)
async def test_an_answer_that_is_lost_leaves_it_open_and_one_more_attempt_is_no_second_message(
    talking: Bot, kind: str
):
    await talking.fault("sendmessage", kind)
    with pytest.raises(OutcomeUnknown):
        await talking.send("once", key="179000000099")
    await talking.send("once", key="179000000099")
    shown = [line for line in (await talking.control.get("ilink/feed"))["lines"] if line["text"] == "once"]
    assert len(shown) == 1


@pytest.mark.parametrize("status", [502, 503, 524])
async def test_a_gateway_that_fails_has_delivered_nothing(talking: Bot, status: int):
    await talking.fault("sendmessage", "status", value=status)
    with pytest.raises(Unreachable):
        await talking.send()
    assert (await talking.send()).message_id


async def test_what_is_sent_goes_as_far_as_the_rules(talking: Bot):
    for number in range(10):
        assert talking.window().remaining == 10 - number
        await talking.send(str(number))
    assert talking.window().reason == "quota_used"
    await talking.said("again")
    assert talking.window().remaining == 10


async def test_the_servers_word_is_believed(talking: Bot):
    await talking.control.post("ilink/window", replies=10)
    with pytest.raises(WindowClosed) as told:
        await talking.send()
    assert told.value.code == talking.window().reason == "quota_used"
    await talking.said()
    await talking.control.post("ilink/clock", forward=25 * 3600)
    with pytest.raises(WindowClosed) as told:
        await talking.send()
    assert told.value.code == "window_closed"
    assert talking.window().reason == "too_long_ago"


async def test_the_window_follows_the_servers_clock(talking: Bot):
    """Ours is a month behind theirs."""
    await talking.control.post("ilink/clock", ahead=30 * 86400)
    await talking.said()
    window = talking.window()
    assert window.open
    assert window.until is not None
    assert (await talking.send()).message_id


@pytest.mark.parametrize("words", ["prepare failed", "unknown error"])
async def test_a_token_that_is_refused_is_left_out(talking: Bot, words: str):
    await talking.control.post("settings", strict=False)  # to leave it out is tolerated, no more
    await talking.control.post("ilink/settings", refuse_tokens=words)
    assert (await talking.send()).message_id
    assert (await talking.control.bot_sent(1))[0]["token"] == "none"


async def test_too_often_slows_down(talking: Bot):
    await talking.control.post("ilink/settings", rate_limit=1)
    await talking.send()
    with pytest.raises(Throttled) as told:
        await talking.send()
    assert told.value.retry_after == 30
    assert talking.window().reason == "rate_limited"


@pytest.mark.parametrize(
    ("answer", "confirmed"), [("only_id", True), ("ret", False), ("object", False), ("empty", False)]
)
async def test_every_form_of_yes_is_one(talking: Bot, answer: str, confirmed: bool):
    await talking.control.post("ilink/settings", answer=answer)
    assert bool((await talking.send()).message_id) is confirmed


async def test_a_muted_person_gets_nothing_and_we_no_number(talking: Bot):
    await talking.control.post("ilink/mute")
    assert (await talking.send()).message_id == ""


@pytest.mark.parametrize("where", ["ret", "errcode", "both"])
async def test_the_number_of_a_refusal_is_found_wherever_it_stands(talking: Bot, where: str):
    await talking.control.post("ilink/settings", code_in=where)
    await talking.control.post("ilink/window", replies=10)
    with pytest.raises(WindowClosed):
        await talking.send()


# files


@pytest.mark.parametrize("size", [1, 16, 200_000])
@pytest.mark.parametrize("wanted", ["both", "full", "param"])
async def test_a_file_arrives_however_its_place_is_told(talking: Bot, tmp_path: Path, size: int, wanted: str):
    await talking.control.post("ilink/settings", upload_url=wanted)
    file = tmp_path / "a"
    file.write_bytes(os.urandom(size))
    await talking.send_file(file)
    (sent,) = await talking.control.bot_sent(1)
    assert sent["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert sent["delivered"]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "value": 500, "times": 2},
        {"kind": "reset"},
        {"kind": "hang"},
        {"kind": "drop_answer"},
    ],
)
async def test_a_file_arrives_at_the_third_try(talking: Bot, tmp_path: Path, fault: dict[str, Any]):
    await talking.control.post("fault", endpoint="cdn_upload", **fault)
    file = tmp_path / "a"
    file.write_bytes(os.urandom(500_000))
    await talking.send_file(file)
    (sent,) = await talking.control.bot_sent(1)
    assert sent["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


async def test_a_file_without_a_place_was_not_delivered(talking: Bot, tmp_path: Path):
    file = tmp_path / "a"
    file.write_bytes(b"x")
    await talking.control.post("ilink/settings", upload_url="none")
    with pytest.raises(Unreachable):
        await talking.send_file(file)
    await talking.control.post("ilink/settings", upload_url="both", upload_answer="refuse")
    with pytest.raises(Rejected, match="upload refused"):
        await talking.send_file(file)
    assert await talking.control.get("ilink/sent") == []


@pytest.mark.parametrize("kind", ["reset", "truncate", "stall", "drop_answer"])
async def test_bytes_that_break_off_are_no_bytes(talking: Bot, kind: str):
    batch = await talking.said(kind="file", bytes_of=500_000)
    media = batch.items[0].media
    await talking.fault("cdn_download", kind)
    with pytest.raises(BackendError):
        async for _ in talking.gateway.download(media):
            pass
    size = 0
    async for piece in talking.gateway.download(media):
        size += len(piece)
    assert size == 500_000


async def test_bytes_are_had_by_an_address_of_ones_own_too(talking: Bot):
    await talking.control.post("ilink/settings", full_urls="never")
    batch = await talking.said(kind="image")
    pieces = [piece async for piece in talking.gateway.download(batch.items[0].media)]
    truth = (await talking.control._http.get(f"/sim/ilink/media/{batch.items[0].id}")).content
    assert b"".join(pieces) == truth


async def test_what_the_cdn_has_no_more_is_not_had(talking: Bot):
    batch = await talking.said(kind="image")
    await talking.control.post("ilink/media", msg_id=batch.items[0].id)
    with pytest.raises(Unreachable):
        async for _ in talking.gateway.download(batch.items[0].media):
            pass


async def test_that_we_type_is_shown_where_it_is_wanted(bot: Bot):
    bot.again(show_typing=True)
    await bot.log_in()
    await bot.said()
    await bot.fault("sendmessage", "delay", value=0.5)
    sending = asyncio.create_task(bot.send())
    await bot.control.wait("typing")
    assert (await sending).message_id


def test_the_window_is_a_day_long():
    assert WINDOW_OPEN_MS == 86_400_000
