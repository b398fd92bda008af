"""Which topics are tried, and where."""

from __future__ import annotations

import re

import pytest

from tests.support.rows import every_row
from wx2mqtt.diagnostics.broker_permissions import discovery_class, published_classes
from wx2mqtt.diagnostics.check_target import AccountTarget, DiagnosticTarget, diagnostic_target
from wx2mqtt.mqtt.topics import TOPIC_TABLE, Topics
from wx2mqtt.settings.schema import Account as AccountConfig
from wx2mqtt.settings.schema import HomeAssistant, Mqtt, Settings


def account(base: str = "wx") -> AccountTarget:
    return AccountTarget(name="home", topics=Topics(base), backend="webwx", endpoint=None)


def patient(**more) -> DiagnosticTarget:
    return diagnostic_target(Settings(**more), {})


def test_every_topic_that_the_bridge_publishes_belongs_to_one_class():
    classes = list(published_classes(account()))
    for topic in TOPIC_TABLE:
        whole = re.sub("<.*>", "x", f"wx/{topic.pattern}")
        homes = [
            one
            for one in classes
            if whole in one.exact_topics or (not one.exact_topics and whole == f"{one.parent_topic}/x")
        ]
        assert len(homes) == int(topic.by_bridge), whole


def test_a_class_that_an_account_does_not_use_needs_no_right():
    def rules(**more):
        (found,) = patient(accounts={"home": AccountConfig(**more)}).accounts
        return {one.acl_topic for one in published_classes(found)}

    assert not {"wx/text/#", "wx/window/#"} & rules()
    assert rules(plain=True, backend="ilink") - rules() == {"wx/text/#", "wx/window/#"}


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
    (found,) = patient(accounts={"home": AccountConfig(**account)}).accounts
    assert found.trial_user == user


def test_what_is_retained_is_never_the_probe_itself():
    probed = {patient().probe_topic(one.parent_topic) for one in published_classes(account())}
    retained = {f"wx/{topic.pattern}" for topic in TOPIC_TABLE if topic.retained}
    assert not probed & retained
    assert not any(topic.startswith("wx/out/") for topic in probed)


@pytest.mark.parametrize("base", ["wx", "wx/office", "家/微信"])
def test_a_class_lies_below_its_account(base):
    for one in published_classes(account(base)):
        assert one.parent_topic.startswith(f"{base}/")
        assert one.acl_topic.startswith(f"{base}/")


def test_the_doctor_is_another_client_without_will_session_or_subscriptions():
    found, other = patient(mqtt=Mqtt(username="me", client_id="bridge")), patient()
    assert found.options.client_id == f"bridge-doctor-{found.nonce_level}"
    assert re.fullmatch("wx2mqtt-home-doctor-[0-9a-f]{8}", other.options.client_id)
    assert (found.options.will, found.options.subscriptions, found.options.session_expiry) == (None, (), 0)
    assert found.options.clean
    assert found.options.username == "me"
    assert found.nonce_level != other.nonce_level


def test_with_several_accounts_each_is_examined_and_the_first_gives_the_client_id():
    accounts = {"home": AccountConfig(), "office": AccountConfig()}
    found = patient(accounts=accounts)
    assert [one.topics.base for one in found.accounts] == ["wx", "wx/office"]
    assert found.options.client_id.startswith("wx2mqtt-home-doctor-")


def test_home_assistants_prefix_counts_only_where_it_is_enabled():
    assert patient().discovery_prefix == ""
    found = patient(homeassistant=HomeAssistant(enabled=True, prefix="ha"))
    assert discovery_class(found, account()).parent_topic == found.discovery_prefix == "ha"
    assert discovery_class(found, account()).acl_topic == "ha/device/wx2mqtt_home/config"


def test_the_embedded_broker_is_looked_for_where_it_would_be():
    found = patient(mqtt=Mqtt(url=("embedded",)))
    assert (found.embedded, str(found.addresses[0])) == (True, "mqtt://127.0.0.1:1883")


def test_no_secret_is_in_what_is_shown_of_a_patient():
    saved = {"home": {"skey": "@crypt_geheim"}}
    found = diagnostic_target(Settings(mqtt=Mqtt(username="me", password="geheim")), saved)
    assert "geheim" not in repr(found)
