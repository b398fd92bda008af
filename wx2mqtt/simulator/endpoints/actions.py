"""Calls of a client other than sending and receiving (webwx 2.7, 2.15, 2.17, 2.18, 2.20)."""

from __future__ import annotations

import re
import time

from wx2mqtt.simulator import answers, checks, message_injection
from wx2mqtt.simulator.checks import PARAMETER_ERROR, TICKET_ERROR, Call, CallRefused, Fields
from wx2mqtt.simulator.endpoints.send import RET_TOO_OFTEN
from wx2mqtt.simulator.http_messages import SimulatedAnswer
from wx2mqtt.simulator.session import SimulatedSession
from wx2mqtt.simulator.system_texts import phrase
from wx2mqtt.simulator.world import OWNER, PersonKind, WorldContact, WorldGroup, WorldPerson

_STATUS_CODES = (1, 2, 3, 4, 5)
_CODE_READ = 1
_CMD_REMARK, _CMD_PIN = 2, 3
_PINNED_FLAG = 2048  # the bit in ContactFlag (webwx 4.1.2)
_OPCODE_ACCEPT = 3
_KINDS_WITH_REMARK = (PersonKind.FRIEND, PersonKind.OFFICIAL)


def require_action_rate(call: Call) -> None:
    """Limits changes of remarks, friends and groups per minute; refuses with Ret 1205 (webwx 6.1.1)."""
    if call.wechat.actions.is_exhausted(call.wechat.settings.action_limit):
        raise CallRefused(RET_TOO_OFTEN)


async def webwxstatusnotify(call: Call) -> SimulatedAnswer:
    """Reports that the client is ready (3), or a chat was read (1), opened (2) or left (5) (webwx 2.7.1)."""
    session, body = checks.authenticated_body(call)
    if body.get("Code") not in _STATUS_CODES or "ClientMsgId" not in body:
        raise call.refusal(PARAMETER_ERROR, "Code or ClientMsgId is wrong")
    checks.require_own_user_name(call, session, body.get("FromUserName"))
    if body["Code"] == _CODE_READ:
        chat = session.id_of(str(body.get("ToUserName")))
        if chat is None:
            raise call.refusal(PARAMETER_ERROR, "ToUserName is unknown in this login")
        call.wechat.phone.read(chat)
    return answers.json(0, MsgID=str(call.wechat.ids.next()))


async def webwxrevokemsg(call: Call) -> SimulatedAnswer:
    """Recalls an own message within two minutes (webwx 2.15.2)."""
    session, body = checks.authenticated_body(call)
    wechat = call.wechat
    line = call.wechat.phone.find(str(body.get("SvrMsgId")))
    if not re.fullmatch(r"[0-9]{10,20}", str(body.get("ClientMsgId"))):
        call.record_oddity("ClientMsgId is not 10 to 20 digits (itchat)")
    if line is None or line.sender != OWNER or session.id_of(str(body.get("ToUserName"))) != line.chat:
        raise call.refusal(PARAMETER_ERROR, "SvrMsgId is no own message in that chat")
    if time.time() - line.time > wechat.settings.recall_within:
        raise CallRefused(PARAMETER_ERROR)
    message_injection.recall(wechat, line.msg_id)
    wechat.phone.notify_changed()
    notice = phrase(wechat.settings.language, "i_recalled")
    return answers.json(0, Introduction="", SysWording=notice)


async def webwxverifyuser(call: Call) -> SimulatedAnswer:
    """Accepts a friend request (Opcode 3): the stranger becomes a friend (webwx 2.17.1)."""
    session, body = checks.authenticated_body(call)
    requests = body.get("VerifyUserList")
    first = requests[0] if isinstance(requests, list) and len(requests) == 1 else None
    if (
        body.get("Opcode") != _OPCODE_ACCEPT
        or body.get("VerifyUserListSize") != 1
        or not isinstance(first, dict)
    ):
        raise call.refusal(
            PARAMETER_ERROR, "only friend requests that came (Opcode 3) can be accepted, one by one"
        )
    checks.require_skey(call, session, body.get("skey", ""))
    person = _requester(call, session, body, first)
    require_action_rate(call)
    if person.kind is PersonKind.STRANGER:
        person.kind = PersonKind.FRIEND
        person.contact_flag = 3
        call.wechat.contact_changed(person)
        message_injection.inject(
            call.wechat,
            message_injection.MessageOrder(sender=person.id, to=OWNER, kind="system:friend_added"),
        )
    return answers.json(0)


