"""Sources that replace values of the file: the environment, credentials of systemd, and files of secrets."""

from __future__ import annotations

import json
import os
import stat
import subprocess

import pytest

from wx2mqtt.errors import SettingsError
from wx2mqtt.i18n.settings import chinese_sentence
from wx2mqtt.settings.key_tree import BRANCH_KINDS, KeyKind, locate, walk
from wx2mqtt.settings.loader import load
from wx2mqtt.wechat.registry import BACKENDS


def secret(path, text="geheim\n", mode=0o600):
    path.touch()
    path.chmod(mode)
    path.write_text(text)
    return path


def test_any_key_can_come_from_the_environment(loaded):
    result = loaded(
        "mqtt: {url: mqtt://file, keepalive: 10}",
        WX2MQTT_MQTT__URL="mqtt://env",
        WX2MQTT_LANGUAGE="zh",
        WX2MQTT_LOG__MESSAGE_TEXT="true",
        WX2MQTT_ACCOUNTS__HOME__SEND__PER_MINUTE="3",
        WX2MQTT_ACCOUNTS__HOME__SEND__TTL="1h",
        WX2MQTT_ACCOUNTS__HOME__CONTACTS__WIFE__REMARK="老婆",
        WX2MQTT_ACCOUNTS__HOME__FALLBACK__FOR="urgent",
    ).settings
    home = result.accounts["home"]
    assert (result.mqtt.url, result.mqtt.keepalive) == (("mqtt://env",), 10)
    assert (result.language, result.log.message_text) == ("zh", True)
    assert (home.send.per_minute, home.send.ttl, home.contacts["wife"].remark) == (3, 3600.0, "老婆")


@pytest.mark.parametrize(
    "name", [b"WX2MQTT_ACCOUNTS__\x80__BACKEND", b"WX2MQTT_MQTT__\xff", b"WX2MQTT_A\xc3__B"]
)
def test_a_variable_whose_name_is_not_utf_8_is_refused_under_its_name(name):
    with pytest.raises(SettingsError) as caught:
        load(None, {os.fsdecode(name): "webwx"}, BACKENDS)
    (problem,) = caught.value.problems
    assert "not UTF-8" in str(problem)
    assert str(problem).isprintable()
    assert "WX2MQTT_" in str(problem)


def test_a_variable_of_another_program_whose_name_is_not_utf_8_is_a_warning():
    warnings = load(None, {os.fsdecode(b"WX2MQTT_PORT\xff"): "1"}, BACKENDS).warnings
    assert ["not UTF-8" in str(warning) for warning in warnings] == [True]


def test_every_key_of_the_schema_has_a_variable_that_reaches_it(loaded):
    for path, key in walk():
        if key.kind in BRANCH_KINDS:
            continue
        filled = [
            {0: "home", 1: "wife"}[path[: place + 1].count("*") - 1] if part == "*" else part
            for place, part in enumerate(path)
        ]
        name = "WX2MQTT_" + "__".join(filled).upper()
        try:
            load(None, {name: "\x01"}, BACKENDS)
        except SettingsError as error:
            assert any(name in problem.key for problem in error.problems), name
        else:
            assert key.kind in {
                KeyKind.TEXT,
                KeyKind.PATH,
                KeyKind.SECRET,
                KeyKind.LIST,
                KeyKind.PATHS,
                KeyKind.SECRETS,
            }, name


def test_without_a_file_the_environment_lies_over_the_embedded_broker():
    assert load(None, {"WX2MQTT_LANGUAGE": "zh"}, BACKENDS).settings.mqtt.url == ("embedded",)
    assert load(None, {"WX2MQTT_MQTT__URL": "mqtt://a"}, BACKENDS).settings.mqtt.url == ("mqtt://a",)


def test_a_text_is_taken_as_it_is(loaded):
    for text in ("no", "0123", "a: b", "# x", "[x", "{x", "null", " x "):
        result = loaded("", WX2MQTT_MQTT__USERNAME="u", WX2MQTT_MQTT__PASSWORD=text).settings.mqtt.password
        assert result is not None
        assert result.get_secret_value() == text


def test_a_list_is_one_item_or_a_yaml_list(loaded):
    def hosts(text):
        return loaded("", WX2MQTT_WEB__HOSTS=text).settings.web.hosts

    assert hosts("a.example") == ("a.example",)
    assert hosts("[a.example, 'b.example']") == ("a.example", "b.example")
    assert hosts("[]") == ()


def test_a_section_is_a_yaml_mapping(loaded):
    result = loaded("", WX2MQTT_ACCOUNTS__WORK="{contacts: {Wife: {remark: 老婆}}, plain: no}").settings
    assert list(result.accounts) == ["work"]
    assert result.accounts["work"].contacts["Wife"].remark == "老婆"


def test_the_short_form_of_plain_and_its_key_replace_what_the_file_says(loaded):
    def max_age(text, **env):
        return loaded(f"accounts: {{home: {{plain: {text}}}}}", **env).settings.accounts["home"].plain.max_age

    assert max_age("false", WX2MQTT_ACCOUNTS__HOME__PLAIN="true") == 60
    assert max_age("{max_age: 5s}", WX2MQTT_ACCOUNTS__HOME__PLAIN="no") is None
    assert max_age("true", WX2MQTT_ACCOUNTS__HOME__PLAIN__MAX_AGE="30s") == 30
    assert max_age("false", WX2MQTT_ACCOUNTS__HOME__PLAIN="{max_age: 2m}") == 120


