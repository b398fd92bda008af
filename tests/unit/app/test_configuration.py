"""The configuration of a bridge with and without a file, and the options that follow from it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.rows import every_row
from wx2mqtt.app.configuration import (
    broker_password,
    load_configuration,
    media_base_url,
    missing_safeguards,
    mqtt_options,
    safeguards_line,
)
from wx2mqtt.errors import SettingsError
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.settings.loader import load
from wx2mqtt.settings.schema import Account, Mqtt, Settings, Web
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


def configured_backend(env: dict[str, str], current: Settings | None = None) -> str:
    return load_configuration(None, env, current).settings.accounts["home"].backend


def save(tmp_path: Path, login: object) -> None:
    (tmp_path / "store" / "sessions" / "home.json").write_text(json.dumps(login))


def test_without_a_saved_login_the_backend_is_ilink(env):
    assert configured_backend(env) == "ilink"


def test_without_a_store_the_backend_is_ilink(tmp_path):
    assert configured_backend({"WX2MQTT_STORAGE__PATH": str(tmp_path / "nothing")}) == "ilink"


@pytest.mark.parametrize(("login", "name"), [(WEBWX, "webwx"), (ILINK, "ilink")])
def test_the_backend_is_the_one_whose_login_the_store_has(tmp_path, env, login, name):
    save(tmp_path, login)
    assert configured_backend(env) == name


@pytest.mark.parametrize("login", [{}, [], {"version": 2}, {"version": 1}, {**WEBWX, "uin": 7}])
def test_a_damaged_login_counts_as_none_and_its_file_stays(tmp_path, env, login):
    save(tmp_path, login)
    assert configured_backend(env) == "ilink"
    assert [path.name for path in (tmp_path / "store" / "sessions").iterdir()] == ["home.json"]


def test_a_folder_in_place_of_the_login_counts_as_none(tmp_path, env):
    (tmp_path / "store" / "sessions" / "home.json").mkdir()
    assert configured_backend(env) == "ilink"


def test_the_backend_that_the_environment_names_counts_before_the_saved_login(tmp_path, env):
    save(tmp_path, ILINK)
    assert configured_backend({**env, "WX2MQTT_ACCOUNTS__HOME__BACKEND": "webwx"}) == "webwx"


def test_an_account_of_another_name_starts_with_ilink_as_well(env):
    loaded = load_configuration(None, {**env, "WX2MQTT_ACCOUNTS": "{office: {plain: true}}"})
    assert {name: account.backend for name, account in loaded.settings.accounts.items()} == {
        "office": "ilink"
    }


def test_a_reload_keeps_the_backend_that_runs_though_its_login_is_over(tmp_path, env):
    save(tmp_path, WEBWX)
    running = load_configuration(None, env).settings
    save(tmp_path, {})
    assert configured_backend(env, running) == "webwx"


def test_a_file_that_names_no_backend_still_means_webwx(tmp_path, env):
    save(tmp_path, ILINK)
    (file := tmp_path / "wx2mqtt.yaml").write_text("language: zh\n")
    assert load_configuration(file, env).settings.accounts["home"].backend == "webwx"


# Safeguards for urgent messages

REMIND = {"ilink": {"remind": {"before": "2h"}}}
RENEW = {"ilink": {"renew": {"after": "25d"}}}
FALLBACK = {"fallback": {"urls": ["json://localhost"]}}
ACCOUNT_FALLBACK = {"fallback": {"accounts": ["office/me"]}}


@every_row(
    ("backend", "sections", "key"),
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
def test_one_safeguard_is_enough_where_the_backend_has_it(backend, sections, key):
    account = Account.model_validate({"backend": backend, **sections})
    assert missing_safeguards(account) == key
    assert bool(safeguards_line(account, "en")) == bool(key)


def test_the_warning_names_the_keys_and_what_may_happen_in_both_languages():
    english = safeguards_line(Account(backend="ilink"), "en")
    chinese = safeguards_line(Account(backend="ilink"), "zh")
    for line in (english, chinese):
        assert re.findall("remind|renew|fallback", line) == ["remind", "renew", "fallback"]
        assert "\n" not in line
    assert "may be lost" in english
    assert "丢" in chinese


def test_the_defaults_of_reminders_renewal_and_fallbacks():
    ilink = Account().ilink
    assert (ilink.remind.before, ilink.renew.after, Account().fallback.urls) == (None, None, ())
    assert (ilink.remind.quiet, ilink.bundle, ilink.reserve) == ("22:00-07:00", True, 1)


# The broker and the web server


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
def test_the_urls_of_media_begin_with_what_is_known_of_the_address(web, base):
    assert media_base_url(Web.model_validate(web)) == base


def test_the_birth_message_of_home_assistant_is_subscribed_only_where_it_is_enabled():
    def filters(home_assistant: dict[str, object]) -> tuple[str, ...]:
        settings = Settings.model_validate({"homeassistant": home_assistant})
        options = mqtt_options(settings, "home", Topics("wx"), None)
        return options.subscriptions

    assert filters({}) == ("wx/out/#", "wx/bridge/request/#")
    assert filters({"enabled": True, "prefix": "ha"}) == ("wx/out/#", "wx/bridge/request/#", "ha/status")


@every_row(
    ("changed", "password"),
    [
        ({}, "new"),
        ({"url": "mqtt://other"}, "old"),
        ({"username": "other"}, "old"),
        ({"keepalive": 9}, "new"),
    ],
)
def test_the_password_at_another_broker_or_of_another_user_counts_after_a_restart(changed, password):
    at_start = {"url": "mqtt://broker", "username": "bridge", "password": "old"}
    now = {**at_start, "password": "new", **changed}
    assert broker_password(Mqtt.model_validate(now), Mqtt.model_validate(at_start)) == password


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
def test_settings_that_fit_together_give_no_warning(tmp_path: Path, text):
    file = tmp_path / "wx2mqtt.yaml"
    file.write_text(f"web: {text}\n")
    file.chmod(0o600)
    assert load(file, {}, BACKENDS).warnings == ()
