"""Discovery of one account: who is exposed, what is announced and when, and what is cleared."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.discovery_rules import faults
from tests.support.fake_broker import FakeBroker, SentPublication
from tests.unit.bridge.commands_harness import OWNER, person
from tests.unit.bridge.contexts import changed, context, settings
from wx2mqtt.bridge import homeassistant_announcement
from wx2mqtt.bridge.homeassistant_announcement import BIRTH_DELAY_SECONDS, HomeAssistantDiscovery
from wx2mqtt.bridge.inflight import InflightWindow, RetainedPublisher
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.model import ChatKind, Contact, Handle, PersonId
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.mqtt.homeassistant_entities import entity_id
from wx2mqtt.settings.schema import Hold, HomeAssistant, Send
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.outbox import DiscoveryRecord
from wx2mqtt.store.person_records import Person
from wx2mqtt.store.sqlite_database import SqliteDatabase
from wx2mqtt.wechat.registry import BACKENDS

TOPIC = "homeassistant/device/wx2mqtt_home/config"
ENABLED = HomeAssistant(enabled=True, expose=("wife", "张三"))
PEOPLE = (
    person(1, "wife", remark="老婆"),
    person(2, "张三", remark="张三"),
    person(3, "gone", removed=True),
    person(4, "lost", handle=None, closed=True),
)


@pytest.fixture(autouse=True)
def without_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the pauses between two announcements, which only the real Home Assistant needs."""
    monkeypatch.setattr(homeassistant_announcement, "GATHER_SECONDS", 0)
    monkeypatch.setattr(homeassistant_announcement, "BIRTH_DELAY_SECONDS", (0, 0))


class DiscoveryHarness:
    """The discovery of an account on a fake broker; each `running` is a start of the bridge on the same store."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.broker = FakeBroker(acknowledges_at_once=True)
        self.registry = PeopleRegistry(PEOPLE, {}, {})
        self.discovery: HomeAssistantDiscovery
        self.health_changes: list[bool] = []

    @asynccontextmanager
    async def running(
        self, exposure: HomeAssistant = ENABLED, *, backend: str = "webwx", **broker: Any
    ) -> AsyncIterator[None]:
        inflight = InflightWindow(self.broker)
        self.retained_publisher = RetainedPublisher(inflight, "wx/bridge/state")
        windows: Any = SimpleNamespace(forecasts={})
        self.ctx = context(
            backend=SimpleNamespace(capabilities=BACKENDS[backend].capabilities),
            journal=self.journal,
            registry=self.registry,
            settings=settings(homeassistant=exposure),
        )
        self.ctx.signals.health_changed.connect(partial(self.health_changes.append, True))
        self.discovery = HomeAssistantDiscovery(self.ctx, self.retained_publisher, inflight, windows)
        self.connect(**broker)
        task = asyncio.create_task(self.discovery.run())
        try:
            yield
        finally:
            task.cancel()
            self.disconnect()

    def connect(self, **broker: Any) -> None:
        connection = self.broker.connect(**broker)
        self.discovery.on_connected(connection)
        self.retained_publisher.on_connected(connection)

    def apply(self, exposure: HomeAssistant) -> None:
        """Applies changed settings."""
        self.ctx.settings = changed(self.ctx.settings, homeassistant=exposure)
        self.discovery.refresh_requested.set()

    def deliver(self, delivery: Delivery) -> None:
        """Delivers as `Account.on_delivery` does."""
        if delivery.topic == self.discovery.birth_topic:
            self.discovery.on_birth(delivery.payload)

    def disconnect(self) -> None:
        self.broker.disconnect()
        self.retained_publisher.on_disconnected()

    def set_people(self, persons: Iterable[Person], levels: dict[str, PersonId] | None = None) -> None:
        """Replaces the people; `levels` are their earlier topic names."""
        self.registry = self.discovery._registry = PeopleRegistry(persons, levels or {}, {})
        self.discovery.refresh_requested.set()

    async def wait_for_announcement(self, count: int = 1, topic: str = TOPIC) -> SentPublication:
        """Returns the publication number `count` on the topic, once it is there."""
        await self.broker.wait_until(lambda: len(self._publications_on(topic)) >= count)
        return self._publications_on(topic)[count - 1]

    async def wait_for_components(self, count: int = 1) -> dict[str, Any]:
        sent = await self.wait_for_announcement(count)
        assert faults(TOPIC, sent.payload) == []
        found: dict[str, Any] = json.loads(sent.payload)["components"]
        return found

    async def wait_for_notify_names(self, count: int = 1) -> dict[str, str]:
        """Returns the name of each person to whom Home Assistant may write, by command topic."""
        found = (await self.wait_for_components(count)).values()
        return {
            component["command_topic"]: component["name"]
            for component in found
            if component["platform"] == "notify" and "name" in component
        }

    async def wait_until_forgotten(self, topic: str) -> None:
        """Waits until the store no longer lists the topic as announced."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while topic in (await self.journal.discovery.load()).topics:  # each look waits for the store
                pass

    def _publications_on(self, topic: str) -> list[SentPublication]:
        return [publication for publication in self.broker.sent if publication.topic == topic]


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[DiscoveryHarness]:
    database = await SqliteDatabase.open(tmp_path / "wx2mqtt.db")
    journal = Journal(database, "home")
    await journal.open()
    yield DiscoveryHarness(journal)
    await database.close()


