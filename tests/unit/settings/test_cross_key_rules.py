"""Rules that compare keys of the settings with each other: what is refused, and what is warned of."""

from __future__ import annotations

import pytest

from wx2mqtt.settings import cross_key_rules


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


def test_a_key_set_to_its_default_gives_no_warning(loaded):
    assert loaded("accounts: {home: {plain: no, hold: {ttl: 1d}}}\nweb: {enabled: true}").warnings == ()


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


CHAINED_ACCOUNTS = """\
accounts:
  home: {fallback: {accounts: office/me}}
  lonely: {}
  office: {}
  shop: {fallback: {accounts: office/me}}
"""


def test_accounts_that_a_fallback_joins_are_a_group_also_through_others(loaded):
    assert loaded(CHAINED_ACCOUNTS).settings.joined_accounts() == (frozenset({"home", "office", "shop"}),)


def test_an_instance_must_have_room_for_a_group(faults):
    database = "storage: {url: postgresql://db/wx2mqtt, key_file: /etc/key}\n"
    problems = faults(f"{CHAINED_ACCOUNTS}{database}cluster: {{max_accounts: 2}}\n")
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
