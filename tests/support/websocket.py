"""Builds and parses WebSocket frames of a server, also wrong ones. Shares no code with the client."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def accept_key(request: bytes) -> bytes:
    """Returns the `Sec-WebSocket-Accept` for a request."""
    key = next(
        line.split(b":")[1].strip()
        for line in request.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key:")
    )
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def acceptance(request: bytes, *, key: bytes | None = None, subprotocol: bytes | None = b"mqtt") -> bytes:
    """Returns the answer that accepts a request; another key or subprotocol makes it wrong."""
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + (key or accept_key(request)),
    ]
    if subprotocol is not None:
        lines.append(b"Sec-WebSocket-Protocol: " + subprotocol)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def frame_head(size: int, opcode: int = BINARY, *, final: bool = True, reserved: int = 0) -> bytes:
    """Returns the head of a frame of a server, without a mask."""
    first = bytes((final << 7 | reserved << 4 | opcode,))
    if size < 126:
        return first + bytes((size,))
    if size < 1 << 16:
        return first + b"\x7e" + size.to_bytes(2, "big")
    return first + b"\x7f" + size.to_bytes(8, "big")


def frame(payload: bytes = b"", opcode: int = BINARY, *, final: bool = True, reserved: int = 0) -> bytes:
    """Returns a frame of a server."""
    return frame_head(len(payload), opcode, final=final, reserved=reserved) + payload


def in_fragments(payload: bytes, size: int, between: bytes = b"") -> bytes:
    """Returns a message in frames of so many bytes, with other frames between them."""
    pieces = [payload[at : at + size] for at in range(0, len(payload), size)]
    return between.join(
        frame(piece, CONTINUATION if at else BINARY, final=at == len(pieces) - 1)
        for at, piece in enumerate(pieces)
    )


@dataclass(frozen=True)
class ClientFrame:
    """A frame of a client, unmasked."""

    opcode: int
    final: bool
    payload: bytes


def read_frame(data: bytes) -> tuple[ClientFrame, bytes] | None:
    """Returns the first frame and the bytes after it; None while it is not whole. A frame without a mask is an error."""
    if len(data) < 2:
        return None
    assert data[1] & 0x80, "a client masks every frame"
    size, at = data[1] & 0x7F, 2
    if size >= 126:
        width = 2 if size == 126 else 8
        size, at = int.from_bytes(data[2 : 2 + width], "big"), 2 + width
    end = at + 4 + size
    if len(data) < end:
        return None
    mask = data[at : at + 4]
    payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data[at + 4 : end]))
    return ClientFrame(data[0] & 0x0F, bool(data[0] & 0x80), payload), data[end:]


def read_frames(data: bytes) -> list[ClientFrame]:
    """Returns all frames; no bytes may be left."""
    frames = []
    while data:
        read = read_frame(data)
        assert read is not None, "a frame is not whole"
        one, data = read
        frames.append(one)
    return frames
