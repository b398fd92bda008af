"""A client of iLink for tests, written from the protocol and as strict as the official one.

It retries nothing and shares no code with the package: what a test sends is what it says.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import random
from typing import Any, Self
from urllib.parse import quote

import httpx
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.support.deadlines import MAX_REQUEST_SECONDS
from tests.support.web_client import system_trust

Json = dict[str, Any]

APP = {"iLink-App-Id": "bot", "iLink-App-ClientVersion": "132105"}
BASE_INFO = {"channel_version": "2.4.9", "bot_agent": "wx2mqtt/0.1"}
MEDIA_TYPES = {"image": 1, "video": 2, "file": 3}

_numbers = itertools.count(1)


def encrypt(plain: bytes, key: bytes) -> bytes:
    """Encrypts with AES-128, ECB, PKCS#7."""
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update(padder.update(plain) + padder.finalize())


def decrypt(sealed: bytes, key: bytes) -> bytes:
    """Decrypts what `encrypt` returns."""
    unpadder = padding.PKCS7(128).unpadder()
    decryptor = Cipher(algorithms.AES(key), modes.ECB()).decryptor()
    return unpadder.update(decryptor.update(sealed)) + unpadder.finalize()


def key_of(text: str) -> bytes:
    """Returns the key of an `aes_key`: 16 bytes, or 32 hex characters."""
    raw = base64.b64decode(text)
    return raw if len(raw) == 16 else bytes.fromhex(raw.decode())


def text(content: str) -> Json:
    """Returns a text item."""
    return {"type": 1, "text_item": {"text": content}}


class ILinkClient:
    """A client; it has a token after `log_in`, and a cursor and a context token after `new`."""

    def __init__(self, url: str, **options: Any) -> None:
        usual: dict[str, Any] = {"timeout": MAX_REQUEST_SECONDS, "verify": system_trust()}
        self.http = httpx.AsyncClient(
            base_url=url, follow_redirects=False, trust_env=False, **{**usual, **options}
        )
        self.token = ""
        self.user_id = ""
        self.bot_id = ""
        self.cursor = ""
        self.context_token = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    # the control

    async def control(self, name: str, **values: Any) -> Any:
        """Sends a POST to `/sim/ilink/<name>`; raises when it is refused."""
        answer = await self.http.post(f"/sim/ilink/{name}", json=values)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def seen(self, name: str, **query: Any) -> Any:
        """Sends a GET to `/sim/ilink/<name>`; returns the JSON."""
        answer = await self.http.get(f"/sim/ilink/{name}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def violations(self) -> list[str]:
        """Returns the violations since the last call."""
        found = (await self.http.get("/sim/violations")).json()
        await self.http.post("/sim/violations/clear")
        return [f"{violation['endpoint']}: {violation['what']}" for violation in found]

    # the calls

    def headers(self) -> dict[str, str]:
        """Returns the headers of a POST."""
        uin = base64.b64encode(str(random.randrange(2**32)).encode()).decode()
        signed = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {**APP, "AuthorizationType": "ilink_bot_token", "X-WECHAT-UIN": uin, **signed}

    async def post(self, name: str, **body: Any) -> httpx.Response:
        """Sends a POST with base_info."""
        fields = {**body, "base_info": BASE_INFO}
        return await self.http.post(f"/ilink/bot/{name}", json=fields, headers=self.headers())

    async def call(self, name: str, **body: Any) -> Any:
        """Sends a POST with base_info; returns the JSON."""
        answer = await self.post(name, **body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def qrcode(self, *tokens: str) -> Json:
        """Requests a new QR code."""
        headers = {name: value for name, value in self.headers().items() if name != "Authorization"}
        answer = await self.http.post(
            "/ilink/bot/get_bot_qrcode?bot_type=3", json={"local_token_list": tokens}, headers=headers
        )
        made: Json = answer.json()
        return made

    async def status(self, handle: str, **query: str) -> Json:
        """Requests the status of a QR code."""
        answer = await self.http.get(
            "/ilink/bot/get_qrcode_status", params={"qrcode": handle, **query}, headers=APP
        )
        answer_json: Json = answer.json()
        return answer_json

    async def log_in(self, person: str = "me") -> Json:
        """Scans and confirms a code, and keeps the credentials."""
        handle = (await self.qrcode())["qrcode"]
        await self.control("scan", person=person)
        await self.control("confirm")
        answer_json = await self.status(handle)
        self.token, self.user_id = answer_json["bot_token"], answer_json["ilink_user_id"]
        self.bot_id, self.cursor, self.context_token = answer_json["ilink_bot_id"], "", ""
        return answer_json

    async def poll(self) -> Json:
        """Calls getupdates once, without moving the cursor."""
        answer_json: Json = await self.call("getupdates", get_updates_buf=self.cursor)
        return answer_json

    async def new(self) -> list[Json]:
        """Returns the new messages, and moves the cursor."""
        answer_json = await self.poll()
        self.cursor = answer_json.get("get_updates_buf") or self.cursor
        messages: list[Json] = answer_json.get("msgs", [])
        for message in messages:
            self.context_token = message.get("context_token", self.context_token)
        return messages

    def message(self, *items: Json, **fields: Any) -> Json:
        """Returns a message to the person."""
        return {
            "from_user_id": "",
            "to_user_id": self.user_id,
            "client_id": f"test:{next(_numbers)}",
            "message_type": 2,
            "message_state": 2,
            **({"context_token": self.context_token} if self.context_token else {}),
            "item_list": [*items],
            **fields,
        }

    async def send(self, *items: Json, **fields: Any) -> Json:
        """Sends a message with these items."""
        answer_json: Json = await self.call("sendmessage", msg=self.message(*items, **fields))
        return answer_json

    async def upload_url(self, data: bytes, kind: str, key: bytes, **fields: Any) -> tuple[str, Json]:
        """Requests an address for an upload; returns the filekey and the answer."""
        filekey = random.randbytes(16).hex()
        asked = {
            "filekey": filekey,
            "media_type": MEDIA_TYPES[kind],
            "to_user_id": self.user_id,
            "rawsize": len(data),
            "rawfilemd5": hashlib.md5(data).hexdigest(),
            "filesize": (len(data) // 16 + 1) * 16,
            "no_need_thumb": True,
            "aeskey": key.hex(),
            **fields,
        }
        return filekey, await self.call("getuploadurl", **asked)

    async def put(self, url: str, sealed: bytes) -> httpx.Response:
        """Uploads the ciphertext."""
        return await self.http.post(url, content=sealed, headers={"Content-Type": "application/octet-stream"})

    async def upload(self, data: bytes, kind: str, *, own_url: bool = False) -> Json:
        """Uploads a file; returns its `media`."""
        key = random.randbytes(16)
        filekey, answer_json = await self.upload_url(data, kind, key)
        url = answer_json["upload_full_url"]
        if own_url:
            param = quote(answer_json["upload_param"], safe="")
            url = f"/c2c/upload?encrypted_query_param={param}&filekey={filekey}"
        answer = await self.put(url, encrypt(data, key))
        assert answer.status_code == 200, answer.headers
        return {
            "encrypt_query_param": answer.headers["x-encrypted-param"],
            "aes_key": base64.b64encode(key.hex().encode()).decode(),
            "encrypt_type": 1,
        }

    async def download(self, media: Json, key: bytes | None = None) -> bytes:
        """Downloads and decrypts the file of a `media`."""
        answer = await self.http.get(media["full_url"])
        assert answer.status_code == 200, answer.headers
        found = key or (key_of(media["aes_key"]) if "aes_key" in media else None)
        return decrypt(answer.content, found) if found else answer.content
