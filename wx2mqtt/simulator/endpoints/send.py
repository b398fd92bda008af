"""Sending: texts, and media that the client uploaded before (webwx 2.12)."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from wx2mqtt.simulator import answers, checks, message_injection, uploads
from wx2mqtt.simulator.checks import PARAMETER_ERROR, Call, CallRefused, Fields
from wx2mqtt.simulator.http_messages import SimulatedAnswer
from wx2mqtt.simulator.media import MessageMedia, describe_file, make_media
from wx2mqtt.simulator.session import SimulatedSession
from wx2mqtt.simulator.uploads import AppFile, BadAppFile, FinishedUpload, MediaType, extension
from wx2mqtt.simulator.world import OWNER, WorldContact, WorldGroup, WorldPerson

RET_NOT_A_FRIEND = 1204
RET_TOO_OFTEN = 1205
_REQUIRED_FIELDS = ("Type", "FromUserName", "ToUserName", "LocalID", "ClientMsgId")


@dataclass(frozen=True, slots=True, kw_only=True)
class DisplayedText:
    """A message as the phone shows it. For a file, `text` is its name."""

    kind: str
    text: str
    media: MessageMedia | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMessage:
    """A message of a client whose common fields are valid; `fields` is its `Msg` object."""

    call: Call
    session: SimulatedSession
    fields: Fields
    to: WorldContact

    @property
    def client_id(self) -> str:
        """The client's own id of the message; the same in every repetition."""
        return str(self.fields["ClientMsgId"])

    @property
    def type(self) -> object:
        return self.fields["Type"]

    def refusal(self, problem: str) -> CallRefused:
        """Records a violation and returns the refusal (Ret 1) to raise."""
        return self.call.refusal(checks.PARAMETER_ERROR, problem)


def read_message(call: Call, session: SimulatedSession, body: Fields) -> OutgoingMessage:
    """Reads the message of a body and checks its common fields."""
    message = body.get("Msg")
    if not isinstance(message, dict) or "Scene" not in body:
        raise call.refusal(checks.PARAMETER_ERROR, "Msg or Scene is missing")
    missing = [key for key in _REQUIRED_FIELDS if key not in message]
    if missing:
        raise call.refusal(checks.PARAMETER_ERROR, f"Msg lacks {', '.join(missing)}")
    checks.require_own_user_name(call, session, message["FromUserName"])
    _check_client_id(call, message)
    return OutgoingMessage(call=call, session=session, fields=message, to=_receiver(call, session, message))


def _check_client_id(call: Call, message: Fields) -> None:
    local = message["LocalID"]
    client = message["ClientMsgId"]
    if not re.fullmatch(r"[0-9]{10,20}", str(client)):
        raise call.refusal(checks.PARAMETER_ERROR, "ClientMsgId is not 10 to 20 digits")
    if local == client and isinstance(client, str):
        return
    if isinstance(local, int) and isinstance(client, int) and abs(local - client) <= 1:
        call.record_oddity("LocalID and ClientMsgId as numbers, each from the clock (itchat)")
        return
    raise call.refusal(checks.PARAMETER_ERROR, "LocalID is not equal to ClientMsgId")


def _receiver(call: Call, session: SimulatedSession, message: Fields) -> WorldContact:
    name = str(message["ToUserName"])
    world = call.wechat.world
    contact_id = session.id_of(name) or next((c.id for c in world if _is_wxid(c, name)), None)
    if contact_id == OWNER:
        if call.wechat.settings.refuse_self:
            raise CallRefused(RET_NOT_A_FRIEND)
        return world.owner
    contact = world.contacts.get(contact_id or "")
    if contact is None:
        is_from_other_login = any(
            other.id_of(name) for other in call.wechat.sessions.values() if other is not session
        )
        raise call.refusal(
            checks.PARAMETER_ERROR,
            f"ToUserName is {'of another login' if is_from_other_login else 'unknown'}",
        )
    if isinstance(contact, WorldGroup) and OWNER not in contact.members:
        raise CallRefused(RET_NOT_A_FRIEND)
    return contact


