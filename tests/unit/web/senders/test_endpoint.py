"""The endpoint without a bridge: the order of its checks, its statuses, and which addresses have it at all."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tests.support.web import FakeClock, options
from wx2mqtt.bridge.commands.http_commands import AcceptedCall, CallRefused
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Blob
from wx2mqtt.web.bridge_state import BridgeState, ClusterState, DatabaseOutage, InstanceState
from wx2mqtt.web.options import SenderOptions, Serves, WebOptions
from wx2mqtt.web.routes import web_application
from wx2mqtt.web.senders.endpoint import INTERFACES
from wx2mqtt.web.senders.sender_rights import MAX_UNFINISHED, SenderRegistry

TOKEN = "t" * 32
NAS = SenderOptions(name="nas", token=TOKEN, to="wife", users=("wife", "*/wife"), rate=0)


class FakeCommandCalls:
    """An account that stores nothing: `done` lists what it accepted, `error` is raised instead."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.error: Exception | None = None
        self.unfinished = 0
        self.released: list[Blob] = []

    async def accept(self, user, fields, sender, upload, wait, _content=""):
        if self.error is not None:
            raise self.error
        self.done.append((user, dict(fields), sender, upload))
        result = None if wait is None else {"status": "sent"}
        return AcceptedCall(command_id="c1", row_id=1, time=1, result=result)

    def check_upload(self, _kind, _size):
        pass

    async def store_upload(self, _kind, pieces):
        data = b"".join([piece async for piece in pieces])
        return Blob(sha256="ab", size=len(data), mime="text/plain", path="ab")

    async def release(self, upload):
        self.released.append(upload)

    async def count_unfinished(self, _sender):
        return self.unfinished


@pytest.fixture
def command_calls() -> FakeCommandCalls:
    return FakeCommandCalls()


def client(
    command_calls: FakeCommandCalls, web_options: WebOptions | None = None, senders=(NAS,), **state: Any
) -> httpx.AsyncClient:
    clock = FakeClock()
    registry = SenderRegistry(clock)
    registry.set_senders(senders)
    views: Any = [SimpleNamespace(name="home", command_calls=command_calls)]
    defaults: dict[str, Any] = {"accounts": lambda: views, "account_names": lambda: ("home", "office")}
    bridge = BridgeState(**{**defaults, **state})
    app = web_application(web_options or options(), [], asyncio.Event(), clock, bridge, registry)
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 4000), raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "text/plain"}
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8099", headers=headers)


async def test_a_call_is_handed_on_and_answered(command_calls):
    async with client(command_calls) as http:
        answer = await http.post("/send/wife?urgent=1", content="home at six")
        waited = await http.post("/send/home/wife?wait=5", content="b")
    assert (answer.status_code, answer.json()) == (202, {"id": "c1", "account": "home", "user": "wife"})
    assert answer.headers["cache-control"] == "no-store"
    assert (waited.status_code, waited.json()) == (200, {"status": "sent"})
    assert command_calls.done[0] == ("wife", {"urgent": True, "text": "home at six"}, "nas", None)


async def test_a_wrong_token_is_told_where_that_of_a_sender_stands(command_calls):
    async with client(command_calls) as http:
        answer = await http.post("/send/wife", content="a", headers={"authorization": "Bearer " + "w" * 40})
    assert answer.status_code == 401
    assert "web.senders" in answer.json()["error"]


@pytest.mark.parametrize(
    ("error", "status", "has_retry"),
    [
        (CallRefused("bad_command", "x"), 400, False),
        (CallRefused("not_allowed", "x"), 403, False),
        (CallRefused("unknown_user", "x"), 404, False),
        (CallRefused("unresolved_user", "x"), 404, False),
        (CallRefused("id_reused", "x"), 409, False),
        (CallRefused("too_long", "x"), 413, False),
        (CallRefused("rate_limited", "x"), 429, True),
        (CallRefused("storage_full", "x"), 503, True),
        (StoreError("x"), 503, True),
    ],
)
async def test_each_refusal_has_its_status(command_calls, error, status, has_retry):
    command_calls.error = error
    async with client(command_calls) as http:
        answer = await http.post("/send/wife", content="a")
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) is has_retry
    assert answer.json()["status"] == "error"


