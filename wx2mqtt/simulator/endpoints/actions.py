"""What a client does besides sending: read, take back, befriend, log out (webwx 2.7, 2.15, 2.17, 2.20)."""

from __future__ import annotations

import time

from wx2mqtt.simulator import answers, checks, speech
from wx2mqtt.simulator.checks import Call, Refused
from wx2mqtt.simulator.exchange import Answer
from wx2mqtt.simulator.world import OWNER, Person, PersonKind

REVOKE_WITHIN = 120.0

_CODES = (1, 2, 3, 4, 5)


async def webwxstatusnotify(call: Call) -> Answer:
    """A client is ready (3), or a chat was read (1), opened (2), left (5) (webwx 2.7)."""
    session, body = checks.signed_body(call)
    if body.get("Code") not in _CODES or "ClientMsgId" not in body:
        raise call.refuse(checks.PARAMETER_ERROR, "Code or ClientMsgId is wrong")
    checks.own_name(call, session, body.get("FromUserName"))
    return answers.json(0, MsgID=str(call.wechat.ids.next()))


async def webwxrevokemsg(call: Call) -> Answer:
    """Take back an own message within two minutes (webwx 2.15)."""
    session, body = checks.signed_body(call)
    line = call.wechat.phone.find(str(body.get("SvrMsgId")))
    if line is None or line.sender != OWNER or session.id_of(str(body.get("ToUserName"))) != line.chat:
        raise call.refuse(checks.PARAMETER_ERROR, "SvrMsgId is no own message in that chat")
    if time.time() - line.time > REVOKE_WITHIN:
        raise Refused(checks.PARAMETER_ERROR)
    call.wechat.phone.recall(line.msg_id)
    call.wechat.phone.changed()
    return answers.json(0, Introduction="", SysWording="")


async def webwxverifyuser(call: Call) -> Answer:
    """Accept a friend request (Opcode 3): the stranger becomes a friend (webwx 2.17)."""
    session, body = checks.signed_body(call)
    asked = body.get("VerifyUserList")
    first = asked[0] if isinstance(asked, list) and asked else None
    if body.get("Opcode") != 3 or not isinstance(first, dict) or not first.get("VerifyUserTicket"):
        raise call.refuse(checks.PARAMETER_ERROR, "only friend requests that came (Opcode 3) can be accepted")
    contact_id = session.id_of(str(first.get("Value")))
    person = call.wechat.world.contacts.get(contact_id or "")
    if not isinstance(person, Person):
        raise call.refuse(checks.PARAMETER_ERROR, "VerifyUserList names nobody who asked")
    person.kind, person.contact_flag = PersonKind.FRIEND, 3
    call.wechat.contact_changed(person)
    speech.say(call.wechat, speech.Speech(sender=person.id, to=OWNER, kind="system:friend_added"))
    return answers.json(0)


async def webwxstatreport(call: Call) -> Answer:
    """Telemetry of the official page: taken, not kept (webwx 2.20)."""
    checks.signed_body(call)
    return answers.json(0)


async def webwxlogout(call: Call) -> Answer:
    """The client logs out; afterwards its cookies are dead: 1102 (webwx 2.20). itchat uses GET."""
    checks.method(call, "POST", tolerated="GET")
    session = checks.cookie_session(call)
    checks.skey(call, session, call.request.query.get("skey", ""))
    if call.wechat.session is session:
        call.wechat.end_session(checks.COOKIE_INVALID)
    return answers.page("Moved", status=301, headers=(("location", f"https://{session.base}/"),))
