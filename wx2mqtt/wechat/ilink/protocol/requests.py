"""Builds the requests of each call: headers, addresses and bodies (ilink 2, 3, 4, 6, 7, 8).

Functions named `…_request` return a whole `Request`. Those named `…_body` return the fields of a call, which
`ApiClient.call` makes a `Request` of with `call_request`; those named `…_item` a part of `message_body`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import field
from urllib.parse import quote, urlencode

from wx2mqtt import __version__
from wx2mqtt.model import Kind, SendKey
from wx2mqtt.values import frozen
from wx2mqtt.wechat.ilink.protocol import endpoints
from wx2mqtt.wechat.ilink.protocol.codes import (
    ITEM_OF_KIND,
    STATE_FINISHED,
    UPLOAD_TYPES,
    ItemType,
    SenderType,
)
from wx2mqtt.wechat.ilink.protocol.crypto import key_to_base64, padded_size
from wx2mqtt.wechat.ilink.protocol.endpoints import Endpoint

# The version of Tencent's client whose protocol this package implements.
UPSTREAM_VERSION = "2.4.9"
BOT_AGENT = f"wx2mqtt/{__version__}"[:40]

JsonBody = Mapping[str, object]


@frozen(kw_only=False)
class ClientVersion:
    """The version of Tencent's client that requests name, such as `2.4.9`; each number is below 256."""

    text: str = UPSTREAM_VERSION

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers without which WeChat refuses a valid token (ilink 2.1.2)."""
        major, minor, patch = map(int, self.text.split("."))
        return {"iLink-App-Id": "bot", "iLink-App-ClientVersion": str(major << 16 | minor << 8 | patch)}

    @property
    def base_info(self) -> JsonBody:
        """What the body of a call says of the client (ilink 2.2)."""
        return {"channel_version": self.text, "bot_agent": BOT_AGENT}


UPSTREAM = ClientVersion()


@frozen
class Request:
    """One HTTP request; a GET where `body` is None."""

    endpoint: Endpoint
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


def call_request(
    base: str,
    endpoint: Endpoint,
    fields: JsonBody,
    token: str,
    uin: int,
    version: ClientVersion = UPSTREAM,
) -> Request:
    """Builds a call of a bot.

    `uin` is a new random number below 2^32. Raises `UnicodeEncodeError` for text that UTF-8 cannot represent.
    """
    body = {**fields, "base_info": version.base_info}
    headers = {**version.headers, "Authorization": f"Bearer {token}"}
    return _post(base, endpoint, body, headers, uin)


def qr_code_request(
    base: str, tokens: tuple[str, ...], uin: int, version: ClientVersion = UPSTREAM
) -> Request:
    """Builds the request for a new QR code.

    `tokens` are those of the saved logins; from them WeChat recognises a bot that exists already.
    """
    return _post(base, endpoints.GET_QR, {"local_token_list": list(tokens)}, version.headers, uin)


def status_request(base: str, qrcode: str, code: str, version: ClientVersion = UPSTREAM) -> Request:
    """Builds the poll of a QR code. `code` is the number that the phone shows, or empty."""
    query = {"qrcode": qrcode, **({"verify_code": code} if code else {})}
    endpoint = endpoints.GET_STATUS
    return Request(
        endpoint=endpoint,
        url=f"{base}{endpoint.path}?{urlencode(query, quote_via=quote)}",
        headers=version.headers,
    )


def _post(base: str, endpoint: Endpoint, body: JsonBody, headers: Mapping[str, str], uin: int) -> Request:
    return Request(
        endpoint=endpoint,
        url=f"{base}{endpoint.path}",
        headers={
            "Content-Type": "application/json",
            "AuthorizationType": "ilink_bot_token",
            "X-WECHAT-UIN": base64.b64encode(str(uin).encode()).decode(),
            **headers,
        },
        body=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
    )


def text_item(text: str) -> JsonBody:
    return {"type": int(ItemType.TEXT), "text_item": {"text": text}}


def message_body(to: str, item: JsonBody, key: SendKey, context_token: str) -> JsonBody:
    """Builds a message of one item (ilink 5.2.2); `context_token` may be empty.

    It has no times: with them WeChat refuses media (ilink 6.1.2).
    """
    message: dict[str, object] = {
        "from_user_id": "",
        "to_user_id": to,
        "client_id": f"wx2mqtt:{key}",
        "message_type": int(SenderType.BOT),
        "message_state": STATE_FINISHED,
        "item_list": [item],
    }
    if context_token:
        message["context_token"] = context_token
    return {"msg": message}


@frozen
class Upload:
    """A file to upload."""

    kind: Kind
    #: The handle of the recipient.
    to: str
    name: str
    #: How many bytes it has before encryption.
    size: int
    #: The MD5 in hex before encryption.
    md5: str
    #: The random key with which it is encrypted.
    key: bytes = field(repr=False)
    #: A random name for the upload.
    filekey: str = field(repr=False)

    @property
    def encrypted_size(self) -> int:
        """The number of bytes that are uploaded."""
        return padded_size(self.size)


def upload_url_body(upload: Upload) -> JsonBody:
    """Builds the request for the address of an upload (ilink 8.2.1)."""
    return {
        "filekey": upload.filekey,
        "media_type": UPLOAD_TYPES[upload.kind],
        "to_user_id": upload.to,
        "rawsize": upload.size,
        "rawfilemd5": upload.md5,
        "filesize": upload.encrypted_size,
        "no_need_thumb": True,
        "aeskey": upload.key.hex(),
    }


def media_item(upload: Upload, param: str) -> JsonBody:
    """Builds the item that sends an uploaded file, which the CDN names `param`.

    WeChat refuses or does not show an item of any other form (ilink 8.2).
    """
    media = {"encrypt_query_param": param, "aes_key": key_to_base64(upload.key), "encrypt_type": 1}
    content: JsonBody
    match upload.kind:
        case Kind.IMAGE:
            name, content = "image_item", {"media": media, "mid_size": upload.encrypted_size}
        case Kind.VIDEO:
            name, content = "video_item", {"media": media, "video_size": upload.encrypted_size}
        case _:
            name, content = "file_item", {"media": media, "file_name": upload.name, "len": str(upload.size)}
    return {"type": int(ITEM_OF_KIND[upload.kind]), name: content}


def upload_url(cdn: str, param: str, filekey: str) -> str:
    """Returns the address of an upload for which WeChat sent no whole address."""
    return f"{cdn}/upload?encrypted_query_param={quote(param, safe='')}&filekey={quote(filekey, safe='')}"


def download_url(cdn: str, param: str) -> str:
    """Returns the address of a file for which WeChat sent no whole address."""
    return f"{cdn}/download?encrypted_query_param={quote(param, safe='')}"
