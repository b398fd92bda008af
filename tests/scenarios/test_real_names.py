"""Connections to WeChat by TLS, of all backends.

Without an endpoint the real names are used, through the proxy of the environment (HTTPS_PROXY, SSL_CERT_FILE). With an
endpoint the bridge connects to it directly, and has another transport for most calls.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.broker import free_port, mosquitto
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.home import Home
from tests.support.ilink_home import ILinkHome
from tests.support.subscriber import Subscriber
from tests.support.tunnel import Tunnel, tunnel
from tests.support.wecom_home import BOT, WeComHome
from wx2mqtt.simulator.server import Simulator


def use_tls(control: Any, url: str, ca: Path) -> None:
    """Makes a control connect to the simulator by TLS."""
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    control._http = httpx.AsyncClient(base_url=url, trust_env=False, timeout=MAX_WAIT_SECONDS, verify=context)


@asynccontextmanager
async def home_at_real_names(
    folder: Path, kind: type[Home], *, by_proxy: bool = True
) -> AsyncIterator[tuple[Home, Tunnel, dict[str, str]]]:
    """Yields a home whose bridge uses the real names of WeChat behind a proxy, the proxy, and the environment for it.

    Without `by_proxy` it has an endpoint with TLS, to which no proxy leads.
    """
    tls = folder / "tls"
    async with Simulator(tls=tls) as simulator, tunnel(simulator.port) as proxy:
        with mosquitto(folder / "mosquitto") as broker, Subscriber(broker.port) as subscriber:
            home = kind(folder, simulator, broker, subscriber)
            for control in (home.control, getattr(home, "bot", None)):
                if control is not None:
                    await control.close()
                    use_tls(control, simulator.url, tls / "ca.pem")
            await home.control.post("settings", strict=True)
            settings = home.settings()
            if by_proxy:
                del settings["accounts"]["home"]["endpoint"]
            home.bridge.configure(settings)
            env = {"HTTPS_PROXY": proxy.url, "SSL_CERT_FILE": str(tls / "ca.pem"), "NO_PROXY": ""}
            try:
                yield home, proxy, env
                assert await home.control.get("violations") == []
            except BaseException:
                print("\n".join(home.bridge.log[-60:]))  # noqa: T201 - pytest shows it with the failure
                raise
            finally:
                await home.close()


@pytest.mark.usefixtures("with_mosquitto")
async def test_ilink_by_its_real_names(tmp_path: Path):
    async with home_at_real_names(tmp_path, ILinkHome) as (home, proxy, env):
        assert isinstance(home, ILinkHome)
        await home.bot.post(
            "ilink/settings", hold_updates=5.0, hold_status=5.0, redirect_host="ilinkai2.weixin.qq.com"
        )
        home.bridge.start(**env)
        await home.scan()
        await home.body("wx/login/state", state="online")
        message_id = await home.bot.write("a picture", kind="image")
        event = await home.body("wx/event/media", message_id=message_id)
        assert event["state"] == "ready"
        assert (await home.send_command("me", "seen"))["status"] == "sent"
        file = await home.send_command("me/file/a.txt", b"hello " * 1000)
        assert file["status"] == "sent"
        assert (await home.bot.bot_sent(2))[-1]["sha256"] == hashlib.sha256(b"hello " * 1000).hexdigest()
        assert set(proxy.hosts) == {
            "ilinkai.weixin.qq.com",
            "ilinkai2.weixin.qq.com",
            "novac2c.cdn.weixin.qq.com",
        }


@pytest.mark.usefixtures("with_mosquitto")
async def test_web_wechat_by_its_real_names(tmp_path: Path):
    async with home_at_real_names(tmp_path, Home) as (home, proxy, env):
        home.bridge.start(**env)
        await home.control.wait("code")
        await home.control.post("scan")
        await home.control.post("confirm")
        await home.body("wx/login/state", state="online")
        await home.control.say("wife", "开灯")
        await home.body("wx/in/wife", text="开灯")
        assert (await home.send_command("wife", "on"))["status"] == "sent"
        assert all(host.endswith((".qq.com", ".wechat.com")) for host in proxy.hosts)
        assert len(set(proxy.hosts)) >= 3


async def assert_messages_go_both_ways(home: WeComHome) -> None:
    """Checks that a text and a file arrive in both directions."""
    await home.bot.write("开灯")
    await home.body("wx/in/me", text="开灯")
    message_id = await home.bot.write("a.pdf", kind="file", bytes_of=70_001)
    event = await home.body("wx/event/media", message_id=message_id)
    sent_file = home.simulator.wechat.wecom.files.plain[message_id]
    assert (event["state"], event["sha256"]) == ("ready", sent_file.sha256)
    assert (await home.send_command("me", "seen"))["status"] == "sent"
    data = b"hello " * 100_000  # two pieces
    assert (await home.send_command("me/file/a.txt", data))["status"] == "sent"
    text, file = await home.bot.bot_sent(2)
    assert (text["shown"], file["sha256"]) == ("seen", hashlib.sha256(data).hexdigest())


@pytest.mark.usefixtures("with_mosquitto")
@pytest.mark.parametrize("by_proxy", [True, False], ids=["by the proxy", "directly"])
async def test_wecom_by_tls(tmp_path: Path, by_proxy: bool):
    async with home_at_real_names(tmp_path, WeComHome, by_proxy=by_proxy) as (home, proxy, env):
        assert isinstance(home, WeComHome)
        home.bridge.start(**env)
        await home.body("wx/login/state", state="online")
        await assert_messages_go_both_ways(home)
        assert set(proxy.hosts) == ({"openws.work.weixin.qq.com"} if by_proxy else set())
        assert len(proxy.hosts) > 1 or not by_proxy  # the file comes by the proxy as well


@pytest.mark.usefixtures("with_mosquitto")
async def test_a_bot_of_wecom_is_made_by_a_scan_through_the_proxy(tmp_path: Path):
    async with home_at_real_names(tmp_path, WeComHome) as (home, proxy, env):
        assert isinstance(home, WeComHome)
        settings = home.settings({"wecom": {"receipt": None}})
        del settings["accounts"]["home"]["endpoint"]
        home.bridge.configure(settings)
        home.bridge.start(**env)
        await home.bot.wait("code")
        await home.bot.post("wecom/scan", person="me")
        await home.bot.post("wecom/confirm")
        await home.body("wx/login/state", state="online")
        await assert_messages_go_both_ways(home)
        assert set(proxy.hosts) == {"work.weixin.qq.com", "openws.work.weixin.qq.com"}


@pytest.mark.usefixtures("with_mosquitto")
async def test_a_bot_of_wecom_sends_its_secret_to_no_server_with_a_wrong_certificate(tmp_path: Path):
    async with home_at_real_names(tmp_path, WeComHome) as (home, proxy, env):
        home.bridge.start(**{**env, "SSL_CERT_FILE": ""})
        state = await home.body("wx/login/state", state="interrupted")
        assert "no connection to WeCom" in state["reason"]
        assert set(proxy.hosts) == {"openws.work.weixin.qq.com"}
        assert (await home.control.get("wecom/state"))["bots"][BOT["bot_id"]]["subscriptions"] == 0


@pytest.mark.usefixtures("with_mosquitto")
async def test_without_a_proxy_that_answers_wecom_is_away(tmp_path: Path):
    async with home_at_real_names(tmp_path, WeComHome) as (home, _, env):
        home.bridge.start(**{**env, "HTTPS_PROXY": f"http://127.0.0.1:{free_port()}"})
        state = await home.body("wx/login/state", state="interrupted")
        assert "no connection to WeCom" in state["reason"]


@pytest.mark.usefixtures("with_mosquitto")
async def test_nothing_is_sent_to_a_server_with_a_wrong_certificate(tmp_path: Path):
    async with home_at_real_names(tmp_path, ILinkHome) as (home, _, env):
        home.bridge.start(**{**env, "SSL_CERT_FILE": ""})
        state = await home.body("wx/login/state", state="interrupted")
        assert "no connection to WeChat" in state["reason"]
        assert (await home.control.get("ilink/state"))["codes"] == []


LOST_ANSWERS = ("drop_answer", "reset", "truncate", "bad_status_line", "empty")
REFUSALS = (("status", 503), ("ret", -1))


@pytest.mark.usefixtures("with_mosquitto")
@pytest.mark.parametrize("by_proxy", [True, False], ids=["by the proxy", "directly"])
async def test_web_wechat_reports_a_failed_send_alike_with_either_transport(tmp_path: Path, by_proxy: bool):
    async with home_at_real_names(tmp_path, Home, by_proxy=by_proxy) as (home, proxy, env):
        home.bridge.start(**env)
        await home.control.wait("code")
        await home.control.post("scan")
        await home.control.post("confirm")
        await home.body("wx/login/state", state="online")
        for kind in LOST_ANSWERS:
            await home.control.post("fault", endpoint="webwxsendmsg", kind=kind)
            result = await home.send_command("wife", f"lost by {kind}")
            assert (result["status"], result["duplicate_possible"]) == ("sent", True)
        for kind, value in REFUSALS:
            await home.control.post("fault", endpoint="webwxsendmsg", kind=kind, value=value)
            result = await home.send_command("wife", f"refused by {kind}")
            assert (result["status"], result["duplicate_possible"]) == ("sent", False)
        sent = await home.control.get("sent")
        assert len([message for message in sent if message["delivered"]]) == len(LOST_ANSWERS) + len(REFUSALS)
        assert bool(proxy.hosts) is by_proxy


@pytest.mark.usefixtures("with_mosquitto")
@pytest.mark.parametrize("by_proxy", [True, False], ids=["by the proxy", "directly"])
async def test_ilink_reports_a_failed_send_alike_with_either_transport(tmp_path: Path, by_proxy: bool):
    async with home_at_real_names(tmp_path, ILinkHome, by_proxy=by_proxy) as (home, proxy, env):
        assert isinstance(home, ILinkHome)
        home.bridge.start(**env)
        await home.scan()
        await home.body("wx/login/state", state="online")
        await home.bot.write("hello")
        await home.body("wx/in/me", text="hello")
        for kind in LOST_ANSWERS[:3]:
            await home.control.post("fault", endpoint="sendmessage", kind=kind)
            result = await home.send_command("me", f"lost by {kind}")
            assert (result["status"], result["duplicate_possible"]) == ("sent", True)
        await home.control.post("fault", endpoint="sendmessage", kind="status", value=503)
        result = await home.send_command("me", "refused")
        assert (result["status"], result["duplicate_possible"]) == ("sent", False)
        assert bool(proxy.hosts) is by_proxy
