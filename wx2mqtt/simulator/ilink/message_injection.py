"""The same message comes again under a new id (ilink 4.5.1).

A person writes to their bot on the phone (ilink 5).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wx2mqtt.simulator import messages
from wx2mqtt.simulator.ilink import message_kinds
from wx2mqtt.simulator.ilink.bot import Bot
from wx2mqtt.simulator.ilink.file_from_person import BadDetail, made_up
from wx2mqtt.simulator.ilink.message_kinds import BuiltItems, ItemRequest
from wx2mqtt.simulator.ilink.simulated_ilink import Network
from wx2mqtt.simulator.media import ByteSource, ShownFile


def plan(ilink: Network, bot: Bot, entries: Sequence[bytes]) -> None:
    """See that what is given now comes again later, if the setting asks for it; once for each message."""
    seconds = ilink.settings.redeliver_after
    if not seconds:
        return
    loop = asyncio.get_running_loop()
    for message in entries:
        if message not in bot.planned:
            bot.planned.add(message)
            loop.call_later(seconds, again, ilink, bot, message)


def again(ilink: Network, bot: Bot, message: bytes, shift_ms: int = 0) -> str:
    """Put a message into the queue once more: a new id, a new context token, the rest as it was.

    `shift_ms` moves its time. Returns the new id.
    """
    values = json.loads(message)
    values["message_id"] = ilink.ids.next()
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


def say(ilink: Network, order: SpeechOrder) -> list[str]:
    """Say it; returns the message ids. Raises `CannotSay`, and `UnknownKind` and `BadDetail` of the kinds."""
    bot = bot_of(ilink, order.person)
    if (order.data or order.bytes_of is not None) and not message_kinds.brings_bytes(order.kind):
        raise BadDetail(f"a message of kind {order.kind} brings no bytes")
    said = [_one(ilink, bot, order, number) for number in range(1, order.count + 1)]
    _wrote(ilink, bot)
    return said


def bot_of(ilink: Network, person: str) -> Bot:
    """The living bot of somebody; raises `CannotSay`."""
    ilink.world.person(person)
    bot = ilink.bot_of(person)
    if bot is None:
        raise CannotSay(
            f"{person} has no bot: nobody has logged in with their scan, or it is bound elsewhere"
        )
    return bot


def put_raw(ilink: Network, person: str, values: list[object]) -> None:
    """Put exactly these messages into the queue of somebody's bot; raises `CannotSay`."""
    bot = bot_of(ilink, person)
    bot.append(*map(messages.dump, values))
    _wrote(ilink, bot)


def _wrote(ilink: Network, bot: Bot) -> None:
    """The person's window is open again, and full (ilink 10.1)."""
    bot.last_in, bot.replies = ilink.clock.now(), 0
    ilink.chats.changes.notify()
    ilink.notify_changed()


def _one(ilink: Network, bot: Bot, order: SpeechOrder, number: int) -> str:
    msg_id, content = ilink.ids.next(), order.data
    if content is None and order.bytes_of is not None:
        content = made_up(message_kinds.brings_bytes(order.kind), str(msg_id), order.bytes_of)
    text = order.text.replace("{n}", str(number)) if order.count > 1 else order.text
    asked = ItemRequest(
        ilink=ilink,
        bot=bot,
        msg_id=msg_id,
        kind=order.kind,
        text=text,
        detail=order.detail,
        content=content,
    )
    built = message_kinds.build(asked)
    message = {**envelope(ilink, bot, msg_id), **built.fields, "item_list": built.items, **order.raw}
    bot.append(messages.dump(message))
    _show(ilink, bot, asked, built)
    return str(msg_id)


def envelope(ilink: Network, bot: Bot, msg_id: int) -> Fields:
    """All fields of a message but its items (ilink 5.1)."""
    now = ilink.clock.now_ms()
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


def _show(ilink: Network, bot: Bot, request: ItemRequest, built: BuiltItems) -> None:
    media = None
    if built.brought:
        plain = built.brought.plain
        media = ShownFile(name=built.name, size=plain.size, mime=plain.mime)
        ilink.attachments.put(str(request.msg_id), plain, *built.brought.files)
    ilink.chats.show(
        person=bot.person,
        by="person",
        kind=request.kind,
        text=built.name or request.text,
        msg_id=str(request.msg_id),
        time=ilink.clock.now(),
        quoted=built.quoted,
        media=media,
    )
