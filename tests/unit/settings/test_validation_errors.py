"""The sentences for values that are wrong: one for each, with the line, the key and what to do."""

from __future__ import annotations

import pytest


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
