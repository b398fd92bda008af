"""What goes out: headers, addresses and bodies of each call (ilink 2, 3, 4, 6, 7, 8). Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from wx2mqtt import __version__
from wx2mqtt.model import Kind, SendKey
from wx2mqtt.wechat.ilink import endpoints
from wx2mqtt.wechat.ilink.codes import FINISHED, ITEMS, UPLOADS, Author, Item
from wx2mqtt.wechat.ilink.endpoints import Endpoint
from wx2mqtt.wechat.ilink.keys import padded, to_base64

UPSTREAM = (2, 4, 9)  # the version of Tencent's client that we were written against
CHANNEL_VERSION = ".".join(map(str, UPSTREAM))
CLIENT_VERSION = str(UPSTREAM[0] << 16 | UPSTREAM[1] << 8 | UPSTREAM[2])
BASE_INFO = {"channel_version": CHANNEL_VERSION, "bot_agent": f"wx2mqtt/{__version__}"[:40]}

APP = {"iLink-App-Id": "bot", "iLink-App-ClientVersion": CLIENT_VERSION}
"""Without these a good token was refused (ilink 2.1)."""

Body = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call as it is to be made; a GET where there is no body."""

    endpoint: Endpoint
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


def call(base: str, endpoint: Endpoint, fields: Body, token: str, uin: int) -> Request:
    """A call of a bot; `uin` is a new random number below 2^32. Raises `UnicodeEncodeError`."""
    body = {**fields, "base_info": BASE_INFO}
    return _post(base, endpoint, body, {"Authorization": f"Bearer {token}"}, uin)


def qr_code(base: str, tokens: tuple[str, ...], uin: int) -> Request:
    """A new QR code. `tokens` are those that we still hold, so that WeChat knows a bot of ours again."""
    return _post(base, endpoints.GET_QR, {"local_token_list": list(tokens)}, {}, uin)


def status(base: str, qrcode: str, code: str) -> Request:
    """What became of a QR code; `code` is the number that the phone showed, or empty."""
    asked = {"qrcode": qrcode, **({"verify_code": code} if code else {})}
    endpoint = endpoints.GET_STATUS
    return Request(
        endpoint=endpoint, url=f"{base}{endpoint.path}?{urlencode(asked, quote_via=quote)}", headers=APP
    )


def _post(base: str, endpoint: Endpoint, body: Body, headers: Mapping[str, str], uin: int) -> Request:
    return Request(
        endpoint=endpoint,
        url=f"{base}{endpoint.path}",
        headers={
            **APP,
            "Content-Type": "application/json",
            "AuthorizationType": "ilink_bot_token",
            "X-WECHAT-UIN": base64.b64encode(str(uin).encode()).decode(),
            **headers,
        },
        body=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
    )


# bodies


def updates(buf: str) -> Body:
    """What is new behind this cursor of the server's."""
    return {"get_updates_buf": buf}


def text_item(said: str) -> Body:
    """A text."""
    return {"type": int(Item.TEXT), "text_item": {"text": said}}


def message(to: str, item: Body, key: SendKey, token: str) -> Body:
    """A message of one item (ilink 6.1). No times, or media are refused (ilink 5.2)."""
    filled: dict[str, object] = {
        "from_user_id": "",
        "to_user_id": to,
        "client_id": f"wx2mqtt:{key}",
        "message_type": int(Author.BOT),
        "message_state": FINISHED,
        "item_list": [item],
    }
    return {"msg": {**filled, "context_token": token} if token else filled}


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One file on its way to the CDN; `size` in bytes and `md5` in hex before it is encrypted."""

    kind: Kind
    to: str
    name: str
    size: int
    md5: str
    key: bytes = field(repr=False)
    filekey: str = field(repr=False)

    @property
    def encrypted(self) -> int:
        """Its size as it goes out."""
        return padded(self.size)


def upload_url(upload: Upload) -> Body:
    """Where may this file be brought to (ilink 8.2)?"""
    return {
        "filekey": upload.filekey,
        "media_type": UPLOADS[upload.kind],
        "to_user_id": upload.to,
        "rawsize": upload.size,
        "rawfilemd5": upload.md5,
        "filesize": upload.encrypted,
        "no_need_thumb": True,
        "aeskey": upload.key.hex(),
    }


def media_item(upload: Upload, param: str) -> Body:
    """A file that the CDN calls `param`; whatever differs from this is refused or never shown (ilink 8.2)."""
    media = {"encrypt_query_param": param, "aes_key": to_base64(upload.key), "encrypt_type": 1}
    match upload.kind:
        case Kind.IMAGE:
            sub: tuple[str, Body] = ("image_item", {"media": media, "mid_size": upload.encrypted})
        case Kind.VIDEO:
            sub = ("video_item", {"media": media, "video_size": upload.encrypted})
        case _:
            sub = ("file_item", {"media": media, "file_name": upload.name, "len": str(upload.size)})
    return {"type": int(ITEMS[upload.kind]), sub[0]: sub[1]}


# addresses at the CDN


def upload_to(cdn: str, param: str, filekey: str) -> str:
    """Where a file goes to, if WeChat gave no whole address."""
    return f"{cdn}/upload?encrypted_query_param={quote(param, safe='')}&filekey={quote(filekey, safe='')}"


def download_from(cdn: str, param: str) -> str:
    """Where bytes are, if WeChat gave no whole address."""
    return f"{cdn}/download?encrypted_query_param={quote(param, safe='')}"
