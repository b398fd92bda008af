"""What all messages of a web client have in common: frame, receiver, repeats, delivery (webwx 2.12)."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from wx2mqtt.simulator import answers, checks, speech
from wx2mqtt.simulator.checks import Call, Fields, Refused
from wx2mqtt.simulator.exchange import Answer
from wx2mqtt.simulator.media import Attachment, shown
from wx2mqtt.simulator.session import Session
from wx2mqtt.simulator.world import OWNER, Contact, Group, Person

NOT_A_FRIEND = 1204
TOO_OFTEN = 1205

_WANTED = ("Type", "FromUserName", "ToUserName", "LocalID", "ClientMsgId")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a message says, as the phone shows it: `text` is the name of a file."""

    kind: str
    text: str
    media: Attachment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message with a good frame."""

    call: Call
    session: Session
    fields: Fields
    to: Contact

    @property
    def client_id(self) -> str:
        """The client's own id, the same when it sends the message again."""
        return str(self.fields["ClientMsgId"])

    @property
    def type(self) -> object:
        """The message's Type."""
        return self.fields["Type"]

    def refuse(self, what: str) -> Refused:
        """The message is wrong: Ret 1."""
        return self.call.refuse(checks.PARAMETER_ERROR, what)


def take(call: Call, session: Session, body: Fields) -> Outgoing:
    """The message in a body, its frame checked."""
    message = body.get("Msg")
    if not isinstance(message, dict) or "Scene" not in body:
        raise call.refuse(checks.PARAMETER_ERROR, "Msg or Scene is missing")
    missing = [key for key in _WANTED if key not in message]
    if missing:
        raise call.refuse(checks.PARAMETER_ERROR, f"Msg lacks {', '.join(missing)}")
    checks.own_name(call, session, message["FromUserName"])
    _client_id(call, message)
    return Outgoing(call=call, session=session, fields=message, to=_receiver(call, session, message))


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


def deliver(message: Outgoing, said: Said) -> Answer:
    """Deliver it and name it; a ClientMsgId that is known is answered and not delivered again."""
    wechat = message.call.wechat
    known = wechat.seen_client_ids.get((message.to.id, message.client_id))
    if known is None and wechat.sends.full(wechat.settings.rate_limit):
        raise Refused(TOO_OFTEN)
    if known is not None and wechat.settings.drop_repeats:
        _note(message, said, known, repeat=True, delivered=False)
        return _sent(message, known)
    msg_id = str(wechat.ids.next())
    wechat.seen_client_ids[message.to.id, message.client_id] = msg_id
    _show(message, said, msg_id)
    _note(message, said, msg_id, repeat=known is not None, delivered=True)
    if wechat.settings.echo:
        speech.echo(wechat, message.session, message.to, int(msg_id), said.kind, said.text)
    if isinstance(message.to, Person) and (message.to.deleted_me or message.to.blocked_me):
        speech.answer_for(wechat, message.to)
    return _sent(message, msg_id)


def _show(message: Outgoing, said: Said, msg_id: str) -> None:
    wechat = message.call.wechat
    if said.media is not None:
        wechat.media.put(msg_id, said.media)
    wechat.phone.show(
        chat=message.to.id,
        sender=OWNER,
        via="web",
        kind=said.kind,
        text=said.text,
        msg_id=msg_id,
        time=time.time(),
        media=shown(said.media),
    )


def _note(message: Outgoing, said: Said, msg_id: str, *, repeat: bool, delivered: bool) -> None:
    content = said.media and said.media.content
    message.call.wechat.phone.took(
        to=message.to.id,
        text=said.text,
        kind=said.kind,
        client_msg_id=message.client_id,
        msg_id=msg_id,
        time=time.time(),
        repeat=repeat,
        delivered=delivered,
        media=shown(said.media),
        sha256=content.sha256 if content else "",
    )


def _sent(message: Outgoing, msg_id: str) -> Answer:
    return answers.json(0, MsgID=msg_id, LocalID=str(message.fields["LocalID"]))
