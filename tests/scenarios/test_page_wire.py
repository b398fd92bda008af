"""The page's server on a real socket: many readers, readers that leave or stop reading, and the events they get."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from contextlib import AsyncExitStack

import pytest

from tests.scenarios.test_web_wire import HOST, connect, wait_until_idle
from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.page import FakeAccountView, bridge, entry, login
from tests.support.page import line as message
from tests.support.web import open_connections, running_web_server
from wx2mqtt.aio import ChangeNotifier
from wx2mqtt.model import LoginState
from wx2mqtt.web import http_limits
from wx2mqtt.web.page import live
from wx2mqtt.web.page.live import MAX_VIEWERS


@pytest.fixture
def view():
    return FakeAccountView()


@pytest.fixture
def changes():
    return ChangeNotifier()


async def next_event(lines):
    """Returns the parts of the next event that has some."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        async for connect in lines:
            if connect.startswith("data: "):
                return json.loads(connect[6:])
    raise AssertionError("it ended")


async def wait_until(condition):
    """Waits until the condition holds, by asking again and again."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_change_is_sent_at_once_and_not_buffered(view, changes):
    async with (
        running_web_server(bridge=bridge(view, changes=changes)) as (_, http),
        http.stream("GET", "/events") as answer,
    ):
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["x-accel-buffering"] == "no"
        assert "content-length" not in answer.headers
        lines = answer.aiter_lines()
        assert "home.state" in await next_event(lines)
        await asyncio.sleep(live.MIN_REFRESH_SECONDS)  # after this pause the next change is sent at once
        began = asyncio.get_running_loop().time()
        view.login = login(LoginState.LOGGED_OUT)
        changes.notify()
        assert "Logged out" in (await next_event(lines))["home.state"]
        assert asyncio.get_running_loop().time() - began < allowed(0.5)


async def test_a_head_request_for_the_event_stream_opens_none(view):
    async with running_web_server(bridge=bridge(view)) as (_, http):
        for _ in range(3 * MAX_VIEWERS):
            answer = await http.head("/events")
            assert (answer.status_code, answer.content) == (200, b"")
    assert view.reads == 0


async def test_one_event_stream_too_many_is_refused_and_its_client_still_gets_the_page(view, changes):
    async with (
        running_web_server(bridge=bridge(view, changes=changes)) as (server, http),
        AsyncExitStack() as connections,
    ):
        for _ in range(MAX_VIEWERS):
            client = await connections.enter_async_context(connect(server))
            client.send_lines("GET /events HTTP/1.1", HOST)
            await client.reader.readuntil(b"data: ")
        refused = await http.get("/events")
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "15"
        assert (await http.get("/")).status_code == 200
        client.writer.transport.abort()
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while (await http.head("/events")).status_code != 200:
                changes.notify()


async def test_a_thousand_readers_that_leave_do_not_stay_in_memory(view):
    async with running_web_server(bridge=bridge(view)) as (server, http):
        for _ in range(50):
            async with AsyncExitStack() as connections:
                for _ in range(20):
                    client = await connections.enter_async_context(connect(server))
                    client.send_lines("GET /events HTTP/1.1", HOST)
        await wait_until(lambda: not open_connections(server))
        await wait_until_idle(server)
        async with http.stream("GET", "/events") as answer:
            assert answer.status_code == 200


async def test_a_reader_that_stops_reading_is_cut_off_and_delays_nobody(view, changes, monkeypatch):
    monkeypatch.setattr(http_limits, "WRITE_STALL_SECONDS", 0.3)
    monkeypatch.setattr(live, "MIN_REFRESH_SECONDS", 0.0)
    async with (
        running_web_server(bridge=bridge(view, changes=changes)) as (server, http),
        connect(server) as slow,
        http.stream("GET", "/events?texts=1") as answer,
    ):
        lines = answer.aiter_lines()
        await next_event(lines)
        slow.reader._transport.pause_reading()  # type: ignore[attr-defined]
        slow.send_lines("GET /events?texts=1 HTTP/1.1", HOST)
        await wait_until(lambda: len(open_connections(server)) == 2)
        number = 0
        while len(open_connections(server)) == 2:
            number += 1
            view.messages = [message(text=f"{number} {'a' * 300_000}")]
            changes.notify()
            assert f"{number} aaa" in (await next_event(lines))["home.messages"]
            assert number < 500


async def test_a_stop_does_not_wait_for_event_streams(view):
    async with running_web_server(bridge=bridge(view)) as (server, _), connect(server) as client:
        client.send_lines("GET /events HTTP/1.1", HOST)
        await client.reader.readuntil(b"data: ")
        async with asyncio.timeout(allowed(1.5)):
            await server.stop()
            await client.read_to_end()


@pytest.mark.parametrize(
    "path", ["/accounts/home/test", "/accounts/home/login", "/accounts/home/logout", "/language"]
)
async def test_a_huge_form_is_refused_before_it_is_read(view, path):
    async with running_web_server(bridge=bridge(view)) as (server, http):
        async with connect(server) as client:
            client.send_lines(f"POST {path} HTTP/1.1", HOST, f"content-length: {10**9}")
            assert await client.status() == 413
        async with connect(server) as client:
            client.send_lines("POST /accounts/home/test HTTP/1.1", HOST, "transfer-encoding: chunked")
            with contextlib.suppress(ConnectionError):
                for _ in range(1000):
                    client.writer.write(b"4000\r\n" + b"a" * 0x4000 + b"\r\n")
                    await client.writer.drain()
            client.writer.transport.abort()
        assert (await http.get("/")).status_code == 200
    assert view.done == []


TRICKS = [
    "/accounts/../accounts/home/login",
    "/accounts//login",
    "/accounts/home/login/",
    "/accounts/%68ome/qr.png/..",
    "/static/../page.py",
    "/static/%2e%2e/words.py",
    "/static/page.css%00",
    "/metrics/",
    "/metrics%00",
    "//",
    "/./",
    "/index.html",
    "/accounts/home",
]


@pytest.mark.parametrize("path", TRICKS)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_trick_with_the_path_leads_anywhere(view, path, method):
    async with running_web_server(bridge=bridge(view)) as (server, _), connect(server) as client:
        client.send_lines(f"{method} {path} HTTP/1.1", HOST, "content-length: 0")
        assert await client.status() in {404, 405}
    assert view.done == []


async def test_the_page_of_five_thousand_contacts_is_made_quickly(view):
    view.people = [entry(f"f{number}", name=f"Friend {number:04}") for number in range(5000)]
    async with running_web_server(bridge=bridge(view)) as (_, http):
        await http.get("/")
        started_at = time.process_time()
        for _ in range(10):
            assert (await http.get("/")).status_code == 200
        assert (time.process_time() - started_at) / 10 < allowed(0.2)
