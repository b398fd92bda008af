"""Builds the requests that send messages and upload files (webwx 2.12, 2.13, 2.14)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from wx2mqtt.model import Draft, Handle, Kind, SendKey
from wx2mqtt.names import clean_filename, cut_filename, extension_of
from wx2mqtt.values import frozen
from wx2mqtt.wechat.webwx.protocol import endpoints
from wx2mqtt.wechat.webwx.protocol.codes import AppType, MsgType
from wx2mqtt.wechat.webwx.protocol.endpoints import MEGABYTE, Endpoint
from wx2mqtt.wechat.webwx.protocol.requests import (
    Request,
    base_request,
    build_request,
    json_body,
    signed_request,
)
from wx2mqtt.wechat.webwx.protocol.session import Session

# One call uploads so many bytes of a file; the parts are sent one after the other (webwx 2.14.5).
UPLOAD_PART_BYTES = 524_288

# A larger file must be announced first (webwx 2.13.4).
UPLOAD_CHECK_BYTES = 25 * MEGABYTE

# The app id in the XML of a file, except in desktop mode (webwx 2.12.10).
FILE_APP_ID = "wxeb7ec651dd0aefa9"

# The space that follows a mentioned name (webwx 3.4.3.1).
MENTION_END = "\u2005"


@frozen(repr=False)
class Upload:
    """A file to upload."""

    #: The uploads of a login are numbered from 0.
    number: int
    #: When the upload began, in milliseconds since 1970; no other upload of the login has the same time.
    started_ms: int
    kind: Kind
    name: str
    mime: str
    #: In bytes.
    size: int
    #: The MD5 of the file in hex.
    md5: str
    #: The handle of the recipient.
    to: Handle
    #: From WeChat's answer to the announcement of a large file; empty for any other.
    aes_key: str = ""
    #: From WeChat's answer to the announcement of a large file; empty for any other.
    signature: str = ""

    @property
    def part_count(self) -> int:
        """The number of calls that upload it."""
        return -(-self.size // UPLOAD_PART_BYTES)


@frozen
class Uploaded:
    """An uploaded file, valid for this login."""

    media_id: str = field(repr=False)
    #: Only large files have one (`Upload.signature`).
    signature: str = field(default="", repr=False)
    #: An earlier draft was sent with this upload.
    reused: bool = False


def send_text_request(session: Session, draft: Draft, key: SendKey) -> Request:
    """Sends a text (webwx 2.12.6), which already holds the names of mentioned members.

    Raises `UnicodeEncodeError` for a text with lone surrogates.
    """
    fields = {"Content": draft.text}
    if draft.mention:
        members = f"<atusername>{escape(','.join(draft.mention))}</atusername>"
        group = f"<atchatroomname>{escape(draft.chat)}</atchatroomname>"
        fields["MsgSource"] = f"<msgsource>{members}{group}</msgsource>"
    return _send_request(session, draft, key, fields)


# EmojiFlag of an uploaded sticker.
_UPLOADED_STICKER = 2


def send_media_request(session: Session, draft: Draft, key: SendKey, uploaded: Uploaded) -> Request:
    """Sends the attachment of a draft, which is already uploaded (webwx 2.12.6)."""
    fields: dict[str, object]
    if draft.kind is Kind.FILE:
        fields = {"Content": _file_xml(session, draft, uploaded)}
        if uploaded.signature:
            fields["Signature"] = uploaded.signature
    else:
        fields = {"Content": "", "MediaId": uploaded.media_id}
        if draft.kind is Kind.STICKER:
            fields["EmojiFlag"] = _UPLOADED_STICKER
    return _send_request(session, draft, key, fields)


# FileType of webwxcheckupload.
_FILE_TYPE = 7


def check_upload_request(session: Session, upload: Upload) -> Request:
    """Announces a large file, which WeChat may have already (webwx 2.13.1)."""
    fields = {
        "FileMd5": upload.md5,
        "FileName": upload.name,
        "FileSize": upload.size,
        "FileType": _FILE_TYPE,
        "FromUserName": session.handle,
        "ToUserName": upload.to,
    }
    return signed_request(session, endpoints.CHECK_UPLOAD, fields)


# As a browser in China formats a time; the server does not check it (webwx 2.14.2).
_CHINA_OFFSET = timedelta(hours=8)
_BROWSER_DATE = "%a %b %d %Y %H:%M:%S GMT+0800 (China Standard Time)"


def upload_part_request(
    session: Session, upload: Upload, index: int, content: bytes, data_ticket: str
) -> Request:
    """Uploads one part, counted from 0; fields in the official client's order (webwx 2.14.2)."""
    time_in_china = datetime.fromtimestamp(upload.started_ms / 1000, UTC) + _CHINA_OFFSET
    part_fields = [("chunks", str(upload.part_count)), ("chunk", str(index))] if upload.part_count > 1 else []
    fields = [
        ("id", f"WU_FILE_{upload.number}"),
        ("name", upload.name),
        ("type", upload.mime),
        ("lastModifiedDate", f"{time_in_china:{_BROWSER_DATE}}"),
        ("size", str(upload.size)),
        *part_fields,
        ("mediatype", _MEDIA_TYPES.get(upload.kind, "doc")),
        ("uploadmediarequest", _upload_description(session, upload)),
        ("webwx_data_ticket", data_ticket),
        ("pass_ticket", unquote(session.pass_ticket)),
    ]
    content_type, body = encode_form(fields, upload.name, upload.mime, content, seed=upload.md5[:16])
    return build_request(session.profile, endpoints.UPLOAD, "f=json", body, {"Content-Type": content_type})


