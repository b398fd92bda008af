"""Downloads of the web WeChat backend over real HTTP, from a strict simulator (webwx 2.16)."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from tests.scenarios.test_webwx import SHORT_TIMEOUTS, AccountHarness, account_at
from wx2mqtt.errors import BackendError, LoggedOut, NoContentYet, Rejected, Throttled, Unreachable
from wx2mqtt.model import Kind, MediaRef, Message
from wx2mqtt.simulator.server import Simulator

WITH_BYTES = ["image", "voice", "video", "micro_video", "sticker", "file", "app_image", "app_sticker"]
WITH_THUMBNAIL = [
    "image",
    "video",
    "link",
    "articles",
    "music",
    "mini_program",
    "channels",
    "location",
    "location_48",
]
PICTURE = "webwxgetmsgimg"


@pytest.fixture
async def online(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AccountHarness]:
    """Yields an account that is logged in, with a timeout of half a second; checks that there was no violation."""
    for call in (PICTURE, "webwxgetmedia"):
        monkeypatch.setitem(SHORT_TIMEOUTS, call, 0.5)
    async with Simulator(seed=3) as sim:
        sim.wechat.settings.change({"strict": True, "hold_login": 0.5, "hold_sync": 0.5, "notify_lists": 0})
        async with account_at(sim) as account:
            await account.log_in()
            await account.people()
            yield account


async def receive_media(account: AccountHarness, kind: str, **more: Any) -> Message:
    await account.control.say("wife", kind=kind, **more)
    (message,) = await account.items()
    assert isinstance(message, Message)
    return message


async def download(account: AccountHarness, media: MediaRef | None) -> bytes:
    assert media is not None
    async with aclosing(account.backend.download(media)) as pieces:
        return b"".join([piece async for piece in pieces])


@pytest.mark.parametrize("kind", WITH_BYTES)
async def test_downloaded_bytes_are_those_that_were_sent(online: AccountHarness, kind: str) -> None:
    message = await receive_media(online, kind)
    assert await download(online, message.media) == await online.control.content(message.id)


@pytest.mark.parametrize("kind", WITH_THUMBNAIL)
async def test_a_thumbnail_can_be_downloaded(online: AccountHarness, kind: str) -> None:
    message = await receive_media(online, kind)
    assert await download(online, message.thumbnail) == await online.control.content(
        message.id, thumbnail=True
    )


async def test_a_file_of_a_group_with_an_odd_name(online: AccountHarness) -> None:
    await online.control.say("mom", to="family", kind="file", text="报告 & 50% #1.pdf")
    (message,) = await online.items()
    assert isinstance(message, Message)
    assert (message.kind, message.detail["name"]) == (Kind.FILE, "报告 & 50% #1.pdf")
    assert await download(online, message.media) == await online.control.content(message.id)


async def test_pictures_of_people_and_groups(online: AccountHarness) -> None:
    names = await online.names()
    pictures = [await download(online, online.backend.avatar(names[name])) for name in ("wife", "family")]
    assert all(picture.startswith(b"\xff\xd8") for picture in pictures)


async def test_a_large_file_comes_in_pieces(online: AccountHarness) -> None:
    size = 30_000_000
    message = await receive_media(online, "video", bytes_of=size)
    assert message.media is not None
    digest, received, largest = hashlib.sha256(), 0, 0
    async with aclosing(online.backend.download(message.media)) as pieces:
        async for piece in pieces:
            digest.update(piece)
            received += len(piece)
            largest = max(largest, len(piece))
    assert received == size
    assert largest <= 1 << 20
    assert digest.digest() == hashlib.sha256(await online.control.content(message.id)).digest()


@pytest.mark.parametrize(
    ("fault", "value", "error"),
    [
        ("truncate", None, Unreachable),
        ("stall", None, Unreachable),
        ("stall", 0, Unreachable),
        ("hang", None, Unreachable),
        ("drop_answer", None, Unreachable),
        ("reset", None, Unreachable),
        ("bad_status_line", None, Unreachable),
        ("status", 302, Unreachable),
        ("status", 503, Unreachable),
        ("status", 404, NoContentYet),
        ("status", 410, Rejected),
        ("empty", None, NoContentYet),
        ("html", None, Rejected),
        ("ret", 1, Rejected),
        ("ret", -1, Unreachable),
        ("ret", 1205, Throttled),
        ("ret", 1101, LoggedOut),
    ],
)
async def test_each_fault_raises_its_error_and_the_next_attempt_succeeds(
    online: AccountHarness, fault: str, value: int | None, error: type[BackendError]
) -> None:
    message = await receive_media(online, "image", bytes_of=100_000)
    await online.control.post("fault", endpoint=PICTURE, kind=fault, value=value)
    with pytest.raises(error) as trouble:
        await download(online, message.media)
    assert isinstance(trouble.value, NoContentYet) is (error is NoContentYet)
    assert getattr(trouble.value, "code", "gone") == "gone"
    assert await download(online, message.media) == await online.control.content(message.id)


async def test_a_slow_download_that_never_pauses_is_completed(online: AccountHarness) -> None:
    message = await receive_media(online, "image", bytes_of=2000)
    await online.control.post("fault", endpoint=PICTURE, kind="drip", value=1500)
    assert len(await download(online, message.media)) == 2000


async def test_a_download_of_a_file_that_is_gone_is_rejected(online: AccountHarness) -> None:
    message = await receive_media(online, "file")
    for answer_format in ("json", "html"):
        await online.control.post("settings", gone_media=answer_format)
        with pytest.raises(Rejected) as gone:
            await download(online, message.media)
        assert gone.value.code == "gone"


async def test_a_download_of_an_earlier_login_fails_without_a_violation(online: AccountHarness) -> None:
    message = await receive_media(online, "file")
    await online.control.post("logout", retcode=1101)
    with pytest.raises(LoggedOut):
        while True:
            await online.next()
    online.restart()
    await online.log_in()
    assert message.media is not None
    try:
        content = await download(online, message.media)
    except BackendError as why:
        assert not isinstance(why, LoggedOut)
    else:
        assert content == await online.control.content(message.id)


async def test_a_download_without_a_login_makes_no_request(online: AccountHarness) -> None:
    message = await receive_media(online, "image")
    await online.backend.logout()
    with pytest.raises(LoggedOut):
        await download(online, message.media)
