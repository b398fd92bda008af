"""The brokers and accounts that the doctor checks, as they follow from the settings."""

from __future__ import annotations

import re

from tests.support.rows import every_row
from wx2mqtt.diagnostics.check_target import DiagnosticTarget, diagnostic_target
from wx2mqtt.settings.schema import Account as AccountConfig
from wx2mqtt.settings.schema import Mqtt, Settings


def target_of(**more) -> DiagnosticTarget:
    return diagnostic_target(Settings(**more), {})


@every_row(
    ("account", "user"),
    [
        ({}, "filehelper"),
        ({"contacts": {"wife": {"remark": "老婆"}}}, "filehelper"),
        ({"backend": "ilink"}, "me"),
        ({"backend": "ilink", "contacts": {"wife": {"ilink": "x@im.wechat"}, "i": {"owner": True}}}, "i"),
        ({"backend": "wecom", "contacts": {"boss": {"wecom": "boss"}}}, "boss"),
    ],
)
def test_a_message_is_tried_to_somebody_whom_the_backend_has(account, user):
    (target,) = target_of(accounts={"home": AccountConfig(**account)}).accounts
    assert target.trial_user == user


def test_the_doctor_is_another_client_without_will_session_or_subscriptions():
    target, other = target_of(mqtt=Mqtt(username="me", client_id="bridge")), target_of()
    assert target.options.client_id == f"bridge-doctor-{target.nonce_level}"
    assert re.fullmatch("wx2mqtt-home-doctor-[0-9a-f]{8}", other.options.client_id)
    assert (target.options.will, target.options.subscriptions, target.options.session_expiry) == (None, (), 0)
    assert target.options.clean
    assert target.options.username == "me"
    assert target.nonce_level != other.nonce_level


def test_with_several_accounts_each_is_examined_and_the_first_gives_the_client_id():
    accounts = {"home": AccountConfig(), "office": AccountConfig()}
    target = target_of(accounts=accounts)
    assert [account.topics.base for account in target.accounts] == ["wx", "wx/office"]
    assert target.options.client_id.startswith("wx2mqtt-home-doctor-")


def test_the_embedded_broker_is_looked_for_where_it_would_be():
    target = target_of(mqtt=Mqtt(url=("embedded",)))
    assert (target.embedded, str(target.addresses[0])) == (True, "mqtt://127.0.0.1:1883")


def test_no_secret_is_in_the_representation_of_a_target():
    saved = {"home": {"skey": "@crypt_geheim"}}
    target = diagnostic_target(Settings(mqtt=Mqtt(username="me", password="geheim")), saved)
    assert "geheim" not in repr(target)