@frozen
class _SendMethod:
    """The call that sends a kind of draft, and the message type in it."""

    endpoint: Endpoint
    type: int
    query: str = ""


_SEND_METHODS = {
    Kind.TEXT: _SendMethod(endpoint=endpoints.SEND_TEXT, type=MsgType.TEXT),
    Kind.IMAGE: _SendMethod(endpoint=endpoints.SEND_IMAGE, type=MsgType.IMAGE, query="fun=async&f=json"),
    Kind.VIDEO: _SendMethod(endpoint=endpoints.SEND_VIDEO, type=MsgType.VIDEO, query="fun=async&f=json"),
    Kind.FILE: _SendMethod(endpoint=endpoints.SEND_FILE, type=AppType.FILE, query="fun=async&f=json"),
    Kind.STICKER: _SendMethod(endpoint=endpoints.SEND_STICKER, type=MsgType.STICKER, query="fun=sys"),
}

# `mediatype` of an upload; every other kind, also a sticker, is a "doc".
_MEDIA_TYPES = {Kind.IMAGE: "pic", Kind.VIDEO: "video"}


def _send_request(session: Session, draft: Draft, key: SendKey, fields: Mapping[str, object]) -> Request:
    """Sends a message; a repeat has the same `key`, as in the official client (webwx 2.12)."""
    method = _SEND_METHODS[draft.kind]
    message = {
        "Type": int(method.type),
        **fields,
        "FromUserName": session.handle,
        "ToUserName": draft.chat,
        "LocalID": key,
        "ClientMsgId": key,
    }
    desktop = "&mod=desktop" if session.profile.desktop and draft.kind is Kind.FILE else ""
    query = method.query + desktop
    return signed_request(session, method.endpoint, {"Msg": message, "Scene": 0}, query)


def _file_xml(session: Session, draft: Draft, uploaded: Uploaded) -> str:
    """Returns the XML that shows an uploaded file as a message, on one line (webwx 2.12.10)."""
    attachment = draft.attachment
    assert attachment is not None
    title = title_filename(attachment.name, draft.kind, attachment.blob.mime)
    extension = title.rpartition(".")[2] if "." in title else ""
    app_id = "" if session.profile.desktop else FILE_APP_ID
    return (
        f"<appmsg appid='{app_id}' sdkver=''><title>{escape(title)}</title>"
        f"<des></des><action></action><type>{int(AppType.FILE)}</type><content></content><url></url>"
        f"<lowurl></lowurl><appattach><totallen>{attachment.blob.size}</totallen>"
        f"<attachid>{escape(uploaded.media_id)}</attachid>"
        f"<fileext>{escape(extension)}</fileext></appattach><extinfo></extinfo></appmsg>"
    )


