"""What a client says: texts, and media that it uploaded before (webwx 2.12)."""

from __future__ import annotations

from wx2mqtt.simulator import appfile, checks
from wx2mqtt.simulator.appfile import AppFile, BadAppFile
from wx2mqtt.simulator.checks import PARAMETER_ERROR, Call, Refused
from wx2mqtt.simulator.endpoints.outgoing import Outgoing, Said, deliver, take
from wx2mqtt.simulator.exchange import Answer
from wx2mqtt.simulator.media import Attachment, attach
from wx2mqtt.simulator.uploads import MediaType, Ready, extension
from wx2mqtt.simulator.world import OWNER

_TEXT, _IMAGE, _FILE, _STICKER, _LOCATION = 1, 3, 6, 47, 48
_VIDEO, _MICRO_VIDEO = 43, 62
_EMOJI_FLAG = 2


async def webwxsendmsg(call: Call) -> Answer:
    """A text, or a location that came."""
    session, body = checks.signed_body(call)
    message = take(call, session, body)
    content = message.fields.get("Content")
    if message.type not in (_TEXT, _LOCATION) or not isinstance(content, str):
        raise message.refuse("webwxsendmsg takes texts (Type 1) and locations (Type 48)")
    if not content:
        raise message.refuse("Content is empty")
    limit = call.wechat.settings.text_limit
    if limit and len(content.encode()) > limit:
        raise Refused(PARAMETER_ERROR)
    return deliver(message, Said(kind="text" if message.type == _TEXT else "location", text=content))


async def webwxsendmsgimg(call: Call) -> Answer:
    """A picture."""
    message = _media(call, types=(_IMAGE,))
    return deliver(message, _said("image", _uploaded(message, "pic")))


async def webwxsendvideomsg(call: Call) -> Answer:
    """A video."""
    message = _media(call, types=(_VIDEO, _MICRO_VIDEO))
    return deliver(message, _said("video", _uploaded(message, "video")))


async def webwxsendemoticon(call: Call) -> Answer:
    """An animated picture of one's own, or a sticker that came, by its MD5."""
    message = _media(call, types=(_STICKER,), fun="sys")
    if message.fields.get("EmojiFlag") != _EMOJI_FLAG:
        raise message.refuse("EmojiFlag is not 2")
    if "EMoticonMd5" in message.fields:
        return deliver(message, _again(message))
    ready = _uploaded(message, "doc")
    if ready.content.mime != "image/gif":
        raise message.refuse("what was uploaded is no GIF")
    return deliver(message, _said("sticker", ready))


async def webwxsendappmsg(call: Call) -> Answer:
    """A file: its XML names what was uploaded."""
    message = _media(call, types=(_FILE,))
    file = _app_file(message)
    ready = message.session.uploads.find(file.media_id)
    if ready is None or ready.media_type != "doc":
        raise message.refuse("attachid is no MediaId of a file in this login")
    if file.size != ready.content.size:
        raise message.refuse("totallen is not the size of what was uploaded")
    if file.extension != extension(file.title):
        raise message.refuse("fileext is not the extension of the title")
    if ready.content.size > call.wechat.settings.check_above and (
        not ready.signature or message.fields.get("Signature") != ready.signature
    ):
        raise message.refuse("Signature is not that of webwxcheckupload")
    return deliver(message, _said("file", ready, file.title))


def _app_file(message: Outgoing) -> AppFile:
    try:
        file = appfile.read(message.fields.get("Content"))
    except BadAppFile as bad:
        raise message.refuse(str(bad)) from None
    desktop = message.session.desktop
    if file.appid not in (appfile.APPID, ""):
        raise message.refuse("appid is not that of files")
    if (file.appid == "") is not desktop:
        message.call.oddity("the appid of files is empty in desktop logins, and only there (itchat-uos)")
    if (message.call.request.query.get("mod") == "desktop") is not desktop:
        message.call.oddity("mod=desktop belongs to desktop logins (itchat-uos, wechat4u)")
    return file


# media


def _media(call: Call, *, types: tuple[int, ...], fun: str = "async") -> Outgoing:
    session, body = checks.signed_body(call)
    query = call.request.query
    if query.get("fun") != fun or (fun == "async" and query.get("f") != "json"):
        raise call.refuse(PARAMETER_ERROR, f"fun is not {fun}, or f is not json")
    message = take(call, session, body)
    if message.type not in types:
        raise message.refuse(f"Type is not {' or '.join(map(str, types))}")
    return message


def _uploaded(message: Outgoing, media_type: MediaType) -> Ready:
    ready = message.session.uploads.find(str(message.fields.get("MediaId")))
    if ready is None:
        others = [s for s in message.call.wechat.sessions.values() if s is not message.session]
        old = any(other.uploads.find(str(message.fields.get("MediaId"))) for other in others)
        raise message.refuse(f"MediaId is {'of another login' if old else 'unknown'}")
    if ready.media_type != media_type:
        raise message.refuse(f"what was uploaded is not of mediatype {media_type}")
    if message.fields.get("Content", "") != "":
        raise message.refuse("Content is not empty")
    return ready


def _said(kind: str, ready: Ready, name: str = "") -> Said:
    attachment = attach(kind, ready.media_id, OWNER, ready.content)
    assert attachment is not None
    attachment.name = name or ready.name
    return Said(kind=kind, text=name, media=attachment)


def _again(message: Outgoing) -> Said:
    """A sticker that came; those of the store cannot be sent (webwx 2.12)."""
    known = message.call.wechat.media.sticker(str(message.fields["EMoticonMd5"]))
    if known is None:
        raise message.refuse("EMoticonMd5 is that of no sticker that came")
    again = Attachment(kind="sticker", side=OWNER, name=known.name, content=known.content)
    return Said(kind="sticker", text="", media=again)
