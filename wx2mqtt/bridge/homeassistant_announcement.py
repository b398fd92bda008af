"""Announces one account to Home Assistant by MQTT discovery, and withdraws old announcements (mqtt 2).

    homeassistant.expose: [wife]
        ->  a retained JSON on `homeassistant/device/…/config`  ->  Home Assistant shows an entity for `wife`

It only publishes. What Home Assistant sends arrives like the commands and requests of any other client.
"""

from __future__ import annotations

import asyncio
import random
import unicodedata
from collections.abc import Mapping
from dataclasses import replace

import structlog

from wx2mqtt import __version__
from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inflight import InflightWindow, RetainedPublisher
from wx2mqtt.bridge.window_topics import ReplyWindowTopics
from wx2mqtt.errors import NotConnected
from wx2mqtt.i18n import Language
from wx2mqtt.model import FILEHELPER, JSON_TYPE, Json
from wx2mqtt.mqtt.broker import Connected, Publication
from wx2mqtt.mqtt.homeassistant_entities import (
    Device,
    DiscoveryConfig,
    NotifyTarget,
    discovery_config,
    entity_id,
)
from wx2mqtt.mqtt.topics import birth_topic, config_topic, is_config_topic
from wx2mqtt.names import display_names
from wx2mqtt.store.outbox import DiscoveryRecord
from wx2mqtt.store.person_records import Person

log = structlog.get_logger(__name__)

# The least time between two announcements: Home Assistant drops parts of one while it processes another.
GATHER_SECONDS = 2.0

# Home Assistant publishes this on its birth topic when it has started.
BIRTH_PAYLOAD = b"online"

# After a birth message the announcement is repeated at a random time between these: all devices do it, and
# not all of them at once (mqtt 2.5.3).
BIRTH_DELAY_SECONDS = (1.0, 10.0)

_FILEHELPER_NAMES: Mapping[Language, str] = {"en": "File helper", "zh": "文件传输助手"}


