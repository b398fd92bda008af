"""Reads the bodies of senders: into memory within limits, or piece by piece into the store.

`BodyReader.read` does what a `BodyPlan` says. A body whose announced size is too large is refused before a
byte of it is read; a client that waits for 100 Continue then sends none.

A client must send a piece within `STALL_SECONDS`, and the whole within `transfer_seconds` of its size.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from typing import Protocol

from starlette.requests import ClientDisconnect, Request

from wx2mqtt.errors import BadCommand
from wx2mqtt.limits import KIB, MAX_PENDING_BYTES, transfer_seconds
from wx2mqtt.model import Blob
from wx2mqtt.web.senders.interface import BodyForm, BodyPlan, RequestBody, RequestHead, UploadedFile
from wx2mqtt.web.senders.multipart import MultipartBody

STALL_SECONDS = 30.0  # in which the next piece of a body must come

# What a form may have besides its fields and its file: boundaries, and the headers of its parts.
PART_HEADS_BYTES = 64 * KIB


class UploadStore(Protocol):
    """Stores the files of calls. Its methods raise `CallRefused`, and `store_upload` raises `StoreError`."""

    def check_upload(self, kind: str, size: int) -> None:
        """Refuses a file of this size that is still to come."""

    async def store_upload(self, kind: str, chunks: AsyncGenerator[bytes, None]) -> Blob:
        """Stores a file from its pieces."""
        ...


class BadBody(Exception):
    """A body that HTTP itself refuses, with a status of its own."""

    def __init__(self, status: HTTPStatus, bad: BadCommand) -> None:
        super().__init__(str(bad))
        self.status = status
        self.bad = bad


class MemoryBudget:
    """The bytes of all bodies that are in memory; a flood of large ones must not fill a small machine."""

    def __init__(self, limit: int = MAX_PENDING_BYTES) -> None:
        self._free = limit

    def take(self, count: int) -> None:
        if count > self._free:
            raise BadBody(HTTPStatus.SERVICE_UNAVAILABLE, BadCommand("rate_limited", "bodies_in_memory"))
        self._free -= count

    def give_back(self, count: int) -> None:
        self._free += count


class BodyReader:
    """Reads the body of one request. Call `release_memory` when its command was stored or refused."""

    def __init__(
        self, request: Request, head: RequestHead, budget: MemoryBudget, uploads: UploadStore
    ) -> None:
        self._request = request
        self._head = head
        self._budget = budget
        self._uploads = uploads
        #: Bytes of this body that were taken from the budget.
        self._taken_bytes = 0
        #: The stored file of the body. The caller releases it, unless it becomes part of a command.
        self.stored: Blob | None = None
        self._pieces = _timely_pieces(request)

    async def read(self, plan: BodyPlan) -> RequestBody:
        """Returns the body. Raises `BadBody`, `BadCommand`, and what an `UploadStore` raises."""
        self._check_announced_size(plan)
        async with aclosing(self._pieces):
            match plan.form:
                case BodyForm.BYTES:
                    return RequestBody(data=await self._read_bytes(plan.max_bytes))
                case BodyForm.FILE:
                    blob = await self._store(plan.kind, self._pieces)
                    return RequestBody(file=UploadedFile(name="", blob=blob))
                case BodyForm.TEXT_OR_FILE:
                    return await self._read_text_or_file(plan)
                case BodyForm.MULTIPART:
                    return await self._read_multipart(plan)

    def _check_announced_size(self, plan: BodyPlan) -> None:
        """Refuses a body that says in its head that it is too large."""
        size = int(self._request.headers.get("content-length", "0"))
        max_size_without_file = plan.max_bytes
        if plan.form is BodyForm.MULTIPART:
            max_size_without_file += PART_HEADS_BYTES
        if size <= max_size_without_file:
            return
        match plan.form:
            case BodyForm.BYTES:
                raise too_large(plan.max_bytes)
            case BodyForm.FILE | BodyForm.TEXT_OR_FILE:
                self._uploads.check_upload(plan.kind, size)
            case BodyForm.MULTIPART:
                self._uploads.check_upload(plan.kind, size - max_size_without_file)

    async def _store(self, kind: str, pieces: AsyncGenerator[bytes, None]) -> Blob:
        self.stored = await self._uploads.store_upload(kind, pieces)
        return self.stored

    def release_memory(self) -> None:
        self._budget.give_back(self._taken_bytes)
        self._taken_bytes = 0

    def _take_memory(self, count: int) -> None:
        self._budget.take(count)
        self._taken_bytes += count

    async def _read_bytes(self, max_bytes: int) -> bytes:
        data = bytearray()
        async for piece in self._pieces:
            self._take_memory(len(piece))
            data += piece
            if len(data) > max_bytes:
                raise too_large(max_bytes)
        return bytes(data)

    async def _read_text_or_file(self, plan: BodyPlan) -> RequestBody:
        begin = bytearray()
        async for piece in self._pieces:
            self._take_memory(len(piece))
            begin += piece
            if len(begin) > plan.max_bytes:
                break
        is_complete = len(begin) <= plan.max_bytes
        if is_complete and _is_text(bytes(begin)):
            return RequestBody(data=bytes(begin))
        blob = await self._store(plan.kind, _after(bytes(begin), self._pieces))
        return RequestBody(file=UploadedFile(name="", blob=blob))

    async def _read_multipart(self, plan: BodyPlan) -> RequestBody:
        content_type = self._head.headers.get("content-type", "")
        body = MultipartBody(content_type, self._pieces, plan.max_bytes, self._take_memory)
        return await body.read(lambda pieces: self._store(plan.kind, pieces))


def too_large(limit: int) -> BadBody:
    return BadBody(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, BadCommand("too_large", "body_over_limit", limit=limit)
    )


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in data


async def _after(begin: bytes, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield begin
    async for piece in pieces:
        yield piece


async def _timely_pieces(request: Request) -> AsyncGenerator[bytes, None]:
    """Yields the pieces of a body. Raises `BadBody` for one that is too slow or breaks off."""
    loop = asyncio.get_running_loop()
    started_at, size = loop.time(), 0
    stream = request.stream()
    while True:
        left = started_at + transfer_seconds(size) - loop.time()
        try:
            async with asyncio.timeout(min(STALL_SECONDS, left)):
                piece = await anext(stream, None)
        except (TimeoutError, ClientDisconnect):
            raise BadBody(HTTPStatus.REQUEST_TIMEOUT, BadCommand("bad_command", "body_too_slow")) from None
        if piece is None:
            return
        size += len(piece)
        if piece:
            yield piece
