"""The HTTP control API of WeCom, `/sim/wecom/...`: the login by scan, observations, and the table of orders.

`control_actions.py` has what people and servers do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from wx2mqtt.simulator import qr_image
from wx2mqtt.simulator.file_answer import file_answer
from wx2mqtt.simulator.http_messages import Request, SimulatedAnswer
from wx2mqtt.simulator.wecom import control_actions as actions
from wx2mqtt.simulator.wecom import message_kinds, people
from wx2mqtt.simulator.wecom.bot import Bot, Expects
from wx2mqtt.simulator.wecom.message_injection import CannotSend
from wx2mqtt.simulator.wecom.message_kinds import BadDetail
from wx2mqtt.simulator.wecom.orders import (
    BadOrder,
    Fields,
    Handler,
    UnknownBot,
    UnknownMessage,
    bot_of,
    number_of,
    text_of,
)
from wx2mqtt.simulator.wecom.qr_codes import OPEN_STATUSES, ActionNotPossible, CodeStatus, ScanCode
from wx2mqtt.simulator.wecom.simulated_wecom import SimulatedWeCom
from wx2mqtt.simulator.world import OWNER

MEDIA_PREFIX = "/sim/wecom/media/"
QRCODE_PREFIX = "/sim/wecom/qrcode/"
MAX_WAIT_SECONDS = 60.0

BAD_ORDER_ERRORS = (BadOrder, BadDetail, message_kinds.UnknownKind)
CONFLICT_ERRORS = (ActionNotPossible, CannotSend)
NOT_FOUND_ERRORS = (UnknownMessage, UnknownBot)


# Login by scan


def _ordered_code(wecom: SimulatedWeCom, order: Fields) -> ScanCode:
    scode = order.get("scode")
    code = wecom.codes.newest() if scode is None else wecom.codes.find(str(scode))
    if code is None:
        raise ActionNotPossible("there is no such QR code")
    code.current_status()
    return code


def _code_values(code: ScanCode) -> Fields:
    return {
        "scode": code.scode,
        "status": code.current_status(),
        "source": code.source,
        "person": code.person,
        "bot": code.bot_id,
        "age": time.time() - code.created_at,
    }


async def scan(wecom: SimulatedWeCom, _: Request, order: Fields) -> Fields:
    code = _ordered_code(wecom, order)
    wecom.scan(code, text_of(order, "person", OWNER))
    return _code_values(code)


async def confirm(wecom: SimulatedWeCom, _: Request, order: Fields) -> Fields:
    """Makes the bot, on the phone of who scanned."""
    code = _ordered_code(wecom, order)
    wecom.confirm(code)
    return _code_values(code)


def _end_code(status: CodeStatus) -> Handler:
    async def end(wecom: SimulatedWeCom, _: Request, order: Fields) -> Fields:
        code = _ordered_code(wecom, order)
        code.end(status)
        wecom.notify_changed()
        return _code_values(code)

    return end


async def qrcode(wecom: SimulatedWeCom, request: Request, _: Fields) -> SimulatedAnswer:
    """Returns a code as a picture for the phone page."""
    code = wecom.codes.find(request.path.removeprefix(QRCODE_PREFIX))
    if code is None:
        raise ActionNotPossible("there is no such QR code")
    return SimulatedAnswer(body=qr_image.draw_qr_jpeg(code.content), content_type="image/jpeg")


# Observations


def overview(wecom: SimulatedWeCom) -> Fields:
    return {
        "codes": [_code_values(code) for code in wecom.codes],
        "bots": {bot.bot_id: _bot_values(bot) for bot in wecom.bots.values()},
        "connections": len(wecom.connections),
        "refused": {str(code): count for code, count in wecom.refused.items()},
        "lines": wecom.chats.count,
        "sent": len(wecom.chats.sent),
        "ahead": wecom.clock.offset_seconds,
    }


def _bot_values(bot: Bot) -> Fields:
    return {
        "name": bot.name,
        "person": bot.person,
        "online": bot.is_online,
        "elsewhere": bot.elsewhere,
        "subscriptions": bot.subscriptions,
        "pings": bot.connection.pings if bot.connection else 0,
        "groups": sorted(bot.groups),
        "written": sorted(bot.written),
        "answered": len(bot.answered),
        "callbacks": len(bot.callbacks),
    }


async def state(wecom: SimulatedWeCom, _: Request, __: Fields) -> Fields:
    """Returns the overview, the settings, all userids and chatids, and the credentials of the bots."""
    return {
        **overview(wecom),
        "handles": {contact.id: people.handle_of(contact) for contact in people.staff(wecom.world)},
        "secrets": {bot.bot_id: bot.secret for bot in wecom.bots.values()},
        "settings": wecom.settings.values(),
    }


def _conditions(wecom: SimulatedWeCom, bot: Bot) -> dict[str, Callable[[], bool]]:
    def code_is(*statuses: CodeStatus) -> Callable[[], bool]:
        return lambda: (code := wecom.codes.newest()) is not None and code.current_status() in statuses

    return {
        "code": code_is(*OPEN_STATUSES),
        "scanned": code_is(CodeStatus.SCANNED),
        "online": lambda: bot.is_online,
        "offline": lambda: not bot.is_online,
        "any_online": lambda: any(one.is_online for one in wecom.bots.values()),
    }


async def wait(wecom: SimulatedWeCom, request: Request, _: Fields) -> Fields:
    """Waits for one of `_conditions` (of `bot`), at most `seconds`.

    `subscriptions:<n>`, `answered:<n>` and `pings:<n>` wait until the bot has had so many.
    """
    bot = bot_of(wecom, {"bot": request.query.get("bot", "")})
    name = request.query.get("for", "")
    ready = _conditions(wecom, bot).get(name) or _count_condition(wecom, bot, name)
    seconds = min(number_of(request, "seconds", 10.0), MAX_WAIT_SECONDS)
    return {"ready": await wecom.changes.wait_for(ready, seconds)}


def _count_condition(wecom: SimulatedWeCom, bot: Bot, name: str) -> Callable[[], bool]:
    what, _, count = name.partition(":")
    if what not in ("subscriptions", "answered", "pings") or not count.isdecimal():
        conditions = ", ".join(_conditions(wecom, bot))
        raise BadOrder(f"for must be {conditions}, or subscriptions:, answered: or pings: and a number")

    def reached() -> bool:
        value = _bot_values(bot)[what]
        return isinstance(value, int) and value >= int(count)

    return reached


async def sent(wecom: SimulatedWeCom, request: Request, _: Fields) -> list[Fields]:
    """Returns the accepted messages of bots after number `after`.

    With `wait`, waits that many seconds for more.
    """
    after = int(number_of(request, "after", 0))
    seconds = min(number_of(request, "wait", 0), MAX_WAIT_SECONDS)
    chats = wecom.chats
    if seconds:
        await chats.changes.wait_for(lambda: len(chats.sent) > after, seconds)
    return [asdict(message) for message in chats.sent[after:]]


@dataclass(slots=True, kw_only=True)
class _ConnectionLog:
    """The messages that went to one connection, by id in order, and which of them have a finished answer."""

    bot: str
    active: bool
    messages: dict[str, bool] = field(default_factory=dict)

    def values(self) -> Fields:
        answered = [msg_id for msg_id, is_answered in self.messages.items() if is_answered]
        return {"bot": self.bot, "active": self.active, "messages": [*self.messages], "answered": answered}


async def logs(wecom: SimulatedWeCom, _: Request, __: Fields) -> list[Fields]:
    """Returns the log of each connection that got messages.

    What was written while no program was connected is in none of them: in the feed it is `lost`.
    """
    found: dict[int, _ConnectionLog] = {}
    for bot in wecom.bots.values():
        for callback in bot.callbacks.values():
            if callback.expects is Expects.RESPOND:
                connection = callback.connection
                log = found.setdefault(
                    connection.number,
                    _ConnectionLog(bot=bot.bot_id, active=connection is bot.connection),
                )
                log.messages[callback.msgid] = callback.msgid in bot.answered
    return [log.values() for log in found.values()]


async def feed(wecom: SimulatedWeCom, request: Request, _: Fields) -> Fields:
    """Returns the phones' lines after number `after`; with `wait`, waits that many seconds for more."""
    after = int(number_of(request, "after", 0))
    chats = wecom.chats
    seconds = min(number_of(request, "wait", 0), MAX_WAIT_SECONDS)
    await chats.changes.wait_for(lambda: chats.count > after, seconds)
    return {"count": chats.count, "lines": [asdict(line) for line in chats.lines if line.n > after]}


