"""Control over the files of messages: `/sim/ilink/media`.

The HTTP control of iLink, `/sim/ilink/…`: what people and their phones do, settings, what was seen.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from wx2mqtt.simulator import qr_image
from wx2mqtt.simulator.file_answer import shown_bytes
from wx2mqtt.simulator.http_messages import Request, SimulatedAnswer
from wx2mqtt.simulator.ilink import message_injection, message_kinds
from wx2mqtt.simulator.ilink.bot import Bot
from wx2mqtt.simulator.ilink.file_from_person import BadDetail
from wx2mqtt.simulator.ilink.message_injection import CannotSay, SpeechOrder
from wx2mqtt.simulator.ilink.qr_codes import OPEN, CannotDo, Code, CodeStatus
from wx2mqtt.simulator.ilink.simulated_ilink import Network, user_id_of
from wx2mqtt.simulator.media import GivenBytes
from wx2mqtt.simulator.world import OWNER, PersonKind, WorldPerson

PREFIX = "/sim/ilink/media/"


Fields = dict[str, object]


class UnknownMessage(KeyError):
    """No message of that id brought anything."""

    def __str__(self) -> str:
        return f"no message {self.args[0]!r} has a file"


async def fetch(ilink: Network, request: Request, _: Fields) -> SimulatedAnswer:
    """The file of a message, in plain."""
    msg_id = request.path.removeprefix(PREFIX)
    content = ilink.attachments.plain.get(msg_id)
    if content is None:
        raise UnknownMessage(msg_id)
    line = ilink.chats.find(msg_id)
    return shown_bytes(content, line.media.name if line and line.media else "")


async def change(ilink: Network, _: Request, order: Fields) -> Fields:
    """The CDN does not have the files of a message any more, or with `gone` false has them again."""
    msg_id = str(order.get("msg_id"))
    files = ilink.attachments.files.get(msg_id)
    if files is None:
        raise UnknownMessage(msg_id)
    for file in files:
        file.gone = order.get("gone", True) is True
    return {}


Handler = Callable[[Network, Request, Fields], Awaitable[object]]


LONGEST_WAIT = 60.0


class BadOrder(ValueError):
    """The order cannot be carried out as it stands."""


WRONG = (BadOrder, BadDetail, message_kinds.UnknownKind)


NOT_NOW = (CannotDo, CannotSay)


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


# login


def _code(ilink: Network, order: Fields) -> Code:
    handle = order.get("qrcode")
    code = ilink.codes.newest() if handle is None else ilink.codes.find(str(handle))
    if code is None:
        raise CannotDo("there is no such QR code")
    code.current_status()
    return code


def _told(code: Code) -> Fields:
    return {
        "qrcode": code.handle,
        "status": code.current_status(),
        "person": code.person,
        "number": code.number,
        "age": time.time() - code.made,
    }


async def scan(ilink: Network, _: Request, order: Fields) -> Fields:
    """A person scans a code."""
    code = _code(ilink, order)
    ilink.scan(code, _text(order, "person", OWNER))
    return _told(code)


async def qrcode(ilink: Network, request: Request, _: Fields) -> SimulatedAnswer:
    """The picture of a code, for the phone page; the real servers draw none (ilink 3.1.4)."""
    code = ilink.codes.find(request.path.rpartition("/")[2])
    if code is None:
        raise CannotDo("there is no such QR code")
    return SimulatedAnswer(body=qr_image.draw(code.content), content_type="image/jpeg")


async def confirm(ilink: Network, _: Request, order: Fields) -> Fields:
    """The person who scanned presses Connect."""
    code = _code(ilink, order)
    ilink.confirm(code)
    return _told(code)


async def expire(ilink: Network, _: Request, order: Fields) -> Fields:
    """A code's time is over."""
    code = _code(ilink, order)
    code.expire()
    ilink.notify_changed()
    return _told(code)


async def kill(ilink: Network, _: Request, order: Fields) -> Fields:
    """A person was bound somewhere else: -14."""
    if not ilink.kill(_text(order, "person", OWNER)):
        raise CannotDo("they have no bot")
    return {}


# what is seen


