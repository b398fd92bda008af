"""The name of a store, by which consumers see that the numbers of its messages begin anew (DESIGN 4.1)."""

from __future__ import annotations

import secrets

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_LENGTH = 6


def new_stream() -> str:
    """A name that no store had before."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
