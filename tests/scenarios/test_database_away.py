"""A real PostgreSQL is stopped and started below a bridge: what people and programs are told meanwhile."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.cluster.database import DatabaseServer
from tests.scenarios.test_backup import wx2mqtt
from tests.support.broker import DURABLE, free_port
from tests.support.deadlines import MAX_REQUEST_SECONDS, MAX_WAIT_SECONDS, allowed
from tests.support.home import Home, at_home
from tests.support.postgresql import LOGIN_KEY, USER, programs
from tests.support.service_manager import ServiceManager

NAME = "bridge"
AWAY = "the database is away since "


@pytest.fixture
def server() -> Iterator[DatabaseServer]:
    """A server of its own, which a test stops."""
    if programs() is None:
        pytest.skip("PostgreSQL is missing: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="wx2mqtt-pg-"))
    folder.chmod(0o755)
    server = DatabaseServer(folder, 1, durable=False)
    server.create()
    server.start()
    server.execute(f"CREATE DATABASE {NAME}")
    yield server
    server.kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture
async def home(with_mosquitto: None, tmp_path: Path, server: DatabaseServer) -> AsyncIterator[Home]:
    async with at_home(tmp_path, DURABLE) as home:
        home.bridge.configure(settings_of(home, server))
        yield home


def settings_of(home: Home, server: DatabaseServer) -> dict[str, Any]:
    url = f"postgresql://{USER}@127.0.0.1:{server.port}/{NAME}"
    return {
        **home.settings(),
        "storage": {"path": str(home.bridge.store), "url": url, "key": LOGIN_KEY},
        "web": {"listen": f"127.0.0.1:{free_port()}"},
    }


def page_of(home: Home) -> str:
    return next(
        line.split('"url": "')[1].split('"')[0] for line in home.bridge.log if "web server runs" in line
    )


async def answer_of(client: httpx.AsyncClient, path: str, status: int) -> httpx.Response:
    """The first answer with this status; the port changes hands within moments."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while True:
            try:
                answer = await client.get(path)
            except httpx.TransportError:
                await asyncio.sleep(0)
                continue
            if answer.status_code == status:
                return answer


async def test_everybody_is_told_the_truth_while_the_database_is_away(
    home: Home, server: DatabaseServer
) -> None:
    with ServiceManager(home.folder, watchdog=2) as manager:
        since = home.subscriber.count
        home.bridge.start(**manager.env)
        await home.control.wait("code")
        await home.control.post("scan")
        await home.control.post("confirm")
        await home.body("wx/login/state", state="online", since=since)
        await home.in_thread(manager.wait, "STATUS", "home: online")
        client = httpx.AsyncClient(
            base_url=page_of(home),
            trust_env=False,
            timeout=MAX_REQUEST_SECONDS,
            headers={"accept-language": "en"},
        )
        assert "wx2mqtt_database_up 1.0" in (await answer_of(client, "/metrics", 200)).text

        since, said = home.subscriber.count, len(manager.received)
        await asyncio.to_thread(server.stop)
        await home.in_thread(
            home.subscriber.wait,
            "wx/bridge/state",
            lambda received: received.payload == b"offline",
            since=since,
        )
        status = await home.in_thread(manager.wait, "STATUS", AWAY, since=said)
        assert "no account runs here" in status

        page = await answer_of(client, "/", 503)
        assert "The database cannot be used" in page.text
        assert (page.headers["retry-after"], page.headers["refresh"]) == ("15", "15")
        contacts = await answer_of(client, "/accounts/home/contacts", 503)
        assert contacts.text.startswith("the database cannot be used")
        lives, well = await answer_of(client, "/livez", 200), await answer_of(client, "/healthz", 503)
        assert lives.json()["alive"] is True
        assert lives.json()["database"].keys() == {"away_since", "reason"}
        assert well.json()["reasons"] == ["database_away"]
        assert "wx2mqtt_database_up 0.0" in (await answer_of(client, "/metrics", 200)).text

        code, out, _ = await wx2mqtt(home.bridge, "healthcheck")
        assert (code, out.decode().startswith(AWAY)) == (1, True), out
        code, out, _ = await wx2mqtt(home.bridge, "healthcheck", "--live")
        assert (code, out.decode().startswith(AWAY)) == (0, True), "a restart would not help"
        code, _, text = await wx2mqtt(home.bridge, "journal", "list")
        assert (code, AWAY in text) == (1, True), text
        fed = len(manager.times("WATCHDOG"))
        await home.in_thread(manager.wait, "WATCHDOG", since=len(manager.received))
        assert len(manager.times("WATCHDOG")) > fed

        home.bridge.hangup()  # is not lost: the file is read when the bridge is open again
        since, said = home.subscriber.count, len(manager.received)
        await asyncio.to_thread(server.start)
        await home.body("wx/login/state", state="online", since=since)
        await home.in_thread(manager.wait, "STATUS", "home: online", since=said)
        await home.in_thread(home.bridge.wait_for_log, '"reloaded"')
        assert (await answer_of(client, "/", 200)).text.count("The database cannot be used") == 0
        await home.control.say("wife", "back")
        await home.body("wx/in/wife", text="back")
        assert len([line for line in home.bridge.log if "database cannot be opened yet" in line]) == 1
        await client.aclose()

        said = len(manager.received)
        await asyncio.to_thread(server.stop)
        await home.in_thread(manager.wait, "STATUS", AWAY, since=said)
        began = time.monotonic()
        assert await home.in_thread(home.bridge.stop) == 0
        assert time.monotonic() - began < allowed(5)
        assert manager.names[-1] != "READY"
        assert "STOPPING" in manager.names


