"""Takes away what a broker keeps of a client that is no more: retained topics, and the session."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from wx2mqtt.errors import NotConnected
from wx2mqtt.mqtt.client import MqttLink
from wx2mqtt.mqtt.link import Connected, Delivery, Disconnected, Publication
from wx2mqtt.mqtt.options import Options

PATIENCE = 15.0
"""Seconds for a connection, and again for each answer."""
HOPELESS = frozenset({"credentials", "unfit", "version"})


class _Visitor:
    """A `Listener` that wants nothing but a connection."""

    def __init__(self) -> None:
        self.answered = asyncio.Event()
        self.reason = ""
        self.hopeless = False

    async def session_begins(self) -> None:
        """See `Listener`."""

    def connected(self, _connection: Connected) -> None:
        """See `Listener`."""
        self.reason = ""
        self.answered.set()

    def disconnected(self, gone: Disconnected) -> None:
        """See `Listener`."""
        self.reason = gone.reason
        self.hopeless = gone.code in HOPELESS
        if self.hopeless:
            self.answered.set()
        else:
            self.answered.clear()

    def delivered(self, _delivery: Delivery) -> None:
        """See `Listener`; nothing is subscribed."""

    async def stands(self) -> None:
        """Wait for a connection. Raises `NotConnected`."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.answered.wait()
        except TimeoutError:
            raise NotConnected(self.reason or "the broker does not answer") from None
        if self.hopeless:
            raise NotConnected(self.reason)


async def forget(options: Options, topics: Sequence[str]) -> list[str]:
    """Connect as this client with nothing kept, clear `topics`, go; its session is gone with that.

    Returns the topics that the broker does not let us clear. Raises `NotConnected` with the reason.
    """
    clean = replace(options, clean=True, session_expiry=0, will=None, subscriptions=())
    link, visitor = MqttLink(clean), _Visitor()
    running = asyncio.create_task(link.run(visitor))
    try:
        await visitor.stands()
        return [topic for topic in topics if not await _cleared(link, visitor, topic)]
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def _cleared(link: MqttLink, visitor: _Visitor, topic: str) -> bool:
    """Nothing is retained there any more; an empty message takes away what was.

    Mosquitto with `max_queued_messages 0` hangs up instead of refusing: twice in a row is no.
    """
    for _ in range(2):
        error = await _answer(link, topic)
        if not isinstance(error, NotConnected):
            return error is None
        visitor.answered.clear()
        await visitor.stands()
    return False


async def _answer(link: MqttLink, topic: str) -> Exception | None:
    done: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    link.publish(Publication(topic=topic, payload=b"", retain=True), done.set_result)
    try:
        async with asyncio.timeout(PATIENCE):
            return await done
    except TimeoutError:
        raise NotConnected("the broker does not acknowledge") from None
