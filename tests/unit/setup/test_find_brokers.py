"""Brokers are found through the Supervisor of Home Assistant and on this machine; a failure finds none."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from wx2mqtt.limits import MAX_SUPERVISOR_ANSWER_BYTES
from wx2mqtt.setup import find_brokers as module
from wx2mqtt.setup.find_brokers import FoundBroker, find_brokers
from wx2mqtt.setup.written_files import BrokerAnswers

SERVICE = {"host": "core-mosquitto", "port": 1883, "ssl": False, "username": "addons", "password": "geheim"}


class FakeSupervisor:
    """Answers each request with `answer`, or raises it; keeps the requests."""

    def __init__(self) -> None:
        self.answer: bytes | Exception = b""
        self.requests: list[urllib.request.Request] = []

    def open(self, request: urllib.request.Request, *, timeout: float) -> io.BytesIO:
        assert timeout == module.SUPERVISOR_TIMEOUT_SECONDS
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return io.BytesIO(self.answer)


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> FakeSupervisor:
    """A Supervisor, on a machine on which no broker listens."""
    fake = FakeSupervisor()
    monkeypatch.setattr(urllib.request, "build_opener", lambda *_: fake)
    listen(monkeypatch, is_listening=False)
    return fake


def listen(monkeypatch: pytest.MonkeyPatch, *, is_listening: bool) -> None:
    async def connect_tcp(_address: object) -> None:
        if not is_listening:
            raise ConnectionRefusedError

    monkeypatch.setattr(module, "connect_tcp", connect_tcp)


async def find_with_token() -> list[FoundBroker]:
    return await find_brokers({"SUPERVISOR_TOKEN": "t0ken"})


async def test_the_broker_of_home_assistant_is_found_with_its_login(supervisor: FakeSupervisor) -> None:
    supervisor.answer = json.dumps({"result": "ok", "data": {**SERVICE, "ssl": True, "port": 8883}}).encode()
    assert await find_with_token() == [
        FoundBroker(
            source="supervisor",
            broker=BrokerAnswers(
                host="core-mosquitto", port=8883, tls=True, username="addons", password="geheim"
            ),
        )
    ]
    (request,) = supervisor.requests
    assert request.full_url == "http://supervisor/services/mqtt"
    assert request.get_header("Authorization") == "Bearer t0ken"


async def test_without_a_token_the_supervisor_is_not_asked(supervisor: FakeSupervisor) -> None:
    assert await find_brokers({}) == []
    assert supervisor.requests == []


async def test_the_broker_of_home_assistant_comes_before_the_one_on_this_machine(
    supervisor: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor.answer = json.dumps({"data": SERVICE}).encode()
    listen(monkeypatch, is_listening=True)
    assert [found_broker.source for found_broker in await find_with_token()] == ["supervisor", "here"]
    (local,) = await find_brokers({}, port=1884)
    assert local.broker == BrokerAnswers(host="localhost", port=1884)


async def test_a_broker_without_a_login_is_found_without_one(supervisor: FakeSupervisor) -> None:
    supervisor.answer = b'{"data": {"host": "broker", "port": "1883", "username": null}}'
    (found_broker,) = await find_with_token()
    assert found_broker.broker == BrokerAnswers(host="broker")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no JSON",
        b"[]",
        b"{}",
        b'{"data": null}',
        b'{"data": {"host": "broker"}}',
        b'{"data": {"host": "broker", "port": "many"}}',
        b'{"data": {"host": "' + b"x" * MAX_SUPERVISOR_ANSWER_BYTES + b'", "port": 1883}}',
        urllib.error.URLError("refused"),
        TimeoutError(),
    ],
    ids=lambda answer: str(answer)[:40],
)
async def test_a_supervisor_that_names_no_broker_is_no_error(supervisor: FakeSupervisor, answer: Any) -> None:
    supervisor.answer = answer
    assert await find_with_token() == []
