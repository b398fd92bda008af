"""People who write and automations that send commands at the same time, for as long as a test needs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.home import Home, SimulatorControl
from tests.support.subscriber import Subscriber
from tests.support.traffic_record import RecordedCommand, TrafficRecord

CONTACTS = {
    "wife": {"remark": "老婆"},
    "mom": {"remark": "妈妈"},
    "lilei": {"alias": "lilei_1986"},
    "family": {"group": "相亲相爱一家人"},
    "work": {"group": "项目组"},
}
"""The contacts of the account, by topic level."""

WRITERS = {
    "wife": "wife",
    "mom": "mom",
    "lilei": "lilei",
    "family": "mom",
    "work": "hanmeimei",
    "filehelper": "me",
}
"""The person who writes in each chat."""

USERS = ("wife", "mom", "family", "filehelper")
"""The recipients of commands."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two texts of a chat and two commands of a publisher, on average."""

    chat: float = 0.05
    publisher: float = 0.05


class Traffic:
    """Writes texts into chats and sends commands through publishers; `record` has all of them."""

    def __init__(
        self, home: Home, publishers: Sequence[Subscriber], dice: random.Random, pace: Pace = Pace()
    ) -> None:
        self.record = TrafficRecord()
        self._phone = home.control
        self._publishers = publishers
        self._dice = dice
        self._pace = pace
        self._numbers = dict.fromkeys(WRITERS, 0)
        self._ids = [0] * len(publishers)

    async def say(self, chat: str, count: int = 1) -> None:
        """Writes `count` texts into one chat."""
        first = self._numbers[chat]
        texts = [f"{chat}/{number}" for number in range(first + 1, first + count + 1)]
        self._numbers[chat] += count
        self.record.written.setdefault(chat, []).extend(texts)
        for text in texts:
            await self._phone.post("say", **_speech(chat, text))

    async def flood(self, chat: str, count: int) -> None:
        """Writes the first `count` texts of a chat in one request."""
        assert not self._numbers[chat]
        self._numbers[chat] = count
        self.record.written[chat] = [f"{chat}/{number}" for number in range(1, count + 1)]
        await self._phone.post("say", **_speech(chat, f"{chat}/{{n}}"), count=count)

    async def command(self, publisher: int, user: str) -> None:
        """Publishes a command; records it once the broker has acknowledged it."""
        self._ids[publisher] += 1
        ident = f"{publisher}-{self._ids[publisher]}"
        text = f"to {user} {ident}"
        body = json.dumps({"text": text, "id": ident})
        while not await asyncio.to_thread(_published, self._publishers[publisher], f"wx/out/{user}", body):
            pass  # the broker was away: once more, with the same id
        self.record.commands[ident] = RecordedCommand(str(publisher), user, text)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Produces traffic for as long as the block lasts; what was begun is finished."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for chat in WRITERS:
                tasks.create_task(self._write(chat, stop))
            for publisher in range(len(self._publishers)):
                tasks.create_task(self._command(publisher, stop))
            try:
                yield
            finally:
                stop.set()

    async def _write(self, chat: str, stop: asyncio.Event) -> None:
        while not await self._paused(stop, self._pace.chat):
            await self.say(chat, 60 if self._dice.random() < 0.01 else 1)

    async def _command(self, publisher: int, stop: asyncio.Event) -> None:
        while not await self._paused(stop, self._pace.publisher):
            await self.command(publisher, self._dice.choice(USERS))

    async def _paused(self, stop: asyncio.Event, mean: float) -> bool:
        """Waits for a random time, longer on a busy machine; returns whether `stop` is set."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(allowed(self._dice.expovariate(1 / mean))):
                await stop.wait()
        return stop.is_set()


def _published(client: Subscriber, topic: str, body: str) -> bool:
    try:
        client.publish(topic, body)
    except RuntimeError:  # paho's word for a connection that is not there
        time.sleep(0.05)
        return False
    return True


def _speech(chat: str, text: str) -> dict[str, Any]:
    group_or_helper = chat in ("family", "work", "filehelper")
    return {"from": WRITERS[chat], "to": chat if group_or_helper else "me", "text": text}


async def wait_until_delivered(
    record: TrafficRecord,
    subscriber: Subscriber,
    control: SimulatorControl,
    timeout_seconds: float = MAX_WAIT_SECONDS,
) -> list[str]:
    """Waits until everything was delivered, or nothing is for so many seconds; returns the broken promises."""
    least = record.missing(subscriber.received)
    loop = asyncio.get_running_loop()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_seconds) as deadline:
            while missing := record.missing(subscriber.received):
                if missing < least:
                    least = missing
                    deadline.reschedule(loop.time() + timeout_seconds)
                enough = subscriber.count + missing
                await asyncio.to_thread(subscriber.wait_until, lambda received: len(received) >= enough, 1.0)  # noqa: B023
    return record.problems(subscriber.received, await control.get("sent"))
