"""Drivers of the limits of the web server: see `test_limits.py`.

Each gets a value of the limit and a folder, and returns whether that much is still within the limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from starlette.requests import Request
from structlog.testing import capture_logs
from uvicorn.config import Config
from uvicorn.server import ServerState

from tests.support.page import FakeAccountView, bridge
from tests.support.web import FakeMediaLibrary, application_client, options
from wx2mqtt.bridge.message_lines import _preview_id
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Json
from wx2mqtt.web import media_headers
from wx2mqtt.web.auth import FREE_ATTEMPTS, BrowserSessions, FailureThrottle
from wx2mqtt.web.http_limits import MAX_CONNECTIONS, Admission, ConnectionLimiter, HttpConnection
from wx2mqtt.web.options import SenderOptions
from wx2mqtt.web.page.handlers import _contacts_query
from wx2mqtt.web.page.live import LiveUpdates
from wx2mqtt.web.page.sections import PageOptions
from wx2mqtt.web.request_context import BadForm, read_form
from wx2mqtt.web.senders.alert_groups import read_group, text_of
from wx2mqtt.web.senders.call_log import ACCEPTED, CallLog
from wx2mqtt.web.senders.interface import RequestHead, form_fields
from wx2mqtt.web.senders.ntfy import NtfyInterface
from wx2mqtt.web.senders.sender_rights import SenderRegistry
from wx2mqtt.web.senders.service_texts import plain_text_of

Driver = Callable[[Any, Path], bool]


def _run(scenario: Coroutine[Any, Any, bool]) -> bool:
    return asyncio.run(scenario)


# The web server


class FakeTransport(asyncio.Transport):
    """A transport that records what is written, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 1) if "name" in name else default

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close


def _sent(start: bytes, size: int, *, in_request: bool) -> bytes | None:
    """Returns what is answered where so much ends the connection, None where it stays open."""

    async def scenario() -> bytes | None:
        config = Config(lambda: None, http="httptools", log_config=None)
        config.load()
        connection = HttpConnection(config, ServerState(), ConnectionLimiter(), "en")
        transport = FakeTransport()
        connection.connection_made(transport)
        if in_request:
            connection.begin_request()
        rest = start.ljust(size, b"a")
        while rest and not transport.closed:
            piece = rest[: len(connection.get_buffer(-1))]
            connection.get_buffer(-1)[: len(piece)] = piece
            connection.buffer_updated(len(piece))
            rest = rest[len(piece) :]
            await asyncio.sleep(0)
        answer = bytes(transport.written) if transport.closed else None
        connection.connection_lost(None)
        return answer

    return asyncio.run(scenario())


def request_head(size: int, _: Path) -> bool:
    """The client has sent the beginning of a head that is not complete yet."""
    answer = _sent(b"GET / HTTP/1.1\r\nhost: x\r\nx: ", size, in_request=False)
    assert answer is None or answer.startswith(b"HTTP/1.1 431 ")
    return answer is None


def unread_bytes(size: int, _: Path) -> bool:
    return _sent(b"GET / HTTP/1.1\r\nhost: x\r\nx: ", size, in_request=True) is None


def _sender_form(count: int) -> bool:
    try:
        return len(form_fields("&".join(f"{number}=x" for number in range(count)))) == count
    except BadCommand:
        return False


def _ntfy_text_bytes() -> int:
    return NtfyInterface().plan_body(RequestHead(method="PUT", path_names={"user": "me"})).max_bytes


def _text_of_alerts(count: int, line: str) -> list[str]:
    """Returns the lines of a text: title, alerts, link."""
    alerts: list[Json] = [
        {"fingerprint": str(number), "annotations": {"summary": line}} for number in range(count)
    ]
    return text_of(read_group({"alerts": alerts, "externalURL": "http://am"}), "en").splitlines()


def _link_count(count: int) -> int:
    """Returns the number of links in the text of an alert that has so many, two at most."""
    keys = ("runbook_url", "generatorURL")[:count]
    addresses: dict[str, Json] = {key: f"http://am/{key}" for key in keys}
    return text_of(read_group({"alerts": [{**addresses, "annotations": addresses}]}), "en").count(
        "http://am/"
    )


def _form(body: bytes) -> bool:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def scenario() -> bool:
        try:
            await read_form(Request({"type": "http", "method": "POST", "headers": []}, receive))
        except BadForm as bad:
            assert bad.status == 413
            return False
        return True

    return _run(scenario())


class FakeConnection(HttpConnection):
    def __init__(self) -> None:
        self.dropped = False

    def abort(self) -> None:
        self.dropped = True


def _connections(count: int, address: Callable[[int], str], limit: int = MAX_CONNECTIONS) -> set[Admission]:
    """Returns what the connections may ask for when all before are busy."""

    async def scenario() -> set[Admission]:
        limiter, health_snapshot = ConnectionLimiter(limit), set()
        for number in range(count):
            client = FakeConnection()
            health_snapshot.add(limiter.add(client, address(number)))
            limiter.mark_busy(client)
            assert not client.dropped
        return health_snapshot

    return asyncio.run(scenario())


def all_connections(count: int, _: Path) -> bool:
    return _connections(count, lambda number: f"192.0.2.{number}") == {Admission.EVERYTHING}


def connections_of_address(count: int, _: Path) -> bool:
    return _connections(count, lambda _number: "192.0.2.1") == {Admission.EVERYTHING}


