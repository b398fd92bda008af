"""The same message comes again under a new id (ilink 4.5)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from wx2mqtt.simulator import wire
from wx2mqtt.simulator.ilink.bots import Bot
from wx2mqtt.simulator.ilink.network import Network


def plan(network: Network, bot: Bot, messages: Sequence[bytes]) -> None:
    """See that what is given now comes again later, if the setting asks for it; once for each message."""
    seconds = network.settings.redeliver_after
    if not seconds:
        return
    loop = asyncio.get_running_loop()
    for message in messages:
        if message not in bot.planned:
            bot.planned.add(message)
            loop.call_later(seconds, again, network, bot, message)


def again(network: Network, bot: Bot, message: bytes, shift_ms: int = 0) -> str:
    """Put a message into the queue once more: a new id, a new context token, the rest as it was.

    `shift_ms` moves its time. Returns the new id.
    """
    values = json.loads(message)
    values["message_id"] = network.ids.next()
    values["seq"] = bot.head + 1
    values["context_token"] = bot.new_context_token()
    values["create_time_ms"] += shift_ms
    copy = wire.dump(values)
    bot.planned.add(copy)
    bot.append(copy)
    return str(values["message_id"])
