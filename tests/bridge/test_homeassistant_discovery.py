"""Discovery of one account: who is exposed, what is announced and when, and what is cleared."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount
from tests.support.deadlines import allowed
from tests.support.discovery_rules import faults
from tests.support.memory_backend import ILINK_LIKE, MOM, OWNER, WIFE, Pause, with_capabilities
from wx2mqtt.bridge.homeassistant_announcement import BIRTH_DELAY_SECONDS
from wx2mqtt.model import ChatKind, Contact, Cursor, Handle
from wx2mqtt.mqtt.homeassistant_entities import entity_id
from wx2mqtt.store.outbox import DiscoveryRecord
from wx2mqtt.wechat.backend import LoggedIn

TOPIC = "homeassistant/device/wx2mqtt_home/config"
ENABLED: dict[str, Any] = {"enabled": True, "expose": ["老婆", "妈妈"]}
WIFE_KEY, MOM_KEY = f"to_{entity_id('老婆')}", f"to_{entity_id('妈妈')}"


@pytest.fixture
async def bridge(open_bridge: OpenBridge) -> BridgedAccount:
    bridge = await open_bridge(homeassistant=ENABLED)
    await bridge.pass_time(5)
    return bridge


def expose(*names: str) -> dict[str, Any]:
    return {"homeassistant": {**ENABLED, "expose": list(names)}}


def components(bridge: BridgedAccount) -> Any:
    """Returns the components of the newest announcement."""
    payload = bridge.sent(TOPIC)[-1].payload
    assert faults(TOPIC, payload) == []
    return json.loads(payload)["components"]


def notify_names(bridge: BridgedAccount) -> dict[str, str]:
    """Returns the name of each person to whom Home Assistant may write, by topic name."""
    return {
        component["command_topic"].removeprefix("wx/out/"): component["name"]
        for component in components(bridge).values()
        if component["platform"] == "notify" and "name" in component
    }


async def health(bridge: BridgedAccount) -> Any:
    return (await bridge.account.health()).get("homeassistant")


async def reload(bridge: BridgedAccount, **sections: Any) -> None:
    await bridge.reload(**{"homeassistant": ENABLED, **sections})
    await bridge.pass_time(5)


async def restart(bridge: BridgedAccount, *, removed: bool = False) -> None:
    await bridge.kill()
    await bridge.restart()
    await bridge.pass_time(5)


async def reconnect(bridge: BridgedAccount, **grants: Any) -> None:
    bridge.broker.disconnect()
    await bridge.broker.connect(**grants)
    await bridge.pass_time(5)


# What is announced


async def test_who_is_exposed_is_announced_retained_and_the_file_helper_always(bridge: BridgedAccount):
    publication = bridge.sent(TOPIC)[-1].publication
    assert (publication.retain, publication.content_type) == (True, "application/json")
    assert notify_names(bridge) == {"filehelper": "File helper", "老婆": "老婆", "妈妈": "妈妈"}
    assert await health(bridge) == {"exposed": 3, "problems": {}, "left_out": 0}
    record = await bridge.account.ctx.journal.discovery.load()
    assert (record.topics, record.components[WIFE_KEY]) == ((TOPIC,), "notify")
    assert record.ids == {name: entity_id(name) for name in ("filehelper", "老婆", "妈妈")}
    count, payload = len(bridge.sent(TOPIC)), bridge.sent(TOPIC)[-1].payload
    await reconnect(bridge)
    assert [sent.payload for sent in bridge.sent(TOPIC)[count:]] == [payload], "at every connect"


@pytest.mark.parametrize("limits", [{}, ILINK_LIKE], ids=["no window", "reply window"])
async def test_a_message_waits_at_the_broker_as_long_as_a_command_waits_here(
    open_bridge: OpenBridge, limits: dict[str, Any]
):
    """With a reply window a command may also wait until the person writes; there is no file helper."""
    waits = {"send": {"ttl": 90, "per_minute": 0}, "hold": {"ttl": "2h"}}
    bridge = await open_bridge(with_capabilities(**limits), homeassistant=ENABLED, **waits)
    bridge.backend.write(WIFE)
    await bridge.pass_time(5)
    assert ("filehelper" in notify_names(bridge)) == (not limits)
    assert components(bridge)[WIFE_KEY]["message_expiry_interval"] == (7200 if limits else 90)


async def test_nothing_is_announced_unless_it_is_enabled(open_bridge: OpenBridge):
    bridge = await open_bridge(homeassistant={"expose": ["老婆"]})
    await bridge.pass_time(60)
    assert (bridge.sent(TOPIC), await health(bridge)) == ([], None)


async def test_a_person_keeps_the_ids_whatever_they_are_called(bridge: BridgedAccount):
    before = components(bridge)[WIFE_KEY]
    bridge.backend.deliver(contacts=(replace(WIFE, remark="亲爱的"),))
    await bridge.pass_time(5)
    after = components(bridge)[WIFE_KEY]
    assert after == {**before, "name": "亲爱的"}
    await reload(bridge, contacts={"boss": {"remark": "妈妈"}}, **expose("老婆", "boss", "妈妈"))
    assert components(bridge)[MOM_KEY]["command_topic"] == "wx/out/boss"
    assert "to_boss" not in components(bridge)
    assert set(notify_names(bridge)) == {"filehelper", "老婆", "boss"}, (
        "two names of one person are one entity"
    )


async def test_500_people_are_announced_in_one_message_in_less_than_a_second(open_bridge: OpenBridge):
    names = [f"好友{number}" for number in range(500)]
    bridge = await open_bridge(homeassistant={**ENABLED, "expose": names}, start=False)
    bridge.backend.contacts = friends(*names)
    started = time.process_time()
    await bridge.start()
    await bridge.pass_time(3)
    assert len(notify_names(bridge)) == 501
    assert time.process_time() - started < allowed(2), "with the login and the directory"


def friends(*names: str) -> list[Contact]:
    return [
        Contact(handle=Handle(f"@{number}"), kind=ChatKind.FRIEND, nickname=name, remark=name)
        for number, name in enumerate(names)
    ]


# What is taken back


async def test_what_is_no_longer_exposed_is_taken_back_at_once_or_at_the_next_start(bridge: BridgedAccount):
    await reload(bridge, **expose("老婆"))
    assert components(bridge)[MOM_KEY] == {"platform": "notify"}
    await bridge.kill()
    bridge.settings = replace(bridge.settings, whole=bridge.settings.whole.model_copy(
        update={"homeassistant": bridge.settings.whole.homeassistant.model_copy(update={"expose": ()})}
    ))  # fmt: skip
    await bridge.restart()
    await bridge.pass_time(5)
    assert components(bridge)[WIFE_KEY] == {"platform": "notify"}
    await reload(bridge)
    assert components(bridge)[WIFE_KEY]["unique_id"] == f"wx2mqtt_home_{WIFE_KEY}"


@pytest.mark.parametrize("now", [{}, {**ENABLED, "prefix": "ha"}], ids=["disabled", "another prefix"])
async def test_what_is_not_announced_any_more_is_cleared_until_the_broker_has_acknowledged(
    bridge: BridgedAccount, now: dict[str, Any]
):
    count = len(bridge.sent(TOPIC))
    await bridge.reload(homeassistant=now)
    await bridge.pass_time(5)
    assert all(sent.payload for sent in bridge.sent(TOPIC)), (
        "another switch or prefix counts at the next start"
    )
    count = len(bridge.sent(TOPIC))
    assert count
    await bridge.kill()
    refusing = bridge.broker
    await bridge.open()
    refusing.refusals = {TOPIC}
    with capture_logs() as logs:
        await bridge.start()
        await bridge.pass_time(5)
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == [
        "broker refuses to take back"
    ]
    assert TOPIC in (await bridge.account.ctx.journal.discovery.load()).topics
    refusing.refusals = set()
    await reconnect(bridge)
    cleared = bridge.sent(TOPIC)[-1]
    assert (cleared.payload, cleared.publication.retain) == (b"", True)
    assert TOPIC not in (await bridge.account.ctx.journal.discovery.load()).topics
    await restart(bridge)
    assert bridge.sent(TOPIC) == [], "and not again at the next start"


async def test_a_broker_that_keeps_nothing_is_not_asked_to_clear(open_bridge: OpenBridge):
    bridge = await open_bridge(homeassistant=ENABLED, start=False)
    old = "homeassistant/device/wx2mqtt_home_old/config"
    await bridge.account.ctx.journal.discovery.save(
        DiscoveryRecord(topics=(old, "ha/device/wx2mqtt_home/config"))
    )
    bridge.broker.grants = replace(bridge.broker.grants, retain_available=False)
    await bridge.start()
    await bridge.pass_time(5)
    assert not bridge.sent(TOPIC)[-1].publication.retain
    assert not [topic for topic in bridge.broker.topics if topic.endswith("/config") and topic != TOPIC]


async def test_who_was_shown_before_stays_until_it_is_certain_that_nobody_is_called_so(
    bridge: BridgedAccount,
):
    """As after the loss of a store: the entity stays for the minute until people are known."""
    await bridge.kill()
    database = bridge.stores.database
    await database.execute("forget", "DELETE FROM level")
    await database.execute("forget", "DELETE FROM person")
    bridge.backend.contacts = [MOM]
    logged_in = LoggedIn(owner=OWNER, login_id="next", resumed=False, cursor=Cursor("0"))
    bridge.backend.logins.append([Pause(100), logged_in])
    await bridge.open()
    await bridge.start(online=False)
    await bridge.pass_time(10)
    assert set(notify_names(bridge)) == {"filehelper", "老婆", "妈妈"}
    await bridge.pass_time(100)
    assert set(notify_names(bridge)) == {"filehelper", "妈妈"}
    assert (await health(bridge))["problems"] == {"老婆": "unknown"}


# Births


async def test_it_is_announced_again_when_home_assistant_has_started(bridge: BridgedAccount):
    count, announced = len(bridge.sent(TOPIC)), bridge.sent(TOPIC)[-1].payload
    shortest, longest = BIRTH_DELAY_SECONDS
    for topic, payload in (("status", "offline"), ("statu", "online")):
        bridge.broker.deliver(f"homeassistant/{topic}", payload)
    await bridge.pass_time(60)
    assert len(bridge.sent(TOPIC)) == count
    for _ in range(3):
        bridge.broker.deliver("homeassistant/status", "online")
    await bridge.pass_time(shortest - 0.1)
    assert len(bridge.sent(TOPIC)) == count
    await bridge.pass_time(min(longest, 10.0) - shortest + 0.2)
    assert len(bridge.sent(TOPIC)) == count + 1
    bridge.broker.deliver("homeassistant/status", "online")
    bridge.broker.disconnect()
    await bridge.pass_time(60)
    assert len(bridge.sent(TOPIC)) == count + 1, "the answer waits while nobody is there"
    await bridge.broker.connect()
    await bridge.pass_time(1)
    assert {sent.payload for sent in bridge.sent(TOPIC)[count:]} == {announced}


async def test_a_broker_that_refuses_stops_the_announcing_and_nothing_else(open_bridge: OpenBridge):
    bridge = await open_bridge(homeassistant=ENABLED, start=False)
    bridge.broker.refusals = {TOPIC}
    with capture_logs() as logs:
        await bridge.start()
        await bridge.pass_time(5)
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["broker refuses topic"]
    bridge.broker.deliver("homeassistant/status", "online")
    await reload(bridge, **expose("老婆"))
    bridge.backend.write(WIFE)
    await bridge.next("wx/last")
    assert len(bridge.sent(TOPIC)) == 1


# Who cannot be shown


async def test_who_cannot_be_shown_is_reported_once_and_the_rest_works(open_bridge: OpenBridge):
    twins = [replace(contact, nickname="小明", remark="") for contact in friends("a", "b")]
    with capture_logs() as logs:
        bridge = await open_bridge(
            contacts={"twin": {"nickname": "小明"}},
            start=False,
            **expose("老婆", "nobody", "twin", "filehelper"),
        )
        bridge.backend.contacts += twins
        await bridge.start()
        await bridge.pass_time(5)
        assert set(notify_names(bridge)) == {"filehelper", "老婆"}
        problems = {"nobody": "unknown", "twin": "pin_fits_several"}
        assert await health(bridge) == {"exposed": 2, "problems": problems, "left_out": 0}
        await bridge.pass_time(1)
        assert bridge.last("wx/bridge/health")["homeassistant"]["problems"] == problems
        for names in (("nobody", "老婆"), ("nobody",)):
            await bridge.reload(contacts={"twin": {"nickname": "小明"}}, **expose(*names))
            await bridge.pass_time(5)
    warned = [line["name"] for line in logs if line["log_level"] == "warning" and "name" in line]
    assert sorted(warned) == ["nobody", "twin"]


async def test_who_is_no_longer_a_contact_is_taken_back_and_who_is_unsure_stays(bridge: BridgedAccount):
    bridge.backend.deliver(removed=(WIFE.handle,))
    await bridge.pass_time(5)
    assert components(bridge)[WIFE_KEY] == {"platform": "notify"}
    assert (await health(bridge))["problems"] == {"老婆": "removed"}
    await bridge.stop()
    bridge.backend.contacts = [replace(MOM, handle=Handle(f"@{number}")) for number in range(2)]
    await bridge.restart()
    await bridge.pass_time(5)
    assert set(notify_names(bridge)) == {"filehelper", "妈妈"}
    assert (await health(bridge))["problems"]["妈妈"] == "unresolved"


# A broker with a small packet limit


async def test_as_many_as_the_broker_takes_are_announced_and_the_rest_is_reported(open_bridge: OpenBridge):
    names = [f"friend_{number}" for number in range(100)]
    bridge = await open_bridge(start=False, **expose(*names))
    bridge.backend.contacts = friends(*names)
    bridge.broker.grants = replace(bridge.broker.grants, packet_limit=20_000)
    with capture_logs() as logs:
        await bridge.start()
        await bridge.pass_time(5)
        assert len(bridge.sent(TOPIC)[-1].payload) + len(TOPIC) < 20_000
        left_out = 101 - len(notify_names(bridge))
        assert (await health(bridge))["left_out"] == left_out > 0
        assert bridge.last("wx/bridge/health")["homeassistant"]["left_out"] == left_out
        assert "discovery_too_large" in bridge.last("wx/bridge/health")["problems"]
        await reconnect(bridge, packet_limit=10_000)  # another node takes less
        assert all(len(sent.payload) < 10_000 for sent in bridge.sent(TOPIC)[-1:])
        await reconnect(bridge, packet_limit=None)
        assert (len(notify_names(bridge)), (await health(bridge))["left_out"]) == (101, 0)
    assert len([line for line in logs if line["log_level"] == "warning" and "left_out" in line]) == 2
