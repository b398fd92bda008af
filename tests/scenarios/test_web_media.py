"""Media of messages over HTTP, from the bridge as people run it: what WeChat sent, and who may have it."""

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
CROWD = 10_000
DOWNLOAD = "webwxgetmsgimg"


async def address(home: Home) -> str:
    """Where the web server of the bridge is: it takes a free port."""
    line = await home.in_thread(home.bridge.wait_for_log, "web server runs")
    return str(json.loads(line)["url"])


@asynccontextmanager
async def visitor(home: Home, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the bridge's web server."""
    url = await address(home)
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=MAX_WAIT_SECONDS, **more) as http:
        yield http


async def said(home: Home, kind: str, **more: Any) -> dict[str, Any]:
    """Somebody sends something; the message as it is published."""
    since = home.subscriber.count
    await home.control.say("wife", kind=kind, **more)
    return await home.body("wx/in/wife", kind=kind, since=since)


async def file(home: Home, data: bytes, name: str) -> str:
    """Somebody sends a file; the path where it is."""
    sent = {"data": base64.b64encode(data).decode(), "detail": {"title": name}}
    message = await said(home, "file", **sent)
    return str(message["file"]["url"])


def guarded(home: Home, **more: Any) -> None:
    """The bridge listens everywhere, and asks."""
    for name, secret in (("password", PASSWORD), ("token", TOKEN)):
        (home.folder / name).write_text(f"{secret}\n")
        (home.folder / name).chmod(0o600)
    web = {
        "listen": "0.0.0.0:0",
        "password_file": str(home.folder / "password"),
        "token_file": str(home.folder / "token"),
    }
    home.bridge.configure(home.settings(web={**web, **more}))


async def test_a_picture_can_be_had_from_the_moment_its_message_comes(home: Home):
    await home.log_in()
    message = await said(home, "image")
    url = message["image"]["url"]
    async with visitor(home) as http:
        answer = await http.get(url)
        again = await http.get(url, headers={"if-none-match": answer.headers["etag"]})
        part = await http.get(url, headers={"range": "bytes=1-3"})
        beyond = await http.get(url, headers={"range": "bytes=999999999-"})
        head = await http.head(url)
    sent = await home.control._http.get(f"/sim/media/{message['id']}")
    assert (answer.status_code, answer.content) == (200, sent.content)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-disposition"].startswith("inline;")
    assert again.status_code == 304
    assert (part.status_code, part.content) == (206, sent.content[1:4])
    assert beyond.status_code == 416
    assert head.headers["content-length"] == str(len(sent.content))


async def test_what_could_run_in_a_browser_is_only_saved_whatever_it_is_called(home: Home):
    await home.log_in()
    async with visitor(home) as http:
        for data in (SCRIPT, SVG):
            answer = await http.get(await file(home, data, "holiday/../photo.png"))
            assert (answer.status_code, answer.content) == (200, data)
            assert answer.headers["content-disposition"].startswith("attachment;")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "sandbox" in answer.headers["content-security-policy"]
            assert "/" not in answer.headers["content-disposition"]


@pytest.mark.browser
async def test_a_real_browser_shows_pictures_and_video_and_does_not_run_a_page_that_was_sent(home: Home):
    await home.log_in()
    picture = (await said(home, "image"))["image"]["url"]
    video = (await said(home, "video"))["video"]["url"]
    page = await file(home, SCRIPT, "page.html")
    url = await address(home)

    def look() -> tuple[int, str, int]:
        with Chromium(600, 400) as browser:
            browser.open(f"{url}{picture}")
            width = browser.until("document.images.length && document.images[0].naturalWidth")
            browser.open(f"{url}{page}")  # it is saved: the window stays where it is
            title = f"{browser.run('return document.contentType')} {browser.run('return document.title')}"
            browser.open(f"{url}{video}")
            return width, title, browser.until("document.querySelector('video').videoWidth")

    width, title, played = await home.in_thread(look)
    assert width > 1
    assert title.startswith("image/jpeg")
    assert "it ran" not in title
    assert played > 1


async def test_what_is_not_there_is_said_with_its_status(home: Home):
    await home.log_in()
    async with visitor(home) as http:
        assert (await http.get("/media/nobody-knows-it")).status_code == 404
        await home.control.post("settings", gone_media="json")
        gone = (await said(home, "image"))["image"]["url"]
        answer = await http.get(gone)
        assert answer.status_code == 410
        assert answer.headers["content-type"].startswith("text/plain")
        await home.control.post("settings", gone_media="")
        await home.control.post("fault", endpoint=DOWNLOAD, kind="hang", value=10)
        late = (await said(home, "image"))["image"]["url"]
        answer = await http.get(late, params={"wait": "0"})
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0


