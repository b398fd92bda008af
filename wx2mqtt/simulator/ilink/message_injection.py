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
from wx2mqtt.simulator.ilink.file_from_person import BadDetail, generate_file
from wx2mqtt.simulator.ilink.message_kinds import BuiltItems, ItemRequest
from wx2mqtt.simulator.ilink.simulated_ilink import SimulatedILink
from wx2mqtt.simulator.media import ByteSource, FileDescription


def schedule_redelivery(ilink: SimulatedILink, bot: Bot, entries: Sequence[bytes]) -> None:
    """See that what is given now comes again later, if the setting asks for it; once for each message."""
    seconds = ilink.settings.redeliver_after
    if not seconds:
        return
    loop = asyncio.get_running_loop()
    for message in entries:
        if message not in bot.redelivery_planned:
            bot.redelivery_planned.add(message)
            loop.call_later(seconds, redeliver, ilink, bot, message)


def redeliver(ilink: SimulatedILink, bot: Bot, message: bytes, shift_ms: int = 0) -> str:
    """Put a message into the queue once more: a new id, a new context token, the rest as it was.

    `shift_ms` moves its time. Returns the new id.
    """
    values = json.loads(message)
    values["message_id"] = ilink.ids.next()
    values["seq"] = bot.head + 1
    values["context_token"] = bot.new_context_token()
    values["create_time_ms"] += shift_ms
    copy = messages.dump_json(values)
    bot.redelivery_planned.add(copy)
    bot.append(copy)
    return str(values["message_id"])


Fields = dict[str, object]


class CannotSend(ValueError):
    """They have no bot, or the phone cannot send this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageOrder:
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


def inject(ilink: SimulatedILink, order: MessageOrder) -> list[str]:
    """Say it; returns the message ids. Raises `CannotSay`, and `UnknownKind` and `BadDetail` of the kinds."""
    bot = require_bot(ilink, order.person)
    if (order.data or order.bytes_of is not None) and not message_kinds.file_kind(order.kind):
        raise BadDetail(f"a message of kind {order.kind} brings no bytes")
    msg_ids = [_inject_message(ilink, bot, order, number) for number in range(1, order.count + 1)]
    _open_window(ilink, bot)
    return msg_ids


def require_bot(ilink: SimulatedILink, person: str) -> Bot:
    """The living bot of somebody; raises `CannotSay`."""
    ilink.world.person(person)
    bot = ilink.active_bot_of(person)
    if bot is None:
        raise CannotSend(
            f"{person} has no bot: nobody has logged in with their scan, or it is bound elsewhere"
        )
    return bot


def inject_raw(ilink: SimulatedILink, person: str, values: list[object]) -> None:
    """Put exactly these messages into the queue of somebody's bot; raises `CannotSay`."""
    bot = require_bot(ilink, person)
    bot.append(*map(messages.dump_json, values))
    _open_window(ilink, bot)


def _open_window(ilink: SimulatedILink, bot: Bot) -> None:
    """The person's window is open again, and full (ilink 10.1)."""
    bot.last_message_at, bot.replies = ilink.clock.now(), 0
    ilink.chats.changes.notify()
    ilink.notify_changed()


def _inject_message(ilink: SimulatedILink, bot: Bot, order: MessageOrder, index: int) -> str:
    msg_id, content = ilink.ids.next(), order.data
    if content is None and order.bytes_of is not None:
        content = generate_file(message_kinds.file_kind(order.kind), str(msg_id), order.bytes_of)
    text = order.text.replace("{n}", str(index)) if order.count > 1 else order.text
    request = ItemRequest(
        ilink=ilink,
        bot=bot,
        msg_id=msg_id,
        kind=order.kind,
        text=text,
        detail=order.detail,
        content=content,
    )
    built = message_kinds.build(request)
    message = {**envelope(ilink, bot, msg_id), **built.fields, "item_list": built.items, **order.raw}
    bot.append(messages.dump_json(message))
    _show_on_phone(ilink, bot, request, built)
    return str(msg_id)


def envelope(ilink: SimulatedILink, bot: Bot, msg_id: int) -> Fields:
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


def _show_on_phone(ilink: SimulatedILink, bot: Bot, request: ItemRequest, built: BuiltItems) -> None:
    media = None
    if built.file:
        plain = built.file.plain
        media = FileDescription(name=built.name, size=plain.size, mime=plain.mime)
        ilink.attachments.put(str(request.msg_id), plain, *built.file.files)
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
