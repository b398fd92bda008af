"""Takes away what a broker keeps of a client that is no more: retained topics, and the session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from wx2mqtt.errors import LinkError, NotConnected
from wx2mqtt.mqtt.client import MqttLink
from wx2mqtt.mqtt.link import Connected, Delivery, Disconnected, Publication
from wx2mqtt.mqtt.options import Options

PATIENCE = 15.0
"""Seconds for a connection, and again for each answer."""
HOPELESS = frozenset({"credentials", "unfit", "version"})


class _Visitor:
    """A `Listener` that wants nothing but a connection."""

    def __init__(self) -> None:
        self.stands: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.reason = ""

    async def session_begins(self) -> None:
        """See `Listener`."""

    def connected(self, _connection: Connected) -> None:
        """See `Listener`."""
        if not self.stands.done():
            self.stands.set_result(None)

    def disconnected(self, gone: Disconnected) -> None:
        """See `Listener`."""
        self.reason = gone.reason
        if gone.code in HOPELESS and not self.stands.done():
            self.stands.set_exception(NotConnected(gone.reason))

    def delivered(self, _delivery: Delivery) -> None:
        """See `Listener`; nothing is subscribed."""


async def forget(options: Options, topics: Sequence[str]) -> list[str]:
    """Connect as this client with nothing kept, clear `topics`, go; its session is gone with that.

    Returns the topics that the broker does not let us clear. Raises `NotConnected` with the reason.
    """
    async with _connected(options) as link:
        return [topic for topic in topics if not await _cleared(link, topic)]


@asynccontextmanager
async def _connected(options: Options) -> AsyncIterator[MqttLink]:
    clean = replace(options, clean=True, session_expiry=0, will=None, subscriptions=())
    link, visitor = MqttLink(clean), _Visitor()
    running = asyncio.create_task(link.run(visitor))
    try:
        try:
            async with asyncio.timeout(PATIENCE):
                await visitor.stands
        except TimeoutError:
            raise NotConnected(visitor.reason or "the broker does not answer") from None
        yield link
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def _cleared(link: MqttLink, topic: str) -> bool:
    """Nothing is retained there any more; an empty message takes away what was."""
    done: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    link.publish(Publication(topic=topic, payload=b"", retain=True), done.set_result)
    try:
        async with asyncio.timeout(PATIENCE):
            error = await done
    except TimeoutError:
        raise NotConnected("the broker does not acknowledge") from None
    if isinstance(error, NotConnected):
        raise error
    return not isinstance(error, LinkError)
