"""Server酱 and PushPlus as the page of the fallback names them: a running bridge, apprise, and imitated services.

Apprise asks them by their own names, over TLS; a tunnel leads to this machine. What they expect and answer is in their
documents: github.com/easychen/serverchan-demo and serverchan3-doc (server/api.md), and github.com/pushplus/pushplus
(guide/api.md, guide/code.md).
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
import pytest_asyncio
import trustme

from tests.docs.markdown import ROOT, blocks
from tests.support.http_server import Peer, Server
from tests.support.ilink_home import ILinkHome, at_ilink_home
from tests.support.tunnel import Tunnel, tunnel

TURBO, SERVERCHAN_3, PUSHPLUS = "sctapi.ftqq.com", "12345.push.ft07.com", "www.pushplus.plus"
TEXT = "Water in the cellar"
TITLE = "wx2mqtt home: to me"


def page_urls(language: str) -> dict[str, str]:
    """Returns the addresses that the page shows, by their schemes."""
    page = ROOT / "docs" / language / "reference" / "fallback.md"
    (block,) = (block for block in blocks(page) if "schan://" in block.text)
    return {line.partition(":")[0]: line for line in block.text.split()}


class PushServices:
    """Imitates the services: `answers` has the next answer of each host, `received` the posts."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str, dict[str, str]]] = []
        self.answers = {
            TURBO: {"code": 0, "message": "", "data": {"pushid": "1"}},
            SERVERCHAN_3: {"code": 0, "message": "SUCCESS", "data": {"pushid": "1"}},
            PUSHPLUS: {"code": 200, "msg": "请求成功", "data": "88fe50"},
        }

    async def serve(self, peer: Peer) -> None:
        """Reads one post and answers it as the service of that name does: always with HTTP 200."""
        head, _, body = (await peer.request()).partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        is_form = headers["content-type"].startswith("application/x-www-form-urlencoded")
        fields = dict(parse_qsl(body.decode())) if is_form else json.loads(body)
        method, path, _ = lines[0].split(" ")
        assert method == "POST"
        self.received.append((headers["host"], path, fields))
        answer = json.dumps(self.answers[headers["host"]]).encode()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer), answer)


@pytest.fixture
def services() -> PushServices:
    return PushServices()


@pytest_asyncio.fixture
async def proxy(
    services: PushServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Tunnel]:
    """Sets a proxy that leads to the services in the environment of the bridge, and trusts their certificate."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(TURBO, SERVERCHAN_3, PUSHPLUS).configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    async with (
        Server(services.serve).run(context) as server,
        tunnel(int(server.url.rpartition(":")[2])) as opened_tunnel,
    ):
        monkeypatch.setenv("HTTPS_PROXY", opened_tunnel.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
        yield opened_tunnel


@pytest_asyncio.fixture
async def home(with_mosquitto: None, proxy: Tunnel, tmp_path: Path) -> AsyncIterator[ILinkHome]:
    """Yields a home whose owner never wrote to the bot, so that its window is closed."""
    async with at_ilink_home(tmp_path) as opened_tunnel:
        yield opened_tunnel


async def result_of_alarm(home: ILinkHome, url: str) -> str:
    """Sends an alarm for which this URL is the only other way; returns what became of the fallback."""
    (file := home.folder / "fallback.urls").write_text(f"{url}\n", encoding="utf-8")
    home.bridge.configure(home.settings({"fallback": {"after": "200ms", "urls_file": str(file)}}))
    await home.log_in()
    result = await home.send_command("me", {"text": TEXT, "id": "water-1", "urgent": True})
    assert (result["status"], result["code"]) == ("expired", "window_closed")
    return str(result["fallback"])


@pytest.mark.parametrize(
    ("scheme", "host", "path", "fields"),
    [
        ("schan", TURBO, "/{key}.send", {"title": TITLE, "desp": TEXT}),
        ("jsons", SERVERCHAN_3, "/send/{key}.send", {"title": TITLE, "desp": TEXT}),
        ("pushplus", PUSHPLUS, "/send", {"token": "{key}", "title": TITLE, "content": TEXT}),
    ],
)
async def test_an_alarm_goes_to_the_service_of_the_page(home, proxy, services, scheme, host, path, fields):
    url = page_urls("en")[scheme]
    assert page_urls("zh")[scheme] == url
    key = url.partition("?")[0].rpartition("/")[2].removesuffix(".send")
    assert await result_of_alarm(home, url) == "sent"
    assert proxy.hosts == [host]
    ((received_host, received_path, received_fields),) = services.received
    assert (received_host, received_path) == (host, path.format(key=key))
    assert {name: received_fields[name] for name in fields} == {
        name: value.format(key=key) for name, value in fields.items()
    }


@pytest.mark.parametrize(
    ("scheme", "host", "answer", "expected"),
    [
        ("pushplus", PUSHPLUS, {"code": 905, "msg": "账户未进行实名认证"}, "failed"),
        ("schan", TURBO, {"code": 40001, "message": "[AUTH]错误的Key"}, "sent"),
    ],
)
async def test_only_pushplus_is_known_to_have_refused(home, services, scheme, host, answer, expected):
    """Apprise looks at what PushPlus says, and of Server酱 only at the status of HTTP; the page says so."""
    services.answers[host] = answer
    assert await result_of_alarm(home, page_urls("en")[scheme]) == expected
