"""Media of messages over HTTP, on the whole bridge: which bytes are served, how, and to whom."""

from __future__ import annotations

import asyncio
import base64
import json
import resource
import socket
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support.chromium import Chromium
from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.home import Home

PASSWORD, TOKEN = "correct horse 电池", "T0ken-5ca1ab1e"
SCRIPT = b"<!doctype html><html><title>sent</title><script>document.title = 'it ran'</script></html>"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
CONNECTIONS = 10_000
DOWNLOAD = "webwxgetmsgimg"


async def web_server_url(home: Home) -> str:
    """Returns the URL of the bridge's web server, which uses a free port."""
    line = await home.in_thread(home.bridge.wait_for_log, "web server runs")
    return str(json.loads(line)["url"])


@asynccontextmanager
async def http_client(home: Home, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Yields an HTTP client of the bridge's web server."""
    url = await web_server_url(home)
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=MAX_WAIT_SECONDS, **more) as http:
        yield http


async def receive_message(home: Home, kind: str, **more: Any) -> dict[str, Any]:
    """Lets somebody send a message of this kind; returns it as it is published."""
    since = home.subscriber.count
    await home.control.say("wife", kind=kind, **more)
    return await home.body("wx/in/wife", kind=kind, since=since)


async def receive_file(home: Home, data: bytes, name: str) -> str:
    """Lets somebody send a file; returns the path under which it is served."""
    sent = {"data": base64.b64encode(data).decode(), "detail": {"title": name}}
    message = await receive_message(home, "file", **sent)
    return str(message["file"]["url"])


def require_login(home: Home, **more: Any) -> None:
    """Configures the bridge to listen on all addresses and to require a login."""
    for name, secret in (("password", PASSWORD), ("token", TOKEN)):
        (home.folder / name).write_text(f"{secret}\n")
        (home.folder / name).chmod(0o600)
    web = {
        "listen": "0.0.0.0:0",
        "password_file": str(home.folder / "password"),
        "token_file": str(home.folder / "token"),
    }
    home.bridge.configure(home.settings(web={**web, **more}))


async def test_a_picture_can_be_fetched_as_soon_as_its_message_is_published(home: Home):
    await home.log_in()
    message = await receive_message(home, "image")
    url = message["image"]["url"]
    async with http_client(home) as http:
        answer = await http.get(url)
        again = await http.get(url, headers={"if-none-match": answer.headers["etag"]})
        part = await http.get(url, headers={"range": "bytes=1-3"})
        out_of_range = await http.get(url, headers={"range": "bytes=999999999-"})
        head = await http.head(url)
    sent = await home.control._http.get(f"/sim/media/{message['id']}")
    assert (answer.status_code, answer.content) == (200, sent.content)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-disposition"].startswith("inline;")
    assert again.status_code == 304
    assert (part.status_code, part.content) == (206, sent.content[1:4])
    assert out_of_range.status_code == 416
    assert head.headers["content-length"] == str(len(sent.content))


async def test_files_that_a_browser_could_run_are_served_as_downloads_whatever_their_name(home: Home):
    await home.log_in()
    async with http_client(home) as http:
        for data in (SCRIPT, SVG):
            answer = await http.get(await receive_file(home, data, "holiday/../photo.png"))
            assert (answer.status_code, answer.content) == (200, data)
            assert answer.headers["content-disposition"].startswith("attachment;")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "sandbox" in answer.headers["content-security-policy"]
            assert "/" not in answer.headers["content-disposition"]


@pytest.mark.browser
async def test_a_real_browser_shows_pictures_and_video_and_does_not_run_a_page_that_was_sent(home: Home):
    await home.log_in()
    picture = (await receive_message(home, "image"))["image"]["url"]
    video = (await receive_message(home, "video"))["video"]["url"]
    page = await receive_file(home, SCRIPT, "page.html")
    url = await web_server_url(home)

    def look() -> tuple[int, str, int]:
        with Chromium(600, 400) as browser:
            browser.open(f"{url}{picture}")
            width = browser.until("document.images.length && document.images[0].naturalWidth")
            browser.open(f"{url}{page}")  # the browser saves the file and keeps its page
            title = f"{browser.run('return document.contentType')} {browser.run('return document.title')}"
            browser.open(f"{url}{video}")
            return width, title, browser.until("document.querySelector('video').videoWidth")

    width, title, played = await home.in_thread(look)
    assert width > 1
    assert title.startswith("image/jpeg")
    assert "it ran" not in title
    assert played > 1


