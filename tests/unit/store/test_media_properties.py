"""After any media operations in any order, and kills between them, rows and files match."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.repetitions import repetitions
from tests.unit.store.conftest import Clock
from tests.unit.store.make import command, media, picture, publication, result
from wx2mqtt.model import Blob
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.command_records import AcceptOutcome, CommandState
from wx2mqtt.store.commands import AlreadyFinished
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.media_retention import MediaRetention
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.records import MediaState
from wx2mqtt.store.sqlite_database import SqliteDatabase

DAY = 86_400_000
numbers = st.integers(0, 7)
contents = st.sampled_from([b"", b"one", b"two two", b"three" * 20, bytes(300)])


@dataclass
class Model:
    """The expected states of downloads, messages and commands, and how many publications there are."""

    downloads: dict[int, MediaState] = field(default_factory=dict)
    waiting_for_file: set[int] = field(default_factory=set)
    publications: int = 0
    waiting: set[int] = field(default_factory=set)
    finished: set[int] = field(default_factory=set)


class MediaMachine(RuleBasedStateMachine):
    """One account, whose store is opened again after each crash."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="wx2mqtt-"))
        self.start_number = 0
        self.clock = Clock()
        self.model = Model()

    @initialize()
    def open_first_store(self) -> None:
        self.runner.run(self._open())

    async def _open(self) -> None:
        path = self.folder / str(self.start_number)
        path.mkdir(exist_ok=True)
        self.database = await SqliteDatabase.open(path / "wx2mqtt.db")
        self.blobs = Blobs(path)
        await self.blobs.open()
        self.journal = Journal(self.database, "home", self.clock, self.blobs.mark_referenced)
        await self.journal.open()
        self.retention = MediaRetention(self.database, self.blobs)

    def teardown(self) -> None:
        self.runner.run(self.database.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    def _store(self, content: bytes) -> Blob:
        return self.runner.run(self.blobs.store(content, 1000))

    @rule(number=numbers, waits_for_file=st.booleans())
    def receive(self, number: int, waits_for_file: bool) -> None:
        item = picture(str(number), media(f"m{number}"), waits_for_file=waits_for_file)
        self.clock.now += 1
        recorded = self.runner.run(self.journal.received.record([item], NO_CHANGES, None, ""))
        assert recorded.messages == (number not in self.model.downloads)
        if recorded.messages:
            self.model.downloads[number] = MediaState.PENDING
            self.model.waiting_for_file |= {number} if waits_for_file else set()

    @rule(number=numbers, content=contents)
    def mark_ready(self, number: int, content: bytes) -> None:
        stored = self._store(content)
        self.runner.run(self.journal.media.mark_ready(f"m{number}", stored, [publication()]))
        if self.model.downloads.get(number, MediaState.READY) is not MediaState.READY:
            self.model.downloads[number] = MediaState.READY
            self.model.publications += 1

    @rule(number=numbers, state=st.sampled_from([MediaState.FAILED, MediaState.GONE, MediaState.TOO_LARGE]))
    def mark_unavailable(self, number: int, state: MediaState) -> None:
        self.runner.run(self.journal.media.mark_unavailable(f"m{number}", state, "", [publication()]))
        if self.model.downloads.get(number) in {MediaState.PENDING, MediaState.READY}:
            self.model.downloads[number] = state
            self.model.publications += 1

    @rule(number=numbers)
    def request(self, number: int) -> None:
        self.runner.run(self.journal.media.request(f"m{number}", 5))
        if self.model.downloads.get(number) is MediaState.FAILED:
            self.model.downloads[number] = MediaState.PENDING

    @rule(number=numbers)
    def mark_lost(self, number: int) -> None:
        self.runner.run(self.journal.media.mark_lost(f"m{number}", 5))
        if self.model.downloads.get(number) is MediaState.READY:
            self.model.downloads[number] = MediaState.PENDING

    @rule(number=numbers)
    def release(self, number: int) -> None:
        self.runner.run(self.journal.media.release_message(str(number), {"n": 1}))
        self.model.waiting_for_file.discard(number)

    @rule(number=numbers, content=st.none() | contents)
    def accept(self, number: int, content: bytes | None) -> None:
        blob = None if content is None else self._store(content)
        (accepted,) = self.runner.run(self.journal.commands.accept([command(f"c{number}", blob=blob)]))
        if accepted.outcome is AcceptOutcome.NEW:
            self.model.waiting.add(number)

    @rule(number=numbers, content=contents)
    def attach_file(self, number: int, content: bytes) -> None:
        row = self.runner.run(self.journal.commands.get(f"c{number}"))
        if row is None:
            return
        blob = self._store(content)
        if number in self.model.waiting:
            self.runner.run(self.journal.commands.attach_file(row.id, blob))
        else:
            with pytest.raises(AlreadyFinished):
                self.runner.run(self.journal.commands.attach_file(row.id, blob))
            self.blobs.mark_referenced(blob)

    @rule(number=numbers)
    def finish(self, number: int) -> None:
        row = self.runner.run(self.journal.commands.get(f"c{number}"))
        if row and row.state is CommandState.WAITING:
            self.runner.run(self.journal.commands.finish(row.id, result(f"c{number}"), ()))
            self.model.waiting.remove(number)
            self.model.finished.add(number)

    @rule(content=contents)
    def store_without_row(self, content: bytes) -> None:
        self.blobs.mark_referenced(self._store(content))

    @rule(total=st.integers(0, 400))
    def enforce_limit(self, total: int) -> None:
        self.runner.run(self.retention.enforce_limit("home", total))
        self._note_gone()

    @rule(bytes_to_free=st.integers(1, 400))
    def free_space(self, bytes_to_free: int) -> None:
        before = self.retention.blobs.size
        freed = self.runner.run(self.retention.free_space(bytes_to_free))
        assert self.retention.blobs.size == before - freed
        self._note_gone()

    @rule(days=st.integers(0, 3))
    def prune(self, days: int) -> None:
        self.clock.now += days * DAY
        self.runner.run(self.retention.prune("home", self.clock.now + 1, 2 * DAY))
        self._note_gone()

    def _note_gone(self) -> None:
        """Takes over which media the retention has deleted: only downloaded ones."""
        for number, state in self.model.downloads.items():
            row = self.runner.run(self.journal.media.get(f"m{number}"))
            assert row is not None
            if row.state is MediaState.GONE and state is MediaState.READY:
                self.model.downloads[number] = MediaState.GONE

    @rule()
    def delete_unused_files(self) -> None:
        self.runner.run(self.retention.delete_unused_files(0))
        assert set(self._files()) == {self.blobs.path_of(blob) for blob in self._needed()}

    @rule()
    def crash(self) -> None:
        """Opens the store anew with all files as they are, and a half one besides."""
        before = self.folder / str(self.start_number)
        self.start_number += 1
        shutil.copytree(before, self.folder / str(self.start_number))
        (self.folder / str(self.start_number) / "media" / ".part-dead").write_bytes(b"half")
        self.runner.run(self.database.close())
        self.open_first_store()

    def _files(self) -> list[Path]:
        paths = (self.folder / str(self.start_number) / "media").rglob("*")
        return [file for file in paths if file.is_file()]

    def _needed(self) -> list[Blob]:
        rows = [self.runner.run(self.journal.media.get(f"m{number}")) for number in self.model.downloads]
        waiting = self.runner.run(self.journal.commands.list_due(100))
        blobs = [*(row.blob for row in rows if row), *(row.blob for row in waiting)]
        return [blob for blob in blobs if blob]

    @invariant()
    def files_have_the_content_of_their_names_and_all_needed_ones_exist(self) -> None:
        if not hasattr(self, "database"):
            return
        for file in self._files():
            assert file.name.partition(".")[0] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert all(self.blobs.exists(blob) for blob in self._needed())
        assert self.blobs.size == sum(file.stat().st_size for file in self._files())

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        if not hasattr(self, "database"):
            return
        for number, state in self.model.downloads.items():
            row = self.runner.run(self.journal.media.get(f"m{number}"))
            assert row is not None
            assert (row.state, row.blob is not None) == (state, state is MediaState.READY)
            assert (row.due is not None) == (state is MediaState.PENDING)
        assert {
            int(key) for key, _, _ in self.runner.run(self.journal.media.waiting_messages())
        } == self.model.waiting_for_file
        waiting = self.runner.run(self.journal.outbox.list_waiting(0, 10_000))
        assert sum(row.category == "result" for row in waiting) == self.model.publications


TestMedia = MediaMachine.TestCase
TestMedia.settings = settings(
    max_examples=repetitions(12, 150),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