async def test_a_database_that_stands_still_is_said_in_status_and_health(
    home: Home, server: DatabaseServer
) -> None:
    """Its connections stay open, so that nothing is lost, and nothing goes out."""
    with ServiceManager(home.folder) as manager:
        await home.in_thread(home.bridge.start, **manager.env)
        await home.in_thread(manager.wait, "STATUS", "home: waiting_for_scan")
        said = len(manager.received)
        async with httpx.AsyncClient(base_url=page_of(home), trust_env=False) as client:
            with server.connect(NAME) as blocking:
                blocking.execute("BEGIN; LOCK TABLE instance")
                await home.in_thread(manager.wait, "STATUS", "the database does not answer", since=said)
                assert (await client.get("/livez")).status_code == 200
                assert (await answer_of(client, "/healthz", 503)).json()["reasons"][0] == "database_away"
                assert "wx2mqtt_database_up 0.0" in (await client.get("/metrics")).text
                said = len(manager.received)
                blocking.execute("ROLLBACK")
                await home.in_thread(manager.wait, "STATUS", "home: waiting_for_scan", since=said)
            assert len([line for line in home.bridge.log if "database does not answer" in line]) == 1
        assert home.bridge.stop() == 0


async def test_a_server_that_accepts_and_says_nothing_keeps_no_stop_waiting(
    home: Home, server: DatabaseServer
) -> None:
    """Libpq waits for ten seconds then."""
    with ServiceManager(home.folder) as manager, socket.socket() as silent:
        await home.in_thread(home.bridge.start, **manager.env)
        await home.in_thread(manager.wait, "STATUS", "home: waiting_for_scan")
        said = len(manager.received)
        await asyncio.to_thread(server.stop)
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        silent.bind(("127.0.0.1", server.port))
        silent.listen()
        await home.in_thread(manager.wait, "STATUS", AWAY, since=said)
        silent.settimeout(MAX_WAIT_SECONDS)
        connection, _ = await asyncio.to_thread(silent.accept)
        began = time.monotonic()
        assert await home.in_thread(home.bridge.stop) == 0
        assert time.monotonic() - began < allowed(5)
        connection.close()
