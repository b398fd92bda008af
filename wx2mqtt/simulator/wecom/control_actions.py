"""Orders of WeCom's control: what people do, and what happens to the servers and the bots."""

from __future__ import annotations

from dataclasses import asdict

from wx2mqtt.simulator.http_messages import Request
from wx2mqtt.simulator.media import GivenBytes
from wx2mqtt.simulator.wecom import message_injection
from wx2mqtt.simulator.wecom.message_injection import CannotSend, MessageOrder, Press
from wx2mqtt.simulator.wecom.orders import (
    BadOrder,
    Fields,
    UnknownMessage,
    bot_of,
    decode_base64,
    text_of,
)
from wx2mqtt.simulator.wecom.simulated_wecom import SimulatedWeCom
from wx2mqtt.simulator.world import OWNER, WorldGroup

# Actions of people


_SAY_TYPES: dict[str, type] = {
    "from": str,
    "to": str,
    "bot": str,
    "text": str,
    "kind": str,
    "count": int,
    "detail": dict,
    "raw": dict,
    "data": str,
    "bytes_of": int,
}


async def say(wecom: SimulatedWeCom, _: Request, order: Fields) -> Fields:
    """Writes messages of a person to a bot, or with `to` in a group; returns their ids."""
    for key, value in order.items():
        if key not in _SAY_TYPES:
            raise BadOrder(f"unknown: {key}; known: {', '.join(_SAY_TYPES)}")
        if not isinstance(value, _SAY_TYPES[key]) or (isinstance(value, int) and value < 0):
            raise BadOrder(f"{key} must be {_SAY_TYPES[key].__name__}")
    values: Fields = {
        key: order[key] for key in ("text", "kind", "count", "detail", "raw", "bytes_of") if key in order
    }
    if "data" in order:
        values["data"] = GivenBytes(decode_base64(str(order["data"])))
    message = MessageOrder(
        sender=text_of(order, "from", OWNER),
        group=text_of(order, "to", ""),
        **values,  # type: ignore[arg-type]
    )
    return asdict(message_injection.inject(wecom, bot_of(wecom, order), message))


async def press(wecom: SimulatedWeCom, _: Request, order: Fields) -> Fields:
    """Presses a button of a card; without `task_id` of the newest one, without `key` the first button."""
    chosen = order.get("chosen", [])
    if not isinstance(chosen, list):
        raise BadOrder("chosen must be a list of keys")
    values = Press(
        person=text_of(order, "from", OWNER),
        group=text_of(order, "to", ""),
        task_id=text_of(order, "task_id", ""),
        key=text_of(order, "key", ""),
        chosen=tuple(str(key) for key in chosen),
    )
    return {"delivered": message_injection.press(wecom, bot_of(wecom, order), values)}


async def enter(wecom: SimulatedWeCom, _: Request, order: Fields) -> Fields:
    """A person opens their chat with a bot."""
    return {"delivered": message_injection.enter(wecom, bot_of(wecom, order), text_of(order, "from", OWNER))}


async def feedback(wecom: SimulatedWeCom, _: Request, order: Fields) -> Fields:
    """A person rates an answer; `values` override the fields of the event."""
    values = order.get("values", {})
    if not isinstance(values, dict):
        raise BadOrder("values must be an object")
    bot, person = bot_of(wecom, order), text_of(order, "from", OWNER)
    return {"delivered": message_injection.feedback(wecom, bot, person, values)}


async def event(wecom: SimulatedWeCom, _: Request, order: Fields) -> Fields:
    """Sends an event exactly as `event` says."""
    values = order.get("event")
    if not isinstance(values, dict):
        raise BadOrder("event must be an object")
    bot, person = bot_of(wecom, order), text_of(order, "from", OWNER)
    return {"delivered": message_injection.other_event(wecom, bot, person, values)}


async def redeliver(wecom: SimulatedWeCom, _: Request, order: Fields) -> Fields:
    """Sends a callback once more; without `msg_id` the newest one."""
    bot = bot_of(wecom, order)
    return {"delivered": message_injection.redeliver(wecom, bot, text_of(order, "msg_id", ""))}


# Actions of the servers


