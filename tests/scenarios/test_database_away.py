"""A real PostgreSQL is stopped and started while a bridge uses it: what people and programs see meanwhile."""

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

DATABASE_NAME = "bridge"
AWAY_STATUS = "the database is away since "


@pytest.fixture
def server() -> Iterator[DatabaseServer]:
    """Runs a server of its own, which the test stops."""
    if programs() is None:
        pytest.skip("PostgreSQL is missing: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="wx2mqtt-pg-"))
    folder.chmod(0o755)
    server = DatabaseServer(folder, 1, durable=False)
    server.create()
    server.start()
    server.execute(f"CREATE DATABASE {DATABASE_NAME}")
    yield server
    server.kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture
async def home(with_mosquitto: None, tmp_path: Path, server: DatabaseServer) -> AsyncIterator[Home]:
    async with at_home(tmp_path, DURABLE) as home:
        home.bridge.configure(settings_of(home, server))
        yield home


def settings_of(home: Home, server: DatabaseServer) -> dict[str, Any]:
    url = f"postgresql://{USER}@127.0.0.1:{server.port}/{DATABASE_NAME}"
    return {
        **home.settings(),
        "storage": {"path": str(home.bridge.store), "url": url, "key": LOGIN_KEY},
        "web": {"listen": f"127.0.0.1:{free_port()}"},
    }


def page_url(home: Home) -> str:
    return next(
        line.split('"url": "')[1].split('"')[0] for line in home.bridge.log if "web server runs" in line
    )


async def answer_of(client: httpx.AsyncClient, path: str, status: int) -> httpx.Response:
    """Requests a path until the answer has this status; the port passes from one server to the next meanwhile."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while True:
            try:
                answer = await client.get(path)
            except httpx.TransportError:
                await asyncio.sleep(0)
                continue
            if answer.status_code == status:
                return answer


async def test_page_metrics_and_service_manager_report_that_the_database_is_away(
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
            base_url=page_url(home),
            trust_env=False,
            timeout=MAX_REQUEST_SECONDS,
            headers={"accept-language": "en"},
        )
        assert "wx2mqtt_database_up 1.0" in (await answer_of(client, "/metrics", 200)).text

        since, notified = home.subscriber.count, len(manager.received)
        await asyncio.to_thread(server.stop)
        await home.in_thread(
            home.subscriber.wait,
            "wx/bridge/state",
            lambda received: received.payload == b"offline",
            since=since,
        )
        status = await home.in_thread(manager.wait, "STATUS", AWAY_STATUS, since=notified)
        assert "no account runs here" in status

        page = await answer_of(client, "/", 503)
        assert "The database cannot be used" in page.text
        assert (page.headers["retry-after"], page.headers["refresh"]) == ("15", "15")
        contacts = await answer_of(client, "/accounts/home/contacts", 503)
        assert contacts.text.startswith("the database cannot be used")
        liveness, health = await answer_of(client, "/livez", 200), await answer_of(client, "/healthz", 503)
        assert liveness.json()["alive"] is True
        assert liveness.json()["database"].keys() == {"away_since", "reason"}
        assert health.json()["reasons"] == ["database_away"]
        assert "wx2mqtt_database_up 0.0" in (await answer_of(client, "/metrics", 200)).text

        code, out, _ = await wx2mqtt(home.bridge, "healthcheck")
        assert (code, out.decode().startswith(AWAY_STATUS)) == (1, True), out
        code, out, _ = await wx2mqtt(home.bridge, "healthcheck", "--live")
        assert (code, out.decode().startswith(AWAY_STATUS)) == (0, True), "a restart would not help"
        code, _, text = await wx2mqtt(home.bridge, "journal", "list")
        assert (code, AWAY_STATUS in text) == (1, True), text
        watchdog_count = len(manager.times("WATCHDOG"))
        await home.in_thread(manager.wait, "WATCHDOG", since=len(manager.received))
        assert len(manager.times("WATCHDOG")) > watchdog_count

        home.bridge.hangup()  # The signal is not lost: the file is read when the bridge is open again.
        since, notified = home.subscriber.count, len(manager.received)
        await asyncio.to_thread(server.start)
        await home.body("wx/login/state", state="online", since=since)
        await home.in_thread(manager.wait, "STATUS", "home: online", since=notified)
        await home.in_thread(home.bridge.wait_for_log, '"reloaded"')
        assert (await answer_of(client, "/", 200)).text.count("The database cannot be used") == 0
        await home.control.say("wife", "back")
        await home.body("wx/in/wife", text="back")
        assert len([line for line in home.bridge.log if "database cannot be opened yet" in line]) == 1
        await client.aclose()

        notified = len(manager.received)
        await asyncio.to_thread(server.stop)
        await home.in_thread(manager.wait, "STATUS", AWAY_STATUS, since=notified)
        began = time.monotonic()
        assert await home.in_thread(home.bridge.stop) == 0
        assert time.monotonic() - began < allowed(5)
        assert manager.names[-1] != "READY"
        assert "STOPPING" in manager.names


async def test_a_database_that_does_not_answer_is_reported_in_status_and_health(
    home: Home, server: DatabaseServer
) -> None:
    """The connections to the database stay open, so nothing is lost, and nothing is sent."""
    with ServiceManager(home.folder) as manager:
        await home.in_thread(home.bridge.start, **manager.env)
        await home.in_thread(manager.wait, "STATUS", "home: waiting_for_scan")
        notified = len(manager.received)
        async with httpx.AsyncClient(base_url=page_url(home), trust_env=False) as client:
            with server.connect(DATABASE_NAME) as blocking_connection:
                blocking_connection.execute("BEGIN; LOCK TABLE instance")
                await home.in_thread(manager.wait, "STATUS", "the database does not answer", since=notified)
                assert (await client.get("/livez")).status_code == 200
                assert (await answer_of(client, "/healthz", 503)).json()["reasons"][0] == "database_away"
                assert "wx2mqtt_database_up 0.0" in (await client.get("/metrics")).text
                notified = len(manager.received)
                blocking_connection.execute("ROLLBACK")
                await home.in_thread(manager.wait, "STATUS", "home: waiting_for_scan", since=notified)
            assert len([line for line in home.bridge.log if "database does not answer" in line]) == 1
        assert home.bridge.stop() == 0


async def test_a_server_that_accepts_and_does_not_answer_does_not_delay_a_stop(
    home: Home, server: DatabaseServer
) -> None:
    """Libpq waits for ten seconds for such a server."""
    with ServiceManager(home.folder) as manager, socket.socket() as silent_server:
        await home.in_thread(home.bridge.start, **manager.env)
        await home.in_thread(manager.wait, "STATUS", "home: waiting_for_scan")
        notified = len(manager.received)
        await asyncio.to_thread(server.stop)
        silent_server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        silent_server.bind(("127.0.0.1", server.port))
        silent_server.listen()
        await home.in_thread(manager.wait, "STATUS", AWAY_STATUS, since=notified)
        silent_server.settimeout(MAX_WAIT_SECONDS)
        connection, _ = await asyncio.to_thread(silent_server.accept)
        began = time.monotonic()
        assert await home.in_thread(home.bridge.stop) == 0
        assert time.monotonic() - began < allowed(5)
        connection.close()
