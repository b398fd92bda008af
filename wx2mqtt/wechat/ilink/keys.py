"""AES keys: their written forms, and what encryption makes of a size (ilink 8.1, 8.3). Pure."""

from __future__ import annotations

import base64

BLOCK = 16  # bytes


def from_hex(written: str) -> bytes | None:
    """A key as 32 hex digits; None for anything else."""
    if len(written) != 2 * BLOCK or not written.isascii() or not written.isalnum():
        return None
    try:
        return bytes.fromhex(written)
    except ValueError:
        return None


def from_base64(written: str) -> bytes | None:
    """A key in base64: of its 16 bytes, or of its 32 hex digits; None for anything else."""
    bare = written.strip().rstrip("=").replace("-", "+").replace("_", "/")
    try:
        found = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:  # also what is no base64 at all
        return None
    if len(found) == BLOCK:
        return found
    return from_hex(found.decode("latin-1"))


def to_base64(key: bytes) -> str:
    """As the phones take it: base64 of the hex digits (ilink 8.2)."""
    return base64.b64encode(key.hex().encode()).decode()


def padded(size: int) -> int:
    """The size of what encryption makes of `size` bytes: there is always padding."""
    return (size // BLOCK + 1) * BLOCK
