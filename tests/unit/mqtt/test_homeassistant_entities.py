"""What Home Assistant is told: every rule of it kept, the same ids for ever, one message that fits."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.discovery_rules import faults
from tests.support.rows import every_row
from wx2mqtt.model import Kind, LoginState, Needs, Status
from wx2mqtt.mqtt.homeassistant_entities import (
    Device,
    NotifyTarget,
    discovery_config,
    entity_id,
)
from wx2mqtt.mqtt.topics import Topics, birth_topic, config_topic
from wx2mqtt.names import MAX_DISPLAY_NAME_CHARACTERS, display_names

TOPIC = config_topic("homeassistant", "home")
WIFE = NotifyTarget(user="wife", id="wife", name="老婆")
ZHANG = NotifyTarget(user="张三", id=entity_id("张三"), name="张三")


def make_device(*targets: NotifyTarget, **more: Any) -> Device:
    wanted = {"model": "WeChat", "version": "1.2.3", "language": "en", **more}
    return Device(account="home", topics=Topics("wx"), targets=targets, **wanted)


def body(device: Device, room: int | None = None) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(discovery_config(device, room).payload)
    return value


@every_row("language", ["en", "zh"])
@every_row("url", ["", "https://house.example/wx/"])
def test_home_assistant_has_nothing_to_complain_about(language: str, url: str) -> None:
    device = make_device(
        WIFE, ZHANG, language=language, url=url, previous_components={"to_gone": "notify", "old": "sensor"}
    )
    assert faults(TOPIC, discovery_config(device).payload) == []


LEVELS = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="/+#"), min_size=1, max_size=30
)


@given(LEVELS, st.text(max_size=300))
def test_whatever_people_are_called_home_assistant_takes_it(level: str, name: str) -> None:
    shown = display_names({level: name, "other": name})[level]
    made = discovery_config(make_device(NotifyTarget(user=level, id=entity_id(level), name=shown)))
    assert faults(TOPIC, made.payload) == []
    assert len(shown) <= MAX_DISPLAY_NAME_CHARACTERS + len(f" ({level})")


def test_the_topics() -> None:
    assert TOPIC == "homeassistant/device/wx2mqtt_home/config"
    assert birth_topic("ha") == "ha/status"


def test_every_entity_of_the_issue_is_there() -> None:
    found = {
        (key, component["platform"])
        for key, component in body(make_device(WIFE, ZHANG))["components"].items()
    }
    assert found == {
        ("qr", "image"),
        ("login", "sensor"),
        ("needs", "sensor"),
        ("connected", "binary_sensor"),
        ("message", "event"),
        ("last", "sensor"),
        ("result", "event"),
        ("answer", "event"),
        ("log_in", "button"),
        ("log_out", "button"),
        ("queue", "sensor"),
        ("failed", "sensor"),
        ("problem", "binary_sensor"),
        ("age", "sensor"),
        ("to_wife", "notify"),
        (f"to_{ZHANG.id}", "notify"),
    }


def test_every_login_state_and_kind_of_message_is_known() -> None:
    components = body(make_device())["components"]
    assert components["login"]["options"] == list(LoginState)
    assert components["needs"]["options"] == list(Needs)
    assert components["message"]["event_types"] == list(Kind)


def test_every_status_of_a_result_is_known() -> None:
    components = body(make_device())["components"]
    assert components["result"]["event_types"] == list(Status)
    assert components["result"]["state_topic"] == "wx/result/+"


def test_what_needs_wechat_is_there_only_while_one_may_send() -> None:
    components = body(make_device(WIFE))["components"]
    for key in ("to_wife", "log_out"):
        bridge, wechat = components[key]["availability"]
        assert (bridge, wechat["topic"]) == ({"topic": "wx/bridge/state"}, "wx/login/state")
    assert "availability" not in components["qr"]  # that of the whole device
    (whole,) = body(make_device())["availability"]
    assert whole == {
        "topic": "wx/bridge/state",
        "payload_available": "online",
        "payload_not_available": "offline",
    }


def test_a_text_goes_out_as_a_command_with_an_expiry() -> None:
    notify = body(make_device(WIFE, expiry=90))["components"]["to_wife"]
    assert notify["command_topic"] == "wx/out/wife"
    assert notify["command_template"] == "{{ {'text': value} | to_json }}"
    assert (notify["qos"], notify["message_expiry_interval"]) == (1, 90)


def test_the_page_is_named_only_when_it_has_an_address() -> None:
    assert "configuration_url" not in body(make_device())["device"]
    assert body(make_device(url="http://h:1/"))["device"]["configuration_url"] == "http://h:1/"


def test_names_are_in_the_owners_language_and_ids_are_not() -> None:
    everything = {"has_login_age": True, "windows": [WIFE]}
    english, chinese = (
        body(make_device(ZHANG, language=language, **everything))["components"] for language in ("en", "zh")
    )
    assert (english["qr"]["name"], chinese["qr"]["name"]) == ("Login QR", "登录二维码")
    for key, component in english.items():
        assert re.search("[\u4e00-\u9fff]", chinese[key]["name"]), key
        assert component["unique_id"] == chinese[key]["unique_id"]
        assert component["default_entity_id"] == chinese[key]["default_entity_id"]


def test_chinese_names_get_ids_in_pinyin() -> None:
    assert entity_id("老婆").startswith("lao_po_")
    notify = body(make_device(ZHANG))["components"][f"to_{ZHANG.id}"]
    assert notify["default_entity_id"] == "notify.wechat_home_zhang_san"
    assert notify["command_topic"] == "wx/out/张三"


def test_a_plain_level_is_its_own_id() -> None:
    assert entity_id("wife") == "wife"
    assert entity_id("friend_1") == "friend_1"


@every_row("level", ["Wife", "a-b", "a.b", "_a", "a__b", "😀", "  ", "张三", "é", "\ud83d"])
def test_any_other_level_gets_digits_of_its_own(level: str) -> None:
    made = entity_id(level)
    assert made != level
    assert made.rpartition("_")[2] == entity_id(level).rpartition("_")[2]


def test_nobody_can_take_over_an_id_by_their_name() -> None:
    """A stranger who calls himself what 老婆 is spelled as gets another id."""
    assert entity_id(entity_id("老婆")) != entity_id("老婆")
    assert entity_id("deadbeef") != "deadbeef"


def test_an_id_that_is_taken_is_given_to_nobody_else() -> None:
    taken = {entity_id("老婆")}
    assert entity_id("老婆", taken) not in taken
    assert entity_id("wife", {"wife"}) != "wife"


@given(st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=20))
def test_no_two_people_have_the_same_id(levels: list[str]) -> None:
    ids: dict[str, str] = {}
    for level in levels:
        ids[level] = entity_id(level, ids.values())
    assert len(set(ids.values())) == len(levels)


def test_people_with_the_same_name_get_different_displayed_names() -> None:
    names = display_names({"a": "张三", "b": "张三", "c": "李四", "d": " \n", "e": "a\u202eb\nc"})
    assert names == {"a": "张三 (a)", "b": "张三 (b)", "c": "李四", "d": "d", "e": "ab c"}


def test_what_is_no_longer_exposed_is_taken_back() -> None:
    first = discovery_config(make_device(WIFE, ZHANG))
    second = discovery_config(make_device(WIFE, previous_components=first.components))
    components = json.loads(second.payload)["components"]
    assert components[f"to_{ZHANG.id}"] == {"platform": "notify"}
    assert components["to_wife"]["command_topic"] == "wx/out/wife"
    assert second.components == first.components  # it is taken back in every announcement to come


def test_who_comes_back_is_the_same_one() -> None:
    first = discovery_config(make_device(ZHANG))
    without = discovery_config(make_device(previous_components=first.components))
    assert body(make_device(ZHANG, previous_components=without.components)) == body(make_device(ZHANG))


MANY = [NotifyTarget(user=f"好友{n}", id=entity_id(f"好友{n}"), name=f"好友{n}") for n in range(500)]


def test_500_people_are_one_message_made_in_less_than_a_second() -> None:
    device = make_device(*MANY)
    begun = time.process_time()
    made = discovery_config(device)
    assert time.process_time() - begun < 1
    assert faults(TOPIC, made.payload) == []
    assert made.omitted == ()


@pytest.mark.parametrize("room", [9_000, 20_000, 128_000, 250_000])
def test_as_many_as_fit_are_announced_and_the_others_are_named(room: int) -> None:
    made = discovery_config(make_device(*MANY, previous_components={"to_gone": "notify"}), room)
    kept = len(MANY) - len(made.omitted)
    assert room - 800 < len(made.payload) <= room
    assert made.omitted == tuple(person.user for person in MANY[kept:])
    assert faults(TOPIC, made.payload) == []
    assert {f"to_{person.id}" for person in MANY} < made.components.keys()


def test_what_fits_to_the_byte_is_announced_whole() -> None:
    device = make_device(*MANY[:20])
    size = len(discovery_config(device).payload)
    assert discovery_config(device, size).omitted == ()
    assert discovery_config(device, size - 1).omitted == (MANY[19].user,)


def test_if_no_person_fits_the_account_itself_is_announced() -> None:
    made = discovery_config(make_device(*MANY[:3]), 10)
    assert len(made.omitted) == 3
    assert json.loads(made.payload) == body(make_device())


# the window of iLink


@pytest.mark.parametrize("windows", [(WIFE,), (WIFE, ZHANG)])
def test_who_takes_messages_only_for_a_while_has_sensors_for_it(windows: tuple[NotifyTarget, ...]) -> None:
    device = make_device(WIFE, ZHANG, model="Tencent iLink", windows=windows)
    assert faults(TOPIC, discovery_config(device).payload) == []
    components = body(device)["components"]
    for target in windows:
        would, left, until = (components[f"{key}_{target.id}"] for key in ("window", "left", "until"))
        assert [component["platform"] for component in (would, left, until)] == [
            "binary_sensor",
            "sensor",
            "sensor",
        ]
        assert {component["state_topic"] for component in (would, left, until)} == {
            f"wx/window/{target.user}"
        }
        several = f" ({target.name})" if len(windows) > 1 else ""
        assert would["name"] == f"Would take a message{several}"


def test_where_there_is_no_window_nothing_is_said_of_one() -> None:
    assert not [
        key for key in body(make_device(WIFE))["components"] if key.startswith(("window", "left", "until"))
    ]
