"""HTTP errors, limits and cookies; nothing secret is logged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.support.backend_options import backend_options
from tests.support.httpx_transport import HttpxTransport
from tests.unit.wechat.rig import ManualClock, MemoryVault
from tests.unit.wechat.webwx.server import ENDPOINT, text
from wx2mqtt.errors import OutcomeUnknown, Unreachable
from wx2mqtt.wechat.webwx.client import WebWxHttp
from wx2mqtt.wechat.webwx.protocol import endpoints
from wx2mqtt.wechat.webwx.protocol.cookies import ENDPOINT_HOST, Cookies
from wx2mqtt.wechat.webwx.protocol.endpoints import Endpoint
from wx2mqtt.wechat.webwx.protocol.requests import Request

SEEN: list[tuple[str, str]] = []


def http_with(
    answer: httpx.Response | Exception | Any, *, endpoint: str | None = ENDPOINT, **timeouts: float
) -> WebWxHttp:
    async def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        response = await answer(request)
        assert isinstance(response, httpx.Response)
        return response

    SEEN.clear()
    options = backend_options(
        credentials=MemoryVault(),
        endpoint=endpoint,
        clock=ManualClock().as_clock(),
        observe=lambda call, outcome, _: SEEN.append((call, outcome)),
    )
    return WebWxHttp(options, timeouts=timeouts, transport=HttpxTransport(httpx.MockTransport(handle)))


def request(
    endpoint: Endpoint, url: str = f"{ENDPOINT}/x?skey=SECRET", body: bytes | None = b"{}"
) -> Request:
    return Request(endpoint=endpoint, url=url, body=body)


NOT_WRITTEN = [
    httpx.ConnectError("x"),
    httpx.ConnectTimeout("x"),
    httpx.PoolTimeout("x"),
    httpx.ProxyError("x"),
    httpx.LocalProtocolError("x"),
    httpx.UnsupportedProtocol("x"),
]
WRITTEN = [
    httpx.ReadTimeout("x"),
    httpx.WriteTimeout("x"),
    httpx.ReadError("x"),
    httpx.WriteError("x"),
    httpx.RemoteProtocolError("x"),
    httpx.DecodingError("x"),
]


@pytest.mark.parametrize("trouble", NOT_WRITTEN, ids=lambda trouble: type(trouble).__name__)
@pytest.mark.parametrize("endpoint", [endpoints.SEND_TEXT, endpoints.SYNC])
async def test_what_was_not_written_was_not_delivered(trouble: Exception, endpoint: Endpoint) -> None:
    with pytest.raises(Unreachable, match="no connection"):
        await http_with(trouble).call(request(endpoint))
    assert [(endpoint.name, "no_connection")] == SEEN


@pytest.mark.parametrize("trouble", WRITTEN, ids=lambda trouble: type(trouble).__name__)
async def test_what_was_written_may_have_been_delivered(trouble: Exception) -> None:
    with pytest.raises(OutcomeUnknown):
        await http_with(trouble).call(request(endpoints.SEND_TEXT))
    with pytest.raises(Unreachable):
        await http_with(trouble).call(request(endpoints.SYNC))


@pytest.mark.parametrize("status", [400, 404, 429, 500, 502, 503, 302])
async def test_an_error_status_means_that_nothing_was_done(status: int) -> None:
    with pytest.raises(Unreachable, match=str(status)):
        await http_with(text("<html>", status)).call(request(endpoints.SEND_TEXT))
    assert [("webwxsendmsg", str(status))] == SEEN


@pytest.mark.parametrize("status", [103, 199, 400])
async def test_only_success_and_redirects_are_answers_where_redirects_are(status: int) -> None:
    with pytest.raises(Unreachable, match=str(status)):
        await http_with(text("", status)).call(request(endpoints.NEW_LOGIN))


async def test_redirects_are_answers_where_the_protocol_has_them_and_never_followed() -> None:
    moved = httpx.Response(301, content=b"xml", headers={"Location": "http://evil.example/"})
    assert (await http_with(moved).call(request(endpoints.NEW_LOGIN))).body == b"xml"


async def test_a_poll_that_is_cut_says_that_it_hung() -> None:
    with pytest.raises(Unreachable) as cut:
        await http_with(httpx.ReadTimeout("x")).call(request(endpoints.SYNC_CHECK))
    assert cut.value.poll_timed_out
    with pytest.raises(Unreachable) as reset:
        await http_with(httpx.ReadError("x")).call(request(endpoints.SYNC_CHECK))
    assert not reset.value.poll_timed_out


async def never(_request: httpx.Request) -> httpx.Response:
    await asyncio.Event().wait()
    raise AssertionError


class Drip(httpx.AsyncByteStream):
    """An answer that never ends and never stops coming."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0)