async def test_the_file_of_a_refused_call_is_released_and_that_of_an_accepted_one_is_not(command_calls):
    async with client(command_calls) as http:
        await http.post("/send/wife", content=b"a", headers={"content-type": "image/png"})
        assert command_calls.released == []
        command_calls.error = CallRefused("bad_file", "x")
        await http.post("/send/wife", content=b"a", headers={"content-type": "image/png"})
    assert len(command_calls.released) == 1


async def test_who_may_not_send_to_somebody_is_refused_before_the_body_is_read(command_calls):
    async def endless():
        raise AssertionError("it was read")
        yield b""

    async with client(command_calls) as http:
        for path, status in (("/send/mom", 403), ("/send/nowhere/wife", 404), ("/send/office/wife", 503)):
            answer = await http.post(path, content=endless())
            assert answer.status_code == status


async def test_an_account_on_another_instance_is_named(command_calls):
    instance = InstanceState(name="north", url="https://north", version="1", accounts=("office",))
    cluster = ClusterState(
        instances=(instance,), accounts=("home", "office"), waiting=(), differences={}, heartbeat_seconds=0,
        look_seconds=0, failovers=0, lost_connections=0,
    )  # fmt: skip
    async with client(command_calls, cluster=lambda: cluster) as http:
        answer = await http.post("/send/office/wife", content="a")
    assert answer.status_code == 503
    assert "north https://north" in answer.json()["error"]
    assert int(answer.headers["retry-after"]) > 0


async def test_while_the_database_is_away_a_call_is_to_come_again(command_calls):
    outage = DatabaseOutage(since=1, reason="x")
    async with client(command_calls, outage=lambda: outage) as http:
        answer = await http.post("/send/wife", content="a")
    assert (answer.status_code, command_calls.done) == (503, [])


async def test_too_many_unfinished_commands_are_429(command_calls):
    command_calls.unfinished = MAX_UNFINISHED
    async with client(command_calls) as http:
        answer = await http.post("/send/wife", content="a")
    assert answer.status_code == 429
    assert "retry-after" in answer.headers


async def test_without_senders_nothing_is_open(command_calls):
    async with client(command_calls, senders=()) as http:
        assert (await http.post("/send/wife", content="a")).status_code == 404


async def test_ingress_and_the_page_of_senders_elsewhere_serve_none(command_calls):
    ingress = options(serves=Serves.PAGE, ingress="127.0.0.1")
    for web_options in (ingress, options(serves=Serves.PAGE)):
        async with client(command_calls, web_options) as http:
            answer = await http.post("/send/wife", content="a", headers={"x-ingress-path": "/x"})
            assert answer.status_code == 404
    assert command_calls.done == []


async def test_an_address_of_senders_asks_for_no_password_and_shows_no_page(command_calls):
    own = options(serves=Serves.SENDERS, host="0.0.0.0")
    async with client(command_calls, own) as http:
        assert (await http.post("/send/wife", content="a")).status_code == 202
        for path in ("/", "/metrics", "/healthz", "/login", "/static/x"):
            assert (await http.get(path)).status_code == 404


async def test_a_page_with_a_password_lets_a_sender_through_and_its_token_opens_nothing_else(command_calls):
    async with client(command_calls, options(password="secret", token="other")) as http:
        assert (await http.post("/send/wife", content="a")).status_code == 202
        assert (await http.get("/metrics")).status_code == 401
        assert (await http.get("/media/a1")).status_code == 401
        session = {"authorization": "Bearer other"}
        assert (await http.post("/send/wife", content="a", headers=session)).status_code == 401


async def test_a_browser_of_another_site_is_refused_even_with_a_token(command_calls):
    async with client(command_calls) as http:
        answer = await http.post("/send/wife", content="a", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403


async def test_the_answer_speaks_the_language_of_the_client(command_calls):
    async with client(command_calls) as http:
        answer = await http.post("/send/mom", content="a", headers={"accept-language": "zh"})
    assert "web.senders" in answer.json()["error"]
    assert "发送方" in answer.json()["error"]


def test_no_two_interfaces_have_a_path_or_a_name():
    paths = [path for interface in INTERFACES for path in interface.paths]
    assert len(paths) == len({*paths})
    assert len(INTERFACES) == len({interface.name for interface in INTERFACES})
