"""Shows one account to Home Assistant: who is exposed, what is announced, what taken back (mqtt-bridges 2).

It only ever says what there is; what Home Assistant sends comes as everybody's commands and requests do.
"""

from __future__ import annotations

import asyncio
import random
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import structlog

from wx2mqtt import __version__
from wx2mqtt.bridge.announce import Announcer
from wx2mqtt.bridge.insist import insist
from wx2mqtt.bridge.outlet import Outlet
from wx2mqtt.bridge.people.identity import Identity
from wx2mqtt.bridge.people.naming import FILEHELPER
from wx2mqtt.errors import NotConnected
from wx2mqtt.model import Json
from wx2mqtt.mqtt.discovery import (
    Announcement,
    Device,
    Target,
    announcement,
    birth_topic,
    config_topic,
    new_id,
    shown_names,
)
from wx2mqtt.mqtt.link import Connected, Delivery, Publication
from wx2mqtt.mqtt.topics import JSON, Topics
from wx2mqtt.store.journal import Announced, Journal
from wx2mqtt.store.people import Person
from wx2mqtt.words import Language

log = structlog.get_logger(__name__)

PAUSE = 2.0
"""Seconds between two announcements: while Home Assistant works on one, it drops parts of the next."""

BORN = b"online"
WITH_FILEHELPER = "webwx"  # the backend on which it always exists (DESIGN 4)
_FILEHELPER_NAMES: Mapping[Language, str] = {"en": "File helper", "zh": "文件传输助手"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What Home Assistant is to see of one account. Of `expose` the last are left out first, if some must be.

    `url` is the address of the page from outside, empty without one. `expiry` is how many seconds a message
    may wait at the broker.
    """

    enabled: bool = False
    prefix: str = "homeassistant"
    expose: tuple[str, ...] = ()
    url: str = ""
    expiry: int = 600
    language: Language = "en"


def after_birth() -> float:
    """Seconds until the answer to a birth: everybody else answers it as well (mqtt-bridges 2.5)."""
    return random.uniform(1, 10)


class HomeAssistant:
    """Keeps what stands at Home Assistant for one account as it should be."""

    def __init__(
        self,
        *,
        account: str,
        topics: Topics,
        backend: str,
        journal: Journal,
        announcer: Announcer,
        outlet: Outlet,
        identity: Identity,
        exposure: Exposure,
        news: Callable[[], None],
        windows: Callable[[], Collection[str]] = tuple,
        wait: Callable[[], float] = after_birth,
    ) -> None:
        self._account = account
        self._topics = topics
        self._backend = backend
        self._journal = journal
        self._announcer = announcer
        self._outlet = outlet
        self._identity = identity
        self._exposure = exposure
        self._news = news
        self._windows = windows
        self._wait = wait
        self._topic = config_topic(exposure.prefix, account) if exposure.enabled else ""
        self._birth = birth_topic(exposure.prefix) if exposure.enabled else ""
        self._announced = Announced()
        self._changed = asyncio.Event()
        self._changed.set()
        self._answering: asyncio.TimerHandle | None = None
        self._retains = False  # whether there is a broker that keeps what it is told
        self._clearing: set[str] = set()
        self._cleared: set[str] = set()
        self._problems: Mapping[str, str] = {}
        self._left_out: tuple[str, ...] = ()
        self._shown = 0

    async def run(self) -> None:
        """Announce and take back until cancelled."""
        self._announced = await insist(self._journal.announced)
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._look()
            await asyncio.sleep(PAUSE)

    # what happens around it

    def changed(self) -> None:
        """People are others, or are called otherwise."""
        self._changed.set()

    def apply(self, exposure: Exposure) -> None:
        """Other wishes. Whether and where to announce is decided at the start: a topic is heard for it."""
        start = self._exposure
        self._exposure = replace(exposure, enabled=start.enabled, prefix=start.prefix)
        self.changed()

    def connected(self, connection: Connected) -> None:
        """A broker is there, which may take less than the last one. Call it before `Announcer.connected`."""
        self._retains = connection.retain_available
        self._clearing.clear()
        limit, stands = self._outlet.payload_limit(self._topic), self._announcer.holds(self._topic)
        too_large = limit is not None and stands is not None and len(stands) > limit
        if too_large or self._left_out:  # so that the one for this broker is the only one
            self._announcer.withdraw(self._topic)
        self.changed()

    def delivered(self, delivery: Delivery) -> None:
        """Home Assistant has started: it is told again, once, a little later."""
        if self._birth and delivery.topic == self._birth and delivery.payload == BORN and not self._answering:
            self._answering = asyncio.get_running_loop().call_later(self._wait(), self._answer)

    def _answer(self) -> None:
        self._answering = None
        self._announcer.again(self._topic)

    def health(self) -> dict[str, Json]:
        """What `bridge/health` says of it; nothing where it is off."""
        if not self._topic:
            return {}
        seen: dict[str, Json] = {
            "exposed": self._shown,
            "problems": dict(self._problems),
            "left_out": len(self._left_out),
        }
        return {"homeassistant": seen}

    @property
    def too_large(self) -> bool:
        """Whether the broker takes too little for all who are exposed."""
        return bool(self._left_out)

    # what stands

    async def _look(self) -> None:
        stale = [topic for topic in self._announced.topics if topic not in {self._topic, *self._cleared}]
        if not self._topic:
            await self._keep(replace(self._announced, topics=tuple(stale)))
        else:
            made, ids = self._made()
            topics = (*stale, self._topic)
            await self._keep(Announced(topics=topics, components=made.components, ids=ids))
            self._announcer.say(self._topic, made.payload, JSON)
            self._say_left_out(made.left_out)
        for topic in stale:
            self._take_back(topic)

    async def _keep(self, announced: Announced) -> None:
        """Written down before it is said: what nobody knows of can never be taken back."""
        announced = announced if announced.topics else Announced(ids=announced.ids)
        if announced != self._announced:
            await insist(lambda: self._journal.announce(announced))
            self._announced = announced

    def _take_back(self, topic: str) -> None:
        """Clear what stands where nothing is announced any more; again at each connect until it is done."""
        if not self._retains or topic in self._clearing:
            return

        def heard(error: Exception | None) -> None:
            if error is None:
                self._cleared.add(topic)
                self.changed()
            elif not isinstance(error, NotConnected):
                log.warning("broker refuses to take back", topic=topic, reason=str(error))

        self._clearing.add(topic)
        self._outlet.publish_first(Publication(topic=topic, payload=b"", retain=True), heard)

    def _made(self) -> tuple[Announcement, Mapping[str, str]]:
        exposure = self._exposure
        people = self._people()
        ids = dict(self._announced.ids)
        names = shown_names(people)
        targets = [Target(user=user, id=self._id(user, ids), name=name) for user, name in names.items()]
        called = shown_names({user: self._called(user) for user in self._windows()})
        windows = [Target(user=user, id=self._id(user, ids), name=name) for user, name in called.items()]
        self._shown = len(targets)
        device = Device(
            account=self._account,
            topics=self._topics,
            backend=self._backend,
            version=__version__,
            language=exposure.language,
            targets=targets,
            windows=windows,
            url=exposure.url,
            expiry=exposure.expiry,
            before=self._announced.components,
        )
        return announcement(device, self._outlet.payload_limit(self._topic)), ids

    def _called(self, user: str) -> str:
        person = self._identity.by_level(user)
        return "" if person is None else person.remark or person.nickname

    def _id(self, user: str, ids: dict[str, str]) -> str:
        """The id of a person, by whichever of their names first had one; else a new one, put in `ids`."""
        if user not in ids:
            person = self._identity.by_level(user) if ids else None
            levels = () if person is None else self._identity.levels(person.id)
            known = next((ids[level] for level in levels if level in ids), None)
            if known is not None:
                return known
            ids[user] = new_id(user, ids.values())
        return ids[user]

    # who is exposed

    def _people(self) -> dict[str, str]:
        """Whom Home Assistant may write to, by topic level, and what they are called."""
        people: dict[str, str] = {}
        problems: dict[str, str] = {}
        if self._backend == WITH_FILEHELPER:
            people[FILEHELPER] = _FILEHELPER_NAMES[self._exposure.language]
        for name in self._exposure.expose:
            person = self._identity.by_level(name)
            if person is not None and not person.removed:
                people.setdefault(person.level, person.remark or person.nickname)
            elif person is None and self._may_come(name):
                people.setdefault(unicodedata.normalize("NFC", name), "")
            problem = self._problem(name, person)
            if problem:
                problems[name] = problem
        self._say_problems(problems)
        return people

    def _may_come(self, name: str) -> bool:
        """Somebody who was shown before, and is not known yet in this login: their entity stays."""
        return name in self._announced.ids and not self._identity.complete

    def _problem(self, name: str, person: Person | None) -> str:
        """What is wrong with an exposed name, in one word; empty when nothing is."""
        if name == FILEHELPER and self._backend == WITH_FILEHELPER:
            return ""
        if person is None:
            unknown = "unknown" if self._identity.complete else ""
            return self._identity.pin_problem(name) or unknown
        if person.removed:
            return "removed"
        return "unresolved" if person.closed else ""

    def _say_problems(self, problems: Mapping[str, str]) -> None:
        for name, problem in problems.items():
            if self._problems.get(name) != problem:
                log.warning("homeassistant.expose names somebody who cannot be shown", name=name, why=problem)
        if problems != self._problems:
            self._news()
        self._problems = problems

    def _say_left_out(self, left_out: tuple[str, ...]) -> None:
        if left_out and left_out != self._left_out:
            log.warning(
                "the broker takes no larger announcement: fewer people are shown to Home Assistant",
                left_out=len(left_out),
                limit=self._outlet.payload_limit(self._topic),
            )
        if left_out != self._left_out:
            self._news()
        self._left_out = left_out
