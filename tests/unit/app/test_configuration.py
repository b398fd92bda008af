"""Which backend a bridge has that no file configures, what is said of what is off, and the options of the parts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.support.rows import every_row
from wx2mqtt.app.configuration import (
    load_configuration,
    media_base_url,
    missing_safeguards,
    mqtt_options,
    safeguards_line,
)
from wx2mqtt.app.web_servers import running_web_server, web_options
from wx2mqtt.errors import SettingsError
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.settings.loader import load
from wx2mqtt.settings.schema import Account, Settings, Web
from wx2mqtt.wechat.registry import BACKENDS

WEBWX = {
    "version": 1,
    "endpoint": "http://127.0.0.1:8070",
    **dict.fromkeys(("login_id", "base", "uin", "sid", "skey", "handle"), "x"),
}
ILINK = {"version": 1, "bots": [{"id": "a", "token": "b", "user": "c", "base": "https://d"}]}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment whose store is in a folder of its own."""
    (tmp_path / "store" / "sessions").mkdir(parents=True)
    return {"WX2MQTT_STORAGE__PATH": str(tmp_path / "store")}


def backend(env: dict[str, str], current: Settings | None = None) -> str:
    return load_configuration(None, env, current).settings.accounts["home"].backend


def save(tmp_path: Path, login: object) -> None:
    (tmp_path / "store" / "sessions" / "home.json").write_text(json.dumps(login))


def test_without_a_login_it_is_ilink(env):
    assert backend(env) == "ilink"


def test_without_a_store_it_is_ilink(tmp_path):
    assert backend({"WX2MQTT_STORAGE__PATH": str(tmp_path / "nothing")}) == "ilink"


@pytest.mark.parametrize(("login", "name"), [(WEBWX, "webwx"), (ILINK, "ilink")])
def test_it_is_the_backend_whose_login_the_store_has(tmp_path, env, login, name):
    save(tmp_path, login)
    assert backend(env) == name


@pytest.mark.parametrize("login", [{}, [], {"version": 2}, {"version": 1}, {**WEBWX, "uin": 7}])
def test_what_is_no_login_counts_as_none_and_stays(tmp_path, env, login):
    save(tmp_path, login)
    assert backend(env) == "ilink"
    assert [path.name for path in (tmp_path / "store" / "sessions").iterdir()] == ["home.json"]


def test_a_folder_in_place_of_the_login_counts_as_none(tmp_path, env):
    (tmp_path / "store" / "sessions" / "home.json").mkdir()
    assert backend(env) == "ilink"


def test_what_the_environment_names_wins(tmp_path, env):
    save(tmp_path, ILINK)
    assert backend({**env, "WX2MQTT_ACCOUNTS__HOME__BACKEND": "webwx"}) == "webwx"


def test_an_account_of_another_name_begins_with_ilink_too(env):
    loaded = load_configuration(None, {**env, "WX2MQTT_ACCOUNTS": "{office: {plain: true}}"})
    assert {name: account.backend for name, account in loaded.settings.accounts.items()} == {
        "office": "ilink"
    }


def test_a_reload_keeps_the_backend_that_runs_though_its_login_is_over(tmp_path, env):
    save(tmp_path, WEBWX)
    running = load_configuration(None, env).settings
    save(tmp_path, {})
    assert backend(env, running) == "webwx"


def test_a_file_that_names_no_backend_means_what_it_always_meant(tmp_path, env):
    save(tmp_path, ILINK)
    (file := tmp_path / "wx2mqtt.yaml").write_text("language: zh\n")
    assert load_configuration(file, env).settings.accounts["home"].backend == "webwx"


# what helps alarms

REMIND = {"ilink": {"remind": {"before": "2h"}}}
RENEW = {"ilink": {"renew": {"after": "25d"}}}
FALLBACK = {"fallback": {"urls": ["json://localhost"]}}
ACCOUNT_FALLBACK = {"fallback": {"accounts": ["office/me"]}}


@every_row(
    ("backend", "on", "key"),
    [
        ("ilink", {}, "no_safeguards"),
        ("ilink", {"ilink": {"remind": {"quiet": None}}, "fallback": {"after": "10s"}}, "no_safeguards"),
        ("ilink", REMIND, ""),
        ("ilink", RENEW, ""),
        ("ilink", FALLBACK, ""),
        ("webwx", {}, "no_fallback"),
        ("webwx", REMIND, "no_fallback"),
        ("webwx", FALLBACK, ""),
        ("webwx", ACCOUNT_FALLBACK, ""),
        ("ilink", ACCOUNT_FALLBACK, ""),
    ],
)
def test_one_of_them_is_enough_where_the_backend_has_it(backend, on, key):
    account = Account.model_validate({"backend": backend, **on})
    assert missing_safeguards(account) == key
    assert bool(safeguards_line(account, "en")) == bool(key)


def test_the_line_names_the_keys_and_what_may_happen_in_both_languages():
    english = safeguards_line(Account(backend="ilink"), "en")
    chinese = safeguards_line(Account(backend="ilink"), "zh")
    for line in (english, chinese):
        assert re.findall("remind|renew|fallback", line) == ["remind", "renew", "fallback"]
        assert "\n" not in line
    assert "may be lost" in english
    assert "丢" in chinese


def test_what_is_off_by_default_and_what_is_on():
    ilink = Account().ilink
    assert (ilink.remind.before, ilink.renew.after, Account().fallback.urls) == (None, None, ())
    assert (ilink.remind.quiet, ilink.bundle, ilink.reserve) == ("22:00-07:00", True, 1)


# the web server and the broker


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


@every_row(
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
        "from wx2mqtt.app.web_servers import running_web_server\n"
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
