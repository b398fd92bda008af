"""The output of strace is parsed, and no call in it is overlooked."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from tests.power_cut.trace import Change, TracedCall, parse

STORE = PurePosixPath("/s")


def hexed(text: str) -> str:
    """Returns a text as strace writes it with -xx."""
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


FILE, NEW, FOLDER = hexed("/s/a"), hexed("/s/b"), hexed("/s")
CREATED = f'7 openat(AT_FDCWD<{hexed("/")}>, "{FILE}", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 3<{FILE}>'


def call(change: Change, path: str = "/s/a", **more: object) -> TracedCall:
    return TracedCall(**{"change": change, "path": PurePosixPath(path), "began": 0, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (CREATED, call(Change.CREATE)),
        (CREATED.replace("O_CREAT", "O_CREAT|O_TRUNC"), call(Change.CREATE, offset=0)),
        (
            f'7  pwrite64(3<{FILE}>, "{hexed("hello")}", 5, 4096) = 5',
            call(Change.WRITE, data=b"hello", offset=4096),
        ),
        (f'7 pwrite64(3<{FILE}>, "{hexed("hello")}", 5, 0) = 2', call(Change.WRITE, data=b"he", offset=0)),
        (f'7 write(3<{FILE}>, "{hexed("hello")}", 5) = 5', call(Change.WRITE, data=b"hello")),
        (f"7 ftruncate(3<{FILE}>, 8192) = 0", call(Change.TRUNCATE, offset=8192)),
        (f"7 fdatasync(3<{FILE}>) = 0", call(Change.SYNC)),
        (f"7 fsync(3<{FOLDER}>) = 0", call(Change.SYNC, "/s")),
        (f'7 rename("{FILE}", "{NEW}") = 0', call(Change.RENAME, target=PurePosixPath("/s/b"))),
        (
            f'7 renameat2(AT_FDCWD<{hexed("/s")}>, "{hexed("a")}", 5<{hexed("/s/c")}>, "{hexed("b")}", 0) = 0',
            call(Change.RENAME, target=PurePosixPath("/s/c/b")),
        ),
        (f'7 unlink("{FILE}") = 0', call(Change.REMOVE)),
        (f'7 unlinkat(4<{FOLDER}>, "{hexed("a")}", 0) = 0', call(Change.REMOVE)),
        (f'7 mkdir("{FILE}", 0700) = 0', call(Change.MAKE_FOLDER)),
    ],
)
def test_a_call_is_read(line, expected):
    assert parse([line], STORE) == [expected]


@pytest.mark.parametrize(
    "line",
    [
        f'7 unlink("{FILE}") = -1 ENOENT (No such file or directory)',
        f'7 unlink("{hexed("/t/a")}") = 0',
        f'7 write(1<pipe:[12]>, "{hexed("/s/a")}", 4) = 4',
        f'7 openat(AT_FDCWD<{FOLDER}>, "{FILE}", O_RDONLY) = 3<{FILE}>',
        "7 --- SIGTERM {si_signo=SIGTERM} ---",
        "7 +++ exited with 0 +++",
    ],
)
def test_what_changes_nothing_in_the_folder_is_left_out(line):
    assert parse([line], STORE) == []


def test_a_call_begins_where_it_was_begun_and_is_in_the_order_of_its_end():
    lines = [
        CREATED,
        f"7 fsync(3<{FILE}> <unfinished ...>",
        f'8 pwrite64(3<{FILE}>, "{hexed("x")}", 1, 0) = 1',
        "7 <... fsync resumed>)             = 0",
    ]
    created, write, sync = parse(lines, STORE)
    assert (created.change, write.change, sync.change) == (Change.CREATE, Change.WRITE, Change.SYNC)
    assert (write.began, sync.began) == (1, 1), "the write is not covered"


@pytest.mark.parametrize(
    "line",
    [
        f'7 writev(3<{FILE}>, [{{iov_base="{hexed("x")}", iov_len=1}}], 1) = 1',
        f'7 link("{FILE}", "{NEW}") = 0',
        f'7 truncate("{FILE}", 0) = 0',
    ],
)
def test_a_call_that_the_model_does_not_know_is_an_error(line):
    with pytest.raises(ValueError, match="does not know"):
        parse([line], STORE)


def test_a_write_that_strace_cut_off_is_an_error():
    with pytest.raises(AssertionError, match="cut"):
        parse([f'7 pwrite64(3<{FILE}>, "{hexed("x")}"..., 99, 0) = 99'], STORE)