async def test_who_is_exposed_is_announced_retained_and_the_file_helper_always(
    harness: DiscoveryHarness,
) -> None:
    async with harness.running():
        sent = await harness.wait_for_announcement()
        assert (sent.publication.retain, sent.publication.content_type) == (True, "application/json")
        assert await harness.wait_for_notify_names() == {
            "wx/out/filehelper": "File helper",
            "wx/out/wife": "老婆",
            "wx/out/张三": "张三",
        }
        assert harness.discovery.health_fields() == {
            "homeassistant": {"exposed": 3, "problems": {}, "left_out": 0}
        }


async def test_on_another_backend_there_is_no_file_helper(harness: DiscoveryHarness) -> None:
    async with harness.running(backend="ilink"):
        assert set(await harness.wait_for_notify_names()) == {"wx/out/wife", "wx/out/张三"}


@pytest.mark.parametrize(("backend", "seconds"), [("webwx", 90), ("ilink", 7200)])
async def test_a_message_waits_at_the_broker_as_long_as_a_command_waits_here(
    harness: DiscoveryHarness, backend: str, seconds: int
) -> None:
    """On a backend with a reply window a command may also wait until the person writes."""
    async with harness.running(backend=backend):
        harness.ctx.settings = changed(harness.ctx.settings, send=Send(ttl=90.0), hold=Hold(ttl=7200.0))
        shown = await harness.wait_for_components()
        assert shown["to_wife"]["message_expiry_interval"] == seconds


async def test_discovery_is_off_unless_it_is_enabled(harness: DiscoveryHarness) -> None:
    async with harness.running(HomeAssistant()):
        harness.retained_publisher.set("wx/last", b"x", "text/plain")
        await harness.broker.wait_for_publications(1)
        assert harness.broker.topics == ["wx/last"]
        assert harness.discovery.health_fields() == {}


async def test_what_is_announced_is_written_down_before(harness: DiscoveryHarness) -> None:
    async with harness.running():
        await harness.wait_for_announcement()
        kept = await harness.journal.discovery.load()
        assert kept.topics == (TOPIC,)
        assert kept.components["to_wife"] == "notify"
        assert kept.ids == {"filehelper": "filehelper", "wife": "wife", "张三": entity_id("张三")}


async def test_at_every_connect_it_is_announced_again(harness: DiscoveryHarness) -> None:
    async with harness.running():
        first = await harness.wait_for_announcement()
        harness.disconnect()
        harness.connect()
        assert (await harness.wait_for_announcement(2)).payload == first.payload


async def test_a_name_that_changes_is_announced_with_the_same_ids(harness: DiscoveryHarness) -> None:
    async with harness.running():
        before = await harness.wait_for_components()
        harness.set_people([replace(PEOPLE[0], remark="亲爱的"), PEOPLE[1]])
        after = await harness.wait_for_components(2)
        assert after["to_wife"]["name"] == "亲爱的"
        assert after["to_wife"]["unique_id"] == before["to_wife"]["unique_id"]
        assert after["to_wife"]["default_entity_id"] == before["to_wife"]["default_entity_id"]


