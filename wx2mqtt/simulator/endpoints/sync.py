"""Receiving: the long poll synccheck, and webwxsync (webwx 2.10, 2.11)."""

from __future__ import annotations

import time

from wx2mqtt.simulator import answers, checks
from wx2mqtt.simulator.checks import Call, Fields
from wx2mqtt.simulator.hosts import Role
from wx2mqtt.simulator.http_messages import SimulatedAnswer
from wx2mqtt.simulator.session import SimulatedSession, SyncSlice, sync_key_json

_SELECTOR_NEW_MESSAGE = 2
_BUSY_LOOP_SECONDS = 1.0


async def synccheck(call: Call) -> SimulatedAnswer:
    """Waits for news, at most `hold_sync` seconds; answers a script with a retcode and a selector."""
    checks.require_method(call, "GET")
    query = call.request.query
    session = checks.living_session(call, query.get("sid", ""))
    checks.require_host(call, Role.PUSH, session.base_host)
    checks.require_uin(call, session, query.get("uin"))
    checks.require_skey(call, session, query.get("skey", ""))
    checks.require_device_id(call, session, query.get("deviceid"))
    checks.require_cookies(call, session)
    with checks.single_poll(call, session):
        position = _query_position(call, session)
        if position is None:
            return _answer_at_once(call, session, _SELECTOR_NEW_MESSAGE)
        if session.log.head > position:
            return _answer_at_once(call, session, session.log.selector(position))
        return await _hold(call, session, position)


def _query_position(call: Call, session: SimulatedSession) -> int | None:
    """Returns the position of the synckey in the query.

    None for a key that is missing or was never issued: the server then answers at once (webwx 2.10.1).
    """
    text = call.request.query.get("synckey")
    position = None if text is None else session.log.position(text)
    if position is None:
        call.record_violation("synckey is missing (names are case-sensitive) or was never issued")
    else:
        session.log.confirm(position)
    return position


def _answer_at_once(call: Call, session: SimulatedSession, selector: int) -> SimulatedAnswer:
    if _is_busy_loop(call, session):
        return answers.html_page("503 Service Unavailable", status=503)
    return answers.synccheck(0, selector)


def _is_busy_loop(call: Call, session: SimulatedSession) -> bool:
    """Returns whether the client polls too often: too many empty answers within a second (webwx 2.10.7)."""
    limit = call.wechat.settings.poll_limit
    times = session.empty_poll_times[call.endpoint]
    now = time.monotonic()
    times.append(now)
    is_busy_loop = bool(limit) and len(times) > limit and now - times[-limit - 1] < _BUSY_LOOP_SECONDS
    if is_busy_loop:
        call.record_violation(f"more than {limit} in a second that brought nothing")
    return is_busy_loop


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
    """Returns the entries after a SyncKey and the keys of the new position; an old key returns them again."""
    session, body = checks.authenticated_body(call)
    query = call.request.query
    if query.get("sid") != session.sid:
        raise call.refusal(checks.PARAMETER_ERROR, "sid in the query is missing or not this login's")
    checks.require_skey(call, session, query.get("skey", ""))
    with checks.single_poll(call, session):
        position = session.log.position(_posted_sync_key(call, body))
        if position is None:
            raise call.refusal(checks.PARAMETER_ERROR, "this SyncKey was never issued")
        session.log.confirm(position)
        news = session.log.slice_after(position, call.wechat.settings.sync_batch)
        if news.end > position:
            _clear_empty_poll_times(session)
        elif _is_busy_loop(call, session):
            return answers.html_page("503 Service Unavailable", status=503)
        return _answer(call, session, news)


def _clear_empty_poll_times(session: SimulatedSession) -> None:
    for times in session.empty_poll_times.values():
        times.clear()


def _posted_sync_key(call: Call, body: Fields) -> str:
    key = body.get("SyncKey")
    entries = key.get("List") if isinstance(key, dict) else None
    if not isinstance(entries, list):
        raise call.refusal(checks.PARAMETER_ERROR, "SyncKey has no List")
    pairs = [
        (entry.get("Key"), entry.get("Val")) if isinstance(entry, dict) else (None, None) for entry in entries
    ]
    return "|".join(f"{key}_{value}" for key, value in pairs)


def _answer(call: Call, session: SimulatedSession, news: SyncSlice) -> SimulatedAnswer:
    settings = call.wechat.settings
    if settings.rotate_tickets:
        session.new_data_ticket()
    skey = session.new_skey() if settings.sync_skey else ""
    more = int(settings.continue_flag and news.more)
    body = _body(session, news, more=more, skey=skey, check_key=settings.check_key)
    return SimulatedAnswer(body=body, headers=answers.sync_cookies(call.request, session))


def _empty_body(session: SimulatedSession, position: int) -> bytes:
    """Returns an answer without entries that keeps the key (webwx 2.10.9, stuck states)."""
    no_news = SyncSlice(start=position, end=position, messages=(), changed=(), deleted=(), more=False)
    return _body(session, no_news, more=0, skey="", check_key=True)


_BODY = (
    b'{"BaseResponse": {"Ret": 0, "ErrMsg": ""}, "AddMsgCount": %d, "AddMsgList": [%s], '
    b'"ModContactCount": %d, "ModContactList": [%s], "DelContactCount": %d, "DelContactList": [%s], '
    b'"ModChatRoomMemberCount": 0, "ModChatRoomMemberList": [], "Profile": {"BitFlag": 0, '
    b'"UserName": {"Buff": ""}, "NickName": {"Buff": ""}, "BindUin": 0, "BindEmail": {"Buff": ""}, '
    b'"BindMobile": {"Buff": ""}, "Status": 0, "Sex": 0, "PersonalCard": 0, "Alias": "", '
    b'"HeadImgUpdateFlag": 0, "HeadImgUrl": "", "Signature": ""}, "ContinueFlag": %d, "SyncKey": %s, '
    b'"SKey": "%s"%s}'
)


def _body(session: SimulatedSession, news: SyncSlice, *, more: int, skey: str, check_key: bool) -> bytes:
    check = b', "SyncCheckKey": ' + sync_key_json(session.log.check_key(news.end)) if check_key else b""
    return _BODY % (
        len(news.messages),
        b", ".join(news.messages),
        len(news.changed),
        b", ".join(news.changed),
        len(news.deleted),
        b", ".join(news.deleted),
        more,
        sync_key_json(session.log.sync_key(news.end)),
        skey.encode(),
        check,
    )


async def stuck(call: Call) -> SimulatedAnswer:
    """Answers without news for ever: the fault `stuck`."""
    session, body = checks.authenticated_body(call)
    position = session.log.position(_posted_sync_key(call, body))
    if _is_busy_loop(call, session):
        return answers.html_page("503 Service Unavailable", status=503)
    return SimulatedAnswer(
        body=_empty_body(session, position or 0), headers=answers.sync_cookies(call.request, session)
    )