# MediaType and UploadType of every upload.
_MEDIA_TYPE = 4
_UPLOAD_TYPE = 2


def _upload_description(session: Session, upload: Upload) -> str:
    """Returns the JSON that each part carries; `DataLen` is the size of the whole file (webwx 2.14.3)."""
    description: dict[str, object] = {
        "UploadType": _UPLOAD_TYPE,
        "BaseRequest": base_request(session),
        "ClientMediaId": upload.started_ms,
        "TotalLen": upload.size,
        "StartPos": 0,
        "DataLen": upload.size,
        "MediaType": _MEDIA_TYPE,
        "FromUserName": session.handle,
        "ToUserName": upload.to,
        "FileMd5": upload.md5,
    }
    if upload.signature:
        description |= {"AESKey": upload.aes_key, "Signature": upload.signature}
    return json_body(description)


# How many characters a name may have after percent-encoding. A name of 16 Chinese characters and `.doc` was
# accepted and one of 17 was not, so the limit lies between 148 and 157 (webwx 2.14.9, IC#814).
MAX_UPLOAD_NAME_CHARACTERS = 148

# The extensions by which WeChat recognizes a type; a name without one of them gets the first.
_EXTENSIONS = {
    "image/jpeg": ("jpg", "jpeg"),
    "image/png": ("png",),
    "image/bmp": ("bmp",),
    "image/gif": ("gif",),
    "video/mp4": ("mp4",),
}


def title_filename(name: str, kind: Kind, mime: str) -> str:
    """Returns the file name that the receiver sees; never empty, with an extension that fits `mime`."""
    return _sendable_name(name, kind, mime, cut_filename)


def upload_filename(name: str, kind: Kind, mime: str) -> str:
    """Returns the file name that is sent with an upload, which has to be shorter."""
    cut = partial(cut_filename, limit=MAX_UPLOAD_NAME_CHARACTERS, size=_percent_encoded_size)
    return _sendable_name(name, kind, mime, cut)


def _sendable_name(name: str, kind: Kind, mime: str, cut: Callable[[str], str]) -> str:
    """Returns a clean name that is short enough.

    Pictures and videos get an extension that WeChat recognizes. Where only that is left, the kind is added.
    """
    whole = clean_filename(name) or str(kind)
    extensions = () if kind is Kind.FILE else _EXTENSIONS.get(mime, ())
    if extensions and extension_of(whole).lower() not in extensions:
        whole = f"{whole}.{extensions[0]}"
    short = cut(whole)
    has_stem = short == whole or bool(short.removesuffix(f".{extension_of(short)}"))
    return short if has_stem else f"{kind}{short}"


def _percent_encoded_size(name: str) -> int:
    return len(quote(name, safe=""))


def encode_form(
    fields: Sequence[tuple[str, str]], filename: str, mime: str, content: bytes, seed: str
) -> tuple[str, bytes]:
    """Returns type and body of a form as browsers encode it: the fields in their order, then the file.

    Names are plain UTF-8, since WeChat does not understand RFC 2231 (webwx 2.14.8). `seed`, of letters and
    digits, becomes part of the boundary, which is extended until it occurs in no part.
    Raises `UnicodeEncodeError` for a text with lone surrogates.
    """
    # As browsers encode the characters that would end a quoted text (HTML, multipart form data).
    quoted_name = filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    disposition = "Content-Disposition: form-data; name="
    parts = [f'{disposition}"{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields]
    head = f'{disposition}"filename"; filename="{quoted_name}"\r\nContent-Type: {mime}\r\n\r\n'.encode()
    boundary = f"----WebKitFormBoundary{seed}".encode()
    while any(boundary in part for part in (*parts, head, content)):
        boundary += b"0"
    begin = b"--" + boundary + b"\r\n"
    before = b"".join(begin + part for part in parts)
    body = b"".join((before, begin, head, content, b"\r\n--", boundary, b"--\r\n"))
    return f"multipart/form-data; boundary={boundary.decode()}", body