async def test_the_whole_exchange_is_bounded() -> None:
    with pytest.raises(Unreachable) as cut:
        await http_with(never, synccheck=0.01).call(request(endpoints.SYNC_CHECK))
    assert cut.value.poll_timed_out

    async def dripping(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Drip())

    with pytest.raises(OutcomeUnknown):
        await http_with(dripping, webwxsendmsg=0.01).call(request(endpoints.SEND_TEXT))


async def test_an_answer_has_a_limit() -> None:
    small = Endpoint(name="small", role=endpoints.Role.BASE, path="/", timeout=5, limit=100)
    assert len((await http_with(text(b"x" * 100)).call(request(small))).body) == 100
    with pytest.raises(Unreachable, match="too large"):
        await http_with(text(b"x" * 101)).call(request(small))


async def test_an_address_that_is_none_is_not_called() -> None:
    with pytest.raises(Unreachable):
        await http_with(text("")).call(request(endpoints.SYNC, url="http://host\x00/"))


async def test_cookies_are_renewed_by_every_answer_and_sent_once() -> None:
    sent: list[str] = []

    async def handle(asked: httpx.Request) -> httpx.Response:
        sent.append(asked.headers.get("cookie", ""))
        return text("", cookies=(f"a={len(sent)}; Domain=.qq.com", "b=2"))

    http = http_with(handle)
    for _ in range(2):
        await http.call(request(endpoints.SYNC))
    await http.call(Request(endpoint=endpoints.SYNC, url=ENDPOINT, cookies={"a": "mine"}))
    assert sent == ["", "a=1; b=2", "a=mine; b=2"]


async def test_the_next_login_gets_no_cookie_of_a_call_that_was_made_before() -> None:
    async def answer(_asked: httpx.Request) -> httpx.Response:
        http.start_login(new)
        return text("", cookies=("a=old",))

    new = Cookies({}).with_response(ENDPOINT_HOST, ["a=new"], 0)
    http = http_with(answer)
    await http.call(request(endpoints.SYNC))
    assert http.cookies.value("a") == "new"


async def test_the_age_of_cookies_is_judged_by_the_answers_date() -> None:
    answer = text("", cookies=("a=1; Expires=Tue, 14-Nov-2023 22:13:00 GMT",))
    answer.headers["Date"] = "Tue, 14 Nov 2023 20:00:00 GMT"
    http = http_with(answer)
    await http.call(request(endpoints.SYNC))
    assert http.cookies.value("a") == "1"
    answer.headers["Date"] = "nonsense"
    http = http_with(answer)
    await http.call(request(endpoints.SYNC))
    assert http.cookies.value("a") == ""


async def test_what_is_sent_looks_like_a_browser() -> None:
    received: list[httpx.Request] = []

    async def handle(http_request: httpx.Request) -> httpx.Response:
        received.append(http_request)
        return text("ok")

    http = http_with(handle)
    await http.call(request(endpoints.SYNC))
    await http.call(request(endpoints.SYNC, body=None))
    assert [http_request.method for http_request in received] == ["POST", "GET"]
    assert received[0].headers["User-Agent"].startswith("Mozilla/5.0")
    assert received[0].content == b"{}"
    await http.close()


async def test_no_address_and_no_key_gets_into_a_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await http_with(text("ok", cookies=("a=SECRET",))).call(request(endpoints.SYNC))
    with pytest.raises(Unreachable) as failure:
        await http_with(httpx.ConnectError("SECRET")).call(request(endpoints.SYNC))
    assert "SECRET" not in caplog.text
    assert "SECRET" not in str(failure.value)
    assert "SECRET" not in repr(failure.value)