async def test_a_person_whose_topic_got_another_name_keeps_their_id(harness: DiscoveryHarness) -> None:
    async with harness.running():
        key = f"to_{entity_id('张三')}"
        assert (await harness.wait_for_components())[key]["command_topic"] == "wx/out/张三"
        harness.set_people([PEOPLE[0], replace(PEOPLE[1], topic_name="boss")], {"张三": PEOPLE[1].id})
        after = await harness.wait_for_components(2)
        assert after[key]["command_topic"] == "wx/out/boss"
        assert "to_boss" not in after


async def test_two_names_of_one_person_are_one_entity(harness: DiscoveryHarness) -> None:
    harness.registry = PeopleRegistry(PEOPLE, {"老婆": PEOPLE[0].id}, {})
    async with harness.running(ENABLED.model_copy(update={"expose": ("wife", "老婆")})):
        assert set(await harness.wait_for_notify_names()) == {"wx/out/filehelper", "wx/out/wife"}


async def test_what_is_no_longer_exposed_is_taken_back_at_once(harness: DiscoveryHarness) -> None:
    async with harness.running():
        await harness.wait_for_announcement()
        harness.apply(ENABLED.model_copy(update={"expose": ("wife",)}))
        assert (await harness.wait_for_components(2))[f"to_{entity_id('张三')}"] == {"platform": "notify"}


async def test_what_was_dropped_while_the_bridge_was_down_is_taken_back(harness: DiscoveryHarness) -> None:
    async with harness.running():
        await harness.wait_for_announcement()
    async with harness.running(ENABLED.model_copy(update={"expose": ()})):
        assert (await harness.wait_for_components(2))["to_wife"] == {"platform": "notify"}
    async with harness.running(ENABLED):
        assert (await harness.wait_for_components(3))["to_wife"]["unique_id"] == "wx2mqtt_home_to_wife"


@pytest.mark.parametrize("now", [HomeAssistant(), ENABLED.model_copy(update={"prefix": "ha"})])
async def test_what_stands_where_nothing_is_announced_any_more_is_cleared(
    harness: DiscoveryHarness, now: HomeAssistant
) -> None:
    async with harness.running():
        await harness.wait_for_announcement()
    async with harness.running(now):
        cleared = await harness.wait_for_announcement(2)
        assert (cleared.payload, cleared.publication.retain) == (b"", True)
        await harness.wait_until_forgotten(TOPIC)
    seen = len(harness.broker.sent)
    async with harness.running(now):  # and not again at the next start
        harness.retained_publisher.set("wx/last", b"x", "text/plain")
        await harness.broker.wait_for_publications(seen + 1)
        assert TOPIC not in harness.broker.topics[seen:]


async def test_what_could_not_be_cleared_is_cleared_at_the_next_connect(harness: DiscoveryHarness) -> None:
    await harness.journal.discovery.save(DiscoveryRecord(topics=(TOPIC,)))
    harness.broker.acknowledges_at_once = False
    async with harness.running(HomeAssistant()):
        await harness.wait_for_announcement()
        harness.disconnect()
        harness.connect()
        await harness.wait_for_announcement(2)
        with capture_logs() as logs:
            harness.broker.refuse(*harness.broker.unacknowledged)
        assert [line["event"] for line in logs] == ["broker refuses to take back"]
        assert (await harness.journal.discovery.load()).topics == (TOPIC,)
        harness.broker.acknowledges_at_once = True
        harness.disconnect()
        harness.connect()
        await harness.wait_for_announcement(3)
        await harness.wait_until_forgotten(TOPIC)


async def test_a_broker_that_keeps_nothing_is_not_asked_to_clear(harness: DiscoveryHarness) -> None:
    await harness.journal.discovery.save(DiscoveryRecord(topics=("old/topic",)))
    async with harness.running(retain_available=False):
        sent = await harness.wait_for_announcement()
        assert not sent.publication.retain
        assert harness.broker.topics == [TOPIC]


def birth(payload: bytes = b"online", topic: str = "homeassistant/status") -> Delivery:
    return Delivery(topic=topic, payload=payload, mid=0, dup=False, retain=False, connection_number=1)


async def test_it_is_announced_again_when_home_assistant_has_started(harness: DiscoveryHarness) -> None:
    async with harness.running():
        first = await harness.wait_for_announcement()
        for _ in range(3):  # it may be born thrice while we wait
            harness.deliver(birth())
        assert (await harness.wait_for_announcement(2)).payload == first.payload
        harness.deliver(birth())
        await harness.wait_for_announcement(3)
        assert harness.broker.topics == [TOPIC] * 3


