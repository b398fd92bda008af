"""A file whose bytes are still coming: under a temporary name, counted, and gone unless it is finished.

Blocking; `blobs.py` calls it in threads. A wait that is cancelled leaves its thread behind, so one lock keeps
what comes after it from touching a file that is closed.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from wx2mqtt.errors import StoreError
from wx2mqtt.model import Blob
from wx2mqtt.store.faults import file_trouble
from wx2mqtt.store.sniffing import HEAD, pixels, sort_of

T = TypeVar("T")

PREFIX = ".part-"


class Part:
    """One such file in `folder`, mode 0600; `grew` hears how many bytes more, or less, there are on the disk.

    `write` and `finish` raise `StoreFull` and `StoreError`.
    """

    def __init__(self, folder: Path, grew: Callable[[int], None]) -> None:
        self._folder = folder
        self._grew = grew
        self._lock = threading.Lock()
        self._handle: int | None = None
        self._path: Path | None = None
        self._digest = hashlib.sha256()
        self._head = b""
        self._named = self._over = False
        self.size = 0

    def write(self, data: bytes) -> None:
        """Put these behind the others."""
        with self._lock:
            self._translated(lambda: self._write(data))

    def finish(self, data: bytes, put: Callable[[Path, Blob], None]) -> Blob:
        """Write the last bytes, force all to the disk, see what it is; `put` gives the file its name."""
        with self._lock:
            return self._translated(lambda: self._finish(data, put))

    def discard(self) -> None:
        """Leave nothing behind, unless it was finished. What cannot be taken away goes at the next start."""
        with self._lock, suppress(OSError):
            self._over = True
            self._let_go()

    def _let_go(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)
        path, self._path = self._path, None
        if path is not None and not self._named:
            path.unlink(missing_ok=True)
            self._grew(-self.size)

    def _write(self, data: bytes) -> None:
        handle = self._open()
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
        self._digest.update(data)
        self._head += data[: HEAD - len(self._head)]
        self.size += len(data)
        self._grew(len(data))

    def _finish(self, data: bytes, put: Callable[[Path, Blob], None]) -> Blob:
        self._write(data)
        os.fsync(self._open())
        assert self._path is not None
        blob = self._blob()
        put(self._path, blob)
        self._named = True
        self._let_go()
        return blob

    def _blob(self) -> Blob:
        sha256, sort = self._digest.hexdigest(), sort_of(self._head, self.size)
        width, height = pixels(self._head, sort.mime) or (None, None)
        return Blob(
            sha256=sha256,
            size=self.size,
            mime=sort.mime,
            path=f"{self._folder.name}/{sha256[:2]}/{sha256}{sort.ending}",
            width=width,
            height=height,
        )

    def _open(self) -> int:
        if self._over:
            raise StoreError("nobody waits for this file any more")
        if self._handle is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._handle, name = tempfile.mkstemp(prefix=PREFIX, dir=self._folder)
            self._path = Path(name)
        return self._handle

    def _translated(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except OSError as error:
            raise file_trouble(error, self._folder) from error
