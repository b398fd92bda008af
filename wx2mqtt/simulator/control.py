"""The HTTP control API `/sim/...`: actions of people and of the phone, settings, faults, observations.

Tests, the demo and the phone page use it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from wx2mqtt.simulator import control_media, control_people, message_injection, message_kinds, messages
from wx2mqtt.simulator.control_media import BadMedia, UnknownMessage
from wx2mqtt.simulator.faults import BadFault
from wx2mqtt.simulator.http_messages import Request, SimulatedAnswer
from wx2mqtt.simulator.ilink import control as ilink_control
from wx2mqtt.simulator.message_injection import CannotSend, MessageOrder
from wx2mqtt.simulator.qr_codes import (
    OPEN_STATES,
    ActionNotPossible,
    CodeAction,
    CodeState,
    LoginQrCode,
    OtherAccount,
)
from wx2mqtt.simulator.routes import FAULTY_NAMES
from wx2mqtt.simulator.settings import BadSetting
from wx2mqtt.simulator.wechat import WeChat
from wx2mqtt.simulator.wecom import control as wecom_control
from wx2mqtt.simulator.wecom import orders as wecom_orders
from wx2mqtt.simulator.world import BadPerson, UnknownPerson

Fields = dict[str, object]
Handler = Callable[[WeChat, Request, Fields], Awaitable[object]]

MAX_WAIT_SECONDS = 60.0


class BadOrder(ValueError):
    """The order is malformed (HTTP 400)."""


class Conflict(ValueError):
    """The order is not possible in the current state (HTTP 409)."""


_CONFLICT_ERRORS = (
    ActionNotPossible,
    CannotSend,
    Conflict,
    *ilink_control.CONFLICT_ERRORS,
    *wecom_control.CONFLICT_ERRORS,
)
_NOT_FOUND_ERRORS = (
    UnknownPerson,
    UnknownMessage,
    ilink_control.UnknownMessage,
    *wecom_control.NOT_FOUND_ERRORS,
)
_BAD_ORDER_ERRORS = (
    BadOrder,
    BadMedia,
    BadFault,
    BadSetting,
    BadPerson,
    message_kinds.UnknownKind,
    *ilink_control.BAD_ORDER_ERRORS,
    *wecom_control.BAD_ORDER_ERRORS,
)


async def carry_out(wechat: WeChat, request: Request, handler: Handler) -> SimulatedAnswer:
    """Runs the handler of an order; its errors become a JSON object with the key `error`."""
    try:
        result = await handler(wechat, request, _order(request))
    except _CONFLICT_ERRORS as error:
        return _json({"error": str(error)}, 409)
    except _NOT_FOUND_ERRORS as error:
        return _json({"error": str(error)}, 404)
    except _BAD_ORDER_ERRORS as error:
        return _json({"error": str(error)}, 400)
    return result if isinstance(result, SimulatedAnswer) else _json(result, 200)


def find_handler(request: Request) -> Handler | None:
    if request.path.startswith(control_media.PREFIX):
        return control_media.get_file
    for prefix, handler in _PREFIX_HANDLERS:
        if request.path.startswith(prefix):
            return handler
    return HANDLERS.get((request.method, request.path))


def _json(value: object, status: int) -> SimulatedAnswer:
    return SimulatedAnswer(
        body=messages.dump_json(value),
        status=status,
        content_type="application/json",
        headers=(("cache-control", "no-store"),),
    )


def _order(request: Request) -> Fields:
    if request.method == "GET" or not request.body:
        return {}
    try:
        order = json.loads(request.body)
    except ValueError as error:
        raise BadOrder(f"the body is no JSON: {error}") from None
    if not isinstance(order, dict):
        raise BadOrder("the body is no JSON object")
    return order


def _number(request: Request, name: str, default: float) -> float:
    try:
        return float(request.query.get(name, default))
    except ValueError:
        raise BadOrder(f"{name} must be a number") from None


# Login


def _ordered_code(wechat: WeChat, order: Fields) -> LoginQrCode:
    uuid = order.get("uuid")
    code = wechat.codes.newest() if uuid is None else wechat.codes.find(str(uuid))
    if code is None:
        raise Conflict("there is no such QR code")
    code.current_state()
    return code


def _code_action(action: CodeAction) -> Handler:
    async def handler(wechat: WeChat, _: Request, order: Fields) -> Fields:
        code = _ordered_code(wechat, order)
        code.apply(action)
        wechat.notify_changed()
        return {"uuid": code.uuid, "state": code.state}

    return handler


async def scan(wechat: WeChat, request: Request, order: Fields) -> object:
    """Scans a code; with `uin` and `nickname` it is another account that does so."""
    uin, nickname = order.get("uin"), order.get("nickname", "")
    if not isinstance(uin, int | None) or not isinstance(nickname, str):
        raise BadOrder("uin must be a number, nickname text")
    answer = await _code_action(CodeAction.SCAN)(wechat, request, order)
    code = _ordered_code(wechat, order)
    code.other_account = None if uin is None else OtherAccount(uin=uin, nickname=nickname)
    return answer


async def logout(wechat: WeChat, _: Request, order: Fields) -> Fields:
    """Ends the login with a retcode: 1100 for a logout on the phone, 1101 for another client's login."""
    retcode = order.get("retcode", 1101)
    if not isinstance(retcode, int):
        raise BadOrder("retcode must be a number")
    if not wechat.end_session(retcode):
        raise Conflict("nobody is logged in")
    return {"retcode": retcode}


