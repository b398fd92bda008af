"""Requests that bring messages and files to WeChat, and fetch files from it (webwx 2.12, 2.13, 2.14, 2.16).

`multipart/form-data` is written as by a browser: names in plain UTF-8, not as in RFC 2231 (webwx 2.14.8).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote, urlencode
from xml.sax.saxutils import escape

from wx2mqtt.model import Draft, Handle, Kind, SendKey
from wx2mqtt.wechat.webwx.protocol import content, endpoints
from wx2mqtt.wechat.webwx.protocol.app_messages import AppType
from wx2mqtt.wechat.webwx.protocol.codes import MsgType
from wx2mqtt.wechat.webwx.protocol.content import MediaCall
from wx2mqtt.wechat.webwx.protocol.endpoints import MEGABYTE, Endpoint
from wx2mqtt.wechat.webwx.protocol.requests import (
    ClientProfile,
    Request,
    base_request,
    json_body,
    referer_header,
    signed_request,
)
from wx2mqtt.wechat.webwx.protocol.session import Session

NO_COMPRESSION = "identity"  # a compressed answer could grow without bound while it is unpacked
Locator = Mapping[str, str]


def fetch_request(
    profile: ClientProfile, session: Session, call: MediaCall, locator: Locator, data_ticket: str
) -> Request:
    """The call that brings the bytes.

    `data_ticket` is the cookie `webwx_data_ticket`, which webwxgetmedia wants in its query as well.
    """
    endpoint, query = _CALLS[call]
    headers = {"Referer": f"{profile.hosts.base}/", "Accept-Encoding": NO_COMPRESSION}
    if call is MediaCall.VIDEO:
        headers["Range"] = "bytes=0-"  # without it the answer is empty
    asked = query(locator, session, data_ticket)
    return Request(endpoint=endpoint, url=f"{profile.hosts.url(endpoint)}?{asked}", headers=headers)


_Query = Callable[[Locator, Session, str], str]


def _image(size: str) -> _Query:
    """`size` is slave for a thumbnail, big for a sticker, empty for the picture itself."""

    def query(locator: Locator, session: Session, _data_ticket: str) -> str:
        asked = {"MsgID": locator.get("msgid", ""), "skey": session.skey}
        return urlencode(asked | {"type": size} if size else asked)

    return query


def _recording(locator: Locator, session: Session, _data_ticket: str) -> str:
    return urlencode({"msgid": locator.get("msgid", ""), "skey": session.skey})


def _file(locator: Locator, session: Session, data_ticket: str) -> str:
    told = {key: locator.get(key, "") for key in ("sender", "mediaid", "encryfilename")}
    own = {"fromuser": session.uin, "pass_ticket": session.pass_ticket, "webwx_data_ticket": data_ticket}
    # What comes percent-encoded from the server goes back as it came (webwx 1.2.6, 2.16.5).
    return "&".join(f"{key}={quote(value, '%', errors='replace')}" for key, value in (told | own).items())


def _map(locator: Locator, _session: Session, _data_ticket: str) -> str:
    return urlencode({"url": "xxx", "msgid": locator.get("msgid", ""), "pictype": "location"})


def _avatar(locator: Locator, session: Session, _data_ticket: str) -> str:
    asked = {"seq": locator.get("seq", ""), "username": locator.get("username", "")}
    return urlencode({**asked, "skey": session.skey})


_CALLS: dict[MediaCall, tuple[Endpoint, _Query]] = {
    MediaCall.IMAGE: (endpoints.GET_IMAGE, _image("")),
    MediaCall.THUMBNAIL: (endpoints.GET_IMAGE, _image("slave")),
    MediaCall.STICKER: (endpoints.GET_IMAGE, _image("big")),
    MediaCall.VOICE: (endpoints.GET_VOICE, _recording),
    MediaCall.VIDEO: (endpoints.GET_VIDEO, _recording),
    MediaCall.FILE: (endpoints.GET_FILE, _file),
    MediaCall.MAP: (endpoints.GET_MAP, _map),
    MediaCall.AVATAR: (endpoints.GET_AVATAR, _avatar),
    MediaCall.GROUP_AVATAR: (endpoints.GET_GROUP_AVATAR, _avatar),
}

FormField = tuple[str, str]
"""Name and value of one field of a form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """The part of a form that holds bytes."""

    key: str
    name: str
    mime: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipartForm:
    """A form, written out."""

    content_type: str
    body: bytes = field(repr=False)


