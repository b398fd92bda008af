"""Downloads: from where, with which key, and whether they match their message (ilink 8.4)."""

from __future__ import annotations

import gzip
import hashlib
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.repetitions import repetitions
from tests.unit.wechat.ilink.entries import KEY
from tests.unit.wechat.ilink.files import sealed
from tests.unit.wechat.ilink.server import ENDPOINT, ILinkRig, raw
from tests.unit.wechat.rig import refused
from wx2mqtt.errors import BackendError, NoContentYet, Rejected, Unreachable
from wx2mqtt.model import MediaRef
from wx2mqtt.wechat.http_client import BadAnswer

PLAIN = b"hello " * 50_000
FULL = "https://novac2c.cdn.weixin.qq.com/c2c/download?taskid=1"


def ref(**more: str) -> MediaRef:
    locator = {"url": FULL, "param": "P+/=", "key": KEY.hex(), **more}
    return MediaRef(locator={name: value for name, value in locator.items() if value})


async def fetched(rig: ILinkRig, media: MediaRef) -> bytes:
    return b"".join([piece async for piece in rig.backend.download(media)])


@pytest.mark.parametrize("plain", [b"", b"x", b"x" * 16, PLAIN])
async def test_bytes_are_decrypted(rig: ILinkRig, plain: bytes) -> None:
    rig.put("download", raw(sealed(plain)))
    assert await fetched(rig, ref()) == plain
    (request,) = rig.asked("download")
    assert request.headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in request.headers


async def test_without_a_key_they_are_as_they_are(rig: ILinkRig) -> None:
    rig.put("download", raw(PLAIN))
    assert await fetched(rig, ref(key="")) == PLAIN


async def test_no_login_is_needed(rig: ILinkRig) -> None:
    rig.put("download", raw(sealed(b"x")))
    assert await fetched(rig, ref()) == b"x"
    assert rig.calls() == ["download"]


async def test_the_whole_address_goes_before_one_of_our_own() -> None:
    rig = ILinkRig(endpoint=None)
    rig.put("download", raw(sealed(b"x")))
    await fetched(rig, ref())
    await fetched(rig, ref(url=""))
    assert [str(request.url) for request in rig.requests] == [
        FULL,
        "https://novac2c.cdn.weixin.qq.com/c2c/download?encrypted_query_param=P%2B%2F%3D",
    ]


async def test_one_of_our_own_is_tried_where_the_whole_one_does_not_do(rig: ILinkRig) -> None:
    rig.put("download", raw(b"", 403), raw(sealed(b"x")))
    assert await fetched(rig, ref()) == b"x"
    assert len(rig.requests) == 2


async def test_with_an_endpoint_bytes_come_from_there(rig: ILinkRig) -> None:
    rig.put("download", raw(sealed(b"x")))
    await fetched(rig, ref())
    assert str(rig.requests[0].url) == f"{ENDPOINT}/c2c/download?taskid=1"


async def test_a_host_that_is_not_wechat_s_is_not_asked() -> None:
    rig = ILinkRig(endpoint=None)
    rig.put("download", raw(sealed(b"x")))
    for evil in ("https://evil.example/x", "http://169.254.169.254/", "http://novac2c.cdn.weixin.qq.com/"):
        assert await fetched(rig, ref(url=evil)) == b"x"
        with refused("gone"):
            await fetched(rig, ref(url=evil, param=""))
    assert {request.url.host for request in rig.requests} == {"novac2c.cdn.weixin.qq.com"}


@pytest.mark.parametrize(
    ("said", "error", "code"),
    [
        (raw(b"", 410), Rejected, "gone"),
        (raw(b"", 404), NoContentYet, ""),
        (raw(b"", 400), NoContentYet, ""),
        (raw(b"", 204), NoContentYet, ""),
        (raw(b"", 500), BadAnswer, ""),
        (raw(b"", 302, Location="https://evil.example"), BadAnswer, ""),
        (raw(b"", 206), BadAnswer, ""),
        (httpx.ConnectError("x"), Unreachable, ""),
        (httpx.ReadError("x"), Unreachable, ""),
        (raw(b""), BadAnswer, ""),
        (raw(b"x" * 17), BadAnswer, ""),
        (raw(sealed(PLAIN)[:160_000]), BadAnswer, ""),
        (raw(b"x" * 32), BadAnswer, ""),
        (raw(sealed(b"x", bytes(16))), BadAnswer, ""),
    ],
)
async def test_what_each_answer_means(rig: ILinkRig, said: Any, error: type[BackendError], code: str) -> None:
    rig.put("download", said)
    with pytest.raises(error) as raised:
        await fetched(rig, ref(url=""))
    assert getattr(raised.value, "code", "") == code
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize("media", [{}, {"call": "image", "msgid": "5"}, {"url": FULL, "key": "?"}])
async def test_a_locator_of_nothing_leads_nowhere(rig: ILinkRig, media: dict[str, str]) -> None:
    with refused("gone"):
        await fetched(rig, MediaRef(locator=media))


@pytest.mark.parametrize("size", [len(PLAIN), len(sealed(PLAIN))])
async def test_a_size_may_be_that_of_either_form(rig: ILinkRig, size: int) -> None:
    rig.put("download", raw(sealed(PLAIN)))
    assert await fetched(rig, ref(size=str(size))) == PLAIN


@pytest.mark.parametrize("size", [1, len(PLAIN) - 1, len(PLAIN) + 17])
async def test_another_size_is_noticed(rig: ILinkRig, size: int) -> None:
    rig.put("download", raw(sealed(PLAIN)))
    with pytest.raises(BadAnswer, match=f"announced were {size}"):
        await fetched(rig, ref(size=str(size)))


@pytest.mark.parametrize("hashed", [PLAIN, sealed(PLAIN)])
async def test_a_hash_may_be_that_of_either_form(rig: ILinkRig, hashed: bytes) -> None:
    rig.put("download", raw(sealed(PLAIN)))
    assert await fetched(rig, ref(md5=hashlib.md5(hashed).hexdigest())) == PLAIN


async def test_another_hash_is_noticed_before_the_end(rig: ILinkRig) -> None:
    rig.put("download", raw(sealed(PLAIN)))
    with pytest.raises(BadAnswer, match="not those that were announced"):
        await fetched(rig, ref(md5="0" * 32))


async def test_a_body_that_breaks_off_is_noticed(rig: ILinkRig) -> None:
    rig.put(
        "download", httpx.Response(200, headers={"Content-Length": "300016"}, content=sealed(PLAIN)[:160_000])
    )
    with pytest.raises(Unreachable):
        await fetched(rig, ref())


@pytest.mark.parametrize("packed", [gzip.compress(sealed(PLAIN)), sealed(PLAIN)])
async def test_bytes_that_come_packed_are_not_unpacked(rig: ILinkRig, packed: bytes) -> None:
    """A thousand times as large they could be."""
    rig.put(
        "download", httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(packed))
    )
    with pytest.raises(Unreachable):
        await fetched(rig, ref())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=repetitions(25, 200))
@given(st.binary(max_size=64), st.booleans())
async def test_whatever_comes_it_is_bytes_or_an_error(rig: ILinkRig, body: bytes, keyed: bool) -> None:
    rig.put("download", raw(body))
    try:
        found = await fetched(rig, ref(key=KEY.hex() if keyed else ""))
    except BackendError:
        assert keyed
    else:
        assert len(found) <= len(body)