# Observations


async def state(wechat: WeChat, _: Request, __: Fields) -> Fields:
    session = wechat.session
    return {
        "logins": [
            {
                "uuid": c.uuid,
                "state": c.current_state(),
                "push": c.push,
                "desktop": c.desktop,
                "age": time.time() - c.created_at,
            }
            for c in wechat.codes
        ],
        "online": session is not None and session.inits > 0,
        "polling": session is not None and session.polling,
        "session": session and {"inits": session.inits, "head": session.log.head, "desktop": session.desktop},
        "sessions": len(wechat.sessions),
        "people": len(wechat.world.contacts),
        "owner": {"nickname": wechat.world.owner.nickname, "uin": wechat.world.uin},
        "calls": dict(wechat.calls),
        "sent": len(wechat.phone.sent),
        "lines": wechat.phone.count,
        "unread": dict(wechat.phone.unread),
        "downloads": {"now": len(wechat.media.active_downloads), "most": wechat.media.max_concurrent},
        "violations": wechat.violations.count,
        "faults": [asdict(fault) for fault in wechat.faults.list()],
        "settings": wechat.settings.values(),
        "ilink": ilink_control.overview(wechat.ilink),
        "wecom": wecom_control.overview(wechat.wecom),
    }


def _conditions(wechat: WeChat) -> dict[str, Callable[[], bool]]:
    def code_is(*states: CodeState) -> Callable[[], bool]:
        return lambda: (code := wechat.codes.newest()) is not None and code.current_state() in states

    return {
        "code": code_is(*OPEN_STATES),
        "scanned": code_is(CodeState.SCANNED),
        "online": lambda: wechat.session is not None and wechat.session.inits > 0,
        "offline": lambda: wechat.session is None,
        "polling": lambda: wechat.session is not None and wechat.session.polling,
    }


async def wait(wechat: WeChat, request: Request, _: Fields) -> Fields:
    """Waits for one of `_conditions` or for `calls:<endpoint>:<count>`, at most `seconds`."""
    name = request.query.get("for", "")
    ready = _conditions(wechat).get(name) or _call_count_condition(wechat, name)
    seconds = min(_number(request, "seconds", 10.0), MAX_WAIT_SECONDS)
    return {"ready": await wechat.changes.wait_for(ready, seconds)}


