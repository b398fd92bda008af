"""A file by path: only below the owner's folders, only regular ones, each refusal with its own sentence."""

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
def house(tmp_path):
    """`open` may be sent from, `closed` may not."""
    for name in ("open/inner", "closed"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "open/picture.jpg").write_bytes(b"picture")
    (tmp_path / "open/inner/picture.jpg").write_bytes(b"inner")
    (tmp_path / "closed/secret").write_bytes(b"secret")
    return tmp_path


async def read(path, *folders, limit=LIMIT):
    async with aclosing(read_file(str(path), folders, limit)) as pieces:
        return b"".join([piece async for piece in pieces])


async def refused(path, *folders):
    before = descriptors()
    with pytest.raises(BadCommand) as refusal:
        await read(path, *folders)
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
async def test_what_is_below_a_folder_is_read(house, path, content):
    assert await read(house / path, house / "open") == content
    assert await read(house / path, house / "closed", house) == content


async def test_a_large_one_comes_in_pieces(house):
    (house / "open/large").write_bytes(bytes(3 * READ_CHUNK_BYTES + 1))
    sizes = [len(one) async for one in read_file(str(house / "open/large"), [house / "open"], LIMIT)]
    assert sizes == [READ_CHUNK_BYTES, READ_CHUNK_BYTES, READ_CHUNK_BYTES, 1]


async def test_one_that_is_too_large_is_not_even_begun(house):
    assert await read(house / "open/picture.jpg", house / "open", limit=7) == b"picture"
    with pytest.raises(DeclaredSizeTooLarge):
        await read(house / "open/picture.jpg", house / "open", limit=6)


async def test_a_link_to_what_is_inside_is_followed_and_so_is_one_to_the_folder(house):
    (house / "open/link").symlink_to("inner")
    (house / "entry").symlink_to("open")
    assert await read(house / "open/link/picture.jpg", house / "open") == b"inner"
    assert await read(house / "open/picture.jpg", house / "entry") == b"picture"
    assert await read(house / "entry/picture.jpg", house / "open") == b"picture"


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
async def test_what_is_outside_is_refused_whether_it_is_there_or_not(house, path):
    (house / "open/out").symlink_to(house / "closed/secret")
    (house / "open/away").symlink_to(house / "closed")
    (house / "opened").mkdir()
    (house / "opened/x").write_bytes(b"x")
    assert await refused(house / path, house / "open") == ("not_allowed", "path_outside")


async def test_without_a_folder_nothing_is_sent_by_path(house):
    assert await refused(house / "open/picture.jpg") == ("not_allowed", "path_no_folder")


@pytest.mark.parametrize("path", ["picture.jpg", "./open/picture.jpg", "", "~/x", "/a\0b"])
async def test_a_path_must_be_absolute(house, path):
    assert await refused(path, house) == ("bad_command", "path_relative")


MADE: dict[str, Callable[[Path], object]] = {
    "path_folder": Path.mkdir,
    "path_pipe": os.mkfifo,
    "path_socket": lambda path: os.mknod(path, stat.S_IFSOCK | 0o600),
    "path_missing": lambda path: None,
}


@pytest.mark.parametrize("word", MADE)
async def test_what_is_no_regular_file_is_refused_with_its_own_sentence_and_does_not_hang(house, word):
    MADE[word](house / "open/odd")
    assert await refused(house / "open/odd", house / "open") == ("bad_file", word)


async def test_a_device_is_refused(house):
    assert await refused("/dev/null", Path("/dev")) == ("bad_file", "path_device")
    assert await refused("/dev/zero", Path("/")) == ("bad_file", "path_device")


async def test_the_folder_itself_is_a_folder(house):
    assert await refused(house / "open", house / "open") == ("bad_file", "path_folder")
    assert await refused("/", Path("/")) == ("bad_file", "path_folder")


# Not by taking rights away: where tests run as root, it may read everything.
async def test_what_the_system_does_not_let_us_read_is_refused_with_its_reason(house, monkeypatch):
    def refuses(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(local_files, "_open_regular", refuses)
    assert await refused(house / "open/picture.jpg", house / "open") == ("bad_file", "path_forbidden")


async def test_a_part_of_a_file_is_no_folder(house):
    assert await refused(house / "open/picture.jpg/x", house / "open") == ("bad_file", "path_changed")


async def test_a_path_that_the_system_cannot_open_is_refused_before_it_is_resolved(house, monkeypatch):
    monkeypatch.setattr(os.path, "realpath", lambda _path: pytest.fail("resolved"))
    too_long = f"{house}/open/{'a/' * 2048}a"
    assert await refused(too_long, house / "open") == ("bad_file", "path_unreadable")


async def test_a_loop_of_links_ends(house):
    (house / "open/loop").symlink_to("loop")
    code, _ = await refused(house / "open/loop", house / "open")
    assert code == "bad_file"


@pytest.mark.parametrize("swapped", ["inner", "inner/picture.jpg"])
async def test_what_is_swapped_for_a_link_between_the_check_and_the_opening_is_not_read(
    house, monkeypatch, swapped
):
    """The attacker may write below the folder, and wins every race."""
    really = os.path.realpath

    def resolve_then_swap(path):
        resolved = really(path)
        if str(path).endswith("picture.jpg"):
            (house / "open" / swapped).rename(house / "put_away")
            target = house / "closed" / ("" if swapped == "inner" else "secret")
            (house / "open" / swapped).symlink_to(target)
            (house / "closed/picture.jpg").write_bytes(b"secret")
        return resolved

    monkeypatch.setattr(os.path, "realpath", resolve_then_swap)
    assert await refused(house / "open/inner/picture.jpg", house / "open") == ("bad_file", "path_changed")


async def test_what_is_swapped_between_the_look_and_the_opening_is_not_read(house, monkeypatch):
    really = os.stat

    def look_then_swap(name, **how):
        found = really(name, **how)
        if name == "picture.jpg" and "dir_fd" in how:
            (house / "open/picture.jpg").unlink()
            os.mkfifo(house / "open/picture.jpg")
        return found

    monkeypatch.setattr(os, "stat", look_then_swap)
    assert await refused(house / "open/picture.jpg", house / "open") == ("bad_file", "path_pipe")


async def test_who_stops_reading_leaves_nothing_open(house):
    before = descriptors()
    async with aclosing(read_file(str(house / "open/picture.jpg"), [house / "open"], LIMIT)) as pieces:
        await anext(pieces)
        assert descriptors() == before + 1
    assert descriptors() == before
