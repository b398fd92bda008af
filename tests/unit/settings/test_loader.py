"""Loading: what comes out, from where, and every problem at once."""

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
from wx2mqtt.settings import cross_key_rules
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


def test_every_problem_is_reported_at_once_with_line_key_and_remedy(faults):
    assert faults(
        """\
        mqtt:
          url: mqtt://me:geheim@host
          pasword: geheim
          keepalive: 010
          username: yes
          protocol: 4
          tls: {cert_file: nowhere.pem}
        accounts:
          home:
            contacts:
              a/b: {remark: x}
              wife: {remark: x, alias: y}
              anna: {nickname: Anna}
              anne: {nickname: Anna}
              nobody:
              x: {remrk: a}
            send: {allow: , per_minute: -1, ttl: 10:00, burst: 0}
            media: {max_size: 25 XB}
            receive: {groups: mention, own: maybe, allow: [a, {b: c}, [d]]}
          work: {base_topic: wx/in, backend: ilink}
          login: {base_topic: a/#}
        log: {level: inof}
        password: geheim
        language:
        web: {listen: 0.0.0.0:8099}
        storage: {max_size: 1}
        """
    ) == [
        "wx2mqtt.yaml:2: mqtt.url: user name and password do not belong into the URL; put them into mqtt.username and mqtt.password_file",
        "wx2mqtt.yaml:3: mqtt.pasword: unknown key, did you mean 'password'?",
        "wx2mqtt.yaml:4: mqtt.keepalive: '010' is not a whole number (plain decimal digits, no leading zero)",
        'wx2mqtt.yaml:5: mqtt.username: YAML reads yes as a truth value and a text belongs here; write "yes" in quotes if it is meant',
        "wx2mqtt.yaml:6: mqtt.protocol: '4' must be auto, 5 or 3.1.1",
        "wx2mqtt.yaml:7: mqtt.tls.cert_file: needs key_file beside it: a certificate and its key belong together",
        "wx2mqtt.yaml:7: mqtt.tls.cert_file: there is no file nowhere.pem; create it, or correct the path",
        "wx2mqtt.yaml:11: accounts.home.contacts.a/b: a topic level cannot hold /; write 'a_b'",
        "wx2mqtt.yaml:12: accounts.home.contacts.wife: needs exactly one of remark, alias, nickname, group, ilink, wecom, owner; it has 2",
        "wx2mqtt.yaml:14: accounts.home.contacts.anne: names the same nickname as 'anna'; keep one of the two",
        "wx2mqtt.yaml:15: accounts.home.contacts.nobody: needs exactly one of remark, alias, nickname, group, ilink, wecom, owner; it has 0",
        "wx2mqtt.yaml:16: accounts.home.contacts.x.remrk: unknown key, did you mean 'remark'?",
        "wx2mqtt.yaml:17: accounts.home.send.allow: has no value; write [] for none, or remove the key for the default",
        "wx2mqtt.yaml:17: accounts.home.send.per_minute: '-1' is not a whole number (plain decimal digits, no leading zero)",
        "wx2mqtt.yaml:17: accounts.home.send.burst: '0' must be at least 1",
        "wx2mqtt.yaml:17: accounts.home.send.ttl: '10:00' can be read in two ways: write 10m for ten minutes, 10h for ten hours",
        "wx2mqtt.yaml:18: accounts.home.media.max_size: '25 XB' 'XB' is no unit of size; use B, kB, MB, GB, TB, KiB, MiB, GiB, TiB",
        "wx2mqtt.yaml:19: accounts.home.receive.allow[1]: must be one text: neither empty nor a list nor a section",
        "wx2mqtt.yaml:19: accounts.home.receive.allow[2]: must be one text: neither empty nor a list nor a section",
        "wx2mqtt.yaml:19: accounts.home.receive.groups: 'mention' must be all, mentions, listed or none, did you mean 'mentions'?",
        "wx2mqtt.yaml:19: accounts.home.receive.own: 'maybe' must be true or false",
        "wx2mqtt.yaml:20: accounts.work.base_topic: 'wx/in' meets the topics of account home ('wx'); choose another",
        "wx2mqtt.yaml:21: accounts.login.base_topic: holds a wildcard (+ or #); a topic for publishing must be concrete",
        "wx2mqtt.yaml:21: accounts.login: 'login' is the name of a topic and cannot be an account; choose another",
        "wx2mqtt.yaml:21: accounts.login.base_topic: 'wx/login' meets the topics of account home ('wx'); choose another",
        "wx2mqtt.yaml:22: log.level: 'inof' must be debug, info, warning or error, did you mean 'info'?",
        "wx2mqtt.yaml:23: password: unknown key, did you mean 'mqtt.password' or 'web.password' or 'storage.password'?",
        "wx2mqtt.yaml:24: language: has no value; give one, or remove the key for the default",
        "wx2mqtt.yaml:25: web.listen: others can reach this address, so it needs web.password_file (or listen on 127.0.0.1)",
        "wx2mqtt.yaml:26: storage.max_size: '1' must be at least 100000",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mqtt: 5", "mqtt: must be a section"),
        ("mqtt: [a]", "mqtt: must be a section"),
        ("accounts: x", "accounts: must be a section"),
        ("accounts: {}", "accounts: must have at least 1 entry"),
        ("accounts: {home: 5}", "accounts.home: must be a section"),
        ("accounts: {home: {contacts: [a]}}", "accounts.home.contacts: must be a section"),
        ("accounts: {home: {contacts: {a: b}}}", "accounts.home.contacts.a: must be a section"),
        (
            "accounts: {home: {plain: 1.5}}",
            "accounts.home.plain: must be true or false, or a section such as {max_age: 60s}",
        ),
        (
            "accounts: {home: {plain: 60s}}",
            "accounts.home.plain: must be true or false, or a section such as {max_age: 60s}",
        ),
        (
            "accounts: {home: {plain: [a]}}",
            "accounts.home.plain: must be true or false, or a section such as {max_age: 60s}",
        ),
        (
            "accounts: {home: {plain: {max_age: 0.5s}}}",
            "accounts.home.plain.max_age: '0.5s' is shorter than 1s; write false to publish no bare text",
        ),
        (
            "accounts: {home: {plain: {maxage: 60s}}}",
            "accounts.home.plain.maxage: unknown key, did you mean 'max_age'?",
        ),
        ("mqtt: {keepalive: 0}", "mqtt.keepalive: '0' must be at least 1"),
        ("mqtt: {keepalive: 70000}", "mqtt.keepalive: '70000' must be at most 65535"),
        ("mqtt: {keepalive: true}", "mqtt.keepalive: 'true' is not a whole number"),
        ("mqtt: {keepalive: [1]}", "mqtt.keepalive: must be a whole number"),
        ("mqtt: {url: []}", "mqtt.url: must have at least 1 entry"),
        ("mqtt: {url: {a: b}}", "mqtt.url: must be a list"),
        ("mqtt: {url: [embedded, mqtt://a]}", "mqtt.url: embedded cannot be one of several"),
        ("mqtt: {url: [mqtt://a, mqtt://a]}", "mqtt.url: names the same broker twice"),
        ("mqtt: {password: x}", "mqtt.password: a password needs mqtt.username"),
        ("mqtt: {username: ''}", "mqtt.username: is empty"),
        ("mqtt: {username: [a]}", "mqtt.username: must be one text"),
        ('mqtt: {client_id: "a\\nb"}', "mqtt.client_id: must have 1 to 200 printable"),
        ("mqtt: {tls: {ca_file: ''}}", "mqtt.tls.ca_file: is empty"),
        ("mqtt: {tls: {ca_file: [x]}}", "mqtt.tls.ca_file: must be the path"),
        ("storage: {path: no}", "storage.path: YAML reads no as a truth value"),
        ("accounts: {home: {expect: {uin: me}}}", "accounts.home.expect.uin: is a number that WeChat gives"),
        (
            "accounts: {home: {webwx: {desktop: {client_version: 2.0}}}}",
            "client_version and extspam belong together",
        ),
        ("accounts: {Home: {}}", "accounts.Home: an account's name has"),
        ("accounts: {a: {base_topic: x}, b: {base_topic: x}}", "accounts.b.base_topic: 'x' meets"),
        ("accounts: {a: {base_topic: x/out}, b: {base_topic: x}}", "accounts.b.base_topic: 'x' meets"),
        (
            "accounts: {a: {base_topic: ha/x}}\nhomeassistant: {enabled: true, prefix: ha}",
            "lies inside homeassistant",
        ),
        ("mqtt: {url: 'mqtts://a', tls: {ca_file: \"a\\0\"}}", "mqtt.tls.ca_file: "),
        ("web: {ingress: 172.30.32.0/23}", "web.ingress: is no IP address such as 172.30.32.2"),
        ("web: {trusted_proxies: [1.2.3.4/8]}", "web.trusted_proxies[0]: is no address and no network"),
        ("storage: {max_size: 99999999999TB}", "storage.max_size: '99999999999TB' is larger than any disk"),
        ("homeassistent: {}", "homeassistent: unknown key, did you mean 'homeassistant'?"),
        ("accounts: {home: {per_minute: 5}}", "did you mean 'accounts.*.send.per_minute'?"),
        ("web: {listen: '127.0.0.1:99999'}", "web.listen: a port is a number up to 65535"),
        ("web: {listen: 'example.org:80'}", "web.listen: must be an address and a port"),
        ("accounts: {home: {endpoint: 'http://a?b'}}", "accounts.home.endpoint: must end with its path"),
        ("qqq: 1", "qqq: unknown key; known here: mqtt, accounts,"),
    ],
)
def test_one_wrong_thing_is_one_problem(faults, text, words):
    found = faults(text)
    assert len(found) == 1
    assert words in found[0]


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
    ("accounts", "expected"),
    [
        ("{home: {}}", ["1 homeassistant.expose[1] names nobody"]),
        ("{home: {}, work: {}}", ["1 homeassistant.expose[0] is ambiguous"]),
    ],
)
def test_whose_people_are_exposed_must_be_clear(loaded, accounts, expected):
    wanted = "homeassistant: {enabled: true, expose: [wife, work/boss, home/wife]}"
    result = loaded(f"{wanted}\naccounts: {accounts}")
    assert [f"{w.line} {w.key} {w.message.partition(':')[0]}" for w in result.warnings] == expected
    assert loaded(f"{wanted.replace('true', 'false')}\naccounts: {accounts}").warnings == ()


