"""A person writes to their bot on the phone (ilink 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wx2mqtt.simulator import wire
from wx2mqtt.simulator.content import Content
from wx2mqtt.simulator.ilink import kinds
from wx2mqtt.simulator.ilink.bots import Bot
from wx2mqtt.simulator.ilink.bringing import BadDetail, made_up
from wx2mqtt.simulator.ilink.kinds import Asked, Built
from wx2mqtt.simulator.ilink.network import Network
from wx2mqtt.simulator.media import Shown

Fields = dict[str, object]


class CannotSay(ValueError):
    """They have no bot, or the phone cannot send this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """`person` is an id of the world. `{n}` in the text counts from 1 when `count` is above 1.

    `detail` feeds the kind; `raw` overrides fields of the finished message. `data` are the bytes of a file,
    `bytes_of` makes so many up, different for each message; without both there is a small file of that kind.
    """

    person: str
    text: str = ""
    kind: str = "text"
    count: int = 1
    detail: Mapping[str, object] = field(default_factory=dict)
    raw: Fields = field(default_factory=dict)
    data: Content | None = None
    bytes_of: int | None = None


def say(network: Network, speech: Speech) -> list[str]:
    """Say it; returns the message ids. Raises `CannotSay`, and `UnknownKind` and `BadDetail` of the kinds."""
    bot = bot_of(network, speech.person)
    if (speech.data or speech.bytes_of is not None) and not kinds.brings_bytes(speech.kind):
        raise BadDetail(f"a message of kind {speech.kind} brings no bytes")
    said = [_one(network, bot, speech, number) for number in range(1, speech.count + 1)]
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


def put_raw(network: Network, person: str, messages: list[object]) -> None:
    """Put exactly these messages into the queue of somebody's bot; raises `CannotSay`."""
    bot = bot_of(network, person)
    bot.append(*map(wire.dump, messages))
    _wrote(network, bot)


def _wrote(network: Network, bot: Bot) -> None:
    """The person's window is open again, and full (ilink 10.1)."""
    bot.last_in, bot.replies = network.clock.now(), 0
    network.chats.bell.ring()
    network.changed()


def _one(network: Network, bot: Bot, speech: Speech, number: int) -> str:
    msg_id, content = network.ids.next(), speech.data
    if content is None and speech.bytes_of is not None:
        content = made_up(kinds.brings_bytes(speech.kind), str(msg_id), speech.bytes_of)
    text = speech.text.replace("{n}", str(number)) if speech.count > 1 else speech.text
    asked = Asked(
        network=network,
        bot=bot,
        msg_id=msg_id,
        kind=speech.kind,
        text=text,
        detail=speech.detail,
        content=content,
    )
    built = kinds.build(asked)
    message = {**envelope(network, bot, msg_id), **built.fields, "item_list": built.items, **speech.raw}
    bot.append(wire.dump(message))
    _show(network, bot, asked, built)
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


def _show(network: Network, bot: Bot, asked: Asked, built: Built) -> None:
    media = None
    if built.brought:
        plain = built.brought.plain
        media = Shown(name=built.name, size=plain.size, mime=plain.mime)
        network.attachments.put(str(asked.msg_id), plain, *built.brought.files)
    network.chats.show(
        person=bot.person,
        by="person",
        kind=asked.kind,
        text=built.name or asked.text,
        msg_id=str(asked.msg_id),
        time=network.clock.now(),
        quoted=built.quoted,
        media=media,
    )