async def test_media_that_are_not_available_have_the_right_status(home: Home):
    await home.log_in()
    async with http_client(home) as http:
        assert (await http.get("/media/nobody-knows-it")).status_code == 404
        await home.control.post("settings", gone_media="json")
        gone = (await receive_message(home, "image"))["image"]["url"]
        answer = await http.get(gone)
        assert answer.status_code == 410
        assert answer.headers["content-type"].startswith("text/plain")
        await home.control.post("settings", gone_media="")
        await home.control.post("fault", endpoint=DOWNLOAD, kind="hang", value=10)
        not_downloaded = (await receive_message(home, "image"))["image"]["url"]
        answer = await http.get(not_downloaded, params={"wait": "0"})
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0


async def test_without_the_server_messages_name_no_url(home: Home):
    home.bridge.configure(home.settings(web={"enabled": False}))
    await home.log_in()
    message = await receive_message(home, "image")
    assert "url" not in message["image"]
    assert not [line for line in home.bridge.log if "web server runs" in line]
    connections = psutil.Process(home.bridge.pid).net_connections("tcp4")
    assert [connection for connection in connections if connection.status == "LISTEN"] == []


async def test_an_external_url_makes_absolute_urls_that_work_below_its_path(home: Home):
    web = {"listen": "127.0.0.1:0", "url": "https://home.example.org/wechat", "base_path": "/wechat"}
    home.bridge.configure(home.settings(web=web))
    await home.log_in()
    absolute_url = (await receive_message(home, "image"))["image"]["url"]
    assert absolute_url.startswith("https://home.example.org/wechat/media/")
    path = absolute_url.removeprefix("https://home.example.org")
    async with http_client(home) as http:
        by_proxy = await http.get(path, headers={"host": "home.example.org"})
        stripped = await http.get(path.removeprefix("/wechat"), headers={"host": "home.example.org"})
        foreign = await http.get(path, headers={"host": "evil.example"})
    assert [answer.status_code for answer in (by_proxy, stripped, foreign)] == [200, 200, 403]


async def test_on_a_public_address_a_secret_is_required_and_never_logged(home: Home):
    require_login(home)
    await home.log_in()
    url = (await receive_message(home, "image"))["image"]["url"]
    async with http_client(home) as http:
        assert (await http.get(url)).status_code == 401
        assert (await http.get(url, headers={"authorization": f"Bearer {TOKEN}"})).status_code == 200
        assert (await http.get(url, headers={"authorization": "Bearer wrong-5ca1ab1e"})).status_code == 401
        wrong = await http.post("/login", data={"password": "falsch-5ca1ab1e"})
        foreign = await http.post(
            "/login", data={"password": PASSWORD}, headers={"origin": "http://evil.example"}
        )
        assert (wrong.status_code, foreign.status_code) == (401, 403)
        assert (await http.get(url)).status_code == 401
        entered = await http.post("/login", data={"password": PASSWORD, "next": url})
        assert (entered.status_code, entered.headers["location"]) == (303, url)
        assert (await http.get(url)).status_code == 200
        session = http.cookies["wx2mqtt"]
        assert (await http.get(url, headers={"host": "evil.example"})).status_code == 403
        await http.post("/logout")
        http.cookies.set("wx2mqtt", session)
        assert (await http.get(url)).status_code == 401
    await home.in_thread(home.bridge.stop)
    log = "\n".join(home.bridge.log)
    assert "wrong password for the page" in log
    for secret in (PASSWORD, TOKEN, session, "5ca1ab1e"):
        assert secret not in log


async def test_wrong_passwords_block_their_address_for_a_while(home: Home):
    require_login(home)
    await home.log_in()
    async with http_client(home) as http:
        tries = [await http.post("/login", data={"password": f"guess {number}"}) for number in range(6)]
        assert [answer.status_code for answer in tries] == [401] * 5 + [429]
        assert int(tries[-1].headers["retry-after"]) >= 1
        assert (await http.post("/login", data={"password": PASSWORD})).status_code == 429