@pytest.mark.parametrize(
    "other", [birth(b"offline"), birth(topic="homeassistant/statu"), birth(topic="wx/out/x")]
)
async def test_only_the_payload_online_on_the_status_topic_is_a_birth(
    harness: DiscoveryHarness, other: Delivery
) -> None:
    async with harness.running():
        await harness.wait_for_announcement()
        harness.deliver(other)
        assert harness.discovery._republish_timer is None


async def test_an_answer_to_a_birth_waits_while_nobody_is_there(harness: DiscoveryHarness) -> None:
    async with harness.running():
        await harness.wait_for_announcement()
        harness.disconnect()
        harness.discovery._republish()
        assert len(harness.broker.sent) == 1


async def test_the_answer_to_a_birth_comes_within_ten_seconds(
    harness: DiscoveryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(homeassistant_announcement, "BIRTH_DELAY_SECONDS", BIRTH_DELAY_SECONDS)
    async with harness.running():
        await harness.wait_for_announcement()
        harness.deliver(birth())
        timer = harness.discovery._republish_timer
        assert timer is not None
        assert 0.9 <= timer.when() - asyncio.get_running_loop().time() <= 10
        timer.cancel()


async def test_a_broker_that_refuses_stops_the_announcing_and_nothing_else(harness: DiscoveryHarness) -> None:
    harness.broker.acknowledges_at_once = False
    async with harness.running():
        sent = await harness.wait_for_announcement()
        with capture_logs() as logs:
            harness.broker.refuse(sent)
        assert [line["event"] for line in logs] == ["broker refuses topic"]
        assert tuple(harness.retained_publisher.refused.paused) == (TOPIC,)
        harness.deliver(birth())
        harness.set_people(PEOPLE[:1])
        harness.retained_publisher.set("wx/last", b"x", "text/plain")
        await harness.broker.wait_for_publications(2)
        assert harness.broker.topics == [TOPIC, "wx/last"]


# who cannot be shown


def login(registry: PeopleRegistry, *contacts: Contact) -> None:
    registry.apply_directory(contacts, "next", OWNER, 1, complete=True)


def contact(number: int, **more: Any) -> Contact:
    return Contact(handle=Handle(f"@{number}"), kind=ChatKind.FRIEND, listed=True, **more)


async def test_a_name_that_nobody_has_is_reported_once_people_are_known_and_the_rest_works(
    harness: DiscoveryHarness,
) -> None:
    harness.registry = PeopleRegistry((), {}, {})
    with capture_logs() as logs:
        async with harness.running(ENABLED.model_copy(update={"expose": ("wife", "nobody")})):
            assert await harness.wait_for_notify_names() == {"wx/out/filehelper": "File helper"}
            assert harness.discovery.health_fields()["homeassistant"]["problems"] == {}  # type: ignore[call-overload, index]
            login(harness.registry, contact(1, remark="wife"))
            harness.discovery.refresh_requested.set()
            assert await harness.wait_for_notify_names(2) == {
                "wx/out/filehelper": "File helper",
                "wx/out/wife": "wife",
            }
            assert harness.discovery.health_fields() == {
                "homeassistant": {"exposed": 2, "problems": {"nobody": "unknown"}, "left_out": 0}
            }
            harness.apply(ENABLED.model_copy(update={"expose": ("nobody", "wife", "x")}))
            harness.apply(ENABLED.model_copy(update={"expose": ("nobody",)}))
            await harness.wait_for_announcement(3)
    assert [line["name"] for line in logs if line["log_level"] == "warning"] == ["nobody"]
    assert harness.health_changes  # so that health tells at once


async def test_a_pin_that_fits_two_people_shows_none_and_says_why(harness: DiscoveryHarness) -> None:
    harness.registry = PeopleRegistry((), {}, {"wife": ContactPin(nickname="小明")})
    login(harness.registry, contact(1, nickname="小明"), contact(2, nickname="小明"))
    async with harness.running():
        assert "wx/out/wife" not in await harness.wait_for_notify_names()
        problems = harness.discovery.health_fields()["homeassistant"]["problems"]  # type: ignore[call-overload, index]
        assert problems == {"wife": "pin_fits_several", "张三": "unknown"}


async def test_who_is_no_longer_a_contact_is_taken_back_and_who_is_unsure_stays(
    harness: DiscoveryHarness,
) -> None:
    async with harness.running(ENABLED.model_copy(update={"expose": ("wife", "gone", "lost", "filehelper")})):
        assert set(await harness.wait_for_notify_names()) == {
            "wx/out/filehelper",
            "wx/out/wife",
            "wx/out/lost",
        }
        problems = harness.discovery.health_fields()["homeassistant"]["problems"]  # type: ignore[call-overload, index]
        assert problems == {"gone": "removed", "lost": "unresolved"}
        harness.set_people([replace(PEOPLE[0], removed=True)])
        assert (await harness.wait_for_components(2))["to_wife"] == {"platform": "notify"}


async def test_who_was_shown_before_stays_until_it_is_certain_that_nobody_is_called_so(
    harness: DiscoveryHarness,
) -> None:
    """As after the loss of a store: the entity stays for the minute until people are known."""
    async with harness.running():
        await harness.wait_for_announcement()
    harness.registry = PeopleRegistry((), {}, {})
    async with harness.running():
        assert set(await harness.wait_for_notify_names(2)) == {
            "wx/out/filehelper",
            "wx/out/wife",
            "wx/out/张三",
        }
        login(harness.registry, contact(1, remark="张三"))
        harness.discovery.refresh_requested.set()
        assert set(await harness.wait_for_notify_names(3)) == {"wx/out/filehelper", "wx/out/张三"}


# a broker with a small packet limit


async def test_as_many_as_the_broker_takes_are_announced_and_the_rest_is_reported(
    harness: DiscoveryHarness,
) -> None:
    names = tuple(f"friend_{number}" for number in range(100))
    harness.registry = PeopleRegistry([person(number, name) for number, name in enumerate(names, 1)], {}, {})
    with capture_logs() as logs:
        async with harness.running(ENABLED.model_copy(update={"expose": names}), packet_limit=20_000):
            sent = await harness.wait_for_announcement()
            assert len(sent.payload) + len(TOPIC) < 20_000
            assert harness.discovery.left_out
            left_out = 101 - len(await harness.wait_for_notify_names())
            assert harness.discovery.health_fields()["homeassistant"]["left_out"] == left_out > 0  # type: ignore[call-overload, index]
            harness.disconnect()
            harness.connect(packet_limit=10_000)  # another node takes less
            assert len((await harness.wait_for_announcement(2)).payload) < 10_000
            harness.disconnect()
            harness.connect()
            assert len(await harness.wait_for_notify_names(3)) == 101
            assert not harness.discovery.left_out
    assert [line["log_level"] for line in logs] == ["warning", "warning"]


async def test_500_people_are_announced_in_one_message_in_less_than_a_second(
    harness: DiscoveryHarness,
) -> None:
    names = tuple(f"好友{number}" for number in range(500))
    harness.registry = PeopleRegistry([person(number, name) for number, name in enumerate(names, 1)], {}, {})
    started_at = time.process_time()
    async with harness.running(ENABLED.model_copy(update={"expose": names})):
        assert len(await harness.wait_for_notify_names()) == 501
        assert time.process_time() - started_at < allowed(1)
        assert harness.broker.topics == [TOPIC]


async def test_another_switch_or_prefix_counts_at_the_next_start_only(harness: DiscoveryHarness) -> None:
    async with harness.running():
        await harness.wait_for_announcement()
        harness.apply(HomeAssistant(prefix="ha", expose=("wife",)))
        assert set(await harness.wait_for_notify_names(2)) == {"wx/out/filehelper", "wx/out/wife"}


async def test_the_health_is_published_anew_when_other_people_are_left_out_and_only_then(
    harness: DiscoveryHarness,
) -> None:
    names = tuple(f"friend_{number}" for number in range(100))
    harness.registry = PeopleRegistry([person(number, name) for number, name in enumerate(names, 1)], {}, {})
    async with harness.running(ENABLED.model_copy(update={"expose": names}), packet_limit=20_000):
        await harness.wait_for_announcement()
        assert len(harness.health_changes) == 1
        harness.discovery.refresh_requested.set()
        harness.disconnect()
        harness.connect(packet_limit=20_000)
        await harness.wait_for_announcement(2)
        assert len(harness.health_changes) == 1
        harness.disconnect()
        harness.connect(packet_limit=10_000)
        await harness.wait_for_announcement(3)
        assert len(harness.health_changes) == 2