def _call_count_condition(wechat: WeChat, name: str) -> Callable[[], bool]:
    prefix, _, rest = name.partition(":")
    endpoint, _, count = rest.partition(":")
    if prefix != "calls" or not count.isdecimal():
        raise BadOrder(f"for must be {', '.join(_conditions(wechat))} or calls:<endpoint>:<count>")
    return lambda: wechat.calls[endpoint] >= int(count)


async def sent(wechat: WeChat, request: Request, _: Fields) -> list[Fields]:
    """Returns what web clients sent after number `after`; with `wait`, waits that many seconds for more."""
    after = int(_number(request, "after", 0))
    seconds = min(_number(request, "wait", 0), MAX_WAIT_SECONDS)
    phone = wechat.phone
    if seconds:
        await phone.changes.wait_for(lambda: len(phone.sent) > after, seconds)
    return [asdict(message) for message in phone.sent[after:]]


async def logs(wechat: WeChat, _: Request, __: Fields) -> list[Fields]:
    """Returns what the client of each login can fetch, in order, and how much of it is confirmed."""
    values: list[Fields] = []
    for session in wechat.sessions.values():
        ids, confirmed_count = session.log.messages()
        active = session.ended_with is None
        values.append({"active": active, "messages": ids, "confirmed": confirmed_count})
    return values


async def feed(wechat: WeChat, request: Request, _: Fields) -> Fields:
    """Returns the phone's lines after number `after`, for the page.

    With `wait`, waits that many seconds for more.

    `recalled` holds the ids of recalled messages, without the first `recalls` of them.
    """
    after = int(_number(request, "after", 0))
    recalls = int(_number(request, "recalls", 0))
    phone = wechat.phone
    await phone.changes.wait_for(
        lambda: phone.count > after or len(phone.recalled) > recalls,
        min(_number(request, "wait", 0), MAX_WAIT_SECONDS),
    )
    return {
        "count": phone.count,
        "lines": [asdict(line) for line in phone.lines if line.n > after],
        "recalls": len(phone.recalled),
        "recalled": phone.recalled[recalls:],
    }


async def violations(wechat: WeChat, _: Request, __: Fields) -> list[Fields]:
    return [asdict(violation) for violation in wechat.violations.list()]


async def clear_violations(wechat: WeChat, _: Request, __: Fields) -> Fields:
    wechat.violations.clear()
    return {}


async def names(wechat: WeChat, _: Request, __: Fields) -> Fields:
    """Returns the user names of all contacts in the active login, by id."""
    session = wechat.session
    if session is None:
        raise Conflict("nobody is logged in")
    everybody = [wechat.world.owner, *wechat.world]
    return {contact.id: session.user_name(contact) for contact in everybody}


# Actions of people and of the servers


async def say(wechat: WeChat, _: Request, order: Fields) -> Fields:
    """Injects messages from a person, a group or WeChat itself; returns the message ids."""
    return {"msg_ids": message_injection.inject(wechat, _message_order(order))}


def _message_order(order: Fields) -> MessageOrder:
    fields_by_key = {
        "from": "sender",
        "to": "to",
        "text": "text",
        "kind": "kind",
        "count": "count",
        "detail": "detail",
        "raw": "raw",
        "data": "data",
        "bytes_of": "bytes_of",
    }
    unknown = [key for key in order if key not in fields_by_key]
    if unknown:
        raise BadOrder(f"unknown: {', '.join(unknown)}; known: {', '.join(fields_by_key)}")
    types = {"count": int, "detail": dict, "raw": dict, "bytes_of": int}
    for key, value in order.items():
        if not isinstance(value, types.get(key, str)):
            raise BadOrder(f"{key} must be {types.get(key, str).__name__}")
    values: dict[str, object] = {"from": "wife", "to": "me", **order}
    if any(isinstance(value, int) and value < 0 for value in values.values()):
        raise BadOrder("count and bytes_of cannot be negative")
    if "data" in values:
        values["data"] = control_media.decode_bytes(values["data"])
    return MessageOrder(**{fields_by_key[key]: value for key, value in values.items()})  # type: ignore[arg-type]