def _is_wxid(contact: WorldContact, name: str) -> bool:
    """Returns whether `name` is the contact's wxid, which WeChat accepts, too (webwx 2.12.1)."""
    return isinstance(contact, WorldPerson) and contact.wxid == name != ""


def deliver(message: OutgoingMessage, displayed: DisplayedText) -> SimulatedAnswer:
    """Delivers the message and returns its id; a known ClientMsgId is not delivered again."""
    wechat = message.call.wechat
    first_msg_id = wechat.seen_client_ids.get((message.to.id, message.client_id))
    if first_msg_id is None and wechat.sends.is_exhausted(wechat.settings.rate_limit):
        raise CallRefused(RET_TOO_OFTEN)
    if first_msg_id is not None and wechat.settings.drop_repeats:
        _record(message, displayed, first_msg_id, repeat=True, delivered=False)
        return _sent(message, first_msg_id)
    msg_id = str(wechat.ids.next())
    wechat.seen_client_ids[message.to.id, message.client_id] = msg_id
    _show_on_phone(message, displayed, msg_id)
    _record(message, displayed, msg_id, repeat=first_msg_id is not None, delivered=True)
    if wechat.settings.echo:
        message_injection.inject_echo(
            wechat, message.session, message.to, int(msg_id), displayed.kind, displayed.text
        )
    if isinstance(message.to, WorldPerson) and (message.to.deleted_me or message.to.blocked_me):
        message_injection.inject_refusal_notice(wechat, message.to)
    return _sent(message, msg_id)


def _show_on_phone(message: OutgoingMessage, displayed: DisplayedText, msg_id: str) -> None:
    wechat = message.call.wechat
    if displayed.media is not None:
        wechat.media.put(msg_id, displayed.media)
    wechat.phone.show(
        chat=message.to.id,
        sender=OWNER,
        via="web",
        kind=displayed.kind,
        text=displayed.text,
        msg_id=msg_id,
        time=time.time(),
        media=describe_file(displayed.media),
    )


def _record(
    message: OutgoingMessage, displayed: DisplayedText, msg_id: str, *, repeat: bool, delivered: bool
) -> None:
    content = displayed.media and displayed.media.content
    message.call.wechat.phone.record_sent(
        to=message.to.id,
        text=displayed.text,
        kind=displayed.kind,
        client_msg_id=message.client_id,
        msg_id=msg_id,
        time=time.time(),
        repeat=repeat,
        delivered=delivered,
        media=describe_file(displayed.media),
        sha256=content.sha256 if content else "",
    )


def _sent(message: OutgoingMessage, msg_id: str) -> SimulatedAnswer:
    return answers.json(0, MsgID=msg_id, LocalID=str(message.fields["LocalID"]))


_TEXT, _IMAGE, _FILE, _STICKER, _LOCATION = 1, 3, 6, 47, 48
_VIDEO, _MICRO_VIDEO = 43, 62
_EMOJI_FLAG = 2


async def webwxsendmsg(call: Call) -> SimulatedAnswer:
    """Sends a text, or a location that was received before."""
    session, body = checks.authenticated_body(call)
    message = read_message(call, session, body)
    content = message.fields.get("Content")
    if message.type not in (_TEXT, _LOCATION) or not isinstance(content, str):
        raise message.refusal("webwxsendmsg takes texts (Type 1) and locations (Type 48)")
    if not content:
        raise message.refusal("Content is empty")
    limit = call.wechat.settings.text_limit
    if limit and len(content.encode()) > limit:
        raise CallRefused(PARAMETER_ERROR)
    return deliver(message, DisplayedText(kind="text" if message.type == _TEXT else "location", text=content))


async def webwxsendmsgimg(call: Call) -> SimulatedAnswer:
    message = _media_message(call, types=(_IMAGE,))
    return deliver(message, _displayed_file("image", _uploaded_file(message, "pic")))


async def webwxsendvideomsg(call: Call) -> SimulatedAnswer:
    message = _media_message(call, types=(_VIDEO, _MICRO_VIDEO))
    return deliver(message, _displayed_file("video", _uploaded_file(message, "video")))


