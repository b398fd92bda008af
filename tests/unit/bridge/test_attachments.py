"""The files of commands are checked while they are stored, and of a refused one nothing stays."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.bridge.commands_harness import CAPABILITIES
from tests.unit.bridge.contexts import FakeQuota, context, settings, shared
from wx2mqtt.bridge.attachments import Attachments
from wx2mqtt.errors import BadCommand, DeclaredSizeTooLarge, StoreError
from wx2mqtt.model import Blob, Command
from wx2mqtt.settings.schema import Media
from wx2mqtt.store.blobs import Blobs

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)


class FakeRetention:
    """Keeps the files that are given back; `error` is raised instead."""

    def __init__(self) -> None:
        self.released: list[Blob] = []
        self.error: StoreError | None = None

    async def delete_if_unused(self, blob: Blob) -> None:
        if self.error is not None:
            raise self.error
        self.released.append(blob)


class FakeFetcher:
    """Returns `chunks` for every URL, then raises `error`; keeps what it was asked for."""

    def __init__(self) -> None:
        self.chunks = [b"from the network"]
        self.error: Exception | None = None
        self.requests: list[tuple[str, int, tuple[str, ...]]] = []

    async def fetch(
        self, url: str, *, max_bytes: int, allowed_hosts: tuple[str, ...], timeout_seconds: float
    ) -> AsyncIterator[bytes]:
        assert timeout_seconds > 0
        self.requests.append((url, max_bytes, allowed_hosts))
        for chunk in self.chunks:
            yield chunk
        if self.error is not None:
            raise self.error


class AttachmentsHarness:
    """The attachments of an account over a real folder of files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = Blobs(folder / "store")
        self.quota = FakeQuota()
        self.retention = FakeRetention()
        self.fetcher = FakeFetcher()
        fetcher: Any = self.fetcher
        ctx = context(
            backend=SimpleNamespace(capabilities=CAPABILITIES),
            settings=settings(media=Media(send_from=(folder / "allowed",), allow_hosts=("camera.lan",))),
            shared=shared(blobs=self.blobs, media_retention=self.retention, quota=self.quota),
        )
        self.attachments = Attachments(ctx, fetcher)

    def files(self) -> list[Path]:
        return [path for path in (self.folder / "store").rglob("*") if path.is_file()]


@pytest.fixture
async def harness(tmp_path: Path) -> AttachmentsHarness:
    (tmp_path / "allowed").mkdir()
    harness = AttachmentsHarness(tmp_path)
    await harness.blobs.open()
    return harness


async def test_a_url_is_fetched_with_the_limits_of_kind_and_settings(harness: AttachmentsHarness):
    command = Command(user="wife", kind="file", url="http://camera.lan/log/today")
    blob = await harness.attachments.fetch(command, 5.0)
    assert harness.fetcher.requests == [(command.url, 1_000_000, ("camera.lan",))]
    assert harness.attachments.attachment_for(command, blob).name == "today.txt"


@pytest.mark.parametrize(
    ("error", "code"),
    [(DeclaredSizeTooLarge(), "too_large"), (BadCommand("fetch_failed", "fetch_cut_off"), "fetch_failed")],
)
async def test_of_a_fetch_that_fails_in_the_middle_nothing_stays(
    harness: AttachmentsHarness, error: Exception, code: str
):
    harness.fetcher.error = error
    with pytest.raises(BadCommand) as refused:
        await harness.attachments.fetch(Command(user="wife", kind="file", url="http://camera.lan/a"), 5.0)
    assert refused.value.code == code
    assert harness.files() == []


async def test_a_file_is_released_also_when_the_store_fails(harness: AttachmentsHarness):
    blob = await harness.attachments.store(Command(user="wife", kind="file", name="a.txt"), b"text")
    await harness.attachments.release(blob, never_referenced=True)
    assert harness.retention.released == [blob]
    harness.retention.error = StoreError("the disk is away")
    await harness.attachments.release(blob)
    assert await harness.attachments.has_file(blob), "it is deleted later"
