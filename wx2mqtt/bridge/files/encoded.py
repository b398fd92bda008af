"""Base64 as commands carry it: white space is allowed, nothing else that does not belong there. Pure."""

from __future__ import annotations

import binascii
from collections.abc import Iterator

from wx2mqtt.errors import BadCommand

PIECE = 512 * 1024  # characters that are decoded in one go


def decoded(data: str) -> Iterator[bytes]:
    """The bytes, piece by piece. Raises `BadCommand` for what is truncated or no base64."""
    rest, over = "", False
    for start in range(0, len(data), PIECE):
        found = rest + "".join(data[start : start + PIECE].split())
        whole = len(found) // 4 * 4
        rest, part = found[whole:], found[:whole]
        if over and found:
            raise _bad()
        over = part.endswith("=")
        if part:
            yield _decoded(part)
    if rest:
        raise _bad()


def _decoded(part: str) -> bytes:
    try:
        return binascii.a2b_base64(part, strict_mode=True)
    except ValueError:  # also for what is not ASCII
        raise _bad() from None


def _bad() -> BadCommand:
    return BadCommand("bad_command", "bad_base64")
