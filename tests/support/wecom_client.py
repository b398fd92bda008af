"""A client of WeCom's bots for tests, written from the protocol; what a test sends is what it says.

It answers nothing by itself and shares no code with the package.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
from typing import Any, Self

import httpx
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.deadlines import MAX_REQUEST_SECONDS, MAX_WAIT_SECONDS
from tests.support.web_client import system_trust
from wx2mqtt.simulator.wecom.simulated_wecom import HOME_BOT_ID, HOME_BOT_SECRET

Json = dict[str, Any]

PIECE_BYTES = 512 * 1024

_numbers = itertools.count(1)


def decrypt(sealed: bytes, key_text: str) -> bytes:
    """Decrypts AES-256-CBC with PKCS#7 to 32 bytes; the IV is the first half of the key. Raises ValueError."""
    key = base64.b64decode(key_text + "=" * (-len(key_text) % 4))
    decryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).decryptor()
    padded = decryptor.update(sealed) + decryptor.finalize()
    length = padded[-1]
    if not 1 <= length <= 32 or padded[-length:] != bytes([length]) * length:
        raise ValueError("padding")
    return padded[:-length]


def button_card(task_id: str, *texts: str, **fields: Any) -> Json:
    """Returns a card with buttons; the key of each is its text in lower case."""
    buttons = [{"text": text, "style": 1, "key": text.lower()} for text in texts]
    return {
        "card_type": "button_interaction",
        "main_title": {"title": "Lights?", "desc": "in the hall"},
        "button_list": buttons,
        "task_id": task_id,
        **fields,
    }


