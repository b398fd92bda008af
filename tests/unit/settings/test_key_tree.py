"""Suggesting the key that was meant, and what a changed file changes while the bridge runs."""

from __future__ import annotations

from tests.support.cost import is_in_proportion
from tests.support.rows import every_row
from wx2mqtt.settings.key_tree import reload_diff, suggest
from wx2mqtt.settings.schema import Settings


@every_row(
    ("wrong", "meant"),
    [
        ("mqtt.usrname", ["mqtt.username"]),
        ("mqtt.client-id", ["mqtt.client_id"]),
        ("mqttt.url", ["mqtt.url"]),
        ("accounts.home.recieve.alow", ["accounts.home.receive.allow"]),
        ("per_minute", ["accounts.*.send.per_minute"]),
        ("password", ["mqtt.password", "web.password", "storage.password"]),
        ("zzz", []),
    ],
)
def test_a_key_that_was_probably_meant_is_found(wrong, meant):
    assert [".".join(map(str, path)) for path in suggest(tuple(wrong.split(".")))] == meant


def test_a_path_with_thousands_of_names_costs_in_proportion_to_them():
    assert is_in_proportion(lambda count: suggest(("accounts", *["x"] * count)), 40_000)


# a reload


def settings_of(**values):
    return Settings.model_validate(values)


def test_an_unchanged_file_changes_nothing():
    assert reload_diff(settings_of(), settings_of()) == ([], [])


@every_row(
    ("changed", "applied"),
    [
        ({"log": {"level": "debug"}}, ["log.level"]),
        ({"language": "zh"}, ["language"]),
        ({"homeassistant": {"expose": ["wife"]}}, ["homeassistant.expose"]),
        ({"storage": {"max_size": "1GB"}}, ["storage.max_size"]),
        ({"storage": {"key_file": "/key"}}, ["storage.key_file"]),
        (
            {"accounts": {"home": {"send": {"per_minute": 1, "ttl": "1h"}}}},
            ["accounts.home.send.per_minute", "accounts.home.send.ttl"],
        ),
        ({"accounts": {"home": {"contacts": {"wife": {"remark": "x"}}}}}, ["accounts.home.contacts"]),
        ({"accounts": {"home": {"hold": {"max": 1}}}}, ["accounts.home.hold.max"]),
        (
            {"accounts": {"home": {"ilink": {"bundle": False, "reserve": 0}}}},
            ["accounts.home.ilink.bundle", "accounts.home.ilink.reserve"],
        ),
        ({"accounts": {"home": {"fallback": {"after": "5s"}}}}, ["accounts.home.fallback.after"]),
        (
            {"accounts": {"home": {"fallback": {"urls": ["mailto://a@example.org"]}}}},
            ["accounts.home.fallback.urls"],
        ),
        ({"accounts": {"home": {"receive": {"groups": "none"}}}}, ["accounts.home.receive.groups"]),
        ({"accounts": {"home": {"history": {"keep": "1d"}}}}, ["accounts.home.history.keep"]),
        ({"accounts": {"home": {"plain": True}}}, ["accounts.home.plain"]),
        ({"accounts": {"home": {"plain": {"max_age": "5m"}}}}, ["accounts.home.plain"]),
        ({"accounts": {"home": {"media": {"keep": "1d"}}}}, ["accounts.home.media.keep"]),
        ({"mqtt": {"password": "a"}}, ["mqtt.password"]),
        ({"mqtt": {"password_file": "/a"}}, ["mqtt.password_file"]),
        ({"accounts": {"home": {"wecom": {"secret": "a"}}}}, ["accounts.home.wecom.secret"]),
        ({"accounts": {"home": {"wecom": {"secret_file": "/a"}}}}, ["accounts.home.wecom.secret_file"]),
        ({"mqtt": {"response_topics": ["reply/#"]}}, ["mqtt.response_topics"]),
        ({"accounts": {"home": {"media": {"max_total": "1MB"}}}}, ["accounts.home.media.max_total"]),
    ],
)
def test_these_keys_count_at_once(changed, applied):
    assert reload_diff(settings_of(), settings_of(**changed)) == (applied, [])
    assert reload_diff(settings_of(**changed), settings_of()) == (applied, [])


@every_row(
    ("changed", "restart"),
    [
        ({"mqtt": {"url": "mqtt://a"}}, ["mqtt.url"]),
        (
            {"accounts": {"home": {"wecom": {"bot_id": "a", "secret": "b"}}}},
            ["accounts.home.wecom.bot_id", "accounts.home.wecom.secret"],
        ),
        ({"mqtt": {"url": "mqtt://a", "password": "b"}}, ["mqtt.password", "mqtt.url"]),
        (
            {"mqtt": {"username": "a", "password_file": "/b"}},
            ["mqtt.password_file", "mqtt.username"],
        ),
        ({"homeassistant": {"enabled": True}}, ["homeassistant.enabled"]),
        ({"homeassistant": {"prefix": "ha"}}, ["homeassistant.prefix"]),
        ({"log": {"format": "json"}}, ["log.format"]),
        ({"storage": {"path": "/x"}}, ["storage.path"]),
        ({"accounts": {"home": {"endpoint": "http://a"}}}, ["accounts.home.endpoint"]),
        ({"accounts": {"home": {"topic_names": "pinyin"}}}, ["accounts.home.topic_names"]),
        ({"accounts": {"home": {"base_topic": "x"}}}, ["accounts.home"]),
        ({"mqtt": {"client_id": "x"}}, ["accounts.home", "mqtt.client_id"]),
        ({"accounts": {"work": {"send": {"burst": 1}}}}, ["accounts.home", "accounts.work"]),
    ],
)
def test_these_keys_need_a_restart(changed, restart):
    assert reload_diff(settings_of(), settings_of(**changed)) == ([], restart)


def test_a_changed_secret_is_named_and_not_shown():
    old, new = (
        settings_of(mqtt={"password": "alt"}),
        settings_of(mqtt={"password": "neu"}, log={"level": "debug"}),
    )
    assert reload_diff(old, new) == (["log.level", "mqtt.password"], [])


def test_an_account_that_comes_before_the_others_moves_none_of_them():
    old = settings_of(accounts={"home": {}, "club": {}})
    new = settings_of(accounts={"office": {}, "club": {}, "home": {}})
    assert reload_diff(old, new) == ([], ["accounts.office"])
    assert reload_diff(new, old) == ([], ["accounts.office"])
    assert reload_diff(old, settings_of(accounts={"club": {}, "home": {}})) == ([], [])


def test_with_a_client_id_of_ones_own_a_second_account_changes_that_of_the_first():
    old = settings_of(mqtt={"client_id": "x"}, accounts={"home": {}})
    new = settings_of(mqtt={"client_id": "x"}, accounts={"home": {}, "office": {}})
    assert reload_diff(old, new) == ([], ["accounts.home", "accounts.office"])
