"""The types of the keys: which values each takes, and the sentence for any other."""

from __future__ import annotations

import pytest

from wx2mqtt.settings.schema import Settings


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("true", 60.0),
        ("yes", 60.0),
        ("false", None),
        ("no", None),
        ("", None),
        ("{}", None),
        ("{max_age: null}", None),
        ("{max_age: 60s}", 60.0),
        ("{max_age: 5m}", 300.0),
    ],
)
def test_plain_is_true_or_false_or_the_age_that_a_text_may_have(loaded, text, seconds):
    settings = loaded(f"accounts:\n  home:\n    plain: {text}\n").settings
    assert settings.accounts["home"].plain.max_age == seconds


def test_one_broker_may_be_written_as_a_text_and_several_as_a_list(loaded):
    assert loaded("mqtt: {url: mqtt://a}").settings.mqtt.url == ("mqtt://a",)
    assert loaded("mqtt: {url: [mqtt://a, wss://b/mqtt]}").settings.mqtt.url == ("mqtt://a", "wss://b/mqtt")


def test_numbers_are_texts_where_a_text_belongs(loaded):
    result = loaded(
        """
        mqtt: {username: 0123, password: 1e5, protocol: 5}
        accounts: {home: {expect: {uin: 12345678901234567890, nickname: 2026-11-25}, contacts: {1: {remark: 1_0}}}}
        """
    ).settings
    assert result.mqtt.username == "0123"
    assert result.mqtt.password is not None
    assert result.mqtt.password.get_secret_value() == "1e5"
    assert result.mqtt.protocol == "5"
    assert result.accounts["home"].expect.uin == "12345678901234567890"
    assert result.accounts["home"].expect.nickname == "2026-11-25"
    assert result.accounts["home"].contacts["1"].remark == "1_0"


@pytest.mark.parametrize("reserve", ["-1", "10", "many"])
def test_the_reserve_leaves_at_least_one_of_ten_messages(faults, reserve):
    (problem,) = faults(f"accounts: {{home: {{backend: ilink, ilink: {{reserve: {reserve}}}}}}}")
    assert problem.startswith("wx2mqtt.yaml:1: accounts.home.ilink.reserve: ")


def test_a_truth_value_is_no_number_when_settings_are_made_in_code():
    with pytest.raises(ValueError, match="whole number"):
        Settings.model_validate({"mqtt": {"keepalive": True}})


@pytest.mark.parametrize(
    ("version", "fault"),
    [
        ("2.5", "is not a version; write three numbers, such as 2.4.9"),
        ("2.5.0-beta", "is not a version; write three numbers, such as 2.4.9"),
        ("02.5.0", "is not a version; write three numbers, such as 2.4.9"),
        ("2.5.256", "has a number above 255; WeChat has no such version"),
    ],
)
def test_the_version_of_tencents_client_is_three_bytes(faults, version, fault):
    (problem,) = faults(f"accounts: {{home: {{backend: ilink, ilink: {{client_version: '{version}'}}}}}}")
    assert problem == f"wx2mqtt.yaml:1: accounts.home.ilink.client_version: {fault}"
