"""What is sent to people, texts and files; from values to a `Request` (webwx 2.12-2.14).

Pure, as `requests` is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote
from xml.sax.saxutils import escape

from wx2mqtt.model import Draft, Handle, Kind, SendKey
from wx2mqtt.wechat.webwx import endpoints, filenames, multipart
from wx2mqtt.wechat.webwx.codes import AppType, MsgType
from wx2mqtt.wechat.webwx.endpoints import MEGABYTE, Endpoint
from wx2mqtt.wechat.webwx.multipart import FilePart
from wx2mqtt.wechat.webwx.requests import Request, Site, as_json, base_request, referer, signed
from wx2mqtt.wechat.webwx.session import Session

PART = 524_288  # bytes of a file that go out in one call, one after the other (webwx 2.14)
CHECKED = 25 * MEGABYTE  # what is larger must be announced (webwx 2.13)
FILE_APP = "wxeb7ec651dd0aefa9"  # in the XML of a file, but not in desktop mode (webwx 2.12)
MENTION_END = "\u2005"  # a space of a quarter em stands behind a mentioned name (webwx 3.4.3)

_CHINA = timedelta(hours=8)
_WHOLE_FILE = 7  # FileType of webwxcheckupload
_ATTACHMENT = 4  # MediaType of every upload
_BY_PAGE = 2  # UploadType of every upload
_OWN_GIF = 2  # EmojiFlag of a sticker that was uploaded


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Upload:
    """A file that is to be uploaded. `number` counts the uploads of a login, `began` is in milliseconds.

    `aes_key` and `signature` are WeChat's answer to the announcement of a large one.
    """

    number: int
    began: int
    kind: Kind
    name: str
    mime: str
    size: int
    md5: str
    to: Handle
    aes_key: str = ""
    signature: str = ""

    @property
    def parts(self) -> int:
        """In how many calls it goes out."""
        return -(-self.size // PART)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """A file that WeChat has, good for this login. `reused` says that it was not uploaded just now."""

    media_id: str = field(repr=False)
    signature: str = field(default="", repr=False)
    reused: bool = False


def spoken_to(names: Sequence[str], text: str) -> str:
    """A text that begins with those whom it speaks to, as people write it (webwx 3.4.3)."""
    return "".join(f"@{name}{MENTION_END}" for name in names) + text


def send_text(site: Site, session: Session, draft: Draft, key: SendKey) -> Request:
    """One text (webwx 2.12); the names of those mentioned stand in it already.

    Raises `UnicodeEncodeError` for text that is no Unicode.
    """
    more = {"MsgSource": _source(draft)} if draft.mention else {}
    return _sent(site, session, draft, key, {"Content": draft.text, **more})


def send_media(site: Site, session: Session, draft: Draft, key: SendKey, uploaded: Uploaded) -> Request:
    """The attachment of a draft, which WeChat has already (webwx 2.12)."""
    if draft.kind is Kind.FILE:
        large = {"Signature": uploaded.signature} if uploaded.signature else {}
        return _sent(site, session, draft, key, {"Content": _file_xml(site, draft, uploaded), **large})
    more = {"EmojiFlag": _OWN_GIF} if draft.kind is Kind.STICKER else {}
    return _sent(site, session, draft, key, {"Content": "", "MediaId": uploaded.media_id, **more})


def check_upload(site: Site, session: Session, upload: Upload) -> Request:
    """Announce a large file; WeChat may have it already (webwx 2.13)."""
    rest = {
        "FileMd5": upload.md5,
        "FileName": upload.name,
        "FileSize": upload.size,
        "FileType": _WHOLE_FILE,
        "FromUserName": session.handle,
        "ToUserName": upload.to,
    }
    return signed(site, session, endpoints.CHECK_UPLOAD, rest)


def upload_part(
    site: Site, session: Session, upload: Upload, index: int, content: bytes, data_ticket: str
) -> Request:
    """One part of a file, counted from 0 (webwx 2.14); the fields in the order of the official client."""
    several = [("chunks", str(upload.parts)), ("chunk", str(index))] if upload.parts > 1 else []
    fields = [
        ("id", f"WU_FILE_{upload.number}"),
        ("name", upload.name),
        ("type", upload.mime),
        ("lastModifiedDate", _browser_date(upload.began)),
        ("size", str(upload.size)),
        *several,
        ("mediatype", _MEDIA_TYPES.get(upload.kind, "doc")),
        ("uploadmediarequest", _media_request(session, upload)),
        ("webwx_data_ticket", data_ticket),
        ("pass_ticket", unquote(session.pass_ticket)),
    ]
    file = FilePart(key="filename", name=upload.name, mime=upload.mime, content=content)
    form = multipart.written(fields, file, seed=upload.md5[:16])
    return Request(
        endpoint=endpoints.UPLOAD,
        url=f"{site.hosts.url(endpoints.UPLOAD)}?f=json",
        body=form.body,
        headers={**referer(site), "Content-Type": form.content_type},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """By which call a kind goes out, and as what."""

    endpoint: Endpoint
    type: int
    query: str = ""


_WAYS = {
    Kind.TEXT: _Way(endpoint=endpoints.SEND_TEXT, type=MsgType.TEXT),
    Kind.IMAGE: _Way(endpoint=endpoints.SEND_IMAGE, type=MsgType.IMAGE, query="fun=async&f=json"),
    Kind.VIDEO: _Way(endpoint=endpoints.SEND_VIDEO, type=MsgType.VIDEO, query="fun=async&f=json"),
    Kind.FILE: _Way(endpoint=endpoints.SEND_FILE, type=AppType.FILE, query="fun=async&f=json"),
    Kind.STICKER: _Way(endpoint=endpoints.SEND_STICKER, type=MsgType.STICKER, query="fun=sys"),
}
_MEDIA_TYPES = {Kind.IMAGE: "pic", Kind.VIDEO: "video"}  # a sticker is a document, too


def _sent(site: Site, session: Session, draft: Draft, key: SendKey, what: Mapping[str, object]) -> Request:
    """The frame of every send. The same `key` on a repeat, as the official client does (webwx 2.12)."""
    way = _WAYS[draft.kind]
    message = {
        "Type": int(way.type),
        **what,
        "FromUserName": session.handle,
        "ToUserName": draft.chat,
        "LocalID": key,
        "ClientMsgId": key,
    }
    desktop = "&mod=desktop" if site.desktop and draft.kind is Kind.FILE else ""
    return signed(site, session, way.endpoint, {"Msg": message, "Scene": 0}, way.query + desktop)


def _source(draft: Draft) -> str:
    named = escape(",".join(draft.mention))
    room = escape(draft.chat)
    return f"<msgsource><atusername>{named}</atusername><atchatroomname>{room}</atchatroomname></msgsource>"


def _file_xml(site: Site, draft: Draft, uploaded: Uploaded) -> str:
    """What makes a message of an uploaded file; one line (webwx 2.12)."""
    attachment = draft.attachment
    assert attachment is not None
    title = filenames.title(attachment.name, draft.kind, attachment.blob.mime)
    ending = title.rpartition(".")[2] if "." in title else ""
    return (
        f"<appmsg appid='{'' if site.desktop else FILE_APP}' sdkver=''><title>{escape(title)}</title>"
        f"<des></des><action></action><type>{int(AppType.FILE)}</type><content></content><url></url>"
        f"<lowurl></lowurl><appattach><totallen>{attachment.blob.size}</totallen>"
        f"<attachid>{escape(uploaded.media_id)}</attachid>"
        f"<fileext>{escape(ending)}</fileext></appattach><extinfo></extinfo></appmsg>"
    )


def _media_request(session: Session, upload: Upload) -> str:
    """The same for all parts: `DataLen` is the size of the whole (webwx 2.14)."""
    rest: dict[str, object] = {
        "ClientMediaId": upload.began,
        "TotalLen": upload.size,
        "StartPos": 0,
        "DataLen": upload.size,
        "MediaType": _ATTACHMENT,
        "FromUserName": session.handle,
        "ToUserName": upload.to,
        "FileMd5": upload.md5,
    }
    announced = {"AESKey": upload.aes_key, "Signature": upload.signature} if upload.signature else {}
    head = f'{{"UploadType":{_BY_PAGE},"BaseRequest":{base_request(session)},'
    return head + as_json({**rest, **announced})[1:]


def _browser_date(milliseconds: int) -> str:
    """As a browser in China writes a time; nobody checks it (webwx 2.14)."""
    there = datetime.fromtimestamp(milliseconds / 1000, UTC) + _CHINA
    return there.strftime("%a %b %d %Y %H:%M:%S GMT+0800 (China Standard Time)")