@pytest.mark.browser
@pytest.mark.parametrize(("language", "button"), [("en", "Log in"), ("zh-CN", "登录")])
async def test_a_person_logs_in_with_a_real_browser(home: Home, language: str, button: str):
    require_login(home)
    await home.log_in()
    picture = (await receive_message(home, "image"))["image"]["url"]
    url = await web_server_url(home)

    def log_in() -> tuple[str, int, list[str]]:
        with Chromium(360, 640, language) as browser:
            browser.open(f"{url.replace('0.0.0.0', '127.0.0.1')}{picture}")  # leads to the form
            text = browser.until(
                "document.querySelector('button') && document.querySelector('button').innerText"
            )
            narrow = browser.run("return document.documentElement.scrollWidth <= innerWidth")
            assert narrow
            browser.run("document.querySelector('#password').value = arguments[0]", "falsch")
            browser.run("document.querySelector('button').click()")
            browser.until("document.querySelector('[role=alert]')")
            complaints = [line for line in browser.console() if "401" not in line]
            browser.run("document.querySelector('#password').value = arguments[0]", PASSWORD)
            browser.run("document.querySelector('button').click()")
            width = browser.until("document.images.length && document.images[0].naturalWidth")
            return text, width, complaints

    text, width, complaints = await home.in_thread(log_in)
    assert text == button
    assert width > 1
    assert complaints == []


async def test_ten_thousand_abandoned_connections_do_not_affect_the_bridge(home: Home):
    await home.log_in()
    picture = (await receive_message(home, "image"))["image"]["url"]
    async with http_client(home) as http:
        url = httpx.URL(await web_server_url(home))
        assert (await http.get(picture)).status_code == 200  # the bridge loads its web server now
        bridge = psutil.Process(home.bridge.pid)
        before = bridge.memory_info().rss
        with ExitStack() as stack:
            connections_opened = await home.in_thread(open_connections, stack, (url.host, url.port))
            started_at = time.monotonic()
            await home.send_command("wife", {"text": "still there?", "id": "in the crowd"})
            await receive_message(home, "text", text="yes")
            assert time.monotonic() - started_at < allowed(2)
            assert (await http.get(picture)).status_code == 200
            assert bridge.num_fds() < 400
            assert bridge.memory_info().rss - before < 15_000_000
    assert connections_opened >= CONNECTIONS
    assert not [line for line in home.bridge.log if '"error"' in line]


def open_connections(stack: ExitStack, web_server_url: tuple[str, int]) -> int:
    """Opens and abandons so many connections; those that the server closes stay open at this side."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
    room = min(CONNECTIONS, hard - 1000)
    held: list[socket.socket] = []
    for number in range(CONNECTIONS):
        if len(held) >= room:
            held.pop(0).close()
        held.append(stack.enter_context(socket.create_connection(web_server_url, timeout=MAX_WAIT_SECONDS)))
        if number % 200 == 0:  # else the kernel's queue overflows, and each overflow costs a second
            assert (
                httpx.get(
                    f"http://127.0.0.1:{web_server_url[1]}/media/x", trust_env=False, timeout=MAX_WAIT_SECONDS
                ).status_code
                == 404
            )
    return CONNECTIONS


async def test_the_bridge_stops_in_time_during_a_slow_download(home: Home):
    await home.log_in()
    url = await receive_file(home, bytes(20_000_000), "large.bin")
    http = httpx.URL(await web_server_url(home))
    async with http_client(home) as first_answer:
        assert (await first_answer.head(url)).status_code == 200
    reader, writer = await asyncio.open_connection(http.host, http.port)
    writer.write(f"GET {url} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    started_at = time.monotonic()
    assert await home.in_thread(home.bridge.stop) == 0
    assert time.monotonic() - started_at < allowed(5)
    writer.transport.abort()


async def test_media_are_served_after_a_restart(home: Home, tmp_path: Path):
    await home.log_in()
    url = (await receive_message(home, "image"))["image"]["url"]
    async with http_client(home) as http:
        picture = (await http.get(url)).content
    await home.in_thread(home.bridge.kill)
    home.bridge.log.clear()
    await home.restart()
    async with http_client(home) as http:
        assert (await http.get(url)).content == picture