def test_warnings_name_what_has_no_effect(loaded):
    result = loaded(
        """\
        mqtt: {url: embedded, username: me, tls: {ca_file: wx2mqtt.yaml}}
        accounts:
          home:
            hold: {max: 5}
            contacts: {me: {owner: true}}
            ilink: {typing: true}
            fallback: {after: 5s}
        """
    )
    assert [(w.line, w.key, w.message.partition(":")[0]) for w in result.warnings] == [
        (1, "mqtt.username", "has no effect"),
        (1, "mqtt.tls", "has no effect"),
        (4, "accounts.home.hold", "has no effect"),
        (5, "accounts.home.contacts.me", "webwx tells no owner"),
        (6, "accounts.home.ilink", "has no effect"),
        (7, "accounts.home.fallback", "has no effect without accounts or urls"),
    ]


@pytest.mark.parametrize("reserve", ["-1", "10", "many"])
def test_the_reserve_leaves_at_least_one_of_ten_messages(faults, reserve):
    (problem,) = faults(f"accounts: {{home: {{backend: ilink, ilink: {{reserve: {reserve}}}}}}}")
    assert problem.startswith("wx2mqtt.yaml:1: accounts.home.ilink.reserve: ")


def test_what_only_the_other_backend_knows_is_named(loaded):
    result = loaded(
        """\
        accounts:
          home:
            backend: ilink
            expect: {ilink: o9cq80x@im.wechat}
            webwx: {desktop: {client_version: "1", extspam: x}}
            ilink: {hosts: [relay.example], typing: true}
            contacts: {me: {owner: true}, wife: {remark: 老婆}}
        """
    )
    assert [(w.line, w.key, w.message.partition(";")[0]) for w in result.warnings] == [
        (5, "accounts.home.webwx", "has no effect: the backend is ilink"),
        (7, "accounts.home.contacts.wife", "iLink tells no remark"),
    ]


