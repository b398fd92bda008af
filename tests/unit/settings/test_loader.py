"""Loading the configuration: from where it comes, its defaults, and all problems at once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.repetitions import repetitions
from wx2mqtt.errors import SettingsError
from wx2mqtt.limits import MAX_CONFIG_BYTES
from wx2mqtt.settings.loader import find_config, load
from wx2mqtt.settings.schema import Settings
from wx2mqtt.wechat.registry import BACKENDS


def test_without_a_file_ilink_runs_with_the_embedded_broker():
    loaded = load(None, {}, BACKENDS)
    expected = {"mqtt": {"url": "embedded"}, "accounts": {"home": {"backend": "ilink"}}}
    assert loaded.settings == Settings.model_validate(expected)
    assert (loaded.path, loaded.warnings) == (None, ())


def test_without_a_file_an_account_has_the_backend_that_is_usual_for_it():
    loaded = load(None, {}, BACKENDS, {"home": "webwx"})
    assert loaded.settings.accounts["home"].backend == "webwx"


def test_an_empty_file_means_all_defaults(loaded):
    assert loaded("").settings == Settings()
    assert loaded("mqtt:\naccounts:\n  home:\nweb: ~\n").settings == Settings()


def test_the_file_in_the_working_folder_comes_before_the_system_s(tmp_path):
    system = tmp_path / "etc" / "wx2mqtt.yaml"
    assert find_config(tmp_path, system) is None
    system.parent.mkdir()
    system.touch()
    assert find_config(tmp_path, system) == system
    (tmp_path / "wx2mqtt.yaml").touch()
    assert find_config(tmp_path, system) == tmp_path / "wx2mqtt.yaml"


def test_the_example_of_the_contract_loads(loaded, tmp_path):
    (tmp_path / "mqtt").touch(mode=0o600)
    (tmp_path / "mqtt").write_text("geheim\n")
    result = loaded(
        """
        mqtt:
          url: mqtt://localhost:1883
          username: bridge
          password_file: mqtt
          client_id: null
          protocol: auto
          keepalive: 30
          tls: {ca_file: null, cert_file: null, key_file: null}
        accounts:
          home:
            backend: webwx
            base_topic: wx
            endpoint: null
            expect: {uin: null, nickname: null, ilink: null}
            webwx: {desktop: {client_version: null, extspam: null}}
            ilink: {hosts: [], typing: false}
            contacts:
              wife: {remark: 老婆}
              family: {group: 相亲相爱一家人}
              me: {owner: true}
            topic_names: unicode
            receive: {allow: ["*"], deny: [], groups: all, own: false}
            send: {allow: ["*"], per_minute: 20, burst: 5, ttl: 10m}
            hold: {max: 100, ttl: 24h}
            fallback: {after: 30s, urls: [], for: urgent}
            media: {download: true, max_size: 25MB, keep: 7d, max_total: 1GB, inline_below: 0, send_from: [],
                    allow_hosts: []}
            history: {keep: 7d}
            plain: false
        homeassistant: {enabled: false, prefix: homeassistant, expose: [wife, family]}
        web: {enabled: true, listen: 127.0.0.1:8099, url: null, hosts: [], base_path: /, password_file: null,
              token_file: null, trusted_proxies: [], ingress: null}
        language: en
        storage: {path: null, max_size: 2GB, url: null, password_file: null, key_file: null}
        cluster: {instance: null, max_accounts: null}
        log: {level: info, format: auto, message_text: false}
        """
    )
    mqtt, home = result.settings.mqtt, result.settings.accounts["home"]
    assert mqtt.password is not None
    assert mqtt.password.get_secret_value() == "geheim"
    assert home.contacts["wife"].facts == (("remark", "老婆"),)
    assert home.contacts["me"].facts == (("owner", ""),)
    assert (home.send.ttl, home.hold.ttl, home.fallback.after) == (600.0, 86400.0, 30.0)
    assert (home.media.max_size, result.settings.storage.max_size) == (25_000_000, 2_000_000_000)


def test_the_defaults_of_several_accounts_never_meet(loaded):
    result = loaded("accounts: {home: {}, work: {}, in_: {base_topic: other/place}}").settings
    assert result.base_topics() == {"home": "wx", "work": "wx/work", "in_": "other/place"}
    assert result.client_ids() == {"home": "wx2mqtt-home", "work": "wx2mqtt-work", "in_": "wx2mqtt-in_"}


def test_a_client_id_is_whole_for_one_account_and_a_prefix_for_several(loaded):
    assert loaded("mqtt: {client_id: x}").settings.client_ids() == {"home": "x"}
    assert loaded("mqtt: {client_id: x}\naccounts: {a: , b: }").settings.client_ids() == {
        "a": "x-a",
        "b": "x-b",
    }


def test_relative_paths_count_from_the_folder_of_the_file(loaded, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", "/home/me")
    result = loaded(
        "storage: {path: store}\naccounts: {home: {media: {send_from: [a, /b, ~/c]}}}",
    ).settings
    assert result.storage.path == tmp_path / "store"
    assert result.accounts["home"].media.send_from == (tmp_path / "a", Path("/b"), Path("/home/me/c"))
    assert loaded(WX2MQTT_STORAGE__PATH="x").settings.storage.path == Path("/x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mqtt: {url: embedded, username: me}\nlog: {level: inof}", ["mqtt.username"]),
        ("web: {token: x}\nmqtt: {password: x}", ["web.token"]),
        (
            "accounts: {home: {ilink: {typing: true}, plain: maybe}, work: {hold: {max: 5}}}",
            ["accounts.work.hold"],
        ),
        ("mqtt: {url: 'mqtts://me:x@host', tls: {ca_file: wx2mqtt.yaml}}", []),
        ("homeassistant: {enabled: true, expose: [work/boss]}\naccounts: {home: {}, work: 5}", []),
        (
            "web: {senders: [{name: nas, token: 0123456789abcdef0123456789abcdef, to: work/boss}]}\naccounts: {home: {}, work: 5}",
            [],
        ),
        ("storage: {url: nowhere}\ncluster: {instance: a}", []),
        ("web: {token: x}\n\tmqtt: {}", []),
    ],
    ids=[
        *("another section", "a broken rule", "another account", "the same section", "an account"),
        *("an account of a sender", "the database", "syntax"),
    ],
)
def test_warnings_come_with_the_problems_unless_a_value_that_was_left_out_may_be_why(config, text, expected):
    with pytest.raises(SettingsError) as caught:
        load(config(text), {}, BACKENDS)
    assert [warning.key for warning in caught.value.warnings] == expected


def test_of_a_file_that_cannot_be_parsed_no_value_is_known_so_there_is_no_warning_of_a_variable(config):
    with pytest.raises(SettingsError) as caught:
        load(config("web: {"), {"WX2MQTT_WEB__TOKEN": "x"}, BACKENDS)
    assert caught.value.warnings == ()


def test_a_secret_that_others_may_read_is_reported_with_the_problems_too(config):
    path = config("mqtt: {username: me, password: x}\nlanguage: fr")
    path.chmod(0o644)
    with pytest.raises(SettingsError) as caught:
        load(path, {}, BACKENDS)
    assert [warning.key for warning in caught.value.warnings] == ["mqtt.password"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "there is no file"),
        (lambda path: path.mkdir(), "is a folder; name the file in it"),
        (os.mkfifo, "is no regular file"),
        (lambda path: path.write_bytes(b"a: 1\nb: \xff\n"), "is not UTF-8 (line 2)"),
        (lambda path: path.write_bytes(b"#" * (MAX_CONFIG_BYTES + 1)), "is larger than"),
        (lambda path: path.symlink_to(path), "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_problem_with_its_cure(tmp_path, make, words):
    path = tmp_path / "c.yaml"
    make(path)
    with pytest.raises(SettingsError) as caught:
        load(path, {}, BACKENDS)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == (str(path), 1)
    assert words in problem.message


@pytest.fixture
def unprivileged_user():
    """Runs the test as an ordinary user, also where the tests run as root."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        yield
        os.seteuid(0)
    else:
        yield


