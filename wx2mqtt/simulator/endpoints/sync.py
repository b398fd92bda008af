"""What is new: synccheck, the long poll, and webwxsync (webwx 2.10, 2.11)."""

from __future__ import annotations

import time

from wx2mqtt.simulator import answers, checks
from wx2mqtt.simulator.checks import Call, Fields
from wx2mqtt.simulator.hosts import Role
from wx2mqtt.simulator.http_messages import SimulatedAnswer
from wx2mqtt.simulator.session import SimulatedSession, Slice, key_json

_NEW_MESSAGE = 2
_TOO_FAST_WITHIN = 1.0


async def synccheck(call: Call) -> SimulatedAnswer:
    """Holds until something is new or the hold is over; the answer is a script with two numbers."""
    checks.method(call, "GET")
    query = call.request.query
    session = checks.living(call, query.get("sid", ""))
    checks.host(call, Role.PUSH, session.base)
    checks.uin(call, session, query.get("uin"))
    checks.skey(call, session, query.get("skey", ""))
    checks.device_id(call, session, query.get("deviceid"))
    checks.cookies(call, session)
    with checks.alone(call, session):
        position = _position(call, session)
        if position is None:
            return _at_once(call, session, _NEW_MESSAGE)
        if session.log.head > position:
            return _at_once(call, session, session.log.selector(position))
        return await _hold(call, session, position)


def _position(call: Call, session: SimulatedSession) -> int | None:
    """None for a key that is missing or was never issued: the server then never holds (webwx 2.10.1)."""
    text = call.request.query.get("synckey")
    position = None if text is None else session.log.position(text)
    if position is None:
        call.violation("synckey is missing (names are case-sensitive) or was never issued")
    return position


def _at_once(call: Call, session: SimulatedSession, selector: int) -> SimulatedAnswer:
    if _too_fast(call, session):
        return answers.page("503 Service Unavailable", status=503)
    return answers.synccheck(0, selector)


def _too_fast(call: Call, session: SimulatedSession) -> bool:
    """A busy loop: too many answers in a second that were not held and brought nothing (webwx 2.10.7)."""
    limit = call.wechat.settings.poll_limit
    times, now = session.idle[call.endpoint], time.monotonic()
    times.append(now)
    too_fast = bool(limit) and len(times) > limit and now - times[-limit - 1] < _TOO_FAST_WITHIN
    if too_fast:
        call.violation(f"more than {limit} in a second that brought nothing")
    return too_fast


async def _hold(call: Call, session: SimulatedSession, position: int) -> SimulatedAnswer:
    log = session.log
    call.wechat.notify_changed()
    await log.changes.wait_for(
        lambda: log.head > position or session.ended_with is not None,
        call.wechat.settings.hold_sync,
    )
    if session.ended_with is not None:
        return answers.synccheck(session.ended_with, 0)
    return answers.synccheck(0, log.selector(position))


async def webwxsync(call: Call) -> SimulatedAnswer:
    """What followed a key, and the keys of the place after it. An old key brings the same again."""
    session, body = checks.signed_body(call)
    query = call.request.query
    if query.get("sid") != session.sid:
        raise call.refuse(checks.PARAMETER_ERROR, "sid in the query is missing or not this login's")
    checks.skey(call, session, query.get("skey", ""))
    with checks.alone(call, session):
        position = session.log.position(_posted_key(call, body))
        if position is None:
            raise call.refuse(checks.PARAMETER_ERROR, "this SyncKey was never issued")
        found = session.log.after(position, call.wechat.settings.sync_batch)
        if found.end > position:
            _brought_something(session)
        elif _too_fast(call, session):
            return answers.page("503 Service Unavailable", status=503)
        return _answer(call, session, found)


def _brought_something(session: SimulatedSession) -> None:
    for times in session.idle.values():
        times.clear()


def _posted_key(call: Call, body: Fields) -> str:
    key = body.get("SyncKey")
    entries = key.get("List") if isinstance(key, dict) else None
    if not isinstance(entries, list):
        raise call.refuse(checks.PARAMETER_ERROR, "SyncKey has no List")
    pairs = [(one.get("Key"), one.get("Val")) if isinstance(one, dict) else (None, None) for one in entries]
    return "|".join(f"{key}_{value}" for key, value in pairs)


def _answer(call: Call, session: SimulatedSession, found: Slice) -> SimulatedAnswer:
    settings = call.wechat.settings
    if settings.rotate_tickets:
        session.new_data_ticket()
    skey = session.new_skey() if settings.sync_skey else ""
    more = int(settings.continue_flag and found.more)
    body = _body(session, found, more=more, skey=skey, check_key=settings.check_key)
    return SimulatedAnswer(body=body, headers=answers.sync_cookies(call.request, session))


def nothing(session: SimulatedSession, position: int) -> bytes:
    """An answer that brings nothing and does not move the key (webwx 2.10.9, stuck states)."""
    none = Slice(start=position, end=position, messages=(), changed=(), deleted=(), more=False)
    return _body(session, none, more=0, skey="", check_key=True)


_BODY = (
    b'{"BaseResponse": {"Ret": 0, "ErrMsg": ""}, "AddMsgCount": %d, "AddMsgList": [%s], '
    b'"ModContactCount": %d, "ModContactList": [%s], "DelContactCount": %d, "DelContactList": [%s], '
    b'"ModChatRoomMemberCount": 0, "ModChatRoomMemberList": [], "Profile": {"BitFlag": 0, '
    b'"UserName": {"Buff": ""}, "NickName": {"Buff": ""}, "BindUin": 0, "BindEmail": {"Buff": ""}, '
    b'"BindMobile": {"Buff": ""}, "Status": 0, "Sex": 0, "PersonalCard": 0, "Alias": "", '
    b'"HeadImgUpdateFlag": 0, "HeadImgUrl": "", "Signature": ""}, "ContinueFlag": %d, "SyncKey": %s, '
    b'"SKey": "%s"%s}'
)


def _body(session: SimulatedSession, found: Slice, *, more: int, skey: str, check_key: bool) -> bytes:
    check = b', "SyncCheckKey": ' + key_json(session.log.check_key(found.end)) if check_key else b""
    return _BODY % (
        len(found.messages),
        b", ".join(found.messages),
        len(found.changed),
        b", ".join(found.changed),
        len(found.deleted),
        b", ".join(found.deleted),
        more,
        key_json(session.log.sync_key(found.end)),
        skey.encode(),
        check,
    )


async def stuck(call: Call) -> SimulatedAnswer:
    """The answer of a server that brings nothing for ever: the fault `stuck`."""
    session, body = checks.signed_body(call)
    position = session.log.position(_posted_key(call, body))
    if _too_fast(call, session):
        return answers.page("503 Service Unavailable", status=503)
    return SimulatedAnswer(
        body=nothing(session, position or 0), headers=answers.sync_cookies(call.request, session)
    )