def test_to_expect_what_the_backend_does_not_tell_would_refuse_everybody(faults):
    assert faults(
        """\
        accounts:
          home: {backend: ilink, expect: {uin: "1", nickname: x}}
          work: {expect: {ilink: o9cq80x@im.wechat}}
        """
    ) == [
        "wx2mqtt.yaml:2: accounts.home.expect.uin: ilink does not tell it, so everybody would be refused; take it away",
        "wx2mqtt.yaml:2: accounts.home.expect.nickname: ilink does not tell it, so everybody would be refused; take it away",
        "wx2mqtt.yaml:3: accounts.work.expect.ilink: webwx does not tell it, so everybody would be refused; take it away",
    ]


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


def test_a_key_set_to_its_default_gives_no_warning(loaded):
    assert loaded("accounts: {home: {plain: no, hold: {ttl: 1d}}}\nweb: {enabled: true}").warnings == ()


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
    """An ordinary user, also where the tests run as root."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        yield
        os.seteuid(0)
    else:
        yield


@pytest.fixture
def unreadable_folder(tmp_path):
    """A folder with files that nobody may read."""
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


def test_a_truth_value_is_no_number_when_settings_are_made_in_code():
    with pytest.raises(ValueError, match="whole number"):
        Settings.model_validate({"mqtt": {"keepalive": True}})


def test_settings_cannot_be_changed(loaded):
    with pytest.raises(Exception, match="frozen"):
        loaded("").settings.language = "zh"


@pytest.mark.parametrize(
    "text",
    [
        r'mqtt: {username: u, password_file: "a\0b"}',
        r'mqtt: {username: u, password_file: "\ud800"}',
        r'mqtt: {url: mqtts://a, tls: {ca_file: "a\0b"}}',
        r'accounts: {home: {contacts: {"\ud800\n\e[2J": {remark: a}}}}',
        r'accounts: {home: {contacts: {"a\nb": {remark: a}, "[key]": 5}}}',
        r'log: {level: "a\nb"}',
        r'"a\nb": 1',
        r'mqtt: {username: "\ud800"}',
        r'mqtt: {username: u, password: "\ud800"}',
        r'accounts: {home: {fallback: {urls: ["\ud800"]}}}',
    ],
)
def test_what_cannot_be_printed_is_refused_in_one_line_that_can(faults, text):
    for problem in faults(text):
        assert problem.isprintable()


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
    ("accounts", "fault"),
    [
        ("[zhangsan]", "write the account and who it is there, as account/user, such as office/zhangsan"),
        ("[home/me]", "is this account itself; name a user of another one"),
        ("[offce/me]", "names nobody: there is no account 'offce', only home, office"),
        ("[office/a+b]", "a topic level cannot hold +; write 'a_b'"),
        ("[office/]", "the name is empty"),
        ("[office/me, office/me]", "names the same one twice; remove one"),
    ],
)
def test_other_accounts_are_named_by_account_and_user(faults, accounts, fault):
    text = f"accounts:\n  home: {{fallback: {{accounts: {accounts}}}}}\n  office: {{}}\n"
    (problem,) = faults(text)
    index = accounts.count(",")
    assert problem == f"wx2mqtt.yaml:2: accounts.home.fallback.accounts[{index}]: {fault}"


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


CHAIN = """\
accounts:
  home: {fallback: {accounts: office/me}}
  lonely: {}
  office: {}
  shop: {fallback: {accounts: office/me}}
