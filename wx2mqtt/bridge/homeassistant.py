"""Shows one account to Home Assistant: who is exposed, what is announced, what taken back (mqtt 2).

It only ever says what there is; what Home Assistant sends comes as everybody's commands and requests do.
"""

from __future__ import annotations

import asyncio
import random
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from wx2mqtt import __version__
from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inflight import InflightWindow
from wx2mqtt.bridge.people.topic_names import FILEHELPER
from wx2mqtt.bridge.reply_window import ReplyWindowTopics
from wx2mqtt.bridge.retained import RetainedPublisher
from wx2mqtt.errors import NotConnected
from wx2mqtt.i18n import Language
from wx2mqtt.model import Json
from wx2mqtt.mqtt.broker import Connected, Publication
from wx2mqtt.mqtt.discovery import (
    Device,
    DiscoveryConfig,
    NotifyTarget,
    birth_topic,
    config_topic,
    discovery_config,
    display_names,
    entity_id,
)
from wx2mqtt.mqtt.topics import JSON_TYPE
from wx2mqtt.store.outbox import DiscoveryRecord
from wx2mqtt.store.records import Person

log = structlog.get_logger(__name__)

GATHER_SECONDS = 2.0
"""Seconds between two announcements: while Home Assistant works on one, it drops parts of the next."""

BIRTH_PAYLOAD = b"online"
_FILEHELPER_NAMES: Mapping[Language, str] = {"en": "File helper", "zh": "文件传输助手"}


def birth_delay_seconds() -> float:
    """Seconds until the answer to a birth: everybody else answers it as well (mqtt 2.5.3)."""
    return random.uniform(1, 10)


