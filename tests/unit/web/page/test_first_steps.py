"""The steps up to the first message, and the hints of empty lists."""

from __future__ import annotations

from tests.support.page import (
    NOW,
    FakeAccountView,
    PageElements,
    bridge,
    health_snapshot,
    login,
)
from tests.unit.web.page.test_sections import EN, parts_of, text
from wx2mqtt.bridge.counters import AccountCounters
from wx2mqtt.errors import Problem
from wx2mqtt.model import LoginState, Needs
from wx2mqtt.web.page.sections import PageOptions, file_section


def test_empty_lists_say_what_the_next_step_is():
    view = FakeAccountView()
    waiting_login = login(LoginState.WAITING_FOR_SCAN)
    assert "log in to WeChat" in text(parts_of(login=waiting_login)["messages"])
    assert "File Transfer" in text(parts_of()["messages"])
    assert "wx/in/+" in text(parts_of()["messages"])
    assert "mosquitto_pub -q 1 -t 'wx/out/filehelper' -m 'hello'" in text(parts_of()["commands"])
    view.has_contacts, view.test_recipient = False, ""
    assert "Write to the bot once" in text(parts_of(view=view)["messages"])
    assert "wait for the first message" in text(parts_of(view=view)["commands"])


WITHOUT_MESSAGES = {"stats": {"messages": 0}}


def steps(parts):
    page = PageElements(f"<main>{parts['steps']}</main>")
    return [(content, attributes.get("aria-current")) for attributes, content in page.all("li")]


def test_until_the_first_message_the_next_step_is_named():
    waiting_login = login(LoginState.WAITING_FOR_SCAN)
    away = health_snapshot(
        **WITHOUT_MESSAGES, broker="", counters=AccountCounters(started=NOW, broker_reason="no <route>")
    )
    first, broker, scan, message = steps(parts_of(health=away, login=waiting_login))
    assert first == ("A configuration done", None)
    assert broker[0].startswith("The MQTT broker nextno <route>See that it runs")
    assert broker[1] == "step"
    assert (scan, message) == (("The login to WeChat later", None), ("The first message later", None))

    _, broker, scan, _ = steps(parts_of(health=health_snapshot(**WITHOUT_MESSAGES), login=waiting_login))
    assert broker == ("The MQTT broker done", None)
    assert scan[0].startswith("The login to WeChat nextOpen WeChat on the phone")
    *_, scan, message = steps(parts_of(health=health_snapshot(**WITHOUT_MESSAGES)))
    assert scan == ("The login to WeChat done", None)
    assert "wx/in/+" in message[0]
    assert message[1] == "step"
    assert steps(parts_of()) == []
    assert steps(parts_of(health=None)) == []


def test_the_steps_say_what_it_means_that_nothing_helps_alarms():
    view = FakeAccountView()
    view.missing_safeguards = "no_safeguards"
    assert "remind, renew and fallback are off" in text(
        parts_of(view=view, health=health_snapshot(**WITHOUT_MESSAGES))["steps"]
    )
    assert "都未开启" in text(
        parts_of(PageOptions("zh"), view=view, health=health_snapshot(**WITHOUT_MESSAGES))["steps"]
    )
    assert "are off" not in text(parts_of(health=health_snapshot(**WITHOUT_MESSAGES))["steps"])


def test_a_login_that_asks_for_a_number_says_so_in_the_steps():
    asks = login(LoginState.WAITING_FOR_CONFIRM, needs=Needs.CODE)
    assert (
        "number that the phone shows"
        in steps(parts_of(health=health_snapshot(**WITHOUT_MESSAGES), login=asks))[2][0]
    )


def test_without_a_file_the_steps_say_which_settings_those_are():
    parts = parts_of(health=health_snapshot(**WITHOUT_MESSAGES), setup_command="wx2mqtt setup")
    assert "the broker is for this machine only. wx2mqtt setup writes" in steps(parts)[0][0]
    assert "wx2mqtt setup" not in text(parts_of(health=health_snapshot(**WITHOUT_MESSAGES))["steps"])


def test_a_bridge_that_waits_for_its_first_file_says_how_to_get_one():
    missing = Problem("my.yaml", 1, "file", "there is no such file")
    state = bridge(problems=lambda: (missing,), setup_command=lambda: "wx2mqtt setup -c my.yaml")
    (first, *later) = steps({"steps": file_section(state, EN)})
    assert "Run wx2mqtt setup -c my.yaml in a terminal" in first[0]
    assert first[1] == "step"
    assert [step[0].rpartition(" ")[2] for step in later] == ["later"] * 3
    assert "no such file" not in file_section(state, EN)
