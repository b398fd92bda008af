"""The server: start, stop, TLS, the page, and errors of the control API."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.web_client import PREFIX, WebClient
from wx2mqtt.simulator import certificates
from wx2mqtt.simulator.hosts import ALL_HOSTS
from wx2mqtt.simulator.server import Simulator, SimulatorOptions, run_simulator


async def test_the_server_stops_at_once_although_a_poll_is_held(caplog: pytest.LogCaptureFixture):
    async with WebClient("") as web_client:
        async with Simulator() as sim:
            web_client.http.base_url = httpx.URL(sim.url)
            await web_client.log_in()
            await web_client.all_new()
            poll = asyncio.create_task(web_client.check())
            assert (await web_client.seen("wait", **{"for": "polling"}))["ready"]
            began = time.monotonic()
        assert time.monotonic() - began < allowed(1)
        with pytest.raises(httpx.TransportError):
            await poll
    assert caplog.records == []


async def test_a_port_that_is_in_use_is_an_os_error(sim: Simulator):
    with pytest.raises(OSError, match="address already in use"):
        async with Simulator(port=sim.port):
            pass


async def test_wechat_can_go_away_and_come_back_with_the_same_world():
    sim = Simulator()
    async with sim:
        web_client = WebClient(sim.url)
        await web_client.log_in()
    with pytest.raises(httpx.ConnectError):
        await web_client.sync()
    async with sim, web_client:
        await web_client.control("say", text="wieder da")
        assert [message["Content"] for message in await web_client.all_new()] == ["wieder da"]


async def test_the_server_listens_on_loopback_only_unless_another_host_is_set(sim: Simulator):
    assert sim.url == f"http://127.0.0.1:{sim.port}"


async def test_tls_has_a_certificate_for_every_name_of_wechat(tmp_path: Path):
    async with Simulator(tls=tmp_path / "tls") as sim:
        trust = ssl.create_default_context(cafile=tmp_path / "tls" / "ca.pem")
        assert sim.url.startswith("https://127.0.0.1:")
        async with httpx.AsyncClient(verify=trust, trust_env=False, timeout=MAX_WAIT_SECONDS) as client:
            for host in ALL_HOSTS:
                url = httpx.URL(sim.url, path="/jslogin")
                options = {"sni_hostname": host}
                answer = await client.get(url, headers={"Host": host}, extensions=options)
                assert answer.status_code == 200, host
    assert (tmp_path / "tls" / "server.key").stat().st_mode & 0o777 == 0o600


def test_a_certificate_of_an_earlier_version_that_lacks_names_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as earlier:
        earlier.setattr(certificates, "ALL_HOSTS", ALL_HOSTS[:3])
        certificates.server_context(tmp_path)
    before = (tmp_path / "server.pem").read_bytes()
    certificates.server_context(tmp_path)
    after = (tmp_path / "server.pem").read_bytes()
    certificates.server_context(tmp_path)
    assert before != after == (tmp_path / "server.pem").read_bytes()


async def test_a_client_that_trusts_the_ca_trusts_the_next_run_too(tmp_path: Path):
    async with Simulator(tls=tmp_path):
        pass
    trust = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    async with Simulator(tls=tmp_path) as sim, WebClient(sim.url, verify=trust) as web_client:
        await web_client.log_in()
        await web_client.control("fault", endpoint="webwxsync", kind="reset")
        with pytest.raises(httpx.TransportError):
            await web_client.sync()
        await web_client.control("fault", endpoint="webwxsync", kind="truncate")
        with pytest.raises(httpx.TransportError):
            await web_client.sync()


@pytest.mark.parametrize("path", ["/", "/sim", "/sim/", "/l/AAAAAAAAAA=="])
async def test_the_phone_page_allows_no_script_but_its_own(web_client: WebClient, path: str):
    answer = await web_client.http.get(path)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "onclick" not in answer.text
    for name in ("phone.css", "phone.js"):
        assert f"/sim/{name}" in answer.text
        assert (await web_client.http.get(f"/sim/{name}")).status_code == 200


async def test_an_unknown_path_is_404(web_client: WebClient):
    assert (await web_client.http.get(f"{PREFIX}webwxpreview")).status_code == 404
    assert (await web_client.http.post("/sim", json={})).status_code == 404
    assert (await web_client.http.get("/sim/scan")).status_code == 404
    assert await web_client.violations() == []


async def test_a_body_without_end_is_refused(sim: Simulator, web_client: WebClient):
    sim_limit = 33 * 1024 * 1024
    answer = await web_client.http.post(web_client.path("webwxsync"), content=b"x" * sim_limit)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/sim/settings", b"no json"),
        ("/sim/settings", b"[]"),
        ("/sim/settings", b'{"strange": 1}'),
        ("/sim/settings", b'{"hold_sync": "25"}'),
        ("/sim/settings", b'{"echo": 1}'),
        ("/sim/settings", b'{"push_login": "maybe"}'),
        ("/sim/logout", b'{"retcode": "x"}'),
    ],
)
async def test_a_wrong_order_is_400_and_says_why(web_client: WebClient, path: str, body: bytes):
    answer = await web_client.http.post(path, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_a_wrong_setting_changes_nothing(web_client: WebClient):
    await web_client.http.post("/sim/settings", json={"echo": True, "strange": 1})
    assert (await web_client.control("settings", hold_sync=3))["echo"] is False
    assert (await web_client.control("settings"))["hold_sync"] == 3.0


async def test_waiting_has_a_bound_and_a_name(web_client: WebClient):
    assert (await web_client.seen("wait", **{"for": "online", "seconds": 0.01})) == {"ready": False}
    assert (await web_client.seen("wait", **{"for": "offline"})) == {"ready": True}
    await web_client.uuid()
    assert (await web_client.seen("wait", **{"for": "code"})) == {"ready": True}
    for wrong in ({"for": "x"}, {"for": "calls:login"}, {"for": "online", "seconds": "x"}):
        assert (await web_client.http.get("/sim/wait", params=wrong)).status_code == 400


async def test_user_names_exist_only_during_a_login(web_client: WebClient):
    assert (await web_client.http.get("/sim/names")).status_code == 409


async def test_a_reset_gives_a_fresh_world(online_client: WebClient):
    await online_client.control("people", friends=3)
    await online_client.say("filehelper", "a")
    await online_client.control("reset")
    state = await online_client.seen("state")
    assert (state["sent"], state["sessions"], state["logins"], state["settings"]["strict"]) == (
        0,
        0,
        [],
        False,
    )
    assert state["people"] == 15


def test_the_command_says_in_one_line_which_port_or_file_it_cannot_use(tmp_path: Path):
    lines: list[str] = []
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        assert run_simulator(SimulatorOptions(port=port), lines.append, lines.append) == 75
    assert lines.pop().startswith(f"cannot listen on 127.0.0.1:{port}: ")
    (tmp_path / "file").write_text("")
    assert run_simulator(SimulatorOptions(tls=tmp_path / "file"), lines.append, lines.append) == 78
    assert len(lines) == 1


async def test_the_command_prints_its_address_and_stops_on_a_signal(tmp_path: Path):
    code = (
        "from functools import partial; from pathlib import Path; from wx2mqtt.simulator.server import SimulatorOptions, run_simulator; "
        "show = partial(print, flush=True); "
        f"run_simulator(SimulatorOptions(port=0, friends=2, autoscan=True, tls=Path({str(tmp_path)!r})), show, print)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=-1, env={**os.environ})
    assert process.stdout is not None
    first = (await asyncio.wait_for(process.stdout.readline(), MAX_WAIT_SECONDS)).decode()
    url = first.split()[2].removesuffix("/sim")
    trust = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    async with WebClient(url, verify=trust) as web_client:
        state = await web_client.seen("state")
        assert state["settings"]["autoscan"]
        assert state["people"] == 17
    process.send_signal(signal.SIGTERM)
    rest = (await asyncio.wait_for(process.stdout.read(), MAX_WAIT_SECONDS)).decode()
    assert await asyncio.wait_for(process.wait(), MAX_WAIT_SECONDS) == 0
    assert "login.weixin.qq.com" in rest
