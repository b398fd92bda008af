"""The topics that the doctor tries: each is in one topic class, and none is one that carries real messages."""

from __future__ import annotations

import re

import pytest

from wx2mqtt.diagnostics.broker_permissions import discovery_class, published_classes
from wx2mqtt.diagnostics.check_target import AccountTarget, DiagnosticTarget, diagnostic_target
from wx2mqtt.mqtt.topics import TOPIC_TABLE, Topics
from wx2mqtt.settings.schema import Account as AccountConfig
from wx2mqtt.settings.schema import HomeAssistant, Settings


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


def test_home_assistants_prefix_counts_only_where_it_is_enabled():
    assert target_of().discovery_prefix == ""
    target = target_of(homeassistant=HomeAssistant(enabled=True, prefix="ha"))
    assert discovery_class(target, account()).parent_topic == target.discovery_prefix == "ha"
    assert discovery_class(target, account()).acl_topic == "ha/device/wx2mqtt_home/config"