async def read(wechat: WeChat, _: Request, order: Fields) -> Fields:
    """Marks a chat as read on the phone and notifies the web client (webwx 3.9.1)."""
    contact = wechat.world.find(str(order.get("chat")))
    wechat.phone.read(contact.id)
    if wechat.session is not None:
        wechat.notify_status(wechat.session, 2, wechat.session.user_name(contact))
    return {}


async def raw(wechat: WeChat, _: Request, order: Fields) -> Fields:
    """Puts exactly these entries into the next webwxsync."""
    lists = {key: value for key, value in order.items() if isinstance(value, list)}
    if len(lists) != len(order):
        raise BadOrder("each value must be a list")
    message_injection.inject_raw(wechat, lists)
    return {}


async def settings(wechat: WeChat, _: Request, order: Fields) -> Fields:
    wechat.settings.change(order)
    return wechat.settings.values()


async def fault(wechat: WeChat, _: Request, order: Fields) -> Fields:
    wechat.faults.add(order, FAULTY_NAMES)
    return {}


async def clear_faults(wechat: WeChat, _: Request, __: Fields) -> Fields:
    wechat.faults.clear()
    return {}


async def reset(wechat: WeChat, _: Request, __: Fields) -> Fields:
    wechat.reset()
    return {}


def _ilink_handler(handler: ilink_control.Handler) -> Handler:
    async def carried_out(wechat: WeChat, request: Request, order: Fields) -> object:
        return await handler(wechat.ilink, request, order)

    return carried_out


def _wecom_handler(handler: wecom_orders.Handler) -> Handler:
    async def carried_out(wechat: WeChat, request: Request, order: Fields) -> object:
        return await handler(wechat.wecom, request, order)

    return carried_out


_PREFIX_HANDLERS = (
    (ilink_control.MEDIA_PREFIX, _ilink_handler(ilink_control.get_file)),
    ("/sim/ilink/qrcode/", _ilink_handler(ilink_control.qrcode)),
    (wecom_control.MEDIA_PREFIX, _wecom_handler(wecom_control.get_file)),
    (wecom_control.QRCODE_PREFIX, _wecom_handler(wecom_control.qrcode)),
)

HANDLERS: dict[tuple[str, str], Handler] = {
    **{route: _ilink_handler(handler) for route, handler in ilink_control.HANDLERS.items()},
    **{route: _wecom_handler(handler) for route, handler in wecom_control.HANDLERS.items()},
    ("GET", "/sim/state"): state,
    ("GET", "/sim/wait"): wait,
    ("GET", "/sim/sent"): sent,
    ("GET", "/sim/feed"): feed,
    ("GET", "/sim/logs"): logs,
    ("GET", "/sim/violations"): violations,
    ("GET", "/sim/names"): names,
    ("GET", "/sim/people"): control_people.list_people,
    ("POST", "/sim/people"): control_people.change_people,
    ("POST", "/sim/violations/clear"): clear_violations,
    ("POST", "/sim/scan"): scan,
    ("POST", "/sim/confirm"): _code_action(CodeAction.CONFIRM),
    ("POST", "/sim/cancel"): _code_action(CodeAction.CANCEL),
    ("POST", "/sim/expire"): _code_action(CodeAction.EXPIRE),
    ("POST", "/sim/logout"): logout,
    ("POST", "/sim/say"): say,
    ("POST", "/sim/media"): control_media.change_media,
    ("POST", "/sim/read"): read,
    ("POST", "/sim/raw"): raw,
    ("POST", "/sim/settings"): settings,
    ("POST", "/sim/fault"): fault,
    ("POST", "/sim/fault/clear"): clear_faults,
    ("POST", "/sim/reset"): reset,
}