def overview(ilink: Network) -> Fields:
    """Everything at a glance."""
    bots = {bot.person: bot for bot in ilink.bots.values() if bot.alive}
    return {
        "codes": [_told(code) for code in ilink.codes],
        "bots": {name: _bot(ilink, bot) for name, bot in bots.items()},
        "bindings": len(ilink.bots),
        "muted": sorted(ilink.muted),
        "lines": ilink.chats.count,
        "sent": len(ilink.chats.sent),
        "ahead": ilink.clock.ahead,
    }


def _bot(ilink: Network, bot: Bot) -> Fields:
    return {
        "bot_id": bot.bot_id,
        "started": bot.started,
        "polling": bot.polling,
        "last_in": bot.last_in,
        "until": None if bot.last_in is None else bot.last_in + ilink.settings.window_hours * 3600,
        "open": bot.is_window_open(ilink.clock.now(), ilink.settings.window_hours),
        "left": max(0, ilink.settings.quota - bot.replies),
        "messages": bot.head,
        "seen": bot.acknowledged_position,
        "typing": bot.typing,
    }


async def state(ilink: Network, _: Request, __: Fields) -> Fields:
    """Everything at a glance, the settings, and the ids of all people."""
    everybody = [one for one in (ilink.world.owner, *ilink.world) if isinstance(one, WorldPerson)]
    people = {one.id: user_id_of(one.id) for one in everybody if one.kind in _HUMAN}
    return {**overview(ilink), "user_ids": people, "settings": ilink.settings.values()}


_HUMAN = (PersonKind.FRIEND, PersonKind.STRANGER)


def _conditions(ilink: Network, person: str) -> dict[str, Callable[[], bool]]:
    def code_is(*statuses: CodeStatus) -> Callable[[], bool]:
        return lambda: (code := ilink.codes.newest()) is not None and code.current_status() in statuses

    def bot_has(what: Callable[[Bot], bool]) -> Callable[[], bool]:
        return lambda: (bot := ilink.bot_of(person)) is not None and what(bot)

    return {
        "code": code_is(*OPEN),
        "scaned": code_is(CodeStatus.SCANED),
        "number": code_is(CodeStatus.NEED_VERIFYCODE),
        "bound": bot_has(lambda _: True),
        "unbound": lambda: ilink.bot_of(person) is None,
        "started": bot_has(lambda bot: bot.started),
        "polling": bot_has(lambda bot: bot.polling),
        "seen": bot_has(lambda bot: bot.acknowledged_position == bot.head),
        "typing": bot_has(lambda bot: bot.typing),
    }


async def wait(ilink: Network, request: Request, _: Fields) -> Fields:
    """Wait for one of `_conditions` (of `person`), at most `seconds`."""
    conditions = _conditions(ilink, request.query.get("person", OWNER))
    ready = conditions.get(request.query.get("for", ""))
    if ready is None:
        raise BadOrder(f"for must be one of {', '.join(conditions)}")
    seconds = min(_number(request, "seconds", 10.0), LONGEST_WAIT)
    return {"ready": await ilink.changes.wait_for(ready, seconds)}


async def sent(ilink: Network, request: Request, _: Fields) -> list[Fields]:
    """What bots sent and the servers took, from number `after`; with `wait` seconds until there is more."""
    after = int(_number(request, "after", 0))
    seconds = min(_number(request, "wait", 0), LONGEST_WAIT)
    chats = ilink.chats
    if seconds:
        await chats.changes.wait_for(lambda: len(chats.sent) > after, seconds)
    return [asdict(one) for one in chats.sent[after:]]


async def feed(ilink: Network, request: Request, _: Fields) -> Fields:
    """The phones' lines from number `after`; with `wait` seconds until there is more."""
    after = int(_number(request, "after", 0))
    chats = ilink.chats
    seconds = min(_number(request, "wait", 0), LONGEST_WAIT)
    await chats.changes.wait_for(lambda: chats.count > after, seconds)
    return {"count": chats.count, "lines": [asdict(line) for line in chats.lines if line.n > after]}


# what happens


_SPEECH: dict[str, type] = {
    "from": str,
    "text": str,
    "kind": str,
    "count": int,
    "detail": dict,
    "raw": dict,
    "data": str,
    "bytes_of": int,
}