async def webwxsendemoticon(call: Call) -> SimulatedAnswer:
    """Sends an uploaded GIF, or a received sticker by its MD5."""
    message = _media_message(call, types=(_STICKER,), fun="sys")
    if message.fields.get("EmojiFlag") != _EMOJI_FLAG:
        raise message.refusal("EmojiFlag is not 2")
    if "EMoticonMd5" in message.fields:
        return deliver(message, _received_sticker(message))
    ready = _uploaded_file(message, "doc")
    if ready.content.mime != "image/gif":
        raise message.refusal("what was uploaded is no GIF")
    return deliver(message, _displayed_file("sticker", ready))


async def webwxsendappmsg(call: Call) -> SimulatedAnswer:
    """Sends a file; the XML in Content names the upload."""
    message = _media_message(call, types=(_FILE,))
    file = _app_file(message)
    ready = message.session.uploads.find(file.media_id)
    if ready is None or ready.media_type != "doc":
        raise message.refusal("attachid is no MediaId of a file in this login")
    if file.size != ready.content.size:
        raise message.refusal("totallen is not the size of what was uploaded")
    if file.extension != extension(file.title):
        raise message.refusal("fileext is not the extension of the title")
    if ready.content.size > call.wechat.settings.check_above and (
        not ready.signature or message.fields.get("Signature") != ready.signature
    ):
        raise message.refusal("Signature is not that of webwxcheckupload")
    return deliver(message, _displayed_file("file", ready, file.title))


def _app_file(message: OutgoingMessage) -> AppFile:
    try:
        file = uploads.read_app_file(message.fields.get("Content"))
    except BadAppFile as bad:
        raise message.refusal(str(bad)) from None
    desktop = message.session.desktop
    if file.appid not in (uploads.FILE_APPID, ""):
        raise message.refusal("appid is not that of files")
    if (file.appid == "") is not desktop:
        message.call.record_oddity(
            "the appid of files is empty in desktop logins, and only there (itchat-uos)"
        )
    if (message.call.request.query.get("mod") == "desktop") is not desktop:
        message.call.record_oddity("mod=desktop belongs to desktop logins (itchat-uos, wechat4u)")
    return file


# Media


def _media_message(call: Call, *, types: tuple[int, ...], fun: str = "async") -> OutgoingMessage:
    session, body = checks.authenticated_body(call)
    query = call.request.query
    if query.get("fun") != fun or (fun == "async" and query.get("f") != "json"):
        raise call.refusal(PARAMETER_ERROR, f"fun is not {fun}, or f is not json")
    message = read_message(call, session, body)
    if message.type not in types:
        raise message.refusal(f"Type is not {' or '.join(map(str, types))}")
    return message


def _uploaded_file(message: OutgoingMessage, media_type: MediaType) -> FinishedUpload:
    ready = message.session.uploads.find(str(message.fields.get("MediaId")))
    if ready is None:
        others = [s for s in message.call.wechat.sessions.values() if s is not message.session]
        is_from_other_login = any(other.uploads.find(str(message.fields.get("MediaId"))) for other in others)
        raise message.refusal(f"MediaId is {'of another login' if is_from_other_login else 'unknown'}")
    if ready.media_type != media_type:
        raise message.refusal(f"what was uploaded is not of mediatype {media_type}")
    if message.fields.get("Content", "") != "":
        raise message.refusal("Content is not empty")
    return ready


def _displayed_file(kind: str, ready: FinishedUpload, name: str = "") -> DisplayedText:
    attachment = make_media(kind, ready.media_id, OWNER, ready.content)
    assert attachment is not None
    attachment.name = name or ready.name
    return DisplayedText(kind=kind, text=name, media=attachment)


def _received_sticker(message: OutgoingMessage) -> DisplayedText:
    """Returns a received sticker; stickers of the store cannot be sent (webwx 2.12.7)."""
    sticker = message.call.wechat.media.find_sticker(str(message.fields["EMoticonMd5"]))
    if sticker is None:
        raise message.refusal("EMoticonMd5 is that of no sticker that came")
    copy = MessageMedia(kind="sticker", from_id=OWNER, name=sticker.name, content=sticker.content)
    return DisplayedText(kind="sticker", text="", media=copy)
