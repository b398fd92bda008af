"""The settings as options of the web server, and the addresses of media in messages."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest

from wx2mqtt.app.settings_mapping import (
    account_settings,
    media_base_url,
    mqtt_options,
    running_web_server,
    web_options,
)
from wx2mqtt.errors import SettingsError
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.settings.loader import LoadedSettings, load
from wx2mqtt.settings.schema import Settings, Web
from wx2mqtt.wechat.registry import BACKENDS


def settings(**web: object) -> Settings:
    return Settings.model_validate({"web": web})


def test_all_settings_of_the_web_server_are_passed_on():
    options = web_options(
        settings(
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


def test_by_default_it_is_on_loopback_and_asks_nobody():
    options = web_options(settings())
    assert (options.host, options.port, options.prefix) == ("127.0.0.1", 8099, "")
    assert (options.password, options.token, options.url) == ("", "", "")
    assert options.ingress == ""


@pytest.mark.parametrize(
    ("web", "base"),
    [
        ({}, ""),
        ({"base_path": "/wechat"}, "/wechat"),
        ({"url": "https://home.example.org/"}, "https://home.example.org"),
        (
            {"url": "https://home.example.org/wechat", "base_path": "/wechat"},
            "https://home.example.org/wechat",
        ),
        ({"enabled": False, "url": "https://home.example.org"}, None),
    ],
)
def test_messages_name_media_by_what_is_known_of_the_address(web, base):
    assert media_base_url(Web.model_validate(web)) == base


def test_a_reload_does_not_name_an_address_that_is_not_served_yet():
    now = settings(url="https://old.example.org")
    changed = LoadedSettings(settings=settings(url="https://new.example.org"), path=None)
    account = account_settings(changed, "home", ("wx",), now.web)
    assert account.media_url("a1") == "https://old.example.org/media/a1"


def test_the_birth_message_of_home_assistant_is_subscribed_only_where_it_is_enabled():
    def filters(home_assistant: dict[str, object]) -> tuple[str, ...]:
        whole = Settings.model_validate({"homeassistant": home_assistant})
        options = mqtt_options(whole, "home", Topics("wx"), None)
        return options.subscriptions

    assert filters({}) == ("wx/out/#", "wx/bridge/request/#")
    assert filters({"enabled": True, "prefix": "ha"}) == ("wx/out/#", "wx/bridge/request/#", "ha/status")


async def test_where_it_is_not_wanted_there_is_none():
    async with running_web_server(settings(enabled=False), []) as server:
        assert server is None


def test_where_it_is_not_wanted_nothing_of_it_is_loaded():
    program = (
        "import asyncio, sys\n"
        "from wx2mqtt.app.application import open_application\n"
        "from wx2mqtt.app.settings_mapping import running_web_server\n"
        "from wx2mqtt.settings.schema import Settings\n"
        "async def run():\n"
        "    async with running_web_server(Settings.model_validate({'web': {'enabled': False}}), []): pass\n"
        "asyncio.run(run())\n"
        "sys.exit(bool({'uvicorn', 'starlette'} & {*sys.modules}))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{listen: 0.0.0.0:8099}", "web.password_file"),
        ("{listen: '[::]:8099', password: ''}", "web.password_file"),
        ("{listen: 192.168.1.5:8099, token: abc}", "web.password_file"),
    ],
)
def test_an_address_that_others_reach_needs_a_password(tmp_path: Path, text, problem):
    file = tmp_path / "wx2mqtt.yaml"
    file.write_text(f"web: {text}\n")
    with pytest.raises(SettingsError, match=problem):
        load(file, {}, BACKENDS)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("{token: abc}", "web.token", "has no effect"),
        ("{url: 'https://home.example.org/wechat'}", "web.base_path", "write /wechat"),
        ("{url: 'https://home.example.org', base_path: /wechat}", "web.base_path", "write /"),
    ],
)
def test_settings_that_contradict_each_other_are_reported(tmp_path: Path, text, key, words):
    file = tmp_path / "wx2mqtt.yaml"
    file.write_text(f"web: {text}\n")
    file.chmod(0o600)
    (warning,) = load(file, {}, BACKENDS).warnings
    assert warning.key == key
    assert words in warning.message


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{enabled: false, listen: 0.0.0.0:8099}",
        "{listen: 0.0.0.0:8099, password: geheim, token: abc}",
        "{url: 'https://home.example.org/wechat', base_path: /wechat}",
        "{url: 'https://home.example.org'}",
    ],
)
def test_what_fits_is_not_complained_of(tmp_path: Path, text):
    file = tmp_path / "wx2mqtt.yaml"
    file.write_text(f"web: {text}\n")
    file.chmod(0o600)
    assert load(file, {}, BACKENDS).warnings == ()


def test_behind_ingress_the_supervisor_is_a_trusted_proxy_and_no_password_is_needed(tmp_path: Path):
    file = tmp_path / "wx2mqtt.yaml"
    file.write_text("web: {listen: 0.0.0.0:8099, ingress: 172.30.32.2}\n")
    options = web_options(load(file, {}, BACKENDS).settings)
    assert (options.ingress, options.password) == ("172.30.32.2", "")
    assert options.proxies == (ip_network("172.30.32.2"),)
