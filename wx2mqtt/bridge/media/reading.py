"""Files as they stand in JSON."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path


async def in_base64(file: Path) -> str:
    """A whole file, read beside the loop; whoever asks has seen how large it is. Raises `OSError`."""
    return await asyncio.to_thread(_in_base64, file)


def _in_base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode("ascii")
