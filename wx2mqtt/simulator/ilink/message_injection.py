"""Injects messages of people to their bots (ilink 5), and delivers messages again (ilink 4.5.1)."""

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
    """Schedules the redelivery of each message, once, if the setting `redeliver_after` asks for it."""
    seconds = ilink.settings.redeliver_after
    if not seconds:
        return
    loop = asyncio.get_running_loop()
    for message in entries:
        if message not in bot.redelivery_planned:
            bot.redelivery_planned.add(message)
            loop.call_later(seconds, redeliver, ilink, bot, message)


def redeliver(ilink: SimulatedILink, bot: Bot, message: bytes, shift_ms: int = 0) -> str:
    """Queues a message once more with a new id and a new context token; returns the new id.

    `shift_ms` moves its time.
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
    """The person has no bot, or there is no such message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageOrder:
    """Messages to inject. `person` is an id of the world.

    When `count` is above 1, `{n}` in the text is the number of the message, from 1. `detail` has values for
    the kind; `raw` overrides fields of the finished message. `data` are the bytes of a file; `bytes_of`
    generates that many, different for each message. Without both, a file is a small sample.
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
    """Injects the messages and returns their ids; raises `CannotSend`, `UnknownKind` and `BadDetail`."""
    bot = require_bot(ilink, order.person)
    if (order.data or order.bytes_of is not None) and not message_kinds.file_kind(order.kind):
        raise BadDetail(f"a message of kind {order.kind} brings no bytes")
    msg_ids = [_inject_message(ilink, bot, order, number) for number in range(1, order.count + 1)]
    _open_window(ilink, bot)
    return msg_ids


def require_bot(ilink: SimulatedILink, person: str) -> Bot:
    """Returns the active bot of a person; raises `CannotSend`."""
    ilink.world.person(person)
    bot = ilink.active_bot_of(person)
    if bot is None:
        raise CannotSend(
            f"{person} has no bot: nobody has logged in with their scan, or it is bound elsewhere"
        )
    return bot


def inject_raw(ilink: SimulatedILink, person: str, values: list[object]) -> None:
    """Puts exactly these messages into the queue of a person's bot; raises `CannotSend`."""
    bot = require_bot(ilink, person)
    bot.append(*map(messages.dump_json, values))
    _open_window(ilink, bot)


def _open_window(ilink: SimulatedILink, bot: Bot) -> None:
    """Opens the reply window with its full quota (ilink 10.1)."""
    bot.last_message_at = ilink.clock.now()
    bot.replies = 0
    ilink.chats.changes.notify()
    ilink.notify_changed()


def _inject_message(ilink: SimulatedILink, bot: Bot, order: MessageOrder, index: int) -> str:
    msg_id = ilink.ids.next()
    content = order.data
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
    """Returns all fields of a message but its items (ilink 5.1)."""
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
