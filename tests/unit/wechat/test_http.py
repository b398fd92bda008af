"""The HTTP client of all backends: its certificates and proxies, and which transport makes which call."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

import httpx
import pytest

from tests.unit.wechat.webwx.server import ManualClock
from wx2mqtt.wechat import http
from wx2mqtt.wechat.http import HttpClient, TimeLimits
from wx2mqtt.wechat.http_transport import Http11Transport, OccasionalTransport
from wx2mqtt.wechat.ilink.protocol import endpoints as ilink
from wx2mqtt.wechat.webwx.protocol import endpoints as webwx

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without a proxy."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call as `HttpClient` sees it."""

    is_frequent: bool
    name: str = "call"
    is_delivery: bool = False
    is_long_poll: bool = False


class Recorder(httpx.AsyncBaseTransport):
    """Keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.is_closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(200, content=b"ok")

    async def aclose(self) -> None:
        self.is_closed = True


def client(endpoint: str | None = None) -> HttpClient:
    return HttpClient(
        endpoint=endpoint,
        headers={"Connection": "keep-alive"},
        clock=ManualClock().as_clock(),
        observe=lambda *_: None,
        text=lambda key, _: key,
    )


async def make_call(used: HttpClient, url: str, *, is_frequent: bool) -> None:
    limits = TimeLimits.for_whole(5)
    call = Call(is_frequent=is_frequent)
    async with used.exchange(call, url, headers={"A": "b"}, body=b"{}", limits=limits) as response:
        assert await response.read(10) == b"ok"


def test_certificates_are_loaded_only_where_there_is_tls() -> None:
    assert http.tls_context("http://127.0.0.1:1").get_ca_certs() == []
    assert http.tls_context("https://127.0.0.1:1").verify_mode is ssl.CERT_REQUIRED
    assert http.tls_context(None).verify_mode is ssl.CERT_REQUIRED


async def test_proxies_of_the_environment_are_used_for_wechat_itself_only(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    wechat, own = http.create_transport(None), http.create_transport("http://wechat.test")
    assert isinstance(wechat, http.ProxiedTransport)
    assert any(mount is not None for mount in wechat._client._mounts.values())
    assert isinstance(own, OccasionalTransport)  # goes to the address itself
    await wechat.aclose()
    await own.aclose()


@pytest.mark.parametrize("name", [*PROXIES[:3], *(name.lower() for name in PROXIES[:3])])
async def test_behind_a_proxy_all_calls_to_wechat_itself_are_made_by_httpx(
    environment: pytest.MonkeyPatch, name: str
) -> None:
    environment.setenv(name, "http://proxy.test:3128")
    wechat, own = client(), client("http://wechat.test")
    assert isinstance(wechat._frequent_transport, http.ProxiedTransport)
    assert isinstance(own._frequent_transport, Http11Transport)
    await wechat.close()
    await own.close()


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("endpoint", [None, "http://wechat.test"])
async def test_without_a_proxy_frequent_calls_have_a_transport_of_their_own(endpoint: str | None) -> None:
    used = client(endpoint)
    assert isinstance(used._frequent_transport, Http11Transport)
    assert isinstance(used._transport, OccasionalTransport)
    await used.close()
    used._transport, used._frequent_transport = transports = Recorder(), Recorder()
    for number in range(2):
        await make_call(used, f"http://wechat.test/{number}", is_frequent=False)
        await make_call(used, "http://wechat.test/frequent", is_frequent=True)
    assert [str(request.url) for request in transports[0].requests] == [
        "http://wechat.test/0",
        "http://wechat.test/1",
    ]
    assert [str(request.url) for request in transports[1].requests] == ["http://wechat.test/frequent"] * 2
    await used.close()
    assert all(transport.is_closed for transport in transports)


@pytest.mark.usefixtures("environment")
async def test_the_address_of_a_frequent_call_is_the_one_that_it_has_now() -> None:
    used = client("http://wechat.test")
    used._frequent_transport = recorder = Recorder()
    for path in ("a?skey=1", "a?skey=2", "a?skey=2", "a?skey=1"):
        await make_call(used, f"http://wechat.test/{path}", is_frequent=True)
    assert [request.url.query for request in recorder.requests] == [
        b"skey=1",
        b"skey=2",
        b"skey=2",
        b"skey=1",
    ]


def test_frequent_are_polls_their_answers_and_texts() -> None:
    frequent = {
        endpoint.name
        for module in (webwx, ilink)
        for endpoint in vars(module).values()
        if isinstance(endpoint, webwx.Endpoint | ilink.Endpoint) and endpoint.is_frequent
    }
    assert frequent == {"synccheck", "webwxsync", "webwxsendmsg", "getupdates", "sendmessage"}