def encode_form(fields: Sequence[FormField], file: FilePart, seed: str) -> MultipartForm:
    """The form of these fields, in this order, and the file last.

    `seed`, letters and digits, goes into the boundary, which occurs nowhere in what it separates.
    Raises `UnicodeEncodeError` for text that is no Unicode.
    """
    parts = [_disposition(name) + b"\r\n\r\n" + value.encode() for name, value in fields]
    head = _file_head(file)
    boundary = _boundary(seed, [*parts, head, file.content])
    line = b"--" + boundary
    before = b"".join(line + b"\r\n" + part + b"\r\n" for part in parts)
    body = b"".join((before, line, b"\r\n", head, b"\r\n\r\n", file.content, b"\r\n", line, b"--\r\n"))
    return MultipartForm(content_type=f"multipart/form-data; boundary={boundary.decode()}", body=body)


def _disposition(name: str) -> bytes:
    return f'Content-Disposition: form-data; name="{_quoted(name)}"'.encode()


def _file_head(file: FilePart) -> bytes:
    named = f'; filename="{_quoted(file.name)}"'.encode()
    return _disposition(file.key) + named + f"\r\nContent-Type: {file.mime}".encode()


def _quoted(text: str) -> str:
    """What would end a quoted text, as browsers encode it (HTML, multipart form data)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _boundary(seed: str, contents: Sequence[bytes]) -> bytes:
    boundary = f"----WebKitFormBoundary{seed}".encode()
    while any(boundary in content for content in contents):
        boundary += b"0"
    return boundary


UPLOAD_PART_BYTES = 524_288  # bytes of a file that go out in one call, one after the other (webwx 2.14.5)
UPLOAD_CHECK_BYTES = 25 * MEGABYTE  # what is larger must be announced (webwx 2.13.4)
FILE_APP = "wxeb7ec651dd0aefa9"  # in the XML of a file, but not in desktop mode (webwx 2.12.10)
MENTION_END = "\u2005"  # a space of a quarter em stands behind a mentioned name (webwx 3.4.3.1)
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
    started_ms: int
    kind: Kind
    name: str
    mime: str
    size: int
    md5: str
    to: Handle
    aes_key: str = ""
    signature: str = ""

    @property
    def part_count(self) -> int:
        """In how many calls it goes out."""
        return -(-self.size // UPLOAD_PART_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """A file that WeChat has, good for this login. `reused` says that it was not uploaded just now."""

    media_id: str = field(repr=False)
    signature: str = field(default="", repr=False)
    reused: bool = False


def mentioned_text(names: Sequence[str], text: str) -> str:
    """A text that begins with those whom it speaks to, as people write it (webwx 3.4.3.1)."""
    return "".join(f"@{name}{MENTION_END}" for name in names) + text


def send_text_request(profile: ClientProfile, session: Session, draft: Draft, key: SendKey) -> Request:
    """One text (webwx 2.12.6); the names of those mentioned stand in it already.

    Raises `UnicodeEncodeError` for text that is no Unicode.
    """
    more = {"MsgSource": _source(draft)} if draft.mention else {}
    return _sent(profile, session, draft, key, {"Content": draft.text, **more})


def send_media_request(
    profile: ClientProfile, session: Session, draft: Draft, key: SendKey, uploaded: Uploaded
) -> Request:
    """The attachment of a draft, which WeChat has already (webwx 2.12.6)."""
    if draft.kind is Kind.FILE:
        large = {"Signature": uploaded.signature} if uploaded.signature else {}
        return _sent(profile, session, draft, key, {"Content": _file_xml(profile, draft, uploaded), **large})
    more = {"EmojiFlag": _OWN_GIF} if draft.kind is Kind.STICKER else {}
    return _sent(profile, session, draft, key, {"Content": "", "MediaId": uploaded.media_id, **more})


def check_upload_request(profile: ClientProfile, session: Session, upload: Upload) -> Request:
    """Announce a large file; WeChat may have it already (webwx 2.13.1)."""
    rest = {
        "FileMd5": upload.md5,
        "FileName": upload.name,
        "FileSize": upload.size,
        "FileType": _WHOLE_FILE,
        "FromUserName": session.handle,
        "ToUserName": upload.to,
    }
    return signed_request(profile, session, endpoints.CHECK_UPLOAD, rest)


def upload_part_request(
    profile: ClientProfile, session: Session, upload: Upload, index: int, content: bytes, data_ticket: str
) -> Request:
    """One part of a file, counted from 0 (webwx 2.14.2); the fields in the order of the official client."""
    several = [("chunks", str(upload.part_count)), ("chunk", str(index))] if upload.part_count > 1 else []
    fields = [
        ("id", f"WU_FILE_{upload.number}"),
        ("name", upload.name),
        ("type", upload.mime),
        ("lastModifiedDate", _browser_date(upload.started_ms)),
        ("size", str(upload.size)),
        *several,
        ("mediatype", _MEDIA_TYPES.get(upload.kind, "doc")),
        ("uploadmediarequest", _media_request(session, upload)),
        ("webwx_data_ticket", data_ticket),
        ("pass_ticket", unquote(session.pass_ticket)),
    ]
    file = FilePart(key="filename", name=upload.name, mime=upload.mime, content=content)
    form = encode_form(fields, file, seed=upload.md5[:16])
    return Request(
        endpoint=endpoints.UPLOAD,
        url=f"{profile.hosts.url(endpoints.UPLOAD)}?f=json",
        body=form.body,
        headers={**referer_header(profile), "Content-Type": form.content_type},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _SendMethod:
    """By which call a kind goes out, and as what."""

    endpoint: Endpoint
    type: int
    query: str = ""


_WAYS = {
    Kind.TEXT: _SendMethod(endpoint=endpoints.SEND_TEXT, type=MsgType.TEXT),
    Kind.IMAGE: _SendMethod(endpoint=endpoints.SEND_IMAGE, type=MsgType.IMAGE, query="fun=async&f=json"),
    Kind.VIDEO: _SendMethod(endpoint=endpoints.SEND_VIDEO, type=MsgType.VIDEO, query="fun=async&f=json"),
    Kind.FILE: _SendMethod(endpoint=endpoints.SEND_FILE, type=AppType.FILE, query="fun=async&f=json"),
    Kind.STICKER: _SendMethod(endpoint=endpoints.SEND_STICKER, type=MsgType.STICKER, query="fun=sys"),
}

_MEDIA_TYPES = {Kind.IMAGE: "pic", Kind.VIDEO: "video"}  # a sticker is a document, too


def _sent(
    profile: ClientProfile, session: Session, draft: Draft, key: SendKey, what: Mapping[str, object]
) -> Request:
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
    desktop = "&mod=desktop" if profile.desktop and draft.kind is Kind.FILE else ""
    return signed_request(profile, session, way.endpoint, {"Msg": message, "Scene": 0}, way.query + desktop)


def _source(draft: Draft) -> str:
    named = escape(",".join(draft.mention))
    room = escape(draft.chat)
    return f"<msgsource><atusername>{named}</atusername><atchatroomname>{room}</atchatroomname></msgsource>"


def _file_xml(profile: ClientProfile, draft: Draft, uploaded: Uploaded) -> str:
    """What makes a message of an uploaded file; one line (webwx 2.12.10)."""
    attachment = draft.attachment
    assert attachment is not None
    title = content.title_filename(attachment.name, draft.kind, attachment.blob.mime)
    ending = title.rpartition(".")[2] if "." in title else ""
    return (
        f"<appmsg appid='{'' if profile.desktop else FILE_APP}' sdkver=''><title>{escape(title)}</title>"
        f"<des></des><action></action><type>{int(AppType.FILE)}</type><content></content><url></url>"
        f"<lowurl></lowurl><appattach><totallen>{attachment.blob.size}</totallen>"
        f"<attachid>{escape(uploaded.media_id)}</attachid>"
        f"<fileext>{escape(ending)}</fileext></appattach><extinfo></extinfo></appmsg>"
    )


def _media_request(session: Session, upload: Upload) -> str:
    """The same for all parts: `DataLen` is the size of the whole (webwx 2.14.3)."""
    rest: dict[str, object] = {
        "ClientMediaId": upload.started_ms,
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
    return head + json_body({**rest, **announced})[1:]


def _browser_date(milliseconds: int) -> str:
    """As a browser in China writes a time; nobody checks it (webwx 2.14.2)."""
    there = datetime.fromtimestamp(milliseconds / 1000, UTC) + _CHINA
    return there.strftime("%a %b %d %Y %H:%M:%S GMT+0800 (China Standard Time)")
