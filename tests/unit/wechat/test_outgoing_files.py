"""Outgoing files of all backends: refuses those that WeChat refuses, and uploads each once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.rows import every_row
from wx2mqtt.errors import Rejected
from wx2mqtt.model import Attachment, Blob, Draft, Handle, Kind
from wx2mqtt.wechat.outgoing_files import UploadCache, read_base64_piece, read_piece, require_attachment
from wx2mqtt.wechat.registry import BACKENDS


def text(message_key: str, /, **_facts: object) -> str:
    return message_key


def draft(kind: Kind = Kind.IMAGE, *, size: int = 100, mime: str = "image/png") -> Draft:
    blob = Blob(sha256="0" * 64, size=size, mime=mime, path="x")
    return Draft(
        chat=Handle("@1"), kind=kind, attachment=Attachment(file=Path("/x"), name="x.png", blob=blob)
    )


@every_row("backend", BACKENDS)
@every_row(
    ("bad_draft", "code"),
    [
        (draft(size=0), "empty"),
        (draft(size=1 << 40), "too_large"),
        (draft(mime="image/svg+xml"), "unsupported"),
        (draft(Kind.VOICE), "unsupported"),
        (Draft(chat=Handle("@1"), kind=Kind.IMAGE), "unsupported"),
    ],
)
def test_what_wechat_refuses_is_not_uploaded(backend: str, bad_draft: Draft, code: str) -> None:
    with pytest.raises(Rejected) as rejected:
        require_attachment(bad_draft, BACKENDS[backend].capabilities, text)
    assert rejected.value.code == code


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_wechat_takes_is_taken(backend: str) -> None:
    assert require_attachment(draft(), BACKENDS[backend].capabilities, text).name == "x.png"


class UploadCacheHarness:
    """A cache whose uploads are counted; each returns its key with the number of the upload."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.now = 0.0
        self.cache = UploadCache[str, str](2, 600.0, lambda: self.now)

    async def get(self, key: str) -> str:
        async def upload() -> str:
            await asyncio.sleep(0)
            self.keys.append(key)
            return f"{key}{len(self.keys)}"

        return await self.cache.get_or_upload(key, upload)


async def test_only_so_many_uploads_are_remembered_and_the_longest_unused_goes_first() -> None:
    uploads = UploadCacheHarness()
    for key in "121312":
        await uploads.get(key)
    assert uploads.keys == ["1", "2", "3", "2"]


async def test_two_who_want_the_same_make_one_upload() -> None:
    uploads = UploadCacheHarness()
    answers = await asyncio.gather(uploads.get("a"), uploads.get("a"), uploads.get("b"))
    assert list(answers) == ["a1", "a1", "b2"]


async def test_what_is_stale_or_forgotten_is_uploaded_again() -> None:
    uploads = UploadCacheHarness()
    assert await uploads.get("a") == "a1"
    uploads.now = 599.0
    assert await uploads.get("a") == "a1"
    uploads.now = 600.0
    assert await uploads.get("a") == "a2"
    uploads.cache.invalidate("a")
    assert await uploads.get("a") == "a3"


async def test_a_file_that_shrank_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"12345")
    assert await read_piece(file, 3, 5, 100, "cannot be read") == b"45"
    assert await read_base64_piece(file, 3, 5, 100, "cannot be read") == "NDU="
    with pytest.raises(Rejected, match="cannot be read"):
        await read_piece(file, 3, 6, 100, "cannot be read")