class WeComClient:
    """A client. `callbacks` are those that `next` has not returned yet; other frames answer a call."""

    def __init__(self, url: str, **options: Any) -> None:
        usual: dict[str, Any] = {"timeout": MAX_REQUEST_SECONDS, "verify": system_trust()}
        self.http = httpx.AsyncClient(base_url=url, trust_env=False, **{**usual, **options})
        self.url = url
        self.socket: ClientConnection | None = None
        self.callbacks: asyncio.Queue[Json] = asyncio.Queue()
        self.closed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.odd_frames: list[str | bytes] = []
        self._answers: dict[str, asyncio.Future[Json]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()
        await self.http.aclose()

    # the control

    async def control(self, name: str, **values: Any) -> Any:
        """Sends a POST to `/sim/wecom/<name>`; raises when it is refused."""
        answer = await self.http.post(f"/sim/wecom/{name}", json=values)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def seen(self, name: str, **query: Any) -> Any:
        """Sends a GET to `/sim/wecom/<name>`; returns the JSON."""
        answer = await self.http.get(f"/sim/wecom/{name}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def fault(self, endpoint: str, kind: str, **more: Any) -> None:
        """Orders a fault."""
        answer = await self.http.post("/sim/fault", json={"endpoint": endpoint, "kind": kind, **more})
        assert answer.status_code == 200, answer.text

    async def violations(self) -> list[str]:
        """Returns the violations since the last call."""
        found = (await self.http.get("/sim/violations")).json()
        await self.http.post("/sim/violations/clear")
        return [f"{violation['endpoint']}: {violation['what']}" for violation in found]

    # the connection

    async def connect(self) -> None:
        """Opens the WebSocket, and sends nothing."""
        loop = asyncio.get_running_loop()
        url = self.url.replace("http", "ws", 1) + "/"
        self.socket = await connect(url, max_size=None, proxy=None)
        self.closed = loop.create_future()
        self._reader = loop.create_task(self._read(self.socket))

    async def _read(self, socket: ClientConnection) -> None:
        try:
            while True:
                self._take(await socket.recv())
        except ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd else 1006
            self.closed.set_result(code)

    def _take(self, text: str | bytes) -> None:
        try:
            frame = json.loads(text)
        except (ValueError, RecursionError):
            self.odd_frames.append(text)
            return
        if "cmd" in frame:
            self.callbacks.put_nowait(frame)
        elif (answer := self._answers.pop(frame["headers"]["req_id"], None)) is not None:
            answer.set_result(frame)

    async def disconnect(self) -> None:
        if self.socket is not None:
            await self.socket.close()
        if self._reader is not None:
            await self._reader

    async def log_in(self, bot_id: str = HOME_BOT_ID, secret: str = HOME_BOT_SECRET) -> Json:
        """Connects and subscribes; returns the answer."""
        await self.connect()
        return await self.call("aibot_subscribe", bot_id=bot_id, secret=secret)

    async def post(self, command: str, body: Json | None = None, req_id: str = "") -> asyncio.Future[Json]:
        """Sends a command; returns the future of its answer."""
        assert self.socket is not None
        req_id = req_id or f"{command}_{next(_numbers)}"
        frame: Json = {"cmd": command, "headers": {"req_id": req_id}}
        if body is not None:
            frame["body"] = body
        answer = self._answers[req_id] = asyncio.get_running_loop().create_future()
        await self.socket.send(json.dumps(frame, ensure_ascii=False))
        return answer

    async def call(self, command: str, req_id: str = "", **body: Any) -> Json:
        """Sends a command; returns its answer."""
        answer = await self.post(command, body or None, req_id)
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            return await answer

    async def code(self, command: str, req_id: str = "", **body: Any) -> int:
        """Sends a command; returns the errcode of its answer."""
        return int((await self.call(command, req_id, **body))["errcode"])

    async def raw(self, text: str | bytes) -> None:
        """Sends a frame as it is."""
        assert self.socket is not None
        await self.socket.send(text)

    async def next(self) -> Json:
        """Waits for the next callback; returns it."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            return await self.callbacks.get()

    async def end(self) -> int:
        """Waits for the end of the connection; returns its close code."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            return await self.closed

    # usual commands

    async def send(self, chatid: str, text: str, chat_type: int = 1) -> int:
        """Sends markdown; returns the errcode."""
        return await self.code(
            "aibot_send_msg",
            chatid=chatid,
            chat_type=chat_type,
            msgtype="markdown",
            markdown={"content": text},
        )

    async def send_card(self, chatid: str, card: Json, chat_type: int = 1) -> int:
        """Sends a card; returns the errcode."""
        body: Json = {
            "chatid": chatid,
            "chat_type": chat_type,
            "msgtype": "template_card",
            "template_card": card,
        }
        return await self.code("aibot_send_msg", **body)

    async def answer(self, callback: Json, text: str, *, finish: bool = True, stream: str = "s1") -> int:
        """Answers a message by a frame of a stream; returns the errcode."""
        part = {"id": stream, "finish": finish, "content": text}
        req_id = callback["headers"]["req_id"]
        return await self.code("aibot_respond_msg", req_id, msgtype="stream", stream=part)

    async def begin_upload(self, data: bytes, kind: str, name: str, **more: Any) -> Json:
        """Begins an upload; returns the answer."""
        return await self.call(
            "aibot_upload_media_init",
            type=kind,
            filename=name,
            total_size=len(data),
            total_chunks=max(1, -(-len(data) // PIECE_BYTES)),
            md5=hashlib.md5(data).hexdigest(),
            **more,
        )

    async def upload(self, data: bytes, kind: str, name: str) -> str:
        """Uploads a file in pieces; returns its media_id."""
        upload_id = (await self.begin_upload(data, kind, name))["body"]["upload_id"]
        for index, offset in enumerate(range(0, len(data), PIECE_BYTES)):
            piece = base64.b64encode(data[offset : offset + PIECE_BYTES]).decode()
            code = await self.code(
                "aibot_upload_media_chunk", upload_id=upload_id, chunk_index=index, base64_data=piece
            )
            assert code == 0
        answer = await self.call("aibot_upload_media_finish", upload_id=upload_id)
        assert answer["errcode"] == 0, answer
        return str(answer["body"]["media_id"])

    async def fetch(self, part: Json) -> bytes:
        """Downloads and decrypts the file of a callback."""
        answer = await self.http.get(part["url"])
        assert answer.status_code == 200, answer.text
        return decrypt(answer.content, part["aeskey"])
