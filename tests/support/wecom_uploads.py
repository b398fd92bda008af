"""A gateway of WeCom that accepts uploads, and checks them strictly (wecom 5.9).

uploads = Uploads()
gateway.behave = uploads.behave
…
assert uploads.files["media-1"] == data
assert not uploads.violations
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from websockets.asyncio.server import ServerConnection

MAX_PIECE_BYTES = 512 * 1024
MAX_PIECES = 100

INIT, PIECE, FINISH, SEND = (
    "aibot_upload_media_init",
    "aibot_upload_media_chunk",
    "aibot_upload_media_finish",
    "aibot_send_msg",
)

# The answer: an errcode, none (None), the end of the connection, or 0 after a function was awaited.
Fault = int | Literal["close"] | Callable[[], Awaitable[object]] | None


class Uploads:
    """Answers every request with 0, and with what a test puts into `faults` of its command first."""

    def __init__(self) -> None:
        #: What the init of each upload said, by upload id.
        self.announced: dict[str, dict[str, Any]] = {}
        #: The pieces of each upload, by upload id and index.
        self.pieces: defaultdict[str, dict[int, bytes]] = defaultdict(dict)
        #: Whole files, by media id.
        self.files: dict[str, bytes] = {}
        #: The received commands, with the index of pieces.
        self.log: list[tuple[str, int]] = []
        self.violations: list[str] = []
        self.faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._unanswered_pieces = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def forget(self) -> None:
        """Drops all upload ids."""
        self.announced.clear()
        self.pieces.clear()

    async def behave(self, socket: ServerConnection, request: dict[str, Any]) -> None:
        command, body = request["cmd"], request.get("body", {})
        self.log.append((command, body.get("chunk_index", -1)))
        self._unanswered_pieces += command == PIECE
        if self._unanswered_pieces > 1:
            self.violations.append("two pieces at a time")
        faults = self.faults[command]
        fault = faults.popleft() if faults else 0
        if fault is None or fault == "close":
            self._unanswered_pieces = 0
        if fault == "close":
            await socket.close()
        elif callable(fault):  # the socket is read on meanwhile
            task = asyncio.create_task(self._answer_after(fault, socket, request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif isinstance(fault, int):
            await self._answer(socket, request, fault)

    async def _answer_after(
        self, wait: Callable[[], Awaitable[object]], socket: ServerConnection, request: dict[str, Any]
    ) -> None:
        await wait()
        await self._answer(socket, request, 0)

    async def _answer(self, socket: ServerConnection, request: dict[str, Any], errcode: int) -> None:
        command, body = request["cmd"], request.get("body", {})
        self._unanswered_pieces -= command == PIECE
        answer: dict[str, Any] = {"headers": request["headers"], "errcode": errcode, "errmsg": "no"}
        if not errcode:
            answer |= self._take(command, body)
        await socket.send(json.dumps(answer))

    def _take(self, command: str, body: dict[str, Any]) -> dict[str, Any]:
        match command:
            case "aibot_upload_media_init":
                return self._init(body)
            case "aibot_upload_media_chunk":
                return self._piece(body)
            case "aibot_upload_media_finish":
                return self._finish(body)
        return {}

    def _init(self, body: dict[str, Any]) -> dict[str, Any]:
        self._require(body["type"] in {"file", "image", "voice", "video"}, "type")
        self._require(0 < len(body["filename"].encode()) <= 256, "filename")
        self._require(body["total_size"] >= 5, "total_size")
        self._require(0 < body["total_chunks"] <= MAX_PIECES, "total_chunks")
        upload_id = f"upload-{len(self.announced) + 1}-{len(self.files)}"
        self.announced[upload_id] = body
        return {"body": {"upload_id": upload_id}}

    def _piece(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["upload_id"] not in self.announced:
            return {"errcode": 600001, "errmsg": "unknown upload"}
        data = base64.b64decode(body["base64_data"], validate=True)
        self._require(0 < len(data) <= MAX_PIECE_BYTES, "piece")
        self.pieces[body["upload_id"]][body["chunk_index"]] = data
        return {}

    def _finish(self, body: dict[str, Any]) -> dict[str, Any]:
        announced = self.announced.get(body["upload_id"])
        if announced is None:
            return {"errcode": 600001, "errmsg": "unknown upload"}
        pieces = self.pieces[body["upload_id"]]
        self._require(sorted(pieces) == list(range(announced["total_chunks"])), "pieces")
        data = b"".join(pieces[index] for index in sorted(pieces))
        self._require(len(data) == announced["total_size"], "size")
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        self._require(md5 == announced.get("md5", md5), "md5")
        media_id = f"media-{len(self.files) + 1}"
        self.files[media_id] = data
        return {"body": {"type": announced["type"], "media_id": media_id, "created_at": 1}}

    def _require(self, condition: object, what: str) -> None:
        if not condition:
            self.violations.append(what)
