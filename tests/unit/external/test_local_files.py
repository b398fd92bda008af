"""Files by path: only regular files below the owner's folders are read, and each refusal has a sentence of its own."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from wx2mqtt.errors import BadCommand, DeclaredSizeTooLarge
from wx2mqtt.external import local_files
from wx2mqtt.external.local_files import READ_CHUNK_BYTES, read_file
from wx2mqtt.i18n.bridge import rejection_text

LIMIT = 10**7


@pytest.fixture
def folders(tmp_path):
    """Returns a folder with `open`, from which files may be sent, and `closed`, from which they may not."""
    for name in ("open/inner", "closed"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "open/picture.jpg").write_bytes(b"picture")
    (tmp_path / "open/inner/picture.jpg").write_bytes(b"inner")
    (tmp_path / "closed/secret").write_bytes(b"secret")
    return tmp_path


async def read(path, *allowed, limit=LIMIT):
    async with aclosing(read_file(str(path), allowed, limit)) as pieces:
        return b"".join([piece async for piece in pieces])


async def refusal_of(path, *allowed):
    before = descriptors()
    with pytest.raises(BadCommand) as refusal:
        await read(path, *allowed)
    assert descriptors() == before
    assert rejection_text("en", refusal.value) != rejection_text("zh", refusal.value)
    return refusal.value.code, refusal.value.message_key


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("open/picture.jpg", b"picture"),
        ("open/inner/picture.jpg", b"inner"),
        ("open/inner/../picture.jpg", b"picture"),
        ("closed/../open//picture.jpg", b"picture"),
    ],
)
async def test_what_is_below_a_folder_is_read(folders, path, content):
    assert await read(folders / path, folders / "open") == content
    assert await read(folders / path, folders / "closed", folders) == content


async def test_a_large_one_comes_in_pieces(folders):
    (folders / "open/large").write_bytes(bytes(3 * READ_CHUNK_BYTES + 1))
    sizes = [len(chunk) async for chunk in read_file(str(folders / "open/large"), [folders / "open"], LIMIT)]
    assert sizes == [READ_CHUNK_BYTES, READ_CHUNK_BYTES, READ_CHUNK_BYTES, 1]


async def test_a_file_that_is_too_large_is_not_even_opened_for_reading(folders):
    assert await read(folders / "open/picture.jpg", folders / "open", limit=7) == b"picture"
    with pytest.raises(DeclaredSizeTooLarge):
        await read(folders / "open/picture.jpg", folders / "open", limit=6)


async def test_a_link_to_what_is_inside_is_followed_and_so_is_one_to_the_folder(folders):
    (folders / "open/link").symlink_to("inner")
    (folders / "entry").symlink_to("open")
    assert await read(folders / "open/link/picture.jpg", folders / "open") == b"inner"
    assert await read(folders / "open/picture.jpg", folders / "entry") == b"picture"
    assert await read(folders / "entry/picture.jpg", folders / "open") == b"picture"


@pytest.mark.parametrize(
    "path",
    [
        "closed/secret",
        "open/../closed/secret",
        "open/inner/../../closed/secret",
        "open/out",
        "open/away/secret",
        "opened/x",
        "nowhere",
        "",
    ],
)
async def test_what_is_outside_is_refused_whether_it_is_there_or_not(folders, path):
    (folders / "open/out").symlink_to(folders / "closed/secret")
    (folders / "open/away").symlink_to(folders / "closed")
    (folders / "opened").mkdir()
    (folders / "opened/x").write_bytes(b"x")
    assert await refusal_of(folders / path, folders / "open") == ("not_allowed", "path_outside")


async def test_without_a_folder_nothing_is_sent_by_path(folders):
    assert await refusal_of(folders / "open/picture.jpg") == ("not_allowed", "path_no_folder")


@pytest.mark.parametrize("path", ["picture.jpg", "./open/picture.jpg", "", "~/x", "/a\0b"])
async def test_a_path_must_be_absolute(folders, path):
    assert await refusal_of(path, folders) == ("bad_command", "path_relative")


MAKERS: dict[str, Callable[[Path], object]] = {
    "path_folder": Path.mkdir,
    "path_pipe": os.mkfifo,
    "path_socket": lambda path: os.mknod(path, stat.S_IFSOCK | 0o600),
    "path_missing": lambda path: None,
}


@pytest.mark.parametrize("message_key", MAKERS)
async def test_what_is_no_regular_file_is_refused_with_its_own_sentence_and_does_not_hang(
    folders, message_key
):
    MAKERS[message_key](folders / "open/odd")
    assert await refusal_of(folders / "open/odd", folders / "open") == ("bad_file", message_key)


async def test_a_device_is_refused(folders):
    assert await refusal_of("/dev/null", Path("/dev")) == ("bad_file", "path_device")
    assert await refusal_of("/dev/zero", Path("/")) == ("bad_file", "path_device")


async def test_the_folder_itself_is_a_folder(folders):
    assert await refusal_of(folders / "open", folders / "open") == ("bad_file", "path_folder")
    assert await refusal_of("/", Path("/")) == ("bad_file", "path_folder")


# Not by taking rights away: where tests run as root, it may read everything.
async def test_what_the_system_does_not_let_us_read_is_refused_with_its_reason(folders, monkeypatch):
    def refuses(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(local_files, "_open_regular", refuses)
    assert await refusal_of(folders / "open/picture.jpg", folders / "open") == ("bad_file", "path_forbidden")


async def test_a_part_of_a_file_is_no_folder(folders):
    assert await refusal_of(folders / "open/picture.jpg/x", folders / "open") == ("bad_file", "path_changed")


async def test_a_path_that_the_system_cannot_open_is_refused_before_it_is_resolved(folders, monkeypatch):
    monkeypatch.setattr(os.path, "realpath", lambda _path: pytest.fail("resolved"))
    too_long = f"{folders}/open/{'a/' * 2048}a"
    assert await refusal_of(too_long, folders / "open") == ("bad_file", "path_unreadable")


async def test_a_loop_of_links_ends(folders):
    (folders / "open/loop").symlink_to("loop")
    code, _ = await refusal_of(folders / "open/loop", folders / "open")
    assert code == "bad_file"


@pytest.mark.parametrize("swapped", ["inner", "inner/picture.jpg"])
async def test_what_is_swapped_for_a_link_between_the_check_and_the_opening_is_not_read(
    folders, monkeypatch, swapped
):
    """The attacker may write below the folder, and wins every race."""
    real_function = os.path.realpath

    def resolve_then_swap(path):
        resolved = real_function(path)
        if str(path).endswith("picture.jpg"):
            (folders / "open" / swapped).rename(folders / "put_away")
            target = folders / "closed" / ("" if swapped == "inner" else "secret")
            (folders / "open" / swapped).symlink_to(target)
            (folders / "closed/picture.jpg").write_bytes(b"secret")
        return resolved

    monkeypatch.setattr(os.path, "realpath", resolve_then_swap)
    assert await refusal_of(folders / "open/inner/picture.jpg", folders / "open") == (
        "bad_file",
        "path_changed",
    )


async def test_what_is_swapped_between_the_check_of_its_type_and_the_opening_is_not_read(
    folders, monkeypatch
):
    real_function = os.stat

    def stat_then_swap(name, **options):
        found = real_function(name, **options)
        if name == "picture.jpg" and "dir_fd" in options:
            (folders / "open/picture.jpg").unlink()
            os.mkfifo(folders / "open/picture.jpg")
        return found

    monkeypatch.setattr(os, "stat", stat_then_swap)
    assert await refusal_of(folders / "open/picture.jpg", folders / "open") == ("bad_file", "path_pipe")


async def test_who_stops_reading_leaves_nothing_open(folders):
    before = descriptors()
    async with aclosing(read_file(str(folders / "open/picture.jpg"), [folders / "open"], LIMIT)) as pieces:
        await anext(pieces)
        assert descriptors() == before + 1
    assert descriptors() == before
