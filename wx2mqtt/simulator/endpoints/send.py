"""What a client does: webwxsendmsg, webwxstatusnotify, webwxrevokemsg, webwxverifyuser, webwxlogout."""

from __future__ import annotations

import re
import time

from wx2mqtt.simulator import answers, checks, speech, wire
from wx2mqtt.simulator.checks import Call, Fields, Refused
from wx2mqtt.simulator.exchange import Answer
from wx2mqtt.simulator.session import Session
from wx2mqtt.simulator.world import OWNER, Contact, Group, Person, PersonKind

NOT_A_FRIEND = 1204
TOO_OFTEN = 1205
REVOKE_WITHIN = 120.0

_TEXT, _LOCATION = 1, 48


async def webwxsendmsg(call: Call) -> Answer:
    """A text. The answer names the message; a ClientMsgId that is known is answered and not sent again."""
    session, body = checks.signed_body(call)
    message = _message(call, session, body)
    to = _receiver(call, session, message)
    client_id, content = str(message["ClientMsgId"]), str(message["Content"])
    known = call.wechat.seen_client_ids.get((to.id, client_id))
    if known is not None:
        return _repeat(call, session, to, message, known)
    if call.wechat.too_often():
        raise Refused(TOO_OFTEN)
    limit = call.wechat.settings.text_limit
    if limit and len(content.encode()) > limit:
        raise Refused(checks.PARAMETER_ERROR)
    return _deliver(call, session, to, message, repeat=False)


def _message(call: Call, session: Session, body: Fields) -> Fields:
    message = body.get("Msg")
    if not isinstance(message, dict) or "Scene" not in body:
        raise call.refuse(checks.PARAMETER_ERROR, "Msg or Scene is missing")
    wanted = ("Type", "Content", "FromUserName", "ToUserName", "LocalID", "ClientMsgId")
    missing = [key for key in wanted if key not in message]
    if missing:
        raise call.refuse(checks.PARAMETER_ERROR, f"Msg lacks {', '.join(missing)}")
    if message["FromUserName"] != session.user_name(call.wechat.world.owner):
        raise call.refuse(checks.PARAMETER_ERROR, "FromUserName is not the account's name in this login")
    if message["Type"] not in (_TEXT, _LOCATION) or not isinstance(message["Content"], str):
        raise call.refuse(checks.PARAMETER_ERROR, "webwxsendmsg takes texts (Type 1) and locations (Type 48)")
    if not message["Content"]:
        raise call.refuse(checks.PARAMETER_ERROR, "Content is empty")
    _client_id(call, message)
    return message


def _client_id(call: Call, message: Fields) -> None:
    local, client = message["LocalID"], message["ClientMsgId"]
    if not re.fullmatch(r"[0-9]{10,20}", str(client)):
        raise call.refuse(checks.PARAMETER_ERROR, "ClientMsgId is not 10 to 20 digits")
    if local == client and isinstance(client, str):
        return
    if isinstance(local, int) and isinstance(client, int) and abs(local - client) <= 1:
        call.oddity("LocalID and ClientMsgId as numbers, each from the clock (itchat)")
        return
    raise call.refuse(checks.PARAMETER_ERROR, "LocalID is not equal to ClientMsgId")


def _receiver(call: Call, session: Session, message: Fields) -> Contact:
    name, world = str(message["ToUserName"]), call.wechat.world
    contact_id = session.id_of(name) or next((c.id for c in world if _is_wxid(c, name)), None)
    if contact_id == OWNER:
        if call.wechat.settings.refuse_self:
            raise Refused(NOT_A_FRIEND)
        return world.owner
    contact = world.contacts.get(contact_id or "")
    if contact is None:
        old = any(other.id_of(name) for other in call.wechat.sessions.values() if other is not session)
        raise call.refuse(checks.PARAMETER_ERROR, f"ToUserName is {'of another login' if old else 'unknown'}")
    if isinstance(contact, Group) and OWNER not in contact.members:
        raise Refused(NOT_A_FRIEND)
    return contact


def _is_wxid(contact: Contact, name: str) -> bool:
    """A clear wxid is accepted, too (webwx 2.12)."""
    return isinstance(contact, Person) and contact.wxid == name != ""


def _deliver(call: Call, session: Session, to: Contact, message: Fields, *, repeat: bool) -> Answer:
    wechat, now = call.wechat, time.time()
    content, client_id = str(message["Content"]), str(message["ClientMsgId"])
    kind = "text" if message["Type"] == _TEXT else "location"
    msg_id = wechat.ids.next()
    wechat.seen_client_ids[to.id, client_id] = str(msg_id)
    wechat.phone.show(
        chat=to.id, sender=OWNER, via="web", kind=kind, text=content, msg_id=str(msg_id), time=now
    )
    wechat.phone.took(
        to=to.id,
        text=content,
        kind=kind,
        client_msg_id=client_id,
        msg_id=str(msg_id),
        time=now,
        repeat=repeat,
        delivered=True,
    )
    if wechat.settings.echo:
        speech.echo(wechat, session, to, msg_id, {"MsgType": message["Type"], "Content": wire.text(content)})
    if isinstance(to, Person) and (to.deleted_me or to.blocked_me):
        speech.answer_for(wechat, to)
    return _sent(str(msg_id), message)


def _repeat(call: Call, session: Session, to: Contact, message: Fields, known: str) -> Answer:
    wechat = call.wechat
    if not wechat.settings.drop_repeats:
        return _deliver(call, session, to, message, repeat=True)
    wechat.phone.took(
        to=to.id,
        text=str(message["Content"]),
        kind="text",
        msg_id=known,
        time=time.time(),
        client_msg_id=str(message["ClientMsgId"]),
        repeat=True,
        delivered=False,
    )
    return _sent(known, message)


def _sent(msg_id: str, message: Fields) -> Answer:
    return answers.json(0, MsgID=msg_id, LocalID=str(message["LocalID"]))


_CODES = (1, 2, 3, 4, 5)


async def webwxstatusnotify(call: Call) -> Answer:
    """A client is ready (3), or a chat was read (1), opened (2), left (5) (webwx 2.7)."""
    session, body = checks.signed_body(call)
    if body.get("Code") not in _CODES or "ClientMsgId" not in body:
        raise call.refuse(checks.PARAMETER_ERROR, "Code or ClientMsgId is wrong")
    if body.get("FromUserName") != session.user_name(call.wechat.world.owner):
        raise call.refuse(checks.PARAMETER_ERROR, "FromUserName is not the account's name in this login")
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
