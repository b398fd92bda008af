"""Records a restore of a backup over an existing store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from tests.power_cut.judge import STORE, BridgeJudge, RestoreJudge
from tests.power_cut.trace import Change, TracedCall, command, parse
from wx2mqtt.store.folder_backup import create_backup

RESTORE_SECONDS = 60


def record_restore(folder: Path, judge: BridgeJudge, moments: Sequence[int]) -> RestoreJudge:
    """Makes a backup of the store at the first moment and restores it over the store of the second one."""
    earlier, later = folder / "earlier", folder / "later"
    for target, moment in zip((earlier, later), moments, strict=True):
        judge.write_store(target, moment)
    archive, config, trace = folder / "backup.tar", folder / "wx2mqtt.yaml", folder / "restore-trace"
    with archive.open("wb") as out:
        create_backup(earlier / STORE, out, folder, media=True)
    config.write_text(f"storage: {{path: {later / STORE}}}\n")
    before = list(calls_that_make(later))
    program = [sys.executable, "-m", "wx2mqtt", "restore", "--force", "-c", str(config), str(archive)]
    subprocess.run([*command(str(trace)), *program], check=True, capture_output=True, timeout=RESTORE_SECONDS)
    with trace.open() as lines:
        calls = [replace(call, began=call.began + len(before)) for call in parse(lines, PurePosixPath(later))]
    return RestoreJudge(later, [*before, *calls], first=len(before))


def calls_that_make(folder: Path) -> Iterator[TracedCall]:
    """Yields the calls that would have created and synced all files below the folder."""
    for number, (change, path, data) in enumerate(_steps(folder)):
        yield TracedCall(change=change, path=PurePosixPath(path), data=data, began=number)


def _steps(folder: Path) -> Iterator[tuple[Change, Path, bytes]]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield Change.MAKE_FOLDER, path, b""
            yield from _steps(path)
        else:
            yield Change.CREATE, path, b""
            yield Change.WRITE, path, path.read_bytes()
            yield Change.SYNC, path, b""
    yield Change.SYNC, folder, b""