def _requester(call: Call, session: SimulatedSession, body: Fields, first: Fields) -> WorldPerson:
    """Returns the person who made the request with this ticket.

    Refuses tickets that have expired or belong to an earlier login.
    """
    ticket = str(first.get("VerifyUserTicket") or "")
    name = str(first.get("Value"))
    if not ticket and body.get("VerifyContent"):
        call.record_oddity("the ticket as VerifyContent (itchat)")
        ticket = str(body["VerifyContent"])
    request = call.wechat.friend_requests.get(ticket)
    if request is None:
        raise call.refusal(TICKET_ERROR, "VerifyUserTicket was never given")
    person = call.wechat.world.contacts.get(request.person)
    if request.sid != session.sid or time.time() - request.time > call.wechat.settings.request_life:
        raise CallRefused(TICKET_ERROR)
    if not isinstance(person, WorldPerson) or session.id_of(name) != person.id:
        raise call.refusal(PARAMETER_ERROR, "Value is not who asked with that ticket")
    return person


async def webwxoplog(call: Call) -> SimulatedAnswer:
    """Sets a remark (CmdId 2) or pins a chat (CmdId 3)."""
    session, body = checks.authenticated_body(call)
    contact = _contact(call, session, body.get("UserName"))
    remark = body.get("RemarkName", "")  # without one, pinning wipes it (webwx 2.18.2)
    command = body.get("CmdId")
    if command not in (_CMD_REMARK, _CMD_PIN) or not isinstance(remark, str):
        raise call.refusal(PARAMETER_ERROR, "CmdId or RemarkName is wrong")
    if command == _CMD_PIN and body.get("OP") not in (0, 1):
        raise call.refusal(PARAMETER_ERROR, "OP is not 0 or 1")
    if command == _CMD_REMARK and (isinstance(contact, WorldGroup) or contact.kind not in _KINDS_WITH_REMARK):
        raise call.refusal(PARAMETER_ERROR, "only friends and official accounts can have a remark")
    require_action_rate(call)
    if command == _CMD_PIN:
        _set_pinned(contact, on=body["OP"] == 1)
    call.wechat.world.change(contact.id, {"remark": remark})
    call.wechat.contact_changed(contact)
    return answers.json(0)


def _set_pinned(contact: WorldContact, *, on: bool) -> None:
    if isinstance(contact, WorldPerson):
        contact.contact_flag = (
            contact.contact_flag | _PINNED_FLAG if on else contact.contact_flag & ~_PINNED_FLAG
        )


def _contact(call: Call, session: SimulatedSession, name: object) -> WorldContact:
    contact = call.wechat.world.contacts.get(session.id_of(str(name)) or "")
    if contact is None:
        raise call.refusal(PARAMETER_ERROR, "UserName is unknown in this login")
    return contact


async def webwxstatreport(call: Call) -> SimulatedAnswer:
    """Accepts the telemetry of the official page and discards it (webwx 2.20.3)."""
    checks.authenticated_body(call)
    return answers.json(0)


async def webwxlogout(call: Call) -> SimulatedAnswer:
    """Logs out; the cookies are then invalid: 1102 (webwx 2.20.2). itchat uses GET."""
    checks.require_method(call, "POST", tolerated="GET")
    session = checks.cookie_session(call)
    checks.require_skey(call, session, call.request.query.get("skey", ""))
    if call.wechat.session is session:
        call.wechat.end_session(checks.COOKIE_INVALID)
    return answers.html_page("Moved", status=301, headers=(("location", f"https://{session.base_host}/"),))
