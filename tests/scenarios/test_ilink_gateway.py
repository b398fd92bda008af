"""The iLink backend over real HTTP, at servers that are strict and fail in every way."""

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
from wx2mqtt.wechat.backend import (
    LoggedIn,
    QrExpired,
    Scanned,
    ShowQr,
)
from wx2mqtt.wechat.ilink.backend import ILinkBackend
from wx2mqtt.wechat.ilink.ilink_http import ILinkHttp
from wx2mqtt.wechat.ilink.protocol.reply_window import WINDOW_OPEN_MS

SHORT_TIMEOUTS = {
    "get_qrcode_status": 1.5,
    "getupdates": 1.5,
    "sendmessage": 1.0,
    "getuploadurl": 1.0,
    "upload": 2.0,
    "download": 1.0,
}
LOST_ANSWER_FAULTS = [
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


class FakeCredentialStore:
    """Keeps the saved login in memory, as JSON."""

    def __init__(self) -> None:
        self.saved: str | None = None

    async def load(self) -> Mapping[str, object] | None:
        return None if self.saved is None else json.loads(self.saved)

    async def save(self, session: Mapping[str, object]) -> None:
        self.saved = json.dumps(session)

    async def clear(self) -> None:
        self.saved = None


def blob_of(file: Path) -> Blob:
    content = file.read_bytes()
    return Blob(
        sha256=hashlib.sha256(content).hexdigest(), size=len(content), mime="application/pdf", path="x"
    )


class ILinkAccount:
    """The backend, the saved login and the phone of one account."""

    def __init__(self, sim: Simulator) -> None:
        self.control = ILinkControl(sim.url)
        self.credentials = FakeCredentialStore()
        self._url = sim.url
        self.backend = self.create_backend()
        self.cursor = Cursor("")
        self.me = Handle("")
        self._keys = 0

    def create_backend(self, **more: Any) -> ILinkBackend:
        options = backend_options(credentials=self.credentials, endpoint=self._url, clock=PauseClock().clock)
        self.backend = ILinkBackend(options, ILinkHttp(options, timeouts=SHORT_TIMEOUTS), **more)
        return self.backend

    async def log_in(self, *, resume: bool = False) -> LoggedIn:
        async for step in self.backend.login(resume=resume):
            match step:
                case ShowQr():
                    await self.control.post("ilink/scan")
                case Scanned():
                    await self.control.post("ilink/confirm")
                case LoggedIn(owner=owner, cursor=cursor):
                    self.me, self.cursor = owner.handle, cursor
                    return step
        raise AssertionError

    async def next_batch(self) -> Any:
        """Returns the next batch with items, and keeps its cursor."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while not (batch := await self.backend.receive(self.cursor)).items:
                pass
        self.cursor = batch.cursor
        return batch

    async def receive_text(self, text: str = "hello", **more: Any) -> Any:
        """Lets the person write; returns the batch with the message."""
        await self.control.write(text, **more)
        return await self.next_batch()

    async def send(self, text: str = "ok", key: str = "") -> Any:
        self._keys += 1
        draft = Draft(chat=self.me, kind=Kind.TEXT, text=text)
        return await self.backend.send(draft, SendKey(key or f"1790000000{self._keys:04d}"))

    async def send_file(self, file: Path) -> Any:
        self._keys += 1
        attachment = Attachment(file=file, name="a.pdf", blob=blob_of(file))
        draft = Draft(chat=self.me, kind=Kind.FILE, attachment=attachment)
        return await self.backend.send(draft, SendKey(f"1790000001{self._keys:04d}"))

    async def fault(self, call: str, kind: str, **more: Any) -> None:
        await self.control.post("fault", endpoint=call, kind=kind, **more)

    def window(self) -> ReplyWindow:
        reply_window = self.backend.reply_window(self.me)
        assert reply_window is not None
        return reply_window


@pytest.fixture
async def account() -> AsyncIterator[ILinkAccount]:
    """Gives an account that is not logged in; asserts at the end that the simulator saw no violation."""
    async with Simulator() as sim:
        account = ILinkAccount(sim)
        await account.control.post("settings", strict=True)
        await account.control.post("ilink/settings", hold_status=0.4, hold_updates=0.4, poll_limit=0)
        yield account
        await account.backend.close()
        assert await account.control.get("violations") == []
        await account.control.close()


@pytest.fixture
async def open_account(account: ILinkAccount) -> ILinkAccount:
    """Gives an account that is logged in, to which the person has written."""
    await account.log_in()
    await account.receive_text()
    return account


# login


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "value": 524},
        {"kind": "status", "value": 502},
        *({"kind": kind} for kind in LOST_ANSWER_FAULTS if kind != "drop_answer"),
    ],
)
async def test_the_code_stays_whatever_fault_a_poll_meets(account: ILinkAccount, fault: dict[str, Any]):
    await account.control.post("fault", endpoint="get_qrcode_status", **fault)
    codes = 0
    async for step in account.backend.login(resume=False):
        match step:
            case ShowQr():
                codes += 1
                await account.control.post("ilink/scan")
            case Scanned():
                await account.control.post("ilink/confirm")
            case LoggedIn():
                break
    assert codes == 1


async def test_an_old_code_is_followed_by_a_new_one(account: ILinkAccount):
    await account.control.post("ilink/settings", qr_lifetime=0.3)
    steps = []
    async for step in account.backend.login(resume=False):
        if isinstance(step, ShowQr | QrExpired):
            steps.append(type(step))
        if len(steps) == 4:
            break
    assert steps == [ShowQr, QrExpired, ShowQr, QrExpired]


async def test_a_login_is_taken_up_after_a_restart(open_account: ILinkAccount):
    await open_account.backend.close()
    open_account.create_backend()
    step = await open_account.log_in(resume=True)
    assert step.resumed
    assert open_account.window().open
    assert (await open_account.send()).message_id
    assert (await open_account.control.bot_sent(1))[0]["token"] == "newest"


async def test_a_newer_version_of_the_client_is_named_from_the_code_to_the_messages(account: ILinkAccount):
    account.create_backend(client_version="2.5.0")
    await account.log_in()
    await account.receive_text()
    assert (await account.send("with 2.5.0")).message_id
    assert [message["text"] for message in await account.control.bot_sent(1)] == ["with 2.5.0"]


async def test_bound_elsewhere_is_a_logout_and_a_new_scan_a_new_bot(open_account: ILinkAccount):
    await open_account.control.post("ilink/kill")
    for work in (open_account.backend.receive(open_account.cursor), open_account.send()):
        with pytest.raises(LoggedOut, match="somewhere else"):
            await work
    step = await open_account.log_in()
    assert not step.resumed
    assert open_account.window() == ReplyWindow(open=False, remaining=0, reason="new_binding")
    await open_account.receive_text()
    assert (await open_account.send()).message_id


# receiving


@pytest.mark.parametrize("kind", LOST_ANSWER_FAULTS)
async def test_the_message_comes_whatever_fault_the_answer_has(account: ILinkAccount, kind: str):
    await account.log_in()
    await account.control.write("hello")
    await account.fault("getupdates", kind)
    with pytest.raises(Unreachable):
        await account.backend.receive(account.cursor)
    batch = await account.next_batch()
    assert [item.text for item in batch.items] == ["hello"]


async def test_an_answer_that_is_far_too_large_is_given_up(account: ILinkAccount):
    await account.log_in()
    await account.fault("getupdates", "huge", value=200_000_000)
    tracemalloc.start()
    with pytest.raises(Unreachable):
        await account.backend.receive(account.cursor)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150_000_000  # which includes the memory of the simulator


async def test_a_redelivery_has_the_key_of_the_first_delivery(account: ILinkAccount):
    await account.log_in()
    batch = await account.receive_text("toggle")
    await account.control.post("ilink/redeliver")
    redelivered = await account.next_batch()
    (first,), (second,) = batch.items, redelivered.items
    assert first.key == second.key
    assert first.id != second.id
    await account.receive_text("toggle")
    assert (await account.send()).message_id


# sending


@pytest.mark.parametrize("kind", LOST_ANSWER_FAULTS)
async def test_after_a_lost_answer_the_outcome_is_unknown_and_another_attempt_is_no_second_message(
    open_account: ILinkAccount, kind: str
):
    await open_account.fault("sendmessage", kind)
    with pytest.raises(OutcomeUnknown):
        await open_account.send("once", key="179000000099")
    await open_account.send("once", key="179000000099")
    messages = [
        message
        for message in (await open_account.control.get("ilink/feed"))["lines"]
        if message["text"] == "once"
    ]
    assert len(messages) == 1


@pytest.mark.parametrize("status", [502, 503, 524])
async def test_a_gateway_that_fails_has_delivered_nothing(open_account: ILinkAccount, status: int):
    await open_account.fault("sendmessage", "status", value=status)
    with pytest.raises(Unreachable):
        await open_account.send()
    assert (await open_account.send()).message_id


async def test_ten_messages_are_sent_until_the_person_writes_again(open_account: ILinkAccount):
    for number in range(10):
        assert open_account.window().remaining == 10 - number
        await open_account.send(str(number))
    assert open_account.window().reason == "quota_used"
    await open_account.receive_text("again")
    assert open_account.window().remaining == 10


async def test_a_refusal_by_the_server_closes_the_window(open_account: ILinkAccount):
    await open_account.control.post("ilink/window", replies=10)
    with pytest.raises(WindowClosed) as raised:
        await open_account.send()
    assert raised.value.code == open_account.window().reason == "quota_used"
    await open_account.receive_text()
    await open_account.control.post("ilink/clock", forward=25 * 3600)
    with pytest.raises(WindowClosed) as raised:
        await open_account.send()
    assert raised.value.code == "window_closed"
    assert open_account.window().reason == "too_long_ago"


async def test_the_window_follows_the_servers_clock(open_account: ILinkAccount):
    """The local clock is a month behind that of the server."""
    await open_account.control.post("ilink/clock", ahead=30 * 86400)
    await open_account.receive_text()
    window = open_account.window()
    assert window.open
    assert window.until is not None
    assert (await open_account.send()).message_id


@pytest.mark.parametrize("error_text", ["prepare failed", "unknown error"])
async def test_a_token_that_is_refused_is_left_out(open_account: ILinkAccount, error_text: str):
    # WeChat tolerates a missing token, which the strict simulator reports as a violation.
    await open_account.control.post("settings", strict=False)
    await open_account.control.post("ilink/settings", refuse_tokens=error_text)
    assert (await open_account.send()).message_id
    assert (await open_account.control.bot_sent(1))[0]["token"] == "none"


async def test_a_rate_limit_of_the_server_slows_down(open_account: ILinkAccount):
    await open_account.control.post("ilink/settings", rate_limit=1)
    await open_account.send()
    with pytest.raises(Throttled) as raised:
        await open_account.send()
    assert raised.value.retry_after == 30
    assert open_account.window().reason == "rate_limited"


@pytest.mark.parametrize(
    ("answer", "confirmed"), [("only_id", True), ("ret", False), ("object", False), ("empty", False)]
)
async def test_every_form_of_a_positive_answer_is_accepted(
    open_account: ILinkAccount, answer: str, confirmed: bool
):
    await open_account.control.post("ilink/settings", answer=answer)
    assert bool((await open_account.send()).message_id) is confirmed


async def test_a_message_to_a_muted_person_gets_no_message_id(open_account: ILinkAccount):
    await open_account.control.post("ilink/mute")
    assert (await open_account.send()).message_id == ""


@pytest.mark.parametrize("code_in", ["ret", "errcode", "both"])
async def test_the_code_of_a_refusal_is_found_in_every_field(open_account: ILinkAccount, code_in: str):
    await open_account.control.post("ilink/settings", code_in=code_in)
    await open_account.control.post("ilink/window", replies=10)
    with pytest.raises(WindowClosed):
        await open_account.send()


# files


@pytest.mark.parametrize("size", [1, 16, 200_000])
@pytest.mark.parametrize("upload_url", ["both", "full", "param"])
async def test_a_file_arrives_by_every_form_of_upload_address(
    open_account: ILinkAccount, tmp_path: Path, size: int, upload_url: str
):
    await open_account.control.post("ilink/settings", upload_url=upload_url)
    file = tmp_path / "a"
    file.write_bytes(os.urandom(size))
    await open_account.send_file(file)
    (sent,) = await open_account.control.bot_sent(1)
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
async def test_a_file_arrives_at_the_third_try(
    open_account: ILinkAccount, tmp_path: Path, fault: dict[str, Any]
):
    await open_account.control.post("fault", endpoint="cdn_upload", **fault)
    file = tmp_path / "a"
    file.write_bytes(os.urandom(500_000))
    await open_account.send_file(file)
    (sent,) = await open_account.control.bot_sent(1)
    assert sent["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


async def test_a_file_without_an_upload_address_was_not_delivered(open_account: ILinkAccount, tmp_path: Path):
    file = tmp_path / "a"
    file.write_bytes(b"x")
    await open_account.control.post("ilink/settings", upload_url="none")
    with pytest.raises(Unreachable):
        await open_account.send_file(file)
    await open_account.control.post("ilink/settings", upload_url="both", upload_answer="refuse")
    with pytest.raises(Rejected, match="upload refused"):
        await open_account.send_file(file)
    assert await open_account.control.get("ilink/sent") == []


@pytest.mark.parametrize("kind", ["reset", "truncate", "stall", "drop_answer"])
async def test_a_download_that_breaks_off_fails_and_can_be_repeated(open_account: ILinkAccount, kind: str):
    batch = await open_account.receive_text(kind="file", bytes_of=500_000)
    media = batch.items[0].media
    await open_account.fault("cdn_download", kind)
    with pytest.raises(BackendError):
        async for _ in open_account.backend.download(media):
            pass
    size = 0
    async for piece in open_account.backend.download(media):
        size += len(piece)
    assert size == 500_000


async def test_media_are_downloaded_by_a_composed_address_too(open_account: ILinkAccount):
    await open_account.control.post("ilink/settings", full_urls="never")
    batch = await open_account.receive_text(kind="image")
    pieces = [piece async for piece in open_account.backend.download(batch.items[0].media)]
    content = (await open_account.control._http.get(f"/sim/ilink/media/{batch.items[0].id}")).content
    assert b"".join(pieces) == content


async def test_media_that_the_cdn_has_deleted_cannot_be_downloaded(open_account: ILinkAccount):
    batch = await open_account.receive_text(kind="image")
    await open_account.control.post("ilink/media", msg_id=batch.items[0].id)
    with pytest.raises(Unreachable):
        async for _ in open_account.backend.download(batch.items[0].media):
            pass


async def test_typing_is_shown_where_it_is_configured(account: ILinkAccount):
    account.create_backend(show_typing=True)
    await account.log_in()
    await account.receive_text()
    await account.fault("sendmessage", "delay", value=0.5)
    sending = asyncio.create_task(account.send())
    await account.control.wait("typing")
    assert (await sending).message_id


def test_the_window_is_a_day_long():
    assert WINDOW_OPEN_MS == 86_400_000
