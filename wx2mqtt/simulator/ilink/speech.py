"""A person writes to their bot on the phone (ilink 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wx2mqtt.simulator import wire
from wx2mqtt.simulator.ilink.bots import Bot
from wx2mqtt.simulator.ilink.network import Network

Fields = dict[str, object]


class CannotSay(ValueError):
    """They have no bot, or the phone cannot send this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """`person` is an id of the world. `{n}` in the text counts from 1 when `count` is above 1.

    `detail` feeds the kind; `raw` overrides fields of the finished message.
    """

    person: str
    text: str = ""
    kind: str = "text"
    count: int = 1
    detail: Mapping[str, object] = field(default_factory=dict)
    raw: Fields = field(default_factory=dict)


def say(network: Network, speech: Speech) -> list[str]:
    """Say it; returns the message ids. Raises `CannotSay`."""
    bot = bot_of(network, speech.person)
    said = []
    for number in range(1, speech.count + 1):
        text = speech.text.replace("{n}", str(number)) if speech.count > 1 else speech.text
        said.append(_one(network, bot, speech, text))
    _wrote(network, bot)
    return said


def bot_of(network: Network, person: str) -> Bot:
    """The living bot of somebody; raises `CannotSay`."""
    network.world.person(person)
    bot = network.bot_of(person)
    if bot is None:
        raise CannotSay(
            f"{person} has no bot: nobody has logged in with their scan, or it is bound elsewhere"
        )
    return bot


def _wrote(network: Network, bot: Bot) -> None:
    bot.last_in, bot.replies = network.clock.now(), 0
    network.chats.bell.ring()
    network.changed()


def _one(network: Network, bot: Bot, speech: Speech, text: str) -> str:
    msg_id = network.ids.next()
    item = {"type": 1, "text_item": {"text": text}}
    message = {**envelope(network, bot, msg_id), "item_list": [item], **speech.raw}
    bot.append(wire.dump(message))
    network.chats.show(
        person=bot.person,
        by="person",
        kind=speech.kind,
        text=text,
        msg_id=str(msg_id),
        time=network.clock.now(),
    )
    return str(msg_id)


def envelope(network: Network, bot: Bot, msg_id: int) -> Fields:
    """All fields of a message but its items (ilink 5.1)."""
    now = network.clock.now_ms()
    return {
        "seq": bot.head + 1,
        "message_id": msg_id,
        "from_user_id": bot.user_id,
        "to_user_id": bot.bot_id,
        "client_id": f"phone-{msg_id}",
        "create_time_ms": now,
        "update_time_ms": now,
        "delete_time_ms": 0,
        "session_id": f"{bot.user_id}#{bot.bot_id}",
        "group_id": "",
        "message_type": 1,
        "message_state": 2,
        "context_token": bot.new_context_token(),
    }


def put_raw(network: Network, person: str, messages: list[object]) -> None:
    """Put exactly these messages into the queue of somebody's bot; raises `CannotSay`."""
    bot = bot_of(network, person)
    bot.append(*map(wire.dump, messages))
    _wrote(network, bot)
