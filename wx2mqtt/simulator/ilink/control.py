"""The HTTP control API of iLink, `/sim/ilink/...`: actions of people and phones, settings, observations."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from wx2mqtt.simulator import qr_image
from wx2mqtt.simulator.file_answer import file_answer
from wx2mqtt.simulator.http_messages import Request, SimulatedAnswer
from wx2mqtt.simulator.ilink import message_injection, message_kinds
from wx2mqtt.simulator.ilink.bot import Bot
from wx2mqtt.simulator.ilink.file_from_person import BadDetail
from wx2mqtt.simulator.ilink.message_injection import CannotSend, MessageOrder
from wx2mqtt.simulator.ilink.qr_codes import OPEN_STATUSES, ActionNotPossible, BotQrCode, CodeStatus
from wx2mqtt.simulator.ilink.simulated_ilink import SimulatedILink, user_id_of
from wx2mqtt.simulator.media import GivenBytes
from wx2mqtt.simulator.world import OWNER, PersonKind, WorldPerson

MEDIA_PREFIX = "/sim/ilink/media/"
Fields = dict[str, object]


class UnknownMessage(KeyError):
    """No message with that id has a file."""

    def __str__(self) -> str:
        return f"no message {self.args[0]!r} has a file"


async def get_file(ilink: SimulatedILink, request: Request, _: Fields) -> SimulatedAnswer:
    msg_id = request.path.removeprefix(MEDIA_PREFIX)
    content = ilink.attachments.plain.get(msg_id)
    if content is None:
        raise UnknownMessage(msg_id)
    line = ilink.chats.find(msg_id)
    return file_answer(content, line.media.name if line and line.media else "")


async def set_files_gone(ilink: SimulatedILink, _: Request, order: Fields) -> Fields:
    """Removes the files of a message from the CDN, or with `gone` false restores them."""
    msg_id = str(order.get("msg_id"))
    files = ilink.attachments.files.get(msg_id)
    if files is None:
        raise UnknownMessage(msg_id)
    for file in files:
        file.gone = order.get("gone", True) is True
    return {}


Handler = Callable[[SimulatedILink, Request, Fields], Awaitable[object]]
MAX_WAIT_SECONDS = 60.0


class BadOrder(ValueError):
    """The order is malformed."""


BAD_ORDER_ERRORS = (BadOrder, BadDetail, message_kinds.UnknownKind)
CONFLICT_ERRORS = (ActionNotPossible, CannotSend)


def _number(request: Request, name: str, default: float) -> float:
    try:
        return float(request.query.get(name, default))
    except ValueError:
        raise BadOrder(f"{name} must be a number") from None


def _text(order: Fields, name: str, default: str) -> str:
    value = order.get(name, default)
    if not isinstance(value, str):
        raise BadOrder(f"{name} must be text")
    return value


# Login


def _ordered_code(ilink: SimulatedILink, order: Fields) -> BotQrCode:
    handle = order.get("qrcode")
    code = ilink.codes.newest() if handle is None else ilink.codes.find(str(handle))
    if code is None:
        raise ActionNotPossible("there is no such QR code")
    code.current_status()
    return code


def _code_values(code: BotQrCode) -> Fields:
    return {
        "qrcode": code.handle,
        "status": code.current_status(),
        "person": code.person,
        "number": code.number,
        "age": time.time() - code.created_at,
    }


async def scan(ilink: SimulatedILink, _: Request, order: Fields) -> Fields:
    code = _ordered_code(ilink, order)
    ilink.scan(code, _text(order, "person", OWNER))
    return _code_values(code)


async def qrcode(ilink: SimulatedILink, request: Request, _: Fields) -> SimulatedAnswer:
    """Returns a code as a picture for the phone page; the real servers draw none (ilink 3.1.4)."""
    code = ilink.codes.find(request.path.rpartition("/")[2])
    if code is None:
        raise ActionNotPossible("there is no such QR code")
    return SimulatedAnswer(body=qr_image.draw_qr_jpeg(code.content), content_type="image/jpeg")


async def confirm(ilink: SimulatedILink, _: Request, order: Fields) -> Fields:
    """Confirms the binding on the phone of the person who scanned."""
    code = _ordered_code(ilink, order)
    ilink.confirm(code)
    return _code_values(code)


async def expire(ilink: SimulatedILink, _: Request, order: Fields) -> Fields:
    code = _ordered_code(ilink, order)
    code.expire()
    ilink.notify_changed()
    return _code_values(code)


async def unbind(ilink: SimulatedILink, _: Request, order: Fields) -> Fields:
    """Revokes a person's bot, as a binding elsewhere does: -14."""
    if not ilink.unbind(_text(order, "person", OWNER)):
        raise ActionNotPossible("they have no bot")
    return {}


# Observations