def test_an_account_whose_name_holds_underscores_is_found_by_its_name(loaded):
    result = loaded("accounts: {a__b: {}, a: {}}", WX2MQTT_ACCOUNTS__A__B__BASE_TOPIC="x").settings
    assert (result.accounts["a__b"].base_topic, result.accounts["a"].base_topic) == ("x", None)


def test_a_contact_of_the_file_is_found_in_any_case(loaded):
    result = loaded(
        "accounts: {home: {contacts: {Wife: {remark: a}}}}",
        WX2MQTT_ACCOUNTS__HOME__CONTACTS__WIFE__REMARK="b",
    )
    assert {name: pin.remark for name, pin in result.settings.accounts["home"].contacts.items()} == {
        "Wife": "b"
    }


def test_an_empty_variable_counts_as_not_set(loaded):
    assert loaded("", WX2MQTT_MQTT__URL="", WX2MQTT_NO__SUCH="").settings.mqtt.url == (
        "mqtt://localhost:1883",
    )


def test_a_wrong_variable_is_named_with_its_key(faults):
    assert faults(
        "",
        WX2MQTT_MQTT__KEEPALIVE="soon",
        WX2MQTT_MQTT__PASWORD="geheim",
        WX2MQTT_MQTTT__URL="geheim",
        WX2MQTT_WEB__HOSTS="[a",
        WX2MQTT_MQTT="geheim",
        WX2MQTT_MQTT__TLS="[a]",
        WX2MQTT_QQ__QQ="geheim",
        WX2MQTT_LANGUAGE__X="geheim",
    ) == [
        "environment: WX2MQTT_LANGUAGE__X: no key of the configuration has this name; remove it",
        "environment: WX2MQTT_MQTT (mqtt): this is a section: write {key: value, …}, or name the key (…__KEY)",
        "environment: WX2MQTT_MQTTT__URL: no key of the configuration has this name; did you mean WX2MQTT_MQTT__URL?",
        "environment: WX2MQTT_MQTT__PASWORD: no key of the configuration has this name; did you mean WX2MQTT_MQTT__PASSWORD?",
        "environment: WX2MQTT_MQTT__TLS (mqtt.tls): this is a section: write {key: value, …}, or name the key (…__KEY)",
        "environment: WX2MQTT_QQ__QQ: no key of the configuration has this name; remove it",
        "environment: WX2MQTT_WEB__HOSTS (web.hosts): is no YAML: expected ',' or ']', but got '<stream end>'; a [ or { is opened and not closed, or a comma is missing",
        "environment: WX2MQTT_MQTT__KEEPALIVE (mqtt.keepalive): 'soon' is not a whole number (plain decimal digits, no leading zero)",
    ]


def test_a_variable_of_somebody_else_is_only_a_warning(loaded):
    (warning,) = loaded("", WX2MQTT_PORT="tcp://10.0.0.1:1883").warnings
    assert (warning.file, warning.key) == ("environment", "WX2MQTT_PORT")


def test_a_variable_fills_a_section_that_was_left_empty(loaded):
    assert loaded("mqtt:\n", WX2MQTT_MQTT__URL="mqtt://a").settings.mqtt.url == ("mqtt://a",)


def test_a_variable_cannot_repair_a_section_that_is_none(faults):
    assert faults("mqtt: 5", WX2MQTT_MQTT__URL="mqtt://a")[0].startswith(
        "wx2mqtt.yaml:1: mqtt: must be a section"
    )


def test_a_secret_comes_from_its_file_and_no_representation_shows_it(loaded, tmp_path):
    file = secret(tmp_path / "p")
    for result in (
        loaded(f"mqtt: {{username: u, password_file: {file}}}"),
        loaded("mqtt: {username: u, password_file: p}"),
        loaded("mqtt: {username: u}", WX2MQTT_MQTT__PASSWORD_FILE=str(file)),
        loaded("mqtt: {username: u, password: other}", WX2MQTT_MQTT__PASSWORD_FILE=str(file)),
        loaded("mqtt: {username: u, password_file: nowhere}", WX2MQTT_MQTT__PASSWORD="geheim"),
    ):
        assert result.settings.mqtt.password is not None
        assert result.settings.mqtt.password.get_secret_value() == "geheim"
        assert "geheim" not in repr(result)
        assert "geheim" not in result.settings.model_dump_json()