async def say(ilink: Network, _: Request, order: Fields) -> Fields:
    """A person writes to their bot; answers the message ids."""
    for key, value in order.items():
        if key not in _SPEECH:
            raise BadOrder(f"unknown: {key}; known: {', '.join(_SPEECH)}")
        if not isinstance(value, _SPEECH[key]) or (isinstance(value, int) and value < 0):
            raise BadOrder(f"{key} must be {_SPEECH[key].__name__}")
    values = {"person": order.get("from", OWNER), **{key: order[key] for key in order if key != "from"}}
    if "data" in values:
        values["data"] = GivenBytes(message_kinds.decode(str(values["data"])))
    return {"msg_ids": message_injection.say(ilink, SpeechOrder(**values))}  # type: ignore[arg-type]


async def raw(ilink: Network, _: Request, order: Fields) -> Fields:
    """Put exactly these messages into the queue of a person's bot."""
    messages = order.get("messages")
    if not isinstance(messages, list):
        raise BadOrder("messages must be a list")
    message_injection.put_raw(ilink, _text(order, "from", OWNER), messages)
    return {}


async def redeliver(ilink: Network, _: Request, order: Fields) -> Fields:
    """A message comes again, under a new id; without `msg_id` the newest."""
    bot = message_injection.bot_of(ilink, _text(order, "person", OWNER))
    shift = order.get("shift_ms", 0)
    if not isinstance(shift, int):
        raise BadOrder("shift_ms must be a whole number")
    message = bot.find(_text(order, "msg_id", ""))
    if message is None:
        raise CannotSay("there is no such message")
    return {"msg_id": message_injection.again(ilink, bot, message, shift)}


async def clock(ilink: Network, _: Request, order: Fields) -> Fields:
    """The servers' clock goes on by `forward` seconds, or is `ahead` of the machine's by so many."""
    values = {key: value for key, value in order.items() if isinstance(value, int | float)}
    if len(values) != len(order) or not values.keys() <= {"forward", "ahead"}:
        raise BadOrder("forward and ahead are seconds")
    ilink.clock.ahead = values.get("ahead", ilink.clock.ahead) + values.get("forward", 0)
    ilink.notify_changed()
    return {"ahead": ilink.clock.ahead}


async def mute(ilink: Network, _: Request, order: Fields) -> Fields:
    """A person is muted, or with `on` false no more (ilink 10.1.5)."""
    person = ilink.world.person(_text(order, "person", OWNER)).id
    if order.get("on", True):
        ilink.muted.add(person)
    else:
        ilink.muted.discard(person)
    return {}


async def window(ilink: Network, _: Request, order: Fields) -> Fields:
    """How many `replies` a bot has sent since its person wrote, and how many seconds `ago` (null: never)."""
    bot = message_injection.bot_of(ilink, _text(order, "person", OWNER))
    replies, ago = order.get("replies", bot.replies), order.get("ago", bot)
    if not isinstance(replies, int) or not (ago is None or ago is bot or isinstance(ago, int | float)):
        raise BadOrder("replies must be a whole number, ago seconds or null")
    bot.replies = replies
    if ago is None or isinstance(ago, int | float):
        bot.last_in = None if ago is None else ilink.clock.now() - ago
    return _bot(ilink, bot)


async def settings(ilink: Network, _: Request, order: Fields) -> Fields:
    """Change settings; answers all of them."""
    ilink.settings.change(order)
    return ilink.settings.values()


HANDLERS: dict[tuple[str, str], Handler] = {
    ("GET", "/sim/ilink/state"): state,
    ("GET", "/sim/ilink/wait"): wait,
    ("GET", "/sim/ilink/sent"): sent,
    ("GET", "/sim/ilink/feed"): feed,
    ("POST", "/sim/ilink/scan"): scan,
    ("POST", "/sim/ilink/confirm"): confirm,
    ("POST", "/sim/ilink/expire"): expire,
    ("POST", "/sim/ilink/kill"): kill,
    ("POST", "/sim/ilink/say"): say,
    ("POST", "/sim/ilink/media"): change,
    ("POST", "/sim/ilink/raw"): raw,
    ("POST", "/sim/ilink/redeliver"): redeliver,
    ("POST", "/sim/ilink/clock"): clock,
    ("POST", "/sim/ilink/mute"): mute,
    ("POST", "/sim/ilink/window"): window,
    ("POST", "/sim/ilink/settings"): settings,
}