def reserved_connections(count: int, _: Path) -> bool:
    health_snapshot = _connections(count, lambda _number: "192.0.2.1", limit=0)
    assert Admission.EVERYTHING not in health_snapshot
    return health_snapshot == {Admission.HEALTH}


def open_pages(count: int, _: Path) -> bool:
    """The page of which the server asks whether there is room for it is the last one."""

    async def scenario() -> bool:
        live = LiveUpdates(SimpleNamespace())  # type: ignore[arg-type]
        async with AsyncExitStack() as streams:
            for _number in range(count - 1):
                stream = live.stream(PageOptions("en"), lambda: True)
                await streams.enter_async_context(aclosing(stream))
                await anext(stream)
            return not live.is_full

    return _run(scenario())


def browsers(count: int, _: Path) -> bool:
    sessions = BrowserSessions(lambda: 0.0)
    first, *_others = [sessions.create() for _ in range(count)]
    return sessions.is_valid(first)


def failed_addresses(count: int, _: Path) -> bool:
    throttle = FailureThrottle(lambda: 0.0)
    for number in range(count):
        for _attempt in range(FREE_ATTEMPTS):
            throttle.record_failure(f"10.0.{number // 250}.{number % 250}")
    return throttle.remaining_wait("10.0.0.0") > 0


def login_forms(count: int, folder: Path) -> bool:
    """Returns whether a form is read while the others, which are never complete, are still open."""

    async def scenario() -> bool:
        library = FakeMediaLibrary(folder)
        async with application_client(library, options(host="0.0.0.0", password="x")) as http:

            async def slow() -> AsyncIterator[bytes]:
                yield b"password="
                await asyncio.Event().wait()

            slow_posts = [asyncio.create_task(http.post("/login", content=slow())) for _ in range(count - 1)]
            for _turn in range(20):  # each is read as far as it is there
                await asyncio.sleep(0)
            answer = await http.post("/login", data={"password": "y"})
            for task in slow_posts:
                task.cancel()
            await asyncio.gather(*slow_posts, return_exceptions=True)
        assert answer.status_code in {401, 429}
        return answer.status_code == 401

    return _run(scenario())


def _contacts_request(**parameters: str) -> tuple[str, int]:
    request: Any = SimpleNamespace(query_params={"account": "home", **parameters})
    return _contacts_query(request, "home")


def page_picture(size: int, _: Path) -> bool:
    picture: dict[str, Json] = {"state": "ready", "mime": "image/png", "size": size, "url": "/media/a1"}
    return _preview_id(picture) == "a1"


def page_text(size: int, _: Path) -> bool:
    async def scenario() -> bool:
        view = FakeAccountView()
        async with application_client([], bridge=bridge(view)) as http:
            await http.post("/accounts/home/test", data={"text": "x" * size})
        ((_done, _user, text, _id),) = view.done
        return len(text) == size

    return _run(scenario())


def unfinished_commands(count: int, _: Path) -> bool:
    """Returns whether a sender with one less may have so many."""

    async def count_unfinished(_sender: str) -> int:
        return count - 1

    sender = SenderOptions(name="nas", token="t" * 32, to="me", users=("me",), rate=0)
    account = SimpleNamespace(count_unfinished=count_unfinished)
    return _run(SenderRegistry(lambda: 0.0).count_command(sender, [account]))


def lines_about_calls(count: int, _: Path) -> bool:
    async def scenario() -> bool:
        call_log = CallLog()
        with capture_logs() as lines:
            for _number in range(count):
                call_log.write("nas", ACCEPTED, {})
        return len(lines) == count

    return _run(scenario())


WEB_DRIVERS: dict[str, Driver] = {
    "the head of a request to the web server": request_head,
    "what a client sends during a request besides the body that is read": unread_bytes,
    "the body of a request to the web server": lambda size, _: _form(b"x" * size),
    "fields of a form": lambda count, _: _form(b"&".join(b"%d=x" % number for number in range(count))),
    "connections to the web server at a time": all_connections,
    "connections to the web server from one address (IPv6: one /64)": connections_of_address,
    "further connections to the web server, which may ask for health only": reserved_connections,
    "pages that are kept up to date at a time": open_pages,
    "browsers that are logged in": browsers,
    "addresses whose wrong passwords or tokens are counted": failed_addresses,
    "commands of a sender over HTTP without a result": unfinished_commands,
    "lines of the log about accepted calls of one sender, in a minute": lines_about_calls,
    "fields of a form or a query from a sender": lambda count, _: _sender_form(count),
    "a body to ntfy's interface that is a text": lambda size, _: _ntfy_text_bytes() >= size,
    "markdown from a sender whose marks are taken out": lambda size, _: (
        "*" not in plain_text_of(f"*{'x' * (size - 2)}*")
    ),
    "alerts that one text names": lambda count, _: _text_of_alerts(count, "x").count("x") == count,
    "the line of an alert": lambda size, _: "x" * size in _text_of_alerts(1, "x" * size),
    "links in a text of alerts": lambda count, _: _link_count(count) == count,
    "login forms of one address that are read at a time": login_forms,
    "a search on the page": lambda size, _: len(_contacts_request(q="x" * size)[0]) == size,
    "the first contact that the page shows": lambda value, _: (
        _contacts_request(**{"from": str(value)})[1] == value
    ),
    "a message from the page": page_text,
    "a picture in a list of the page": page_picture,
    "the name of a file that a browser downloads": lambda size, _: (
        len(media_headers._shortened("x" * (size - 4) + ".pdf")) == size
    ),
}