def overview(ilink: SimulatedILink) -> Fields:
    bots = {bot.person: bot for bot in ilink.bots.values() if bot.alive}
    return {
        "codes": [_code_values(code) for code in ilink.codes],
        "bots": {name: _bot_values(ilink, bot) for name, bot in bots.items()},
        "bindings": len(ilink.bots),
        "muted": sorted(ilink.muted),
        "lines": ilink.chats.count,
        "sent": len(ilink.chats.sent),
        "ahead": ilink.clock.offset_seconds,
    }


def _bot_values(ilink: SimulatedILink, bot: Bot) -> Fields:
    return {
        "bot_id": bot.bot_id,
        "started": bot.started,
        "polling": bot.polling,
        "last_in": bot.last_message_at,
        "until": None
        if bot.last_message_at is None
        else bot.last_message_at + ilink.settings.window_hours * 3600,
        "open": bot.is_window_open(ilink.clock.now(), ilink.settings.window_hours),
        "left": max(0, ilink.settings.quota - bot.replies),
        "messages": bot.head,
        "seen": bot.acknowledged_position,
        "typing": bot.typing,
    }


async def state(ilink: SimulatedILink, _: Request, __: Fields) -> Fields:
    """Returns the overview, the settings, and the iLink ids of all people."""
    everybody = [contact for contact in (ilink.world.owner, *ilink.world) if isinstance(contact, WorldPerson)]
    people = {person.id: user_id_of(person.id) for person in everybody if person.kind in _HUMAN_KINDS}
    return {**overview(ilink), "user_ids": people, "settings": ilink.settings.values()}


_HUMAN_KINDS = (PersonKind.FRIEND, PersonKind.STRANGER)


def _conditions(ilink: SimulatedILink, person: str) -> dict[str, Callable[[], bool]]:
    def code_is(*statuses: CodeStatus) -> Callable[[], bool]:
        return lambda: (code := ilink.codes.newest()) is not None and code.current_status() in statuses

    def bot_has(what: Callable[[Bot], bool]) -> Callable[[], bool]:
        return lambda: (bot := ilink.active_bot_of(person)) is not None and what(bot)

    return {
        "code": code_is(*OPEN_STATUSES),
        "scaned": code_is(CodeStatus.SCANED),
        "number": code_is(CodeStatus.NEED_VERIFYCODE),
        "bound": bot_has(lambda _: True),
        "unbound": lambda: ilink.active_bot_of(person) is None,
        "started": bot_has(lambda bot: bot.started),
        "polling": bot_has(lambda bot: bot.polling),
        "seen": bot_has(lambda bot: bot.acknowledged_position == bot.head),
        "typing": bot_has(lambda bot: bot.typing),
    }


async def wait(ilink: SimulatedILink, request: Request, _: Fields) -> Fields:
    """Waits for one of `_conditions` (of `person`), at most `seconds`."""
    conditions = _conditions(ilink, request.query.get("person", OWNER))
    ready = conditions.get(request.query.get("for", ""))
    if ready is None:
        raise BadOrder(f"for must be one of {', '.join(conditions)}")
    seconds = min(_number(request, "seconds", 10.0), MAX_WAIT_SECONDS)
    return {"ready": await ilink.changes.wait_for(ready, seconds)}


async def sent(ilink: SimulatedILink, request: Request, _: Fields) -> list[Fields]:
    """Returns the accepted messages of bots after number `after`.

    With `wait`, waits that many seconds for more.
    """
    after = int(_number(request, "after", 0))
    seconds = min(_number(request, "wait", 0), MAX_WAIT_SECONDS)
    chats = ilink.chats
    if seconds:
        await chats.changes.wait_for(lambda: len(chats.sent) > after, seconds)
    return [asdict(message) for message in chats.sent[after:]]


async def logs(ilink: SimulatedILink, _: Request, __: Fields) -> list[Fields]:
    """Returns the messages to each bot in order, and how many of them the program has confirmed."""
    return [
        {"active": bot.alive, "messages": bot.message_ids(), "confirmed": bot.acknowledged_position}
        for bot in ilink.bots.values()
    ]


async def feed(ilink: SimulatedILink, request: Request, _: Fields) -> Fields:
    """Returns the phones' lines after number `after`; with `wait`, waits that many seconds for more."""
    after = int(_number(request, "after", 0))
    chats = ilink.chats
    seconds = min(_number(request, "wait", 0), MAX_WAIT_SECONDS)
    await chats.changes.wait_for(lambda: chats.count > after, seconds)
    return {"count": chats.count, "lines": [asdict(line) for line in chats.lines if line.n > after]}


# Actions of people and of the servers


_ORDER_TYPES: dict[str, type] = {
    "from": str,
    "text": str,
    "kind": str,
    "count": int,
    "detail": dict,
    "raw": dict,
    "data": str,
    "bytes_of": int,
}