async def test_without_the_server_messages_name_no_url(home: Home):
    home.bridge.configure(home.settings(web={"enabled": False}))
    await home.log_in()
    message = await said(home, "image")
    assert "url" not in message["image"]
    assert not [line for line in home.bridge.log if "web server runs" in line]
    connections = psutil.Process(home.bridge.pid).net_connections("tcp4")
    assert [connection for connection in connections if connection.status == "LISTEN"] == []


async def test_an_address_from_outside_makes_urls_that_are_whole_and_work_below_their_path(home: Home):
    web = {"listen": "127.0.0.1:0", "url": "https://home.example.org/wechat", "base_path": "/wechat"}
    home.bridge.configure(home.settings(web=web))
    await home.log_in()
    whole = (await said(home, "image"))["image"]["url"]
    assert whole.startswith("https://home.example.org/wechat/media/")
    path = whole.removeprefix("https://home.example.org")
    async with visitor(home) as http:
        by_proxy = await http.get(path, headers={"host": "home.example.org"})
        stripped = await http.get(path.removeprefix("/wechat"), headers={"host": "home.example.org"})
        foreign = await http.get(path, headers={"host": "evil.example"})
    assert [one.status_code for one in (by_proxy, stripped, foreign)] == [200, 200, 403]


async def test_where_others_can_come_only_who_knows_a_secret_gets_in_and_no_log_tells_it(home: Home):
    guarded(home)
    await home.log_in()
    url = (await said(home, "image"))["image"]["url"]
    async with visitor(home) as http:
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


async def test_guessing_makes_the_guesser_wait(home: Home):
    guarded(home)
    await home.log_in()
    async with visitor(home) as http:
        tries = [await http.post("/login", data={"password": f"guess {number}"}) for number in range(6)]
        assert [one.status_code for one in tries] == [401] * 5 + [429]
        assert int(tries[-1].headers["retry-after"]) >= 1
        assert (await http.post("/login", data={"password": PASSWORD})).status_code == 429


@pytest.mark.browser
@pytest.mark.parametrize(("language", "button"), [("en", "Log in"), ("zh-CN", "登录")])
async def test_a_person_logs_in_with_a_real_browser(home: Home, language: str, button: str):
    guarded(home)
    await home.log_in()
    picture = (await said(home, "image"))["image"]["url"]
    url = await address(home)

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


async def test_ten_thousand_connections_that_are_opened_and_left_do_not_touch_the_bridge(home: Home):
    await home.log_in()
    picture = (await said(home, "image"))["image"]["url"]
    async with visitor(home) as http:
        url = httpx.URL(await address(home))
        bridge = psutil.Process(home.bridge.pid)
        before = bridge.memory_info().rss
        with ExitStack() as stack:
            opened = await home.in_thread(crowd, stack, (url.host, url.port))
            began = time.monotonic()
            await home.send_command("wife", {"text": "still there?", "id": "in the crowd"})
            await said(home, "text", text="yes")
            assert time.monotonic() - began < allowed(2)
            assert (await http.get(picture)).status_code == 200
            assert bridge.num_fds() < 400
            assert bridge.memory_info().rss - before < 15_000_000
    assert opened >= CROWD
    assert not [line for line in home.bridge.log if '"error"' in line]


def crowd(stack: ExitStack, address: tuple[str, int]) -> int:
    """Open so many connections and leave them; each that the server ends stays open at this side."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
    room = min(CROWD, hard - 1000)
    held: list[socket.socket] = []
    for number in range(CROWD):
        if len(held) >= room:
            held.pop(0).close()
        held.append(stack.enter_context(socket.create_connection(address, timeout=MAX_WAIT_SECONDS)))
        if number % 200 == 0:  # else the kernel's queue overflows, and each overflow costs a second
            assert (
                httpx.get(
                    f"http://127.0.0.1:{address[1]}/media/x", trust_env=False, timeout=MAX_WAIT_SECONDS
                ).status_code
                == 404
            )
    return CROWD


async def test_the_bridge_stops_in_time_while_somebody_takes_a_file_slowly(home: Home):
    await home.log_in()
    url = await file(home, bytes(20_000_000), "large.bin")
    http = httpx.URL(await address(home))
    async with visitor(home) as warm:
        assert (await warm.head(url)).status_code == 200
    reader, writer = await asyncio.open_connection(http.host, http.port)
    writer.write(f"GET {url} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    began = time.monotonic()
    assert await home.in_thread(home.bridge.stop) == 0
    assert time.monotonic() - began < allowed(5)
    writer.transport.abort()


async def test_a_restart_finds_its_media_again(home: Home, tmp_path: Path):
    await home.log_in()
    url = (await said(home, "image"))["image"]["url"]
    async with visitor(home) as http:
        picture = (await http.get(url)).content
    await home.in_thread(home.bridge.kill)
    home.bridge.log.clear()
    await home.restart()
    async with visitor(home) as http:
        assert (await http.get(url)).content == picture