def test_every_secret_can_be_a_systemd_credential(tmp_path):
    folder = tmp_path / "credentials"
    folder.mkdir()
    for name in ("mqtt.password", "web.password", "web.token", "accounts.home.webwx.desktop.extspam"):
        secret(folder / name, f"geheim {name}\n", 0o444)
    secret(folder / "accounts.home.fallback.urls", "ntfy://a\n\n  tgram://b \n")
    env = {
        "CREDENTIALS_DIRECTORY": str(folder),
        "WX2MQTT_MQTT__USERNAME": "u",
        "WX2MQTT_ACCOUNTS__HOME__WEBWX__DESKTOP__CLIENT_VERSION": "2.0.0",
    }
    result = load(None, env, BACKENDS)
    home, web = result.settings.accounts["home"], result.settings.web
    values = [result.settings.mqtt.password, web.password, web.token, home.webwx.desktop.extspam]
    assert [value.get_secret_value().split()[1] for value in values if value] == [
        "mqtt.password",
        "web.password",
        "web.token",
        "accounts.home.webwx.desktop.extspam",
    ]
    assert [url.get_secret_value() for url in home.fallback.urls] == ["ntfy://a", "tgram://b"]
    assert not any("read" in warning.message for warning in result.warnings)


def test_a_credential_wins_over_the_file_and_the_environment_over_both(config, tmp_path):
    path = config("mqtt: {username: u, password: file}")
    secret(tmp_path / "mqtt.password", "credential")
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    for extra, expected in (({}, "credential"), ({"WX2MQTT_MQTT__PASSWORD": "env"}, "env")):
        result = load(path, env | extra, BACKENDS).settings.mqtt.password
        assert result is not None
        assert result.get_secret_value() == expected


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "there is no file"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: secret(path, ""), "is empty; write the secret into it"),
        (lambda path: secret(path, " \n"), "is empty; write the secret into it"),
        (lambda path: secret(path, "x" * 70_000), "is larger than 65536 bytes"),
        (lambda path: path.write_bytes(b"\xff"), "is not UTF-8"),
    ],
)
def test_a_secret_s_file_that_cannot_be_used_is_a_problem_with_its_cure(faults, tmp_path, make, words):
    make(tmp_path / "p")
    (problem,) = faults("mqtt: {username: u, password_file: p}")
    assert problem.startswith("wx2mqtt.yaml:1: mqtt.password_file: ")
    assert words in problem


def test_an_empty_file_of_urls_is_a_problem(faults, tmp_path):
    secret(tmp_path / "u", "\n\n")
    (problem,) = faults("accounts: {home: {fallback: {urls_file: u}}}")
    assert "write one URL a line" in problem


def test_a_secret_given_twice_in_one_place_is_a_problem(faults, tmp_path):
    file = secret(tmp_path / "p")
    (problem,) = faults("mqtt: {username: u, password: x, password_file: p}")
    assert "mqtt.password: is given here and in password_file" in problem
    twice = {"WX2MQTT_MQTT__PASSWORD": "x", "WX2MQTT_MQTT__PASSWORD_FILE": str(file)}
    (problem,) = faults("mqtt: {username: u}", **twice)
    assert "environment: WX2MQTT_MQTT__PASSWORD (mqtt.password): is given here and in" in problem


def test_the_command_against_a_file_that_everybody_may_read_can_be_copied(loaded, tmp_path):
    file = secret(tmp_path / "a 'b'", mode=0o644)
    (warning,) = loaded(json.dumps({"mqtt": {"username": "u", "password_file": str(file)}})).warnings
    command = warning.message.rpartition(": ")[2]
    subprocess.run(["sh", "-c", command], check=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert chinese_sentence(warning.message).endswith(command)


def test_a_secret_that_everybody_may_read_is_a_warning(loaded, config, tmp_path):
    secret(tmp_path / "p", mode=0o644)
    (warning,) = loaded("mqtt: {username: u, password_file: p}").warnings
    assert "chmod o-r" in warning.message
    path = config("mqtt:\n  username: u\n  password: geheim")
    path.chmod(0o644)
    (warning,) = load(path, {}, BACKENDS).warnings
    assert (warning.line, warning.key) == (3, "mqtt.password")
    assert "geheim" not in str(warning)


@pytest.mark.parametrize("key", ["password", "password_file", "username"])
def test_a_secret_of_the_wrong_kind_is_not_repeated(faults, key):
    for value in ("[geheim]", "{geheim: geheim}", "!geheim"):
        assert not any(
            "geheim" in problem.partition("mqtt.")[2] for problem in faults(f"mqtt: {{{key}: {value}}}")
        )


def test_a_page_with_a_password_may_be_seen_by_others(loaded, tmp_path):
    secret(tmp_path / "p")
    result = loaded("web: {listen: 0.0.0.0:8099, password_file: p}").settings.web
    assert result.password is not None
    assert loaded("web: {listen: 0.0.0.0:8099, enabled: no}").settings.web.listen == "0.0.0.0:8099"


def test_a_path_leads_to_its_key_through_entries_and_items():
    def kind(*path):
        key = locate(path)
        return key and (key.name, key.kind)

    assert kind("accounts", "x", "contacts", "y", "remark") == ("remark", KeyKind.TEXT)
    assert kind("accounts", "x") == ("x", KeyKind.SECTION)
    assert kind("mqtt", "url", 0) == ("url", KeyKind.LIST)
    for unknown_path in (("mqtt", "x"), ("mqtt", "url", "x"), ("language", 0), ("accounts", "x", "y", "z")):
        assert kind(*unknown_path) is None
