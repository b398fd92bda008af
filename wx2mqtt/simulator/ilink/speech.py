"""The same message comes again under a new id (ilink 4.5.1).

A person writes to their bot on the phone (ilink 5).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wx2mqtt.simulator import messages
from wx2mqtt.simulator import messages as messages_module
from wx2mqtt.simulator.ilink import kinds
from wx2mqtt.simulator.ilink.bots import Bot
from wx2mqtt.simulator.ilink.file_from_person import BadDetail, made_up
from wx2mqtt.simulator.ilink.kinds import BuiltItems, ItemRequest
from wx2mqtt.simulator.ilink.network import Network
from wx2mqtt.simulator.media import ByteSource, ShownFile


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
    copy = messages.dump(values)
    bot.planned.add(copy)
    bot.append(copy)
    return str(values["message_id"])


Fields = dict[str, object]


class CannotSay(ValueError):
    """They have no bot, or the phone cannot send this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechOrder:
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
    data: ByteSource | None = None
    bytes_of: int | None = None


def say(network: Network, speech: SpeechOrder) -> list[str]:
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
    bot.append(*map(messages_module.dump, messages))
    _wrote(network, bot)


def _wrote(network: Network, bot: Bot) -> None:
    """The person's window is open again, and full (ilink 10.1)."""
    bot.last_in, bot.replies = network.clock.now(), 0
    network.chats.changes.notify()
    network.notify_changed()


def _one(network: Network, bot: Bot, speech: SpeechOrder, number: int) -> str:
    msg_id, content = network.ids.next(), speech.data
    if content is None and speech.bytes_of is not None:
        content = made_up(kinds.brings_bytes(speech.kind), str(msg_id), speech.bytes_of)
    text = speech.text.replace("{n}", str(number)) if speech.count > 1 else speech.text
    asked = ItemRequest(
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
    bot.append(messages.dump(message))
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


def _show(network: Network, bot: Bot, request: ItemRequest, built: BuiltItems) -> None:
    media = None
    if built.brought:
        plain = built.brought.plain
        media = ShownFile(name=built.name, size=plain.size, mime=plain.mime)
        network.attachments.put(str(request.msg_id), plain, *built.brought.files)
    network.chats.show(
        person=bot.person,
        by="person",
        kind=request.kind,
        text=built.name or request.text,
        msg_id=str(request.msg_id),
        time=network.clock.now(),
        quoted=built.quoted,
        media=media,
    )
