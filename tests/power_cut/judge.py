"""Cuts the power at random times of a recording, and finds what is wrong with the store then."""

from __future__ import annotations

import random
import tempfile
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.power_cut.disk import Disk
from tests.power_cut.inspection import MEMORY, Inspection, content_of, inspect
from tests.power_cut.trace import Change, TracedCall
from wx2mqtt.store.folder import DATABASE_NAME
from wx2mqtt.store.sqlite_database import open_file

STORE = "store"  # within the recorded folder
MARKS = "marks"
DATABASE = f"{STORE}/{DATABASE_NAME}"
DATABASE_FILES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-journal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A power cut before call `cut`, the seed of what was lost, and the problems of the store."""

    cut: int
    losses: int
    problems: tuple[str, ...]


class Judge(ABC):
    """Checks cuts from call number `first` on."""

    def __init__(self, root: Path, calls: Sequence[TracedCall], *, first: int = 0) -> None:
        self._disk = Disk.of(root, calls)
        self._first = first
        self._length = len(calls)

    def check_at_random(self, cuts: int, seed: int) -> list[Finding]:
        """Returns the cuts with problems."""
        rng = random.Random(seed)
        moments = [(rng.randint(self._first, self._length), rng.randrange(1 << 32)) for _ in range(cuts)]
        return [
            Finding(cut=cut, losses=losses, problems=tuple(problems))
            for cut, losses in moments
            if (problems := self.check(cut, losses))
        ]

    def check(self, cut: int, losses: int) -> list[str]:
        """Returns the problems of the store after a power cut before call `cut`; `losses` is a seed."""
        try:
            inspection = self._inspect(cut, random.Random(losses))
        except Exception as error:  # noqa: BLE001 - whatever the product raises is a problem
            return [f"cannot be opened: {type(error).__name__}: {error}"]
        return [*inspection.problems, *self._check(inspection, cut)]

    def _inspect(self, cut: int, rng: random.Random | None) -> Inspection:
        with tempfile.TemporaryDirectory(dir=MEMORY) as name:
            self._disk.write_to(Path(name), cut, rng)
            return inspect(Path(name) / STORE)

    @abstractmethod
    def _check(self, inspection: Inspection, cut: int) -> list[str]:
        """Returns the differences to what must be in the store."""


class Marks:
    """What the bridge considered durable, with the number of the call of its mark."""

    def __init__(self, calls: Sequence[TracedCall]) -> None:
        self.commits: list[int] = []
        self.files: defaultdict[str, list[int]] = defaultdict(list)
        for number, call in enumerate(calls):
            if call.path.name == MARKS and call.change is Change.WRITE:
                for line in call.data.decode().splitlines():
                    self._add_mark(number, line)

    def _add_mark(self, number: int, line: str) -> None:
        kind, _, path = line.partition(" ")
        if kind == "commit":
            self.commits.append(number)
        else:
            self.files[path].append(number)

    @property
    def count(self) -> int:
        return len(self.commits) + sum(map(len, self.files.values()))


def _last_before(numbers: Sequence[int], cut: int) -> int:
    """Returns the last number below the cut, 0 if there is none."""
    place = bisect_left(numbers, cut)
    return numbers[place - 1] if place else 0


class BridgeJudge(Judge):
    """Checks that a bridge's store has what was marked, or also the change that was not finished."""

    def __init__(self, root: Path, calls: Sequence[TracedCall]) -> None:
        super().__init__(root, calls)
        self.marks = Marks(calls)
        self._database_calls = [
            number
            for number, call in enumerate(calls)
            if str(call.path.relative_to(root)) in DATABASE_FILES
            and call.change in (Change.WRITE, Change.TRUNCATE, Change.CREATE, Change.REMOVE)
        ]
        self._rows: dict[int, str] = {}

    def write_store(self, target: Path, cut: int) -> None:
        """Writes the recorded folder as it was before call `cut`."""
        self._disk.write_to(target, cut, None)

    def _check(self, inspection: Inspection, cut: int) -> list[str]:
        problems = []
        if inspection.rows not in {self._rows_at(cut), self._rows_at(_last_before(self.marks.commits, cut))}:
            problems.append("the database is not at its last commit")
        for path, numbers in self.marks.files.items():
            moments = (cut, _last_before(numbers, cut))
            if inspection.files.get(path) not in {
                self._disk.content(f"{STORE}/{path}", at) for at in moments
            }:
                problems.append(f"{path} is not what was written")
        return problems

    def _rows_at(self, cut: int) -> str:
        """Returns the digest of the rows after a cut that loses nothing."""
        key = _last_before(self._database_calls, cut)
        if key not in self._rows:
            with tempfile.TemporaryDirectory(dir=MEMORY) as name:
                self._disk.write_to(Path(name), cut, None, lambda path: path in DATABASE_FILES)
                (Path(name) / STORE).mkdir(exist_ok=True)
                self._rows[key] = _rows_of(Path(name) / DATABASE)
        return self._rows[key]


def _rows_of(database: Path) -> str:
    opened = open_file(database)
    with closing(opened.writer), closing(opened.reader):
        assert opened.set_aside is None
        return content_of(opened.reader)


class RestoreJudge(Judge):
    """Checks that there is the old store or the new one during a restore, and the new one after it."""

    def __init__(self, root: Path, calls: Sequence[TracedCall], *, first: int) -> None:
        super().__init__(root, calls, first=first)
        self._old = self._inspect(first, None)
        self._new = self._inspect(len(calls), None)
        assert self._old != self._new

    def _check(self, inspection: Inspection, cut: int) -> list[str]:
        allowed = [self._new] if cut == self._length else [self._old, self._new]
        same = [
            known for known in allowed if (known.rows, known.files) == (inspection.rows, inspection.files)
        ]
        return [] if same else ["neither the old store nor the new one"]
