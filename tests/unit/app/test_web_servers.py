"""The options of the web server follow from the settings, and a disabled one costs nothing."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest

from wx2mqtt.app import web_servers
from wx2mqtt.app.web_servers import (
    find_listen_problems,
    running_web_server,
    sender_options,
    web_options,
)
from wx2mqtt.settings.loader import load
from wx2mqtt.settings.schema import Settings
from wx2mqtt.web.options import Serves
from wx2mqtt.wechat.registry import BACKENDS


def web_settings(**web: object) -> Settings:
    return Settings.model_validate({"web": web})


def test_all_settings_of_the_web_server_are_passed_on():
    options = web_options(
        web_settings(
            listen="[::]:8080",
            url="https://home.example.org/wechat",
            hosts=["bridge.lan"],
            base_path="/wechat",
            password="geheim",
            token="t0ken",
            trusted_proxies=["10.0.0.0/8", "::1"],
        )
    )
    assert (options.host, options.port) == ("::", 8080)
    assert options.url == "https://home.example.org/wechat"
    assert (options.hosts, options.prefix) == (("bridge.lan",), "/wechat")
    assert (options.password, options.token) == ("geheim", "t0ken")
    assert options.proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))


def test_by_default_the_web_server_is_on_loopback_and_asks_for_no_password():
    options = web_options(web_settings())
    assert (options.host, options.port, options.prefix) == ("127.0.0.1", 8099, "")
    assert (options.password, options.token, options.url) == ("", "", "")
    assert options.ingress == ""


async def test_a_disabled_web_server_is_none():
    async with running_web_server(web_settings(enabled=False), []) as server:
        assert server is None


def test_of_a_disabled_web_server_no_library_is_loaded():
    program = (
        "import asyncio, sys\n"
        "from wx2mqtt.app.application import open_application\n"
        "from wx2mqtt.app.web_servers import running_web_server\n"
        "from wx2mqtt.settings.schema import Settings\n"
        "async def run():\n"
        "    async with running_web_server(Settings.model_validate({'web': {'enabled': False}}), []): pass\n"
        "asyncio.run(run())\n"
        "sys.exit(bool({'uvicorn', 'starlette'} & {*sys.modules}))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_behind_ingress_the_supervisor_is_a_trusted_proxy_and_no_password_is_needed(tmp_path: Path):
    file = tmp_path / "wx2mqtt.yaml"
    file.write_text("web: {listen: 0.0.0.0:8099, ingress: 172.30.32.2}\n")
    options = web_options(load(file, {}, BACKENDS).settings)
    assert (options.ingress, options.password) == ("172.30.32.2", "")
    assert options.proxies == (ip_network("172.30.32.2"),)


SENDER = {"name": "nas", "token": "s" * 32, "to": "me"}


def test_the_web_server_serves_senders_unless_they_have_an_address_of_their_own():
    assert web_options(web_settings()).serves is Serves.EVERYTHING
    assert web_options(web_settings(senders_listen="127.0.0.1:8100")).serves is Serves.PAGE
    assert web_options(web_settings(ingress="172.30.32.2")).serves is Serves.PAGE


def test_the_servers_of_senders_have_neither_the_page_nor_its_password():
    settings = web_settings(
        listen="0.0.0.0:8099",
        password="geheim",
        token="t0ken",
        senders_listen="0.0.0.0:8100",
        ntfy_listen="[::]:8101",
    )
    page, senders, ntfy = web_servers._options_of_servers(settings, with_senders=True)
    assert page.password == "geheim"
    assert [(options.host, options.port, options.serves, options.key) for options in (senders, ntfy)] == [
        ("0.0.0.0", 8100, Serves.SENDERS, "web.senders_listen"),
        ("::", 8101, Serves.ROOT_SENDERS, "web.ntfy_listen"),
    ]
    assert {(options.password, options.token) for options in (senders, ntfy)} == {("", "")}


@pytest.mark.parametrize(
    ("users", "expected"), [({"to": "me"}, ("me",)), ({"to": "me", "users": ["*"]}, ("*",)), ({}, ())]
)
def test_a_sender_may_write_to_its_recipient_or_to_the_users_that_are_named(
    users: dict[str, object], expected: tuple[str, ...]
) -> None:
    sender = {"name": "nas", "token": "s" * 32, **users}
    (options,) = sender_options(web_settings(senders=[sender]))
    assert (options.name, options.token, options.users) == ("nas", "s" * 32, expected)


def test_a_disabled_web_server_has_no_senders_and_no_problems_with_its_address():
    settings = web_settings(enabled=False, listen="0.0.0.0:1", senders=[SENDER])
    assert sender_options(settings) == []
    assert find_listen_problems(settings) == []