"""


def test_accounts_that_a_fallback_joins_are_a_group_also_through_others(loaded):
    assert loaded(CHAIN).settings.joined_accounts() == (frozenset({"home", "office", "shop"}),)


def test_an_instance_must_have_room_for_a_group(faults):
    database = "storage: {url: postgresql://db/wx2mqtt, key_file: /etc/key}\n"
    problems = faults(f"{CHAIN}{database}cluster: {{max_accounts: 2}}\n")
    (problem,) = [text for text in problems if "cluster.max_accounts" in text]
    assert problem.endswith("the 3 accounts that fallback.accounts joins, which only run together")


def test_another_account_alone_is_a_fallback(loaded):
    result = loaded("accounts:\n  home: {fallback: {accounts: office/filehelper}}\n  office: {}\n")
    assert result.settings.accounts["home"].fallback.accounts == ("office/filehelper",)
    assert not result.warnings


def test_a_fallback_without_apprise_is_reported_and_its_addresses_are_not(loaded, monkeypatch):
    text = 'accounts: {home: {fallback: {urls: ["tgram://123456:secret/42"]}}}'
    monkeypatch.setattr(cross_key_rules, "find_spec", lambda _: None)
    (warning,) = loaded(text).warnings
    assert warning.key == "accounts.home.fallback.urls"
    assert "-r deploy/fallback.lock" in warning.message
    assert "secret" not in str(warning)
    monkeypatch.setattr(cross_key_rules, "find_spec", lambda _: object())
    assert loaded(text).warnings == ()


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