class HomeAssistantDiscovery:
    """Keeps what stands at Home Assistant for one account as it should be."""

    def __init__(
        self,
        ctx: AccountContext,
        retained: RetainedPublisher,
        inflight: InflightWindow,
        windows: ReplyWindowTopics,
        birth_delay: Callable[[], float] = birth_delay_seconds,
    ) -> None:
        self._ctx = ctx
        self._account = ctx.name
        self._topics = ctx.topics
        self._capabilities = ctx.backend.capabilities
        self._journal = ctx.journal
        self._registry = ctx.registry
        self._retained = retained
        self._inflight = inflight
        self._windows = windows
        self._birth_delay = birth_delay
        # Whether and where to announce is decided at the start: the birth topic is subscribed to by then.
        settings = ctx.settings.home_assistant
        self._config_topic = config_topic(settings.prefix, ctx.name) if settings.enabled else ""
        self.birth_topic = birth_topic(settings.prefix) if settings.enabled else ""
        self._record = DiscoveryRecord()
        self._refresh_requested = asyncio.Event()
        self._refresh_requested.set()
        self._republish_timer: asyncio.TimerHandle | None = None
        self._broker_retains = False  # whether there is a broker that keeps what it is told
        self._clearing: set[str] = set()
        self._cleared: set[str] = set()
        self._problems: Mapping[str, str] = {}
        self._left_out: tuple[str, ...] = ()
        self._exposed_count = 0

    async def run(self) -> None:
        """Announce and take back until cancelled."""
        self._record = await retry_until_stored(self._journal.load_discovery)
        while True:
            await self._refresh_requested.wait()
            self._refresh_requested.clear()
            await self._update()
            await asyncio.sleep(GATHER_SECONDS)

    # what happens around it

    def refresh(self) -> None:
        """People are others, or are called otherwise."""
        self._refresh_requested.set()

    def on_connected(self, connection: Connected) -> None:
        """A broker is there, which may take less than the last one. Call it before `Announcer.connected`."""
        self._broker_retains = connection.retain_available
        self._clearing.clear()
        limit, stands = (
            self._inflight.payload_limit(self._config_topic),
            self._retained.value_of(self._config_topic),
        )
        too_large = limit is not None and stands is not None and len(stands) > limit
        if too_large or self._left_out:  # so that the one for this broker is the only one
            self._retained.discard_state(self._config_topic)
        self.refresh()

    def on_birth(self, payload: bytes) -> None:
        """Handle a message on the birth topic: announce again soon after Home Assistant has started."""
        if payload == BIRTH_PAYLOAD and not self._republish_timer:
            self._republish_timer = asyncio.get_running_loop().call_later(
                self._birth_delay(), self._republish
            )

    def _republish(self) -> None:
        self._republish_timer = None
        self._retained.republish(self._config_topic)

    def health_fields(self) -> dict[str, Json]:
        """What `bridge/health` says of it; nothing where it is off."""
        if not self._config_topic:
            return {}
        seen: dict[str, Json] = {
            "exposed": self._exposed_count,
            "problems": dict(self._problems),
            "left_out": len(self._left_out),
        }
        return {"homeassistant": seen}

    @property
    def is_truncated(self) -> bool:
        """Whether the broker takes too little for all who are exposed."""
        return bool(self._left_out)

    # what stands

    async def _update(self) -> None:
        stale = [topic for topic in self._record.topics if topic not in {self._config_topic, *self._cleared}]
        if not self._config_topic:
            await self._store_record(replace(self._record, topics=tuple(stale)))
        else:
            made, ids = self._build_config()
            topics = (*stale, self._config_topic)
            await self._store_record(DiscoveryRecord(topics=topics, components=made.components, ids=ids))
            self._retained.set(self._config_topic, made.payload, JSON_TYPE)
            self._report_left_out(made.omitted)
        for topic in stale:
            self._clear_topic(topic)

    async def _store_record(self, record: DiscoveryRecord) -> None:
        """Written down before it is said: what nobody knows of can never be taken back."""
        record = record if record.topics else DiscoveryRecord(ids=record.ids)
        if record != self._record:
            await retry_until_stored(lambda: self._journal.save_discovery(record))
            self._record = record

    def _clear_topic(self, topic: str) -> None:
        """Clear what stands where nothing is announced any more; again at each connect until it is done."""
        if not self._broker_retains or topic in self._clearing:
            return

        def heard(error: Exception | None) -> None:
            if error is None:
                self._cleared.add(topic)
                self.refresh()
            elif not isinstance(error, NotConnected):
                log.warning("broker refuses to take back", topic=topic, reason=str(error))

        self._clearing.add(topic)
        self._inflight.publish_first(Publication(topic=topic, payload=b"", retain=True), heard)

    def _build_config(self) -> tuple[DiscoveryConfig, Mapping[str, str]]:
        settings = self._ctx.settings.home_assistant
        people = self._exposed_people()
        ids = dict(self._record.ids)
        names = display_names(people)
        targets = [
            NotifyTarget(user=user, id=self._entity_id(user, ids), name=name) for user, name in names.items()
        ]
        called = display_names({user: self._display_name(user) for user in self._windows.users})
        windows = [
            NotifyTarget(user=user, id=self._entity_id(user, ids), name=name) for user, name in called.items()
        ]
        self._exposed_count = len(targets)
        device = Device(
            account=self._account,
            topics=self._topics,
            model=self._capabilities.product_name,
            version=__version__,
            language=self._ctx.language,
            targets=targets,
            windows=windows,
            url=settings.url,
            expiry=settings.expiry,
            previous_components=self._record.components,
        )
        return discovery_config(device, self._inflight.payload_limit(self._config_topic)), ids

    def _display_name(self, user: str) -> str:
        person = self._registry.by_level(user)
        return "" if person is None else person.remark or person.nickname

    def _entity_id(self, user: str, ids: dict[str, str]) -> str:
        """The id of a person, by whichever of their names first had one; else a new one, put in `ids`."""
        if user not in ids:
            person = self._registry.by_level(user) if ids else None
            levels = () if person is None else self._registry.levels_of(person.id)
            known = next((ids[level] for level in levels if level in ids), None)
            if known is not None:
                return known
            ids[user] = entity_id(user, ids.values())
        return ids[user]

    # who is exposed

    def _exposed_people(self) -> dict[str, str]:
        """Whom Home Assistant may write to, by topic level, and what they are called."""
        people: dict[str, str] = {}
        problems: dict[str, str] = {}
        if self._capabilities.has_filehelper:
            people[FILEHELPER] = _FILEHELPER_NAMES[self._ctx.language]
        for name in self._ctx.settings.home_assistant.expose:
            person = self._registry.by_level(name)
            if person is not None and not person.removed:
                people.setdefault(person.level, person.remark or person.nickname)
            elif person is None and self._may_reappear(name):
                people.setdefault(unicodedata.normalize("NFC", name), "")
            problem = self._problem_of(name, person)
            if problem:
                problems[name] = problem
        self._report_problems(problems)
        return people

    def _may_reappear(self, name: str) -> bool:
        """Somebody who was shown before, and is not known yet in this login: their entity stays."""
        return name in self._record.ids and not self._registry.is_complete

    def _problem_of(self, name: str, person: Person | None) -> str:
        """What is wrong with an exposed name, in one word; empty when nothing is."""
        if name == FILEHELPER and self._capabilities.has_filehelper:
            return ""
        if person is None:
            unknown = "unknown" if self._registry.is_complete else ""
            return self._registry.pin_problem(name) or unknown
        if person.removed:
            return "removed"
        return "unresolved" if person.closed else ""

    def _report_problems(self, problems: Mapping[str, str]) -> None:
        for name, problem in problems.items():
            if self._problems.get(name) != problem:
                log.warning("homeassistant.expose names somebody who cannot be shown", name=name, why=problem)
        if problems != self._problems:
            self._ctx.signals.health_changed.emit()
        self._problems = problems

    def _report_left_out(self, left_out: tuple[str, ...]) -> None:
        if left_out and left_out != self._left_out:
            log.warning(
                "the broker takes no larger announcement: fewer people are shown to Home Assistant",
                left_out=len(left_out),
                limit=self._inflight.payload_limit(self._config_topic),
            )
        if left_out != self._left_out:
            self._ctx.signals.health_changed.emit()
        self._left_out = left_out
