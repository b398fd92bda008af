"""The values that every call carries (ilink 2), and the hosts (ilink 1)."""

from __future__ import annotations

import pytest

from tests.support.rows import every_row
from wx2mqtt.simulator.hosts import ALL_HOSTS, ILINK_API, ILINK_CDN, ILINK_LANDING, ILINK_OTHER
from wx2mqtt.simulator.ilink import checks, hosts
from wx2mqtt.simulator.ilink.settings import ILinkSettings
from wx2mqtt.simulator.settings import BadSetting


@every_row(
    ("version", "number"),
    [
        ("2.4.9", "132105"),
        ("2.4.6", "132102"),
        ("2.1.8", "131336"),
        ("1.0.2", "65538"),
        ("2.4.9-beta.0", "132105"),
        ("2.4", ""),
        ("x", ""),
    ],
)
def test_a_version_as_a_number(version, number):
    assert checks.client_version(version) == number


@every_row(
    ("text", "number"),
    [
        ("MzA1NDE5ODk2", 305419896),
        ("NDI5NDk2NzI5NQ==", 4294967295),
        ("NDI5NDk2NzI5Ng==", None),  # 2^32
        ("MDE=", None),  # 01
        ("", None),
        ("%", None),
        ("ä", None),
    ],
)
def test_the_random_number_of_a_call(text, number):
    assert checks.parse_uin(text) == number


@every_row("text", ["OpenClaw", "wx2mqtt/0.1", "A/1 (x, y) B-b/2.0+c", "A/1 B/2", "x" * 32 + "/" + "1" * 32])
def test_names_of_programs(text):
    assert checks.is_bot_agent(text)


@every_row("text", ["", "A", "A/", "/1", "A/1 ", "A/1 (", "A/1 ()", "A/1 (ä)", "A/1 " * 70 + "A/1"])
def test_no_names_of_programs(text):
    assert not checks.is_bot_agent(text)


def test_every_host_serves_what_it_is_for():
    for name in (ILINK_API, ILINK_OTHER, "x.weixin.qq.com"):
        assert hosts.serves(name, cdn=False, redirect="x.weixin.qq.com")
        assert not hosts.serves(name, cdn=True, redirect="x.weixin.qq.com")
    assert hosts.serves(ILINK_CDN, cdn=True, redirect="")
    assert not hosts.serves(ILINK_CDN, cdn=False, redirect="")
    assert hosts.serves("localhost", cdn=True, redirect="")


def test_the_cdn_of_a_program_lies_where_it_found_the_api():
    assert hosts.cdn_address("https://ilinkai.weixin.qq.com") == "https://novac2c.cdn.weixin.qq.com/c2c"
    assert hosts.cdn_address("http://127.0.0.1:8070") == "http://127.0.0.1:8070/c2c"


def test_every_host_is_in_the_certificate():
    assert {ILINK_API, ILINK_CDN, ILINK_OTHER, ILINK_LANDING} <= set(ALL_HOSTS)


def test_settings_take_only_what_they_can_have():
    settings = ILinkSettings()
    settings.change({"quota": 3, "hold_updates": 1})
    assert (settings.quota, settings.hold_updates) == (3, 1.0)


@every_row("wrong", [{"quota": "3"}, {"answer": "maybe"}, {"colour": 1}, {"quota": 5, "verify_code": 1}])
def test_a_setting_that_cannot_be_changes_nothing(wrong):
    settings = ILinkSettings()
    with pytest.raises(BadSetting):
        settings.change(wrong)
    assert settings == ILinkSettings()