@pytest.fixture
def unreadable_folder(tmp_path):
    """Returns a folder with files that nobody may read."""
    folder = tmp_path / "forbidden"
    folder.mkdir()
    (folder / "c.yaml").touch(mode=0)
    return folder


def test_a_file_that_may_not_be_read_is_said_so(unreadable_folder, unprivileged_user):
    with pytest.raises(SettingsError) as caught:
        load(unreadable_folder / "c.yaml", {}, BACKENDS)
    assert "may not be read by user" in caught.value.problems[0].message
    tls = {"WX2MQTT_MQTT__TLS__CA_FILE": str(unreadable_folder / "c.yaml"), "WX2MQTT_MQTT__URL": "mqtts://a"}
    with pytest.raises(SettingsError) as caught:
        load(None, tls, BACKENDS)
    assert "may not be read by user" in caught.value.problems[0].message


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbflanguage: zh\r\nlog: {level: debug}\r\n")
    result = load(path, {}, BACKENDS).settings
    assert (result.language, result.log.level) == ("zh", "debug")


def test_settings_cannot_be_changed(loaded):
    with pytest.raises(Exception, match="frozen"):
        loaded("").settings.language = "zh"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda below: (
            st.lists(below, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    (
                        "mqtt",
                        "url",
                        "tls",
                        "accounts",
                        "home",
                        "contacts",
                        "wife",
                        "remark",
                        "send",
                        "allow",
                        "for",
                    )
                ),
                below,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=repetitions(40, 400))
def test_whatever_a_file_holds_loads_or_says_what_is_wrong(tmp_path, value):
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(value))
    try:
        load(path, {}, BACKENDS)
    except SettingsError as error:
        assert error.problems
        assert all(problem.message and "\n" not in str(problem) for problem in error.problems)


@pytest.mark.parametrize(
    ("text", "env", "path"),
    [
        ("mqtt: {url: [mqtt://a, nowhere://b]}", {}, ("mqtt", "url", 1)),
        ("accounts: {home: {backend: no}}", {}, ("accounts", "home", "backend")),
        ("web: {listen: 1", {}, ()),
        ("", {"WX2MQTT_LANGUAGE": "fr"}, ("language",)),
        ("", {"WX2MQTT_HOMEASSISTANT": "yes"}, ("homeassistant",)),
        ("", {"WX2MQTT_NO__KEY": "x"}, None),
    ],
)
def test_a_problem_holds_the_path_of_its_key(config, text, env, path):
    with pytest.raises(SettingsError) as caught:
        load(config(text), env, BACKENDS)
    assert [problem.path for problem in caught.value.problems] == [path]