async def get_file(wecom: SimulatedWeCom, request: Request, _: Fields) -> SimulatedAnswer:
    """Returns the file of a message in plain, also when the storage does not deliver it any more."""
    msg_id = request.path.removeprefix(MEDIA_PREFIX)
    content = wecom.files.plain.get(msg_id)
    if content is None:
        raise UnknownMessage(msg_id)
    line = wecom.chats.find(msg_id)
    return file_answer(content, line.media.name if line and line.media else "")


HANDLERS: dict[tuple[str, str], Handler] = {
    ("GET", "/sim/wecom/state"): state,
    ("GET", "/sim/wecom/wait"): wait,
    ("GET", "/sim/wecom/sent"): sent,
    ("GET", "/sim/wecom/feed"): feed,
    ("GET", "/sim/wecom/logs"): logs,
    ("POST", "/sim/wecom/scan"): scan,
    ("POST", "/sim/wecom/confirm"): confirm,
    ("POST", "/sim/wecom/expire"): _end_code(CodeStatus.EXPIRED),
    ("POST", "/sim/wecom/fail"): _end_code(CodeStatus.FAILED),
    ("POST", "/sim/wecom/say"): actions.say,
    ("POST", "/sim/wecom/press"): actions.press,
    ("POST", "/sim/wecom/enter"): actions.enter,
    ("POST", "/sim/wecom/feedback"): actions.feedback,
    ("POST", "/sim/wecom/event"): actions.event,
    ("POST", "/sim/wecom/redeliver"): actions.redeliver,
    ("POST", "/sim/wecom/raw"): actions.raw,
    ("POST", "/sim/wecom/takeover"): actions.take_over,
    ("POST", "/sim/wecom/lapse"): actions.lapse,
    ("POST", "/sim/wecom/kick"): actions.kick,
    ("POST", "/sim/wecom/restart"): actions.restart,
    ("POST", "/sim/wecom/bot"): actions.change_bot,
    ("POST", "/sim/wecom/media"): actions.set_files_gone,
    ("POST", "/sim/wecom/clock"): actions.clock,
    ("POST", "/sim/wecom/settings"): actions.settings,
}
