"""Fetching bytes by the web WeChat backend over real HTTP, from a simulator that forgives nothing (webwx 2.16)."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from tests.scenarios.test_webwx import QUICK, Account, account_on
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
async def online(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Account]:
    """Logged in, everybody known, a silence of half a second is too long; nothing wrong at the end."""
    for call in (PICTURE, "webwxgetmedia"):
        monkeypatch.setitem(QUICK, call, 0.5)
    async with Simulator(seed=3) as sim:
        sim.wechat.settings.change({"strict": True, "hold_login": 0.5, "hold_sync": 0.5, "notify_lists": 0})
        async with account_on(sim) as account:
            await account.log_in()
            await account.people()
            yield account


async def said(account: Account, kind: str, **more: Any) -> Message:
    await account.control.say("wife", kind=kind, **more)
    (message,) = await account.items()
    assert isinstance(message, Message)
    return message


async def fetched(account: Account, media: MediaRef | None) -> bytes:
    assert media is not None
    async with aclosing(account.gateway.download(media)) as pieces:
        return b"".join([piece async for piece in pieces])


@pytest.mark.parametrize("kind", WITH_BYTES)
async def test_the_bytes_are_those_that_were_sent(online: Account, kind: str) -> None:
    message = await said(online, kind)
    assert await fetched(online, message.media) == await online.control.content(message.id)


@pytest.mark.parametrize("kind", WITH_THUMBNAIL)
async def test_small_pictures(online: Account, kind: str) -> None:
    message = await said(online, kind)
    assert await fetched(online, message.thumbnail) == await online.control.content(
        message.id, thumbnail=True
    )


async def test_a_file_of_a_group_with_an_odd_name(online: Account) -> None:
    await online.control.say("mom", to="family", kind="file", text="报告 & 50% #1.pdf")
    (message,) = await online.items()
    assert isinstance(message, Message)
    assert (message.kind, message.detail["name"]) == (Kind.FILE, "报告 & 50% #1.pdf")
    assert await fetched(online, message.media) == await online.control.content(message.id)


async def test_pictures_of_people_and_groups(online: Account) -> None:
    names = await online.names()
    pictures = [await fetched(online, online.gateway.avatar(names[name])) for name in ("wife", "family")]
    assert all(picture.startswith(b"\xff\xd8") for picture in pictures)


async def test_a_large_one_comes_in_pieces(online: Account) -> None:
    size = 30_000_000
    message = await said(online, "video", bytes_of=size)
    assert message.media is not None
    digest, received, largest = hashlib.sha256(), 0, 0
    async with aclosing(online.gateway.download(message.media)) as pieces:
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
async def test_trouble_says_what_to_do_and_the_next_try_succeeds(
    online: Account, fault: str, value: int | None, error: type[BackendError]
) -> None:
    message = await said(online, "image", bytes_of=100_000)
    await online.control.post("fault", endpoint=PICTURE, kind=fault, value=value)
    with pytest.raises(error) as trouble:
        await fetched(online, message.media)
    assert isinstance(trouble.value, NoContentYet) is (error is NoContentYet)
    assert getattr(trouble.value, "code", "gone") == "gone"
    assert await fetched(online, message.media) == await online.control.content(message.id)


async def test_a_slow_one_that_never_rests_is_waited_for(online: Account) -> None:
    message = await said(online, "image", bytes_of=2000)
    await online.control.post("fault", endpoint=PICTURE, kind="drip", value=1500)
    assert len(await fetched(online, message.media)) == 2000


async def test_a_file_that_is_gone(online: Account) -> None:
    message = await said(online, "file")
    for how in ("json", "html"):
        await online.control.post("settings", gone_media=how)
        with pytest.raises(Rejected) as gone:
            await fetched(online, message.media)
        assert gone.value.code == "gone"


async def test_bytes_of_an_earlier_login_are_tried_and_fail_cleanly(online: Account) -> None:
    message = await said(online, "file")
    await online.control.post("logout", retcode=1101)
    with pytest.raises(LoggedOut):
        while True:
            await online.next()
    online.fresh()
    await online.log_in()
    assert message.media is not None
    try:
        content = await fetched(online, message.media)
    except BackendError as why:
        assert not isinstance(why, LoggedOut)
    else:
        assert content == await online.control.content(message.id)


async def test_without_a_login_nothing_is_asked(online: Account) -> None:
    message = await said(online, "image")
    await online.gateway.logout()
    with pytest.raises(LoggedOut):
        await fetched(online, message.media)
