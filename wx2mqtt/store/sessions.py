"""The saved login of one account: secrets, in a file of mode 0600. Knows nothing of what is in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import structlog

from wx2mqtt.store.files import WholeFile, put_aside, read_whole

log = structlog.get_logger(__name__)


class SessionFile:
    """A vault for one login; all I/O off the event loop, and the newest change wins."""

    def __init__(self, path: Path) -> None:
        self._file = WholeFile(path)

    async def load(self) -> Mapping[str, object] | None:
        """What was saved last, or None. A damaged file is set aside and counts as none."""
        return await asyncio.to_thread(_load, self._file.path)

    async def save(self, session: Mapping[str, object]) -> None:
        """Keep this durably instead of what was there. Raises `StoreFull`, `StoreError`."""
        await self._file.write(json.dumps(dict(session)).encode())

    async def clear(self) -> None:
        """Forget it: the login is over."""
        await self._file.delete()


def _load(path: Path) -> Mapping[str, object] | None:
    data = read_whole(path)
    if data is None:
        return None
    try:
        session = json.loads(data)
    except ValueError:
        session = None
    if isinstance(session, dict):
        return session
    log.warning("saved login damaged, set aside", set_aside=str(put_aside(path)))
    return None