async def raw(wecom: SimulatedWeCom, _: Request, order: Fields) -> Fields:
    """Sends exactly this to the program of a bot: a `frame` (object), a `text`, or bytes (`data`, base64)."""
    connection = bot_of(wecom, order).connection
    if connection is None:
        raise CannotSend("no program is connected")
    content: dict[str, object] | str | bytes
    frame, text = order.get("frame"), order.get("text")
    if isinstance(frame, dict):
        content = frame
    elif isinstance(text, str):
        content = text
    else:
        content = decode_base64(text_of(order, "data", ""))
    connection.post(content)
    return {}


async def take_over(wecom: SimulatedWeCom, _: Request, order: Fields) -> Fields:
    """Another program subscribes with the bot: the one here is told and closed."""
    return {"was_online": wecom.take_over(bot_of(wecom, order))}


async def lapse(wecom: SimulatedWeCom, _: Request, order: Fields) -> Fields:
    """Lets the subscription die while the connection stays open: 846609 from now on (wecom 2.8)."""
    bot = bot_of(wecom, order)
    was_online, bot.subscribed = bot.is_online, False
    wecom.notify_changed()
    return {"was_online": was_online}


async def kick(wecom: SimulatedWeCom, _: Request, order: Fields) -> Fields:
    """Closes the connection of a bot with a `code`; with `reset` it breaks off without a word."""
    connection = bot_of(wecom, order).connection
    code = order.get("code", 1001)
    if not isinstance(code, int):
        raise BadOrder("code must be a number")
    if connection is not None and order.get("reset") is True:
        connection.transport.abort()
    elif connection is not None:
        connection.close(code)
    return {"was_online": connection is not None}


async def restart(wecom: SimulatedWeCom, _: Request, __: Fields) -> Fields:
    """The gateway starts again: all connections break off, and what was being uploaded is forgotten."""
    count = len(wecom.connections)
    for connection in [*wecom.connections]:
        connection.transport.abort()
    for bot in wecom.bots.values():
        bot.uploads.clear()
    return {"connections": count}


async def change_bot(wecom: SimulatedWeCom, _: Request, order: Fields) -> Fields:
    """Makes a bot, or changes it if it exists; returns its credentials.

    `refuses` is the code that its subscriptions get. `groups` are the groups in which it is.
    """
    known = {"bot", "secret", "name", "refuses", "groups"}
    if unknown := sorted(order.keys() - known):
        raise BadOrder(f"unknown: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    bot_id = text_of(order, "bot", "")
    bot = wecom.bots.get(bot_id) or wecom.add_bot(bot_id=bot_id)
    bot.secret = text_of(order, "secret", bot.secret)
    bot.name = text_of(order, "name", bot.name)
    refuses, groups = order.get("refuses", bot.refuses), order.get("groups", [*bot.groups])
    if not isinstance(refuses, int) or not isinstance(groups, list):
        raise BadOrder("refuses must be a number, groups a list of ids")
    bot.refuses = refuses
    bot.groups = {_group_id(wecom, str(group)) for group in groups}
    wecom.notify_changed()
    return {"bot": bot.bot_id, "secret": bot.secret, "name": bot.name}


def _group_id(wecom: SimulatedWeCom, group: str) -> str:
    contact = wecom.world.find(group)
    if not isinstance(contact, WorldGroup):
        raise BadOrder(f"{group} is no group")
    return contact.id


async def set_files_gone(wecom: SimulatedWeCom, _: Request, order: Fields) -> Fields:
    """Removes the files of a message from the storage, or with `gone` false restores them."""
    msg_id = text_of(order, "msg_id", "")
    files = wecom.files.of_message.get(msg_id)
    if files is None:
        raise UnknownMessage(msg_id)
    for file in files:
        file.gone = order.get("gone", True) is True
    return {}


async def clock(wecom: SimulatedWeCom, _: Request, order: Fields) -> Fields:
    """Moves the servers' clock `forward`, or sets how far it is `ahead` of the machine's; both in seconds."""
    values = {key: value for key, value in order.items() if isinstance(value, int | float)}
    if len(values) != len(order) or not values.keys() <= {"forward", "ahead"}:
        raise BadOrder("forward and ahead are seconds")
    wecom.clock.offset_seconds = values.get("ahead", wecom.clock.offset_seconds) + values.get("forward", 0)
    wecom.notify_changed()
    return {"ahead": wecom.clock.offset_seconds}


async def settings(wecom: SimulatedWeCom, _: Request, order: Fields) -> Fields:
    wecom.settings.change(order)
    return wecom.settings.values()
