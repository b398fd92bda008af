"""Which backend a bridge has that no file configures, and what is said of what is off."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from wx2mqtt.app.configuration import load_configuration, missing_safeguards, safeguards_line
from wx2mqtt.settings.schema import Account, Settings

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


@pytest.mark.parametrize(
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
    assert "丢失" in chinese


def test_what_is_off_by_default_and_what_is_on():
    ilink = Account().ilink
    assert (ilink.remind.before, ilink.renew.after, Account().fallback.urls) == (None, None, ())
    assert (ilink.remind.quiet, ilink.bundle, ilink.reserve) == ("22:00-07:00", True, 1)
