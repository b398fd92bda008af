"""The saved login of one account: secrets, in a file of mode 0600. Knows nothing of what is in it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import TypeVar

import structlog

from wx2mqtt.store.faults import file_trouble
from wx2mqtt.store.files import put_aside, sync_folder, write_whole

T = TypeVar("T")

log = structlog.get_logger(__name__)


class SessionFile:
    """A vault for one login; all I/O off the event loop, and the newest change wins."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbers = count(1)
        self._done = 0
        self._one_at_a_time = threading.Lock()

    async def load(self) -> Mapping[str, object] | None:
        """What was saved last, or None. A damaged file is set aside and counts as none."""
        return await asyncio.to_thread(self._load)

    async def save(self, session: Mapping[str, object]) -> None:
        """Keep this durably instead of what was there. Raises `StoreFull`, `StoreError`."""
        data = json.dumps(dict(session), ensure_ascii=False).encode()
        await self._change(lambda: write_whole(self._path, data))

    async def clear(self) -> None:
        """Forget it: the login is over."""
        await self._change(self._delete)

    async def _change(self, work: Callable[[], None]) -> None:
        """A wait that is cancelled leaves its thread behind; it must not undo what a later call wrote."""
        number = next(self._numbers)
        await asyncio.to_thread(self._in_turn, number, work)

    def _in_turn(self, number: int, work: Callable[[], None]) -> None:
        with self._one_at_a_time:
            if number > self._done:
                work()
                self._done = number

    def _load(self) -> Mapping[str, object] | None:
        with self._one_at_a_time:
            try:
                session = json.loads(self._path.read_bytes())
            except FileNotFoundError:
                return None
            except OSError as error:
                raise file_trouble(error, self._path) from error
            except ValueError:
                session = None
            if isinstance(session, dict):
                return session
            log.warning("saved login damaged, set aside", set_aside=str(put_aside(self._path)))
            return None

    def _delete(self) -> None:
        try:
            self._path.unlink(missing_ok=True)
            sync_folder(self._path.parent)
        except OSError as error:
            raise file_trouble(error, self._path) from error
