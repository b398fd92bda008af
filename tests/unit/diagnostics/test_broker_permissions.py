"""The topics that the doctor tries: each is in one topic class, and none is one that carries real messages."""

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


def target_of(**more) -> DiagnosticTarget:
    return diagnostic_target(Settings(**more), {})


def test_every_topic_that_the_bridge_publishes_belongs_to_one_class():
    classes = list(published_classes(account()))
    for topic in TOPIC_TABLE:
        name = re.sub("<.*>", "x", f"wx/{topic.pattern}")
        matches = [
            topic_class
            for topic_class in classes
            if name in topic_class.exact_topics
            or (not topic_class.exact_topics and name == f"{topic_class.parent_topic}/x")
        ]
        assert len(matches) == int(topic.by_bridge), name


def test_a_class_that_an_account_does_not_use_needs_no_right():
    def rules(**more):
        (target,) = target_of(accounts={"home": AccountConfig(**more)}).accounts
        return {topic_class.acl_topic for topic_class in published_classes(target)}

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
    (target,) = target_of(accounts={"home": AccountConfig(**account)}).accounts
    assert target.trial_user == user


def test_what_is_retained_is_never_the_probe_itself():
    probed = {
        target_of().probe_topic(topic_class.parent_topic) for topic_class in published_classes(account())
    }
    retained = {f"wx/{topic.pattern}" for topic in TOPIC_TABLE if topic.retained}
    assert not probed & retained
    assert not any(topic.startswith("wx/out/") for topic in probed)


@pytest.mark.parametrize("base", ["wx", "wx/office", "家/微信"])
def test_a_class_lies_below_its_account(base):
    for topic_class in published_classes(account(base)):
        assert topic_class.parent_topic.startswith(f"{base}/")
        assert topic_class.acl_topic.startswith(f"{base}/")


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


def test_home_assistants_prefix_counts_only_where_it_is_enabled():
    assert target_of().discovery_prefix == ""
    target = target_of(homeassistant=HomeAssistant(enabled=True, prefix="ha"))
    assert discovery_class(target, account()).parent_topic == target.discovery_prefix == "ha"
    assert discovery_class(target, account()).acl_topic == "ha/device/wx2mqtt_home/config"


def test_the_embedded_broker_is_looked_for_where_it_would_be():
    target = target_of(mqtt=Mqtt(url=("embedded",)))
    assert (target.embedded, str(target.addresses[0])) == (True, "mqtt://127.0.0.1:1883")


def test_no_secret_is_in_the_representation_of_a_target():
    saved = {"home": {"skey": "@crypt_geheim"}}
    target = diagnostic_target(Settings(mqtt=Mqtt(username="me", password="geheim")), saved)
    assert "geheim" not in repr(target)
