"""Reads multipart/form-data piece by piece: the fields into memory, the one file into the store.

    --x
    Content-Disposition: form-data; name="text"          a field
    --x
    Content-Disposition: form-data; name="file"; filename="door.jpg"     the file, stored as it comes

python-multipart finds parts and headers and bounds the headers; this file bounds everything else.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Blob
from wx2mqtt.values import frozen
from wx2mqtt.web.senders.interface import MAX_FORM_FIELDS, RequestBody, UploadedFile

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_BOUNDARY_BYTES = 70  # RFC 2046, 5.1.1

# python-multipart would log each wrong byte. A refused call has a line of its own.
logging.getLogger(MultipartParser.__module__).setLevel(logging.CRITICAL)


@frozen
class _Part:
    """The head of a part."""

    name: str
    #: None for a part that is a field, and no file.
    filename: str | None


@frozen
class _PartEnd:
    """A part is complete."""


# What the parser finds, in the order of the body: the head of a part, pieces of its content, its end.
_Event = _Part | bytes | _PartEnd


class MultipartBody:
    """One body. `take_memory` is called with the number of bytes before they are kept in memory."""

    def __init__(
        self,
        content_type: str,
        pieces: AsyncGenerator[bytes, None],
        max_field_bytes: int,
        take_memory: Callable[[int], None],
    ) -> None:
        self._pieces = pieces
        #: Bytes of fields that may still come.
        self._left = max_field_bytes
        self._max_field_bytes = max_field_bytes
        self._take_memory = take_memory
        #: What the parser has found and nobody has read yet.
        self._events: deque[_Event] = deque()
        #: The header that the parser is reading, and those of its part before it.
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._parser = MultipartParser(_boundary_of(content_type), self._callbacks())
        self._is_complete = False

    async def read(self, store: Callable[[AsyncGenerator[bytes, None]], Awaitable[Blob]]) -> RequestBody:
        """Returns the fields, the first of each name, and the file. Raises `BadCommand`."""
        fields: dict[str, str] = {}
        file: UploadedFile | None = None
        count = 0
        while (part := await self._next_event()) is not None:
            assert isinstance(part, _Part)
            count += 1
            if count > MAX_FORM_FIELDS:
                raise BadCommand("bad_command", "too_many_form_fields", limit=MAX_FORM_FIELDS)
            if part.filename is None:
                fields.setdefault(part.name, await self._read_field())
                continue
            if file is not None:
                raise BadCommand("bad_command", "one_file")
            async with aclosing(self._file_pieces()) as pieces:
                file = UploadedFile(name=part.filename, blob=await store(pieces))
        if not self._is_complete:
            raise BadCommand("bad_command", "bad_multipart")
        return RequestBody(fields=fields, file=file)

    async def _next_event(self) -> _Event | None:
        """Returns the next event; None at the end of the body. Raises `BadCommand`."""
        while not self._events:
            piece = await anext(self._pieces, None)
            if piece is None:
                return None
            try:
                self._parser.write(piece)
            except FormParserError:
                raise BadCommand("bad_command", "bad_multipart") from None
        return self._events.popleft()

    async def _read_field(self) -> str:
        value = bytearray()
        while isinstance(event := await self._next_event(), bytes):
            self._take_memory(len(event))
            self._left -= len(event)
            if self._left < 0:
                raise BadCommand("too_large", "body_over_limit", limit=self._max_field_bytes)
            value += event
        if event is None:
            raise BadCommand("bad_command", "bad_multipart")
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise BadCommand("bad_command", "not_utf8") from None

    async def _file_pieces(self) -> AsyncGenerator[bytes, None]:
        while isinstance(event := await self._next_event(), bytes):
            yield event
        if event is None:
            raise BadCommand("bad_command", "bad_multipart")

    # Called by python-multipart

    def _callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": lambda data, start, end: self._header_name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": lambda data, start, end: self._events.append(bytes(data[start:end])),
            "on_part_end": lambda: self._events.append(_PartEnd()),
            "on_end": self._on_end,
        }

    def _on_header_end(self) -> None:
        self._headers.setdefault(bytes(self._header_name).lower(), bytes(self._header_value))
        self._header_name.clear()
        self._header_value.clear()

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise FormParserError("a part without a name")
        filename = options.get(b"filename")
        name = options[b"name"].decode("utf-8", "replace")
        shown = None if filename is None else filename.decode("utf-8", "replace")
        self._events.append(_Part(name=name, filename=shown))

    def _on_end(self) -> None:
        self._is_complete = True


def _boundary_of(content_type: str) -> bytes:
    _, options = parse_options_header(content_type.encode("latin-1", "replace"))
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= MAX_BOUNDARY_BYTES:
        raise BadCommand("bad_command", "bad_multipart")
    return boundary
