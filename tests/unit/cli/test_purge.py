"""`wx2mqtt purge` lists all that it deletes, and ends no session of an account that is configured."""

from __future__ import annotations

from tests.support.rows import every_row
from wx2mqtt.cli.purge import PurgePlan, describe_plan, former_clients
from wx2mqtt.model import Json
from wx2mqtt.settings.schema import Settings


@every_row(
    ("client_id", "accounts", "clients"),
    [
        (None, ["home"], ("wx2mqtt-old",)),
        (None, ["home", "work"], ("wx2mqtt-old",)),
        ("kitchen", ["home"], ("kitchen-old",)),  # kitchen is home's now
        ("kitchen", ["home", "work"], ("kitchen-old", "kitchen")),
    ],
)
def test_no_session_of_a_configured_account_is_ended(client_id, accounts, clients):
    settings = Settings.model_validate(
        {"mqtt": {"client_id": client_id}, "accounts": {name: {} for name in accounts}}
    )
    assert former_clients(settings, "old") == clients
    assert not set(clients) & set(settings.client_ids().values())


def make_plan(**stored):
    defaults: dict[str, Json] = {
        "messages": 3,
        "commands": 2,
        "people": 1,
        "media": 0,
        "login": True,
        "base": "wx",
        "taken_by": "",
    }
    announced = stored.pop("announced", ())
    topics = stored.pop("topics", ("wx/last", "wx/contacts"))
    return PurgePlan(
        topics=(*topics, *announced),
        discovery_topics=announced,
        client_ids=("wx2mqtt-old",),
        stored_data={**defaults, **stored},
    )


def test_the_plan_lists_all_that_is_deleted():
    device = "homeassistant/device/wx2mqtt_old/config"
    lines = "\n".join(describe_plan(make_plan(announced=(device,)), "en", include_broker=True))
    assert "3 messages, 2 commands, 1 people" in lines
    assert "2 retained topics below wx, and the session of wx2mqtt-old" in lines
    assert device in lines


def test_the_plan_lists_topics_that_stay_with_their_account():
    lines = "\n".join(describe_plan(make_plan(topics=(), taken_by="home"), "en", include_broker=True))
    assert "the topics below wx stay: they are those of account 'home' now" in lines
    assert "the session of wx2mqtt-old" in lines
    assert "retained" not in lines


def test_the_plan_without_the_broker_lists_only_the_store():
    assert len(describe_plan(make_plan(), "zh", include_broker=False)) == 1
