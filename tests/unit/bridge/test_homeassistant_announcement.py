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
from tests.unit.bridge.contexts import changed, context, settings
from tests.unit.bridge.outgoing import OWNER, person
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
ON = HomeAssistant(enabled=True, expose=("wife", "张三"))
PEOPLE = (
    person(1, "wife", remark="老婆"),
    person(2, "张三", remark="张三"),
    person(3, "gone", removed=True),
    person(4, "lost", handle=None, closed=True),
)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two announcements follow each other without the pause that the real Home Assistant needs."""
    monkeypatch.setattr(homeassistant_announcement, "GATHER_SECONDS", 0)
    monkeypatch.setattr(homeassistant_announcement, "BIRTH_DELAY_SECONDS", (0, 0))


class Stage:
    """An account on a fake broker; `runs` is one life of the bridge on the same store."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.broker = FakeBroker(acknowledges_at_once=True)
        self.identity = PeopleRegistry(PEOPLE, {}, {})
        self.home: HomeAssistantDiscovery
        self.news: list[bool] = []

    @asynccontextmanager
    async def runs(
        self, exposure: HomeAssistant = ON, *, backend: str = "webwx", **broker: Any
    ) -> AsyncIterator[None]:
        inflight = InflightWindow(self.broker)
        self.announcer = RetainedPublisher(inflight, "wx/bridge/state")
        windows: Any = SimpleNamespace(forecasts={})
        self.ctx = context(
            backend=SimpleNamespace(capabilities=BACKENDS[backend].capabilities),
            journal=self.journal,
            registry=self.identity,
            settings=settings(homeassistant=exposure),
        )
        self.ctx.signals.health_changed.connect(partial(self.news.append, True))
        self.home = HomeAssistantDiscovery(self.ctx, self.announcer, inflight, windows)
        self.connect(**broker)
        task = asyncio.create_task(self.home.run())
        try:
            yield
        finally:
            task.cancel()
            self.hang_up()

    def connect(self, **broker: Any) -> None:
        connection = self.broker.connect(**broker)
        self.home.on_connected(connection)
        self.announcer.on_connected(connection)

    def apply(self, exposure: HomeAssistant) -> None:
        """The owner changes the settings."""
        self.ctx.settings = changed(self.ctx.settings, homeassistant=exposure)
        self.home.refresh_requested.set()

    def deliver(self, delivery: Delivery) -> None:
        """As `Account.on_delivery` does it."""
        if delivery.topic == self.home.birth_topic:
            self.home.on_birth(delivery.payload)

    def hang_up(self) -> None:
        self.broker.disconnect()
        self.announcer.on_disconnected()

    def people(self, persons: Iterable[Person], levels: dict[str, PersonId] | None = None) -> None:
        """The people are others; `levels` are earlier names of theirs."""
        self.identity = self.home._registry = PeopleRegistry(persons, levels or {}, {})
        self.home.refresh_requested.set()

    async def announced(self, count: int = 1, topic: str = TOPIC) -> SentPublication:
        """What was said `count`th on the topic."""
        await self.broker.wait_until(lambda: len(self._on(topic)) >= count)
        return self._on(topic)[count - 1]

    async def components(self, count: int = 1) -> dict[str, Any]:
        sent = await self.announced(count)
        assert faults(TOPIC, sent.payload) == []
        found: dict[str, Any] = json.loads(sent.payload)["components"]
        return found

    async def people_shown(self, count: int = 1) -> dict[str, str]:
        """Topic and name of whom Home Assistant may write to."""
        found = (await self.components(count)).values()
        return {
            one["command_topic"]: one["name"]
            for one in found
            if one["platform"] == "notify" and "name" in one
        }

    async def forgotten(self, topic: str) -> None:
        """The store knows no more that something stands there."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while topic in (await self.journal.discovery.load()).topics:  # each look waits for the store
                pass

    def _on(self, topic: str) -> list[SentPublication]:
        return [one for one in self.broker.sent if one.topic == topic]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    database = await SqliteDatabase.open(tmp_path / "wx2mqtt.db")
    journal = Journal(database, "home")
    await journal.open()
    yield Stage(journal)
    await database.close()


async def test_who_is_exposed_is_announced_retained_and_the_file_helper_always(stage: Stage) -> None:
    async with stage.runs():
        sent = await stage.announced()
        assert (sent.publication.retain, sent.publication.content_type) == (True, "application/json")
        assert await stage.people_shown() == {
            "wx/out/filehelper": "File helper",
            "wx/out/wife": "老婆",
            "wx/out/张三": "张三",
        }
        assert stage.home.health_fields() == {"homeassistant": {"exposed": 3, "problems": {}, "left_out": 0}}


async def test_on_another_backend_there_is_no_file_helper(stage: Stage) -> None:
    async with stage.runs(backend="ilink"):
        assert set(await stage.people_shown()) == {"wx/out/wife", "wx/out/张三"}


@pytest.mark.parametrize(("backend", "seconds"), [("webwx", 90), ("ilink", 7200)])
async def test_a_message_waits_at_the_broker_as_long_as_a_command_waits_here(
    stage: Stage, backend: str, seconds: int
) -> None:
    """With a reply window a command may wait for the person, and not only for the login."""
    async with stage.runs(backend=backend):
        stage.ctx.settings = changed(stage.ctx.settings, send=Send(ttl=90.0), hold=Hold(ttl=7200.0))
        shown = await stage.components()
        assert shown["to_wife"]["message_expiry_interval"] == seconds


async def test_it_is_off_unless_the_owner_wants_it(stage: Stage) -> None:
    async with stage.runs(HomeAssistant()):
        stage.announcer.set("wx/last", b"x", "text/plain")
        await stage.broker.wait_for_publications(1)
        assert stage.broker.topics == ["wx/last"]
        assert stage.home.health_fields() == {}


async def test_what_is_announced_is_written_down_before(stage: Stage) -> None:
    async with stage.runs():
        await stage.announced()
        kept = await stage.journal.discovery.load()
        assert kept.topics == (TOPIC,)
        assert kept.components["to_wife"] == "notify"
        assert kept.ids == {"filehelper": "filehelper", "wife": "wife", "张三": entity_id("张三")}


async def test_at_every_connect_it_is_announced_again(stage: Stage) -> None:
    async with stage.runs():
        first = await stage.announced()
        stage.hang_up()
        stage.connect()
        assert (await stage.announced(2)).payload == first.payload


async def test_a_name_that_changes_is_announced_with_the_same_ids(stage: Stage) -> None:
    async with stage.runs():
        before = await stage.components()
        stage.people([replace(PEOPLE[0], remark="亲爱的"), PEOPLE[1]])
        after = await stage.components(2)
        assert after["to_wife"]["name"] == "亲爱的"
        assert after["to_wife"]["unique_id"] == before["to_wife"]["unique_id"]
        assert after["to_wife"]["default_entity_id"] == before["to_wife"]["default_entity_id"]


async def test_a_person_whose_topic_got_another_name_keeps_their_id(stage: Stage) -> None:
    async with stage.runs():
        key = f"to_{entity_id('张三')}"
        assert (await stage.components())[key]["command_topic"] == "wx/out/张三"
        stage.people([PEOPLE[0], replace(PEOPLE[1], topic_name="boss")], {"张三": PEOPLE[1].id})
        after = await stage.components(2)
        assert after[key]["command_topic"] == "wx/out/boss"
        assert "to_boss" not in after


async def test_two_names_of_one_person_are_one_entity(stage: Stage) -> None:
    stage.identity = PeopleRegistry(PEOPLE, {"老婆": PEOPLE[0].id}, {})
    async with stage.runs(ON.model_copy(update={"expose": ("wife", "老婆")})):
        assert set(await stage.people_shown()) == {"wx/out/filehelper", "wx/out/wife"}


async def test_what_is_no_longer_exposed_is_taken_back_at_once(stage: Stage) -> None:
    async with stage.runs():
        await stage.announced()
        stage.apply(ON.model_copy(update={"expose": ("wife",)}))
        assert (await stage.components(2))[f"to_{entity_id('张三')}"] == {"platform": "notify"}


async def test_what_was_dropped_while_the_bridge_was_down_is_taken_back(stage: Stage) -> None:
    async with stage.runs():
        await stage.announced()
    async with stage.runs(ON.model_copy(update={"expose": ()})):
        assert (await stage.components(2))["to_wife"] == {"platform": "notify"}
    async with stage.runs(ON):
        assert (await stage.components(3))["to_wife"]["unique_id"] == "wx2mqtt_home_to_wife"


@pytest.mark.parametrize("now", [HomeAssistant(), ON.model_copy(update={"prefix": "ha"})])
async def test_what_stands_where_nothing_is_announced_any_more_is_cleared(
    stage: Stage, now: HomeAssistant
) -> None:
    async with stage.runs():
        await stage.announced()
    async with stage.runs(now):
        cleared = await stage.announced(2)
        assert (cleared.payload, cleared.publication.retain) == (b"", True)
        await stage.forgotten(TOPIC)
    seen = len(stage.broker.sent)
    async with stage.runs(now):  # and not again at the next start
        stage.announcer.set("wx/last", b"x", "text/plain")
        await stage.broker.wait_for_publications(seen + 1)
        assert TOPIC not in stage.broker.topics[seen:]


async def test_what_could_not_be_cleared_is_cleared_at_the_next_connect(stage: Stage) -> None:
    await stage.journal.discovery.save(DiscoveryRecord(topics=(TOPIC,)))
    stage.broker.acknowledges_at_once = False
    async with stage.runs(HomeAssistant()):
        await stage.announced()
        stage.hang_up()
        stage.connect()
        await stage.announced(2)
        with capture_logs() as logs:
            stage.broker.refuse(*stage.broker.unacknowledged)
        assert [one["event"] for one in logs] == ["broker refuses to take back"]
        assert (await stage.journal.discovery.load()).topics == (TOPIC,)
        stage.broker.acknowledges_at_once = True
        stage.hang_up()
        stage.connect()
        await stage.announced(3)
        await stage.forgotten(TOPIC)


async def test_a_broker_that_keeps_nothing_is_not_asked_to_clear(stage: Stage) -> None:
    await stage.journal.discovery.save(DiscoveryRecord(topics=("old/topic",)))
    async with stage.runs(retain_available=False):
        sent = await stage.announced()
        assert not sent.publication.retain
        assert stage.broker.topics == [TOPIC]


def birth(payload: bytes = b"online", topic: str = "homeassistant/status") -> Delivery:
    return Delivery(topic=topic, payload=payload, mid=0, dup=False, retain=False, connection_number=1)


async def test_it_is_announced_again_when_home_assistant_has_started(stage: Stage) -> None:
    async with stage.runs():
        first = await stage.announced()
        for _ in range(3):  # it may be born thrice while we wait
            stage.deliver(birth())
        assert (await stage.announced(2)).payload == first.payload
        stage.deliver(birth())
        await stage.announced(3)
        assert stage.broker.topics == [TOPIC] * 3


@pytest.mark.parametrize(
    "other", [birth(b"offline"), birth(topic="homeassistant/statu"), birth(topic="wx/out/x")]
)
async def test_nothing_else_is_a_birth(stage: Stage, other: Delivery) -> None:
    async with stage.runs():
        await stage.announced()
        stage.deliver(other)
        assert stage.home._republish_timer is None


async def test_an_answer_to_a_birth_waits_while_nobody_is_there(stage: Stage) -> None:
    async with stage.runs():
        await stage.announced()
        stage.hang_up()
        stage.home._republish()
        assert len(stage.broker.sent) == 1


async def test_the_answer_to_a_birth_comes_within_ten_seconds(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(homeassistant_announcement, "BIRTH_DELAY_SECONDS", BIRTH_DELAY_SECONDS)
    async with stage.runs():
        await stage.announced()
        stage.deliver(birth())
        timer = stage.home._republish_timer
        assert timer is not None
        assert 0.9 <= timer.when() - asyncio.get_running_loop().time() <= 10
        timer.cancel()


async def test_a_broker_that_refuses_stops_the_announcing_and_nothing_else(stage: Stage) -> None:
    stage.broker.acknowledges_at_once = False
    async with stage.runs():
        sent = await stage.announced()
        with capture_logs() as logs:
            stage.broker.refuse(sent)
        assert [one["event"] for one in logs] == ["broker refuses topic"]
        assert tuple(stage.announcer.refused.paused) == (TOPIC,)
        stage.deliver(birth())
        stage.people(PEOPLE[:1])
        stage.announcer.set("wx/last", b"x", "text/plain")
        await stage.broker.wait_for_publications(2)
        assert stage.broker.topics == [TOPIC, "wx/last"]


# who cannot be shown


def login(identity: PeopleRegistry, *contacts: Contact) -> None:
    identity.apply_directory(contacts, "next", OWNER, 1, complete=True)


def contact(number: int, **more: Any) -> Contact:
    return Contact(handle=Handle(f"@{number}"), kind=ChatKind.FRIEND, listed=True, **more)


async def test_a_name_that_nobody_has_is_reported_once_people_are_known_and_the_rest_works(
    stage: Stage,
) -> None:
    stage.identity = PeopleRegistry((), {}, {})
    with capture_logs() as logs:
        async with stage.runs(ON.model_copy(update={"expose": ("wife", "nobody")})):
            assert await stage.people_shown() == {"wx/out/filehelper": "File helper"}
            assert stage.home.health_fields()["homeassistant"]["problems"] == {}  # type: ignore[call-overload, index]
            login(stage.identity, contact(1, remark="wife"))
            stage.home.refresh_requested.set()
            assert await stage.people_shown(2) == {"wx/out/filehelper": "File helper", "wx/out/wife": "wife"}
            assert stage.home.health_fields() == {
                "homeassistant": {"exposed": 2, "problems": {"nobody": "unknown"}, "left_out": 0}
            }
            stage.apply(ON.model_copy(update={"expose": ("nobody", "wife", "x")}))
            stage.apply(ON.model_copy(update={"expose": ("nobody",)}))
            await stage.announced(3)
    assert [one["name"] for one in logs if one["log_level"] == "warning"] == ["nobody"]
    assert stage.news  # so that health tells at once


async def test_a_pin_that_fits_two_people_shows_none_and_says_why(stage: Stage) -> None:
    stage.identity = PeopleRegistry((), {}, {"wife": ContactPin(nickname="小明")})
    login(stage.identity, contact(1, nickname="小明"), contact(2, nickname="小明"))
    async with stage.runs():
        assert "wx/out/wife" not in await stage.people_shown()
        problems = stage.home.health_fields()["homeassistant"]["problems"]  # type: ignore[call-overload, index]
        assert problems == {"wife": "pin_fits_several", "张三": "unknown"}


async def test_who_is_no_longer_a_contact_is_taken_back_and_who_is_unsure_stays(stage: Stage) -> None:
    async with stage.runs(ON.model_copy(update={"expose": ("wife", "gone", "lost", "filehelper")})):
        assert set(await stage.people_shown()) == {"wx/out/filehelper", "wx/out/wife", "wx/out/lost"}
        problems = stage.home.health_fields()["homeassistant"]["problems"]  # type: ignore[call-overload, index]
        assert problems == {"gone": "removed", "lost": "unresolved"}
        stage.people([replace(PEOPLE[0], removed=True)])
        assert (await stage.components(2))["to_wife"] == {"platform": "notify"}


async def test_who_was_shown_before_stays_until_it_is_certain_that_nobody_is_called_so(stage: Stage) -> None:
    """After a lost store, say: the entity is not thrown away for the minute until people are known."""
    async with stage.runs():
        await stage.announced()
    stage.identity = PeopleRegistry((), {}, {})
    async with stage.runs():
        assert set(await stage.people_shown(2)) == {"wx/out/filehelper", "wx/out/wife", "wx/out/张三"}
        login(stage.identity, contact(1, remark="张三"))
        stage.home.refresh_requested.set()
        assert set(await stage.people_shown(3)) == {"wx/out/filehelper", "wx/out/张三"}


# a broker that takes little


async def test_as_many_as_the_broker_takes_are_announced_and_the_rest_is_reported(stage: Stage) -> None:
    names = tuple(f"friend_{number}" for number in range(100))
    stage.identity = PeopleRegistry([person(number, name) for number, name in enumerate(names, 1)], {}, {})
    with capture_logs() as logs:
        async with stage.runs(ON.model_copy(update={"expose": names}), packet_limit=20_000):
            sent = await stage.announced()
            assert len(sent.payload) + len(TOPIC) < 20_000
            assert stage.home.left_out
            left_out = 101 - len(await stage.people_shown())
            assert stage.home.health_fields()["homeassistant"]["left_out"] == left_out > 0  # type: ignore[call-overload, index]
            stage.hang_up()
            stage.connect(packet_limit=10_000)  # another node takes less
            assert len((await stage.announced(2)).payload) < 10_000
            stage.hang_up()
            stage.connect()
            assert len(await stage.people_shown(3)) == 101
            assert not stage.home.left_out
    assert [one["log_level"] for one in logs] == ["warning", "warning"]


async def test_500_people_are_announced_in_one_message_in_less_than_a_second(stage: Stage) -> None:
    names = tuple(f"好友{number}" for number in range(500))
    stage.identity = PeopleRegistry([person(number, name) for number, name in enumerate(names, 1)], {}, {})
    started_at = time.process_time()
    async with stage.runs(ON.model_copy(update={"expose": names})):
        assert len(await stage.people_shown()) == 501
        assert time.process_time() - started_at < allowed(1)
        assert stage.broker.topics == [TOPIC]


async def test_another_switch_or_prefix_counts_at_the_next_start_only(stage: Stage) -> None:
    async with stage.runs():
        await stage.announced()
        stage.apply(HomeAssistant(prefix="ha", expose=("wife",)))
        assert set(await stage.people_shown(2)) == {"wx/out/filehelper", "wx/out/wife"}


async def test_the_health_is_published_anew_when_other_people_are_left_out_and_only_then(
    stage: Stage,
) -> None:
    names = tuple(f"friend_{number}" for number in range(100))
    stage.identity = PeopleRegistry([person(number, name) for number, name in enumerate(names, 1)], {}, {})
    async with stage.runs(ON.model_copy(update={"expose": names}), packet_limit=20_000):
        await stage.announced()
        assert len(stage.news) == 1
        stage.home.refresh_requested.set()
        stage.hang_up()
        stage.connect(packet_limit=20_000)
        await stage.announced(2)
        assert len(stage.news) == 1
        stage.hang_up()
        stage.connect(packet_limit=10_000)
        await stage.announced(3)
        assert len(stage.news) == 2
