"""`web.senders`: a list of sections with secrets, and the rules for it."""

from __future__ import annotations

import pytest

from wx2mqtt.errors import SettingsError
from wx2mqtt.settings.environment import ENVIRONMENT_PREFIX
from wx2mqtt.settings.key_tree import reload_diff
from wx2mqtt.settings.loader import load
from wx2mqtt.wechat.registry import BACKENDS

TOKEN = "0123456789abcdef" * 2
OTHER = "fedcba9876543210" * 2
ONE = f"{{name: grafana, token: {TOKEN}, to: me}}"


def sentences(loaded):
    return [f"{warning.key}: {warning.message}" for warning in loaded.warnings]


def test_a_sender_has_a_name_a_token_and_people(loaded):
    (sender,) = loaded(
        f"web: {{senders: [{{name: nas, token: {TOKEN}, users: [me, 'office/*'], rate: 0}}]}}"
    ).settings.web.senders
    assert (sender.name, sender.to, sender.users, sender.rate) == ("nas", None, ("me", "office/*"), 0)
    assert TOKEN not in repr(sender)
    (sender,) = loaded(f"web: {{senders: [{ONE}]}}").settings.web.senders
    assert (sender.to, sender.users, sender.rate) == ("me", (), 60)


def test_a_token_is_read_from_its_file_beside_the_configuration(config, tmp_path):
    file = tmp_path / "nas.token"
    file.touch(mode=0o600)
    file.write_text(f"{TOKEN}\n")
    path = config("web: {senders: [{name: nas, token_file: nas.token, to: me}]}")
    (sender,) = load(path, {}, BACKENDS).settings.web.senders
    assert sender.token is not None
    assert sender.token.get_secret_value() == TOKEN


def test_a_credential_of_systemd_and_a_variable_give_senders(config, tmp_path):
    (tmp_path / "web.senders[0].token").write_text(TOKEN)
    path = config("web: {senders: [{name: nas, to: me}]}")
    (sender,) = load(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)}, BACKENDS).settings.web.senders
    assert sender.token is not None
    assert sender.token.get_secret_value() == TOKEN
    variable = {f"{ENVIRONMENT_PREFIX}WEB__SENDERS": f"[{ONE}]"}
    (sender,) = load(config(""), variable, BACKENDS).settings.web.senders
    assert sender.name == "grafana"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"[{{token: {TOKEN}, to: me}}]", "web.senders[0].name: is missing"),
        (f"[{{name: A, token: {TOKEN}, to: me}}]", "web.senders[0].name: must be 1 to 32 characters"),
        ("[{name: a, token: short, to: me}]", "web.senders[0].token: is shorter than 32 characters"),
        (f"[{{name: a, token: 中{TOKEN}, to: me}}]", "web.senders[0].token: must be printable ASCII"),
        ("[{name: a, to: me}]", "web.senders[0]: needs token_file"),
        (f"[{{name: a, token: {TOKEN}}}]", "web.senders[0]: may send to nobody"),
        (f"[{ONE}, {{name: grafana, token: {OTHER}, to: me}}]", "web.senders[1].name: is the name of another sender"),
        (f"[{ONE}, {{name: b, token: {TOKEN}, to: me}}]", "web.senders[0].token: is a secret that stands elsewhere"),
        (f"[{{nmae: a, token: {TOKEN}, to: me}}]", "unknown key, did you mean 'name'?"),
        ("[a]", "web.senders[0]: must be a section"),
        ("{name: a}", "web.senders: must be a list"),
    ],
)  # fmt: skip
def test_a_bad_sender_is_refused_with_the_cure(faults, text, expected):
    found = faults(f"web: {{senders: {text}}}")
    assert any(expected in problem for problem in found), found
    assert TOKEN not in str(found)


def test_a_token_is_no_other_secret(faults):
    found = faults(f"web: {{senders: [{ONE}], password: {TOKEN}}}")
    assert any("is a secret that stands elsewhere" in problem for problem in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"enabled: false, senders: [{ONE}]", "web.senders: has no effect: web.enabled is false"),
        (f"ingress: 172.30.32.2, senders: [{ONE}]", "web.senders: are not served to Home Assistant's Ingress"),
        (f"senders_listen: '0.0.0.0:8098', senders: [{ONE}]", "web.senders_listen: others can reach this address"),
        (f"ntfy_listen: '0.0.0.0:8098', senders: [{ONE}]", "web.ntfy_listen: others can reach this address"),
        (f"senders: [{{name: a, token: {TOKEN}, to: office/me}}]", "web.senders[0].to: names nobody"),
    ],
)  # fmt: skip
def test_what_is_unwise_is_a_warning(loaded, text, expected):
    found = sentences(loaded(f"web: {{{text}}}"))
    assert [sentence for sentence in found if expected in sentence], found


def test_senders_that_nobody_else_reaches_and_those_behind_a_proxy_are_no_warning(loaded):
    assert sentences(loaded(f"web: {{senders: [{ONE}]}}")) == []
    behind = f"web: {{senders_listen: '0.0.0.0:8098', trusted_proxies: [10.0.0.1], senders: [{ONE}]}}"
    assert not any("unencrypted" in sentence for sentence in sentences(loaded(behind)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("senders_listen: '127.0.0.1:8098'", "web.senders_listen: needs web.senders"),
        (f"senders_listen: '127.0.0.1:8099', senders: [{ONE}]", "is the address of web.listen already"),
        (f"senders_listen: '127.0.0.1:1', ntfy_listen: '127.0.0.1:1', senders: [{ONE}]", "web.senders_listen already"),
    ],
)  # fmt: skip
def test_an_address_of_its_own_needs_senders_and_is_its_own(faults, text, expected):
    assert any(expected in problem for problem in faults(f"web: {{{text}}}"))


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ("127.0.0.1:8099", "0.0.0.0:8099", True),
        ("localhost:8099", "127.0.0.1:8099", True),
        ("localhost:8099", "[::]:8099", True),
        ("[::1]:8099", "[0:0::1]:8099", True),
        ("127.0.0.1:8099", "127.0.0.2:8099", False),
        ("0.0.0.0:8099", "[::]:8099", False),  # each server takes one family only
        ("127.0.0.1:8099", "127.0.0.1:8098", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
    ],
)
def test_addresses_on_which_only_one_server_can_listen(config, first, second, clash):
    token = "password: geheim, trusted_proxies: [10.0.0.1]"
    text = config(f"web: {{listen: '{first}', senders_listen: '{second}', {token}, senders: [{ONE}]}}")
    try:
        load(text, {}, BACKENDS)
    except SettingsError as error:
        assert clash
        assert "is the address of web.listen already" in str(error)
    else:
        assert not clash


def test_a_reload_changes_senders_and_their_addresses(loaded):
    before = loaded().settings
    after = loaded(f"web: {{senders_listen: '127.0.0.1:8098', senders: [{ONE}]}}").settings
    assert reload_diff(before, after) == (["web.senders", "web.senders_listen"], [])


def test_a_variable_names_no_key_of_an_item(config):
    try:
        load(config(""), {f"{ENVIRONMENT_PREFIX}WEB__SENDERS__NAME": "a"}, BACKENDS)
    except SettingsError as error:
        assert "no key of the configuration has this name" in str(error)
    else:
        raise AssertionError("it was accepted")
