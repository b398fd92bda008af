"""A file that is being written: it is deleted unless it is finished."""

from __future__ import annotations

from pathlib import Path

import pytest

from wx2mqtt.errors import StoreError
from wx2mqtt.store.partial_file import PartialFile


def files_below(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


async def test_a_write_after_the_file_was_discarded_is_refused(tmp_path: Path) -> None:
    """A thread may come to its write only after its wait was cancelled."""
    part = PartialFile(tmp_path, lambda _: None)
    part.write(b"hello")
    part.discard()
    part.discard()
    with pytest.raises(StoreError, match="nobody waits"):
        part.write(b"more")
    assert files_below(tmp_path) == []
