"""Which topics are tried, and where."""

from __future__ import annotations

import re

import pytest

from wx2mqtt.doctor.patient import Account, Patient, patient_of
from wx2mqtt.doctor.rights import discovery, published
from wx2mqtt.mqtt.topics import TABLE, Topics
from wx2mqtt.settings.schema import Account as AccountSettings
from wx2mqtt.settings.schema import HomeAssistant, Mqtt, Settings


def account(base: str = "wx") -> Account:
    return Account(name="home", topics=Topics(base), backend="webwx", endpoint=None)


def patient(**more) -> Patient:
    return patient_of(Settings(**more), {})


def test_every_topic_that_the_bridge_publishes_belongs_to_one_class():
    classes = list(published(account()))
    for topic in TABLE:
        whole = re.sub("<.*>", "x", f"wx/{topic.pattern}")
        homes = [
            one for one in classes if whole in one.exact or (not one.exact and whole == f"{one.above}/x")
        ]
        assert len(homes) == int(topic.by_bridge), whole


def test_a_class_that_an_account_does_not_use_needs_no_right():
    def rules(**more):
        (found,) = patient(accounts={"home": AccountSettings(**more)}).accounts
        return {one.rule for one in published(found)}

    assert not {"wx/text/#", "wx/window/#"} & rules()
    assert rules(plain=True, backend="ilink") - rules() == {"wx/text/#", "wx/window/#"}


def test_what_is_retained_is_never_the_probe_itself():
    probed = {patient().probe(one.above) for one in published(account())}
    retained = {f"wx/{topic.pattern}" for topic in TABLE if topic.retained}
    assert not probed & retained
    assert not any(topic.startswith("wx/out/") for topic in probed)


@pytest.mark.parametrize("base", ["wx", "wx/office", "家/微信"])
def test_a_class_lies_below_its_account(base):
    for one in published(account(base)):
        assert one.above.startswith(f"{base}/")
        assert one.rule.startswith(f"{base}/")


def test_the_doctor_is_another_client_without_will_session_or_subscriptions():
    found, other = patient(mqtt=Mqtt(username="me", client_id="bridge")), patient()
    assert found.options.client_id == f"bridge-doctor-{found.nonce}"
    assert re.fullmatch("wx2mqtt-home-doctor-[0-9a-f]{8}", other.options.client_id)
    assert (found.options.will, found.options.subscriptions, found.options.session_expiry) == (None, (), 0)
    assert found.options.clean
    assert found.options.username == "me"
    assert found.nonce != other.nonce


def test_with_several_accounts_each_is_examined_and_the_first_gives_the_client_id():
    accounts = {"home": AccountSettings(), "office": AccountSettings()}
    found = patient(accounts=accounts)
    assert [one.topics.base for one in found.accounts] == ["wx", "wx/office"]
    assert found.options.client_id.startswith("wx2mqtt-home-doctor-")


def test_home_assistants_prefix_counts_only_where_it_is_enabled():
    assert patient().discovery == ""
    found = patient(homeassistant=HomeAssistant(enabled=True, prefix="ha"))
    assert discovery(found, account()).above == found.discovery == "ha"
    assert discovery(found, account()).rule == "ha/device/wx2mqtt_home/config"


def test_the_embedded_broker_is_looked_for_where_it_would_be():
    found = patient(mqtt=Mqtt(url=("embedded",)))
    assert (found.embedded, str(found.addresses[0])) == (True, "mqtt://127.0.0.1:1883")


def test_no_secret_is_in_what_is_shown_of_a_patient():
    saved = {"home": {"skey": "@crypt_geheim"}}
    found = patient_of(Settings(mqtt=Mqtt(username="me", password="geheim")), saved)
    assert "geheim" not in repr(found)