async def say(ilink: SimulatedILink, _: Request, order: Fields) -> Fields:
    """Injects messages of a person to their bot; returns the message ids."""
    for key, value in order.items():
        if key not in _ORDER_TYPES:
            raise BadOrder(f"unknown: {key}; known: {', '.join(_ORDER_TYPES)}")
        if not isinstance(value, _ORDER_TYPES[key]) or (isinstance(value, int) and value < 0):
            raise BadOrder(f"{key} must be {_ORDER_TYPES[key].__name__}")
    values = {"person": order.get("from", OWNER), **{key: order[key] for key in order if key != "from"}}
    if "data" in values:
        values["data"] = GivenBytes(message_kinds.decode_base64(str(values["data"])))
    return {"msg_ids": message_injection.inject(ilink, MessageOrder(**values))}  # type: ignore[arg-type]


async def raw(ilink: SimulatedILink, _: Request, order: Fields) -> Fields:
    """Puts exactly these messages into the queue of a person's bot."""
    messages = order.get("messages")
    if not isinstance(messages, list):
        raise BadOrder("messages must be a list")
    message_injection.inject_raw(ilink, _text(order, "from", OWNER), messages)
    return {}


async def redeliver(ilink: SimulatedILink, _: Request, order: Fields) -> Fields:
    """Delivers a message again under a new id; without `msg_id` the newest one."""
    bot = message_injection.require_bot(ilink, _text(order, "person", OWNER))
    shift = order.get("shift_ms", 0)
    if not isinstance(shift, int):
        raise BadOrder("shift_ms must be a whole number")
    message = bot.find(_text(order, "msg_id", ""))
    if message is None:
        raise CannotSend("there is no such message")
    return {"msg_id": message_injection.redeliver(ilink, bot, message, shift)}


async def clock(ilink: SimulatedILink, _: Request, order: Fields) -> Fields:
    """Moves the servers' clock `forward`, or sets how far it is `ahead` of the machine's; both in seconds."""
    values = {key: value for key, value in order.items() if isinstance(value, int | float)}
    if len(values) != len(order) or not values.keys() <= {"forward", "ahead"}:
        raise BadOrder("forward and ahead are seconds")
    ilink.clock.offset_seconds = values.get("ahead", ilink.clock.offset_seconds) + values.get("forward", 0)
    ilink.notify_changed()
    return {"ahead": ilink.clock.offset_seconds}


async def mute(ilink: SimulatedILink, _: Request, order: Fields) -> Fields:
    """Mutes a person's bot, or with `on` false unmutes it (ilink 10.1.5)."""
    person = ilink.world.person(_text(order, "person", OWNER)).id
    if order.get("on", True):
        ilink.muted.add(person)
    else:
        ilink.muted.discard(person)
    return {}


async def window(ilink: SimulatedILink, _: Request, order: Fields) -> Fields:
    """Sets the bot's `replies` since its person wrote, and how many seconds `ago` that was (null: never)."""
    bot = message_injection.require_bot(ilink, _text(order, "person", OWNER))
    replies = order.get("replies", bot.replies)
    ago = order.get("ago", bot)
    if not isinstance(replies, int) or not (ago is None or ago is bot or isinstance(ago, int | float)):
        raise BadOrder("replies must be a whole number, ago seconds or null")
    bot.replies = replies
    if ago is None or isinstance(ago, int | float):
        bot.last_message_at = None if ago is None else ilink.clock.now() - ago
    return _bot_values(ilink, bot)


async def settings(ilink: SimulatedILink, _: Request, order: Fields) -> Fields:
    ilink.settings.change(order)
    return ilink.settings.values()


HANDLERS: dict[tuple[str, str], Handler] = {
    ("GET", "/sim/ilink/state"): state,
    ("GET", "/sim/ilink/wait"): wait,
    ("GET", "/sim/ilink/sent"): sent,
    ("GET", "/sim/ilink/feed"): feed,
    ("GET", "/sim/ilink/logs"): logs,
    ("POST", "/sim/ilink/scan"): scan,
    ("POST", "/sim/ilink/confirm"): confirm,
    ("POST", "/sim/ilink/expire"): expire,
    ("POST", "/sim/ilink/kill"): unbind,
    ("POST", "/sim/ilink/say"): say,
    ("POST", "/sim/ilink/media"): set_files_gone,
    ("POST", "/sim/ilink/raw"): raw,
    ("POST", "/sim/ilink/redeliver"): redeliver,
    ("POST", "/sim/ilink/clock"): clock,
    ("POST", "/sim/ilink/mute"): mute,
    ("POST", "/sim/ilink/window"): window,
    ("POST", "/sim/ilink/settings"): settings,
}
