"""Downloads: in pieces, complete or not at all, and the meaning of each answer (webwx 2.16, 3.7)."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import pytest

from tests.unit.wechat.rig import query, refused
from tests.unit.wechat.webwx.entries import FAMILY, WIFE
from tests.unit.wechat.webwx.server import WebWxRig, answer, renewing
from wx2mqtt.errors import BackendError, LoggedOut, NoContentYet, Rejected, Throttled, Unreachable
from wx2mqtt.model import Handle, MediaRef
from wx2mqtt.wechat.webwx import download
from wx2mqtt.wechat.webwx.protocol.locators import MediaCall

PICTURE = b"\xff\xd8\xff\xe0" + bytes(range(256))
CALLS = {
    MediaCall.IMAGE: "webwxgetmsgimg",
    MediaCall.THUMBNAIL: "webwxgetmsgimg",
    MediaCall.STICKER: "webwxgetmsgimg",
    MediaCall.VOICE: "webwxgetvoice",
    MediaCall.VIDEO: "webwxgetvideo",
    MediaCall.FILE: "webwxgetmedia",
    MediaCall.MAP: "webwxgetpubliclinkimg",
    MediaCall.AVATAR: "webwxgeticon",
    MediaCall.GROUP_AVATAR: "webwxgetheadimg",
}
RECORDINGS = sorted(set(CALLS) - {MediaCall.FILE})


def ref(call: MediaCall, name: str = "", **more: str) -> MediaRef:
    file = {"mediaid": "@m"} if call is MediaCall.FILE else {}
    return MediaRef(locator={"call": str(call), "msgid": "5", **file, **more}, name=name)


async def fetched(rig: WebWxRig, media: MediaRef) -> bytes:
    return b"".join([piece async for piece in rig.backend.download(media)])


def brings(rig: WebWxRig, call: MediaCall, body: bytes = PICTURE, status: int = 200, **headers: Any) -> None:
    response_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    rig.put(CALLS[call], httpx.Response(status, content=body, headers=response_headers))


async def fails(rig: WebWxRig, call: MediaCall, error: type[BackendError], name: str = "") -> BackendError:
    with pytest.raises(error) as failure:
        await fetched(rig, ref(call, name))
    assert type(failure.value) is error or error is Unreachable
    assert not isinstance(failure.value, NoContentYet) or error is NoContentYet
    for secret in ("SECRET", "http"):
        assert secret not in str(failure.value)
    return failure.value


@pytest.mark.parametrize("call", MediaCall)
async def test_bytes_come_with_the_keys_of_now(online: WebWxRig, call: MediaCall) -> None:
    brings(online, call)
    assert await fetched(online, ref(call)) == PICTURE
    (request,) = online.asked(CALLS[call])
    assert request.method == "GET"
    assert "webwx_data_ticket=SECRETdt" in request.headers["Cookie"]
    if call is MediaCall.FILE:
        assert query(request)["webwx_data_ticket"] == "SECRETdt"


async def test_a_video_in_answer_to_its_range(online: WebWxRig) -> None:
    brings(online, MediaCall.VIDEO, status=206, Content_Range=f"bytes 0-{len(PICTURE) - 1}/{len(PICTURE)}")
    assert await fetched(online, ref(MediaCall.VIDEO)) == PICTURE
    assert online.asked("webwxgetvideo")[0].headers["Range"] == "bytes=0-"


@pytest.mark.parametrize("content_range", ["bytes 0-99/500", "bytes 0-499/1000"])
async def test_a_part_is_not_the_whole(online: WebWxRig, content_range: str) -> None:
    brings(online, MediaCall.VIDEO, status=206, Content_Range=content_range)
    await fails(online, MediaCall.VIDEO, Unreachable)


@pytest.mark.parametrize("call", MediaCall)
async def test_no_bytes_mean_nothing_yet(online: WebWxRig, call: MediaCall) -> None:
    brings(online, call, b"")
    await fails(online, call, NoContentYet)


@pytest.mark.parametrize(
    ("status", "call", "error"),
    [
        (404, MediaCall.FILE, Rejected),
        (410, MediaCall.FILE, Rejected),
        (404, MediaCall.AVATAR, Rejected),
        (410, MediaCall.IMAGE, Rejected),
        (404, MediaCall.IMAGE, NoContentYet),
        (404, MediaCall.VIDEO, NoContentYet),
        (416, MediaCall.VIDEO, NoContentYet),
        (204, MediaCall.VOICE, NoContentYet),
        (301, MediaCall.IMAGE, Unreachable),
        (302, MediaCall.FILE, Unreachable),
        (403, MediaCall.FILE, Unreachable),
        (500, MediaCall.FILE, Unreachable),
        (502, MediaCall.IMAGE, Unreachable),
        (503, MediaCall.VIDEO, Unreachable),
    ],
)
async def test_what_a_status_means(
    online: WebWxRig, status: int, call: MediaCall, error: type[BackendError]
) -> None:
    brings(online, call, PICTURE, status, Location="https://evil.example/")
    await fails(online, call, error)
    assert len(online.asked(CALLS[call])) == 1


REFUSALS = [
    b'{"BaseResponse": {"Ret": 1, "ErrMsg": ""}}',
    b'{"BaseResponse": {"Ret": 0}}',
    b'\xef\xbb\xbf\n {"BaseResponse": {"Ret": -2}}',
]
PAGES = [b"<html><body>expired</body></html>", b"\r\n<!DOCTYPE html>\n<html></html>"]


@pytest.mark.parametrize("call", MediaCall)
@pytest.mark.parametrize("body", REFUSALS)
async def test_json_instead_of_bytes_says_that_they_are_gone(
    online: WebWxRig, call: MediaCall, body: bytes
) -> None:
    brings(online, call, body, Content_Type="text/plain")
    gone = await fails(online, call, Rejected)
    assert isinstance(gone, Rejected)
    assert gone.code == "gone"


@pytest.mark.parametrize("call", MediaCall)
@pytest.mark.parametrize("page", [*PAGES, PAGES[0] + b" " * (3 * download.MAX_ERROR_BODY_BYTES)])
async def test_a_page_instead_of_bytes_says_that_they_are_gone(
    online: WebWxRig, call: MediaCall, page: bytes
) -> None:
    brings(online, call, page, Content_Type="text/html; charset=utf-8")
    assert getattr(await fails(online, call, Rejected, "report.pdf"), "code", "") == "gone"


@pytest.mark.parametrize("call", RECORDINGS)
async def test_no_recording_is_made_of_words(online: WebWxRig, call: MediaCall) -> None:
    brings(online, call, b'{"some": "json"}')
    await fails(online, call, Rejected)


@pytest.mark.parametrize(
    ("name", "body", "headers"),
    [
        ("a.json", b'{"a": 1}', {"Content_Type": "application/json"}),
        ("a.html", PAGES[0], {"Content_Type": "text/html"}),
        ("a.xml", b"<msg/>", {"Content_Type": "text/html"}),
        ("noname", PAGES[0], {"Content_Type": "application/octet-stream"}),
        ("a.bin", REFUSALS[0], {"Content_Disposition": "attachment; filename=a.bin"}),
        ("a.json", b"{" + b"x" * (5 * download.MAX_ERROR_BODY_BYTES), {}),
    ],
)
async def test_a_file_may_be_made_of_words(
    online: WebWxRig, name: str, body: bytes, headers: dict[str, Any]
) -> None:
    brings(online, MediaCall.FILE, body, **headers)
    assert await fetched(online, ref(MediaCall.FILE, name)) == body


@pytest.mark.parametrize("ret", [1100, 1101, 1102, 1103])
async def test_a_login_that_is_over(online: WebWxRig, ret: int) -> None:
    online.put("webwxgetmsgimg", answer(ret))
    await fails(online, MediaCall.IMAGE, LoggedOut)


async def test_too_often(online: WebWxRig) -> None:
    online.put("webwxgetmedia", answer(1205))
    slow = await fails(online, MediaCall.FILE, Throttled)
    assert isinstance(slow, Throttled)
    assert slow.retry_after == 60.0


@pytest.mark.parametrize("ret", [-1, 3])
async def test_later(online: WebWxRig, ret: int) -> None:
    online.put("webwxgetmsgimg", answer(ret))
    await fails(online, MediaCall.IMAGE, Unreachable)


@pytest.mark.parametrize("renewed", [{"SKey": "@crypt_NEW"}, {"cookies": ("webwx_data_ticket=NEW",)}])
async def test_keys_that_were_renewed_meanwhile_are_no_logout(
    online: WebWxRig, renewed: dict[str, Any]
) -> None:
    online.put("webwxgetmsgimg", renewing(online, answer(1102), **renewed))
    await fails(online, MediaCall.IMAGE, Unreachable)
    online.put("webwxgetmsgimg", answer(1102))
    await fails(online, MediaCall.IMAGE, LoggedOut)


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("SECRET http://x"),
        httpx.ReadTimeout("SECRET"),
        httpx.ReadError("SECRET"),
        httpx.RemoteProtocolError("SECRET"),
    ],
)
async def test_trouble_on_the_way(online: WebWxRig, trouble: Exception) -> None:
    online.put("webwxgetvoice", trouble)
    await fails(online, MediaCall.VOICE, Unreachable)


async def test_nothing_is_fetched_without_a_login(rig: WebWxRig) -> None:
    await fails(rig, MediaCall.IMAGE, LoggedOut)
    assert rig.requests == []


async def test_a_locator_that_another_version_wrote(online: WebWxRig) -> None:
    with refused("gone"):
        await fetched(online, MediaRef(locator={"call": "hologram"}))


async def test_a_file_without_an_id_is_gone_and_nothing_is_asked(rig: WebWxRig) -> None:
    with refused("gone"):
        await fetched(rig, MediaRef(locator={"call": "file", "msgid": "5", "mediaid": ""}))
    assert rig.requests == []


async def test_a_locator_of_an_earlier_login_is_tried_with_the_keys_of_now(online: WebWxRig) -> None:
    old = {"sender": "@" + "0" * 32, "mediaid": "@old", "encryfilename": "a"}
    brings(online, MediaCall.FILE, b'{"BaseResponse": {"Ret": 1}}')
    with pytest.raises(Rejected):
        await fetched(online, ref(MediaCall.FILE, **old))
    assert query(online.asked("webwxgetmedia")[0])["fromuser"] == "211722515"


async def test_whose_picture_it_is(online: WebWxRig) -> None:
    backend = online.backend
    icon = "/cgi-bin/mmwebwx-bin/webwxgeticon?seq=664&username=x&skey="
    online.put(
        "webwxgetcontact",
        answer(MemberList=[{"UserName": WIFE, "NickName": "梅", "HeadImgUrl": icon}, {"UserName": FAMILY}]),
    )
    async for _ in backend.list_contacts(lambda _count: None):
        pass
    wife, owner = backend.avatar(WIFE), backend.avatar(Handle("filehelper"))
    assert wife is not None
    assert owner is not None
    assert (wife.locator["seq"], wife.locator["username"]) == ("664", WIFE)
    assert owner.locator["seq"] == "0"
    assert backend.avatar(Handle("@nobody")) is None
    assert WebWxRig().backend.avatar(WIFE) is None


class Pieces(httpx.AsyncByteStream):
    """A body in pieces; how many were taken, and whether it was let go of."""

    def __init__(self, *pieces: bytes, hang: bool = False) -> None:
        self._pieces = pieces
        self._hang = hang
        self.taken = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.taken += 1
            yield piece
        if self._hang:
            await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.closed = True


async def streaming(body: Pieces, **headers: str) -> tuple[WebWxRig, AsyncGenerator[bytes, None]]:
    rig = WebWxRig(timeouts={"webwxgetvideo": 0.05})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    rig.put("webwxgetvideo", httpx.Response(200, headers=named, stream=body))
    await rig.log_in()
    return rig, rig.backend.download(ref(MediaCall.VIDEO))


async def test_bytes_are_handed_on_as_they_come() -> None:
    body = Pieces(b"one", b"", b"two", b"three")
    _rig, pieces = await streaming(body, Content_Length="11")
    assert await anext(pieces) == b"one"
    assert body.taken == 1
    assert [piece async for piece in pieces] == [b"two", b"three"]
    assert body.closed


async def test_whoever_has_enough_lets_go_of_the_answer() -> None:
    body = Pieces(*[b"x" * 1000] * 1000)
    _rig, pieces = await streaming(body)
    async for _ in pieces:
        break
    await pieces.aclose()
    assert (body.closed, body.taken) == (True, 1)


@pytest.mark.parametrize("announced", ["12", "9999999", "x"])
async def test_a_body_that_is_cut_short(announced: str) -> None:
    _rig, pieces = await streaming(Pieces(b"one", b"two", b"three"), Content_Length=announced)
    with pytest.raises(Unreachable):
        async for _ in pieces:
            pass


async def test_a_silence_ends_it_and_says_so() -> None:
    body = Pieces(b"one", hang=True)
    rig, pieces = await streaming(body)
    assert await anext(pieces) == b"one"
    with pytest.raises(Unreachable, match="did not answer in time"):
        await anext(pieces)
    assert body.closed
    assert ("webwxgetvideo", "no_answer") in rig.seen


async def test_a_packed_answer_is_not_unpacked() -> None:
    _rig, pieces = await streaming(Pieces(b"\x1f\x8b" + b"\0" * 100), Content_Encoding="gzip")
    with pytest.raises(Unreachable):
        await anext(pieces)


async def test_a_large_one_is_never_whole_in_memory() -> None:
    piece = b"x" * (1 << 16)
    _rig, pieces = await streaming(Pieces(*[piece] * 1600))  # 100 MB
    tracemalloc.start()
    size = 0
    async for got in pieces:
        size += len(got)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 1600 << 16
    assert peak < 1 << 20