class HomeAssistantDiscovery:
    """Keeps the discovery payload of one account up to date.

    The journal has a record of the topics on which the account was announced. If a topic is not that of the
    settings any more, its retained payload is removed: the topic is cleared.
    """

    def __init__(
        self,
        ctx: AccountContext,
        retained: RetainedPublisher,
        inflight: InflightWindow,
        windows: ReplyWindowTopics,
    ) -> None:
        self._ctx = ctx
        self._capabilities = ctx.backend.capabilities
        self._registry = ctx.registry
        self._retained = retained
        self._inflight = inflight
        self._windows = windows
        # The two topics are those of the start: a reload does not subscribe to another birth topic.
        settings = ctx.settings.whole.homeassistant
        #: The topic of the announcement; empty while discovery is disabled.
        self._config_topic = config_topic(settings.prefix, ctx.name) if settings.enabled else ""
        #: The birth topic of Home Assistant; empty while discovery is disabled.
        self.birth_topic = birth_topic(settings.prefix) if settings.enabled else ""
        #: What the journal has: the announced topics, and the id of each person's entity.
        self._record = DiscoveryRecord()
        #: Set when the exposed people or their names may have changed, to announce soon.
        self.refresh_requested = asyncio.Event()
        self.refresh_requested.set()
        #: Runs from a birth message until the announcement is repeated.
        self._republish_timer: asyncio.TimerHandle | None = None
        #: Whether the broker of this connection accepts retained messages.
        self._retain_available = False
        #: Old topics that were cleared in this connection, whatever came of it.
        self._clearing: set[str] = set()
        #: Old topics that are cleared, as the broker has acknowledged.
        self._cleared: set[str] = set()
        #: By a name in `homeassistant.expose`: the key of the problem with it.
        self._problems: Mapping[str, str] = {}
        #: People who are left out because the broker does not accept a larger payload.
        self.left_out: tuple[str, ...] = ()
        #: The size of the last announcement.
        self._announced_bytes = 0
        #: How many people and the file helper Home Assistant may send to.
        self._exposed_count = 0

    async def run(self) -> None:
        """Publishes and clears announcements until cancelled."""
        record = await retry_until_stored(self._ctx.journal.discovery.load)
        own_topics = [topic for topic in record.topics if is_config_topic(self._ctx.name, topic)]
        self._record = replace(record, topics=tuple(own_topics))
        while True:
            await self.refresh_requested.wait()
            self.refresh_requested.clear()
            await self._update()
            await asyncio.sleep(GATHER_SECONDS)

    def on_connected(self, connection: Connected) -> None:
        """Announces what this broker accepts. Call it before `RetainedPublisher.on_connected`."""
        self._retain_available = connection.retain_available
        self._clearing.clear()
        limit = self._inflight.payload_limit(self._config_topic)
        is_too_large = limit is not None and self._announced_bytes > limit
        if is_too_large or self.left_out:  # it was made for a broker with another limit: not sent again
            self._retained.discard_state(self._config_topic)
        self.refresh_requested.set()

    def on_birth(self, payload: bytes) -> None:
        """Handles a message on the birth topic: repeats the announcement after Home Assistant has started."""
        if payload != BIRTH_PAYLOAD or self._republish_timer is not None:
            return
        delay_seconds = random.uniform(*BIRTH_DELAY_SECONDS)
        loop = asyncio.get_running_loop()
        self._republish_timer = loop.call_later(delay_seconds, self._republish)

    def _republish(self) -> None:
        self._republish_timer = None
        self._retained.republish(self._config_topic)

    def health_fields(self) -> dict[str, Json]:
        """Returns the fields of `bridge/health` about discovery; none while it is disabled."""
        if not self._config_topic:
            return {}
        fields: dict[str, Json] = {
            "exposed": self._exposed_count,
            "problems": dict(self._problems),
            "left_out": len(self.left_out),
        }
        return {"homeassistant": fields}

    # Announcements

    async def _update(self) -> None:
        """Announces the account as it is now, and clears the topics of earlier settings."""
        stale = [topic for topic in self._record.topics if topic not in {self._config_topic, *self._cleared}]
        if not self._config_topic:
            await self._store_record(replace(self._record, topics=tuple(stale)))
        else:
            config, ids = self._build_config()
            topics = (*stale, self._config_topic)
            await self._store_record(DiscoveryRecord(topics=topics, components=config.components, ids=ids))
            self._retained.set(self._config_topic, config.payload, JSON_TYPE)
            self._announced_bytes = len(config.payload)
            self._report_left_out(config.omitted)
        for topic in stale:
            self._clear_topic(topic)

    async def _store_record(self, record: DiscoveryRecord) -> None:
        """Stores what is announced before it is published: an unknown announcement could not be withdrawn."""
        if not record.topics:
            record = DiscoveryRecord(ids=record.ids)
        if record != self._record:
            await retry_until_stored(lambda: self._ctx.journal.discovery.save(record))
            self._record = record

    def _clear_topic(self, topic: str) -> None:
        """Removes the retained payload of an old topic; again at each connect until it is acknowledged."""
        if not self._retain_available or topic in self._clearing:
            return

        def on_acknowledged(error: Exception | None) -> None:
            if error is None:
                self._cleared.add(topic)
                self.refresh_requested.set()
            elif not isinstance(error, NotConnected):
                log.warning("broker refuses to take back", topic=topic, reason=str(error))

        self._clearing.add(topic)
        self._inflight.publish_first(Publication(topic=topic, payload=b"", retain=True), on_acknowledged)

    def _build_config(self) -> tuple[DiscoveryConfig, Mapping[str, str]]:
        """Returns the announcement, and the id of each person's entity, new ones included."""
        settings = self._ctx.settings
        account = settings.account
        # With a reply window a message may wait for the person, and not only for the login.
        max_wait_seconds = account.hold.ttl if self._capabilities.has_reply_window else account.send.ttl
        ids = dict(self._record.ids)
        targets = self._notify_targets(self._exposed_people(), ids)
        window_names: dict[str, str] = {}
        for user in sorted(self._windows.forecasts):
            person = self._registry.by_topic_name(user)
            window_names[user] = "" if person is None else person.remark or person.nickname
        windows = self._notify_targets(window_names, ids)
        self._exposed_count = len(targets)
        device = Device(
            account=self._ctx.name,
            topics=self._ctx.topics,
            model=self._capabilities.product_name,
            version=__version__,
            language=self._ctx.language,
            targets=targets,
            has_login_age=self._capabilities.login_seconds is not None,
            windows=windows,
            url=settings.page_url,
            expiry=max(1, int(max_wait_seconds)),
            previous_components=self._record.components,
        )
        return discovery_config(device, self._inflight.payload_limit(self._config_topic)), ids

    def _notify_targets(self, people: Mapping[str, str], ids: dict[str, str]) -> list[NotifyTarget]:
        """Returns the entities of people, given their names by topic name; adds new ids to `ids`."""
        return [
            NotifyTarget(user=user, id=self._entity_id(user, ids), name=name)
            for user, name in display_names(people).items()
        ]

    def _entity_id(self, user: str, ids: dict[str, str]) -> str:
        """Returns the id of a person's entity; adds a new one to `ids`.

        A person whose topic name has changed keeps the id of an earlier one.
        """
        if user in ids:
            return ids[user]
        person = self._registry.by_topic_name(user) if ids else None
        names = () if person is None else self._registry.topic_names_of(person.id)
        for name in names:
            if name in ids:
                return ids[name]
        ids[user] = entity_id(user, ids.values())
        return ids[user]

    # Exposed people

    def _exposed_people(self) -> dict[str, str]:
        """Returns the names of the people to whom Home Assistant may send, by topic name."""
        people: dict[str, str] = {}
        problems: dict[str, str] = {}
        if self._capabilities.has_filehelper:
            people[FILEHELPER] = _FILEHELPER_NAMES[self._ctx.language]
        for name in self._ctx.settings.exposed_users:
            person = self._registry.by_topic_name(name)
            if person is None:
                was_announced = name in self._record.ids
                if was_announced and not self._registry.is_complete:
                    # This login may still find them: their entity stays until then.
                    people.setdefault(unicodedata.normalize("NFC", name), "")
            elif not person.removed:
                people.setdefault(person.topic_name, person.remark or person.nickname)
            problem = self._problem_of(name, person)
            if problem:
                problems[name] = problem
        self._report_problems(problems)
        return people

    def _problem_of(self, name: str, person: Person | None) -> str:
        """Returns the key of the problem with a name in `homeassistant.expose`; empty without one."""
        if name == FILEHELPER and self._capabilities.has_filehelper:
            return ""
        if person is None:
            pin_problem = self._registry.pin_problem(name)
            if pin_problem:
                return pin_problem
            return "unknown" if self._registry.is_complete else ""
        if person.removed:
            return "removed"
        return "unresolved" if person.closed else ""

    def _report_problems(self, problems: Mapping[str, str]) -> None:
        if problems == self._problems:
            return
        for name, problem in problems.items():
            if self._problems.get(name) != problem:
                log.warning("homeassistant.expose names somebody who cannot be shown", name=name, why=problem)
        self._problems = problems
        self._ctx.signals.health_changed.emit()

    def _report_left_out(self, left_out: tuple[str, ...]) -> None:
        if left_out == self.left_out:
            return
        if left_out:
            log.warning(
                "the broker takes no larger announcement: fewer people are shown to Home Assistant",
                left_out=len(left_out),
                limit=self._inflight.payload_limit(self._config_topic),
            )
        self.left_out = left_out
        self._ctx.signals.health_changed.emit()
