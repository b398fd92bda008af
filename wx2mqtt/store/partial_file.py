"""A file of `Blobs` while it is being written: under a temporary name, and deleted unless it is finished.

    partial_file = PartialFile(folder, on_size_change)
    partial_file.write(b"the first bytes")
    blob = partial_file.finish(b"the last ones", move_into_place)  # or `discard`

The methods block, and run in threads.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from wx2mqtt.errors import StoreError
from wx2mqtt.model import Blob
from wx2mqtt.store.atomic_files import PRIVATE_FOLDER_MODE, file_errors
from wx2mqtt.store.file_type import SNIFFED_BYTES, file_type_of, image_size

PARTIAL_FILE_PREFIX = ".part-"


class PartialFile:
    """A file in `folder`, mode 0600. It is open from the first byte until it is finished or discarded.

    `on_size_change` gets the number of bytes added to the disk, negative for removed ones. `write` and
    `finish` raise `StoreFull` and `StoreError`, and leave the file to `discard` then.
    """

    def __init__(self, folder: Path, on_size_change: Callable[[int], None]) -> None:
        self._folder = folder
        self._on_size_change = on_size_change
        #: Held by each method: a thread goes on after a cancelled wait, and must not write to a closed file.
        self._lock = threading.Lock()
        #: The open file; None before the first byte and after the end.
        self._file: IO[bytes] | None = None
        #: The file is finished or discarded, and takes no more bytes.
        self._has_ended = False
        self._digest = hashlib.sha256()
        #: The first `SNIFFED_BYTES`, which tell the type.
        self._head = b""
        #: The bytes written so far.
        self.size = 0

    def write(self, data: bytes) -> None:
        """Appends bytes."""
        with self._lock, file_errors(self._folder):
            self._write(data)

    def finish(self, data: bytes, move_into_place: Callable[[Path, Blob], None]) -> Blob:
        """Appends the last bytes, forces the file to the disk, detects its type and has it renamed.

        `move_into_place` gets the temporary path, and the blob with the final one.
        """
        with self._lock, file_errors(self._folder):
            file = self._write(data)
            os.fsync(file.fileno())
            blob = self._blob()
            move_into_place(Path(file.name), blob)
            self._has_ended = True
            self._file = None  # so `discard` deletes nothing
            file.close()
            return blob

    def discard(self) -> None:
        """Deletes the file if it is open. If that fails, the next `Blobs.open` deletes it."""
        with self._lock, suppress(OSError):
            self._has_ended = True
            file, self._file = self._file, None
            if file is not None:
                file.close()
                Path(file.name).unlink(missing_ok=True)
                self._on_size_change(-self.size)

    def _write(self, data: bytes) -> IO[bytes]:
        """Appends bytes to the open file, which the first ones create, and returns it."""
        if self._has_ended:
            raise StoreError("nobody waits for this file any more")
        if self._file is None:
            self._folder.mkdir(mode=PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)
            self._file = NamedTemporaryFile(  # noqa: SIM115 - `finish` and `discard` close it
                prefix=PARTIAL_FILE_PREFIX, dir=self._folder, buffering=0, delete=False
            )
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._digest.update(data)
        self._head += data[: SNIFFED_BYTES - len(self._head)]
        self.size += len(data)
        self._on_size_change(len(data))
        return self._file

    def _blob(self) -> Blob:
        sha256 = self._digest.hexdigest()
        file_type = file_type_of(self._head, self.size)
        width, height = image_size(self._head, file_type.mime) or (None, None)
        return Blob(
            sha256=sha256,
            size=self.size,
            mime=file_type.mime,
            path=f"{self._folder.name}/{sha256[:2]}/{sha256}{file_type.extension}",
            width=width,
            height=height,
        )
