"""Reads from the output of strace what a process did to the files below a folder.

The calls are in the order in which they ended. A call that failed changed nothing and is left out.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import PurePosixPath

STRACE = shutil.which("strace")
MAX_WRITE_BYTES = 64 * 1024 * 1024  # of one call; strace cuts longer ones off, which the parser refuses

_OPENING = ("open", "openat", "creat")
_BY_PATH = ("rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat")
_BY_DESCRIPTOR = ("write", "pwrite64", "ftruncate", "fsync", "fdatasync")
# Calls that the model does not know: one of them in the folder is an error, not something to overlook.
_UNKNOWN_BY_PATH = ("truncate", "link", "linkat", "symlink", "symlinkat")
_UNKNOWN_BY_DESCRIPTOR = ("writev", "pwritev", "pwritev2", "copy_file_range", "sendfile", "sync_file_range")
_CALLS = (*_OPENING, *_BY_PATH, *_BY_DESCRIPTOR, *_UNKNOWN_BY_PATH, *_UNKNOWN_BY_DESCRIPTOR)

_LINE = re.compile(r"(\d+) +(.*)")
_BEGUN = re.compile(r"(\w+\(.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)(?:<([^>]*)>)?.*")
_DESCRIPTOR = re.compile(r"\d+<([^>]*)>")
_TEXT = re.compile(r'"([^"]*)"(\.\.\.)?')
_PATH = re.compile(r'(?:AT_FDCWD|\d+)<(?P<folder>[^>]*)>|"(?P<text>[^"]*)"')


class Change(Enum):
    """The kinds of calls that matter for a disk."""

    CREATE = auto()  # a file; `data` is empty
    MAKE_FOLDER = auto()
    WRITE = auto()  # `data` at `offset`; an offset of -1 is the end of the last write to this descriptor
    TRUNCATE = auto()  # to `offset`
    SYNC = auto()  # a file or a folder
    RENAME = auto()  # to `target`
    REMOVE = auto()  # a file or an empty folder


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedCall:
    """A call that succeeded. `began` is the number of calls that had ended when it began."""

    change: Change
    path: PurePosixPath
    began: int
    target: PurePosixPath | None = None
    data: bytes = b""
    offset: int = -1


def command(output: str) -> list[str]:
    """Returns strace's command line, which appends to `output`; signals go to the traced program."""
    assert STRACE is not None
    options = ["-D", "-A", "-f", "--seccomp-bpf", "-y", "-xx", "-s", str(MAX_WRITE_BYTES), "-o", output]
    return [STRACE, *options, "-e", f"trace={','.join(f'?{name}' for name in _CALLS)}"]


def parse(lines: Iterable[str], folder: PurePosixPath) -> list[TracedCall]:
    """Returns the calls that changed or synced something in the folder or below."""
    calls: list[TracedCall] = []
    for text, began in _whole_calls(lines, calls):
        call = _parse_call(text, began, folder)
        if call is not None:
            calls.append(call)
    return calls


def _whole_calls(lines: Iterable[str], calls: list[TracedCall]) -> Iterator[tuple[str, int]]:
    """Joins the two lines of a call during which another thread called; yields it with its beginning."""
    begun: dict[str, tuple[str, int]] = {}
    for line in lines:
        matched = _LINE.match(line)
        assert matched, line[:200]
        process, text = matched.groups()
        if unfinished := _BEGUN.fullmatch(text):
            begun[process] = (unfinished[1], len(calls))
        elif resumed := _RESUMED.fullmatch(text):
            head, began = begun.pop(process)
            yield head + resumed[1], began
        else:
            yield text, len(calls)


def _parse_call(text: str, began: int, folder: PurePosixPath) -> TracedCall | None:
    matched = _CALL.fullmatch(text)
    if matched is None or int(matched[3]) < 0:
        return None  # an exit, a signal, or a call that failed
    name, arguments, result, opened = matched.groups()
    paths = [PurePosixPath(_decode(opened))] if opened else _paths(name, arguments)
    if not any(folder in (path, *path.parents) for path in paths):
        return None
    match name, paths:
        case (("open" | "openat" | "creat"), [path]):
            return _parse_open(arguments, path, began)
        case (("write" | "pwrite64"), [path]):
            return _parse_write(name, arguments, path, int(result), began)
        case "ftruncate", [path]:
            length = int(arguments.rpartition(", ")[2], 0)
            return TracedCall(change=Change.TRUNCATE, path=path, offset=length, began=began)
        case (("fsync" | "fdatasync"), [path]):
            return TracedCall(change=Change.SYNC, path=path, began=began)
        case (("rename" | "renameat" | "renameat2"), [source, target]):
            return TracedCall(change=Change.RENAME, path=source, target=target, began=began)
        case (("unlink" | "unlinkat" | "rmdir"), [path]):
            return TracedCall(change=Change.REMOVE, path=path, began=began)
        case (("mkdir" | "mkdirat"), [path]):
            return TracedCall(change=Change.MAKE_FOLDER, path=path, began=began)
        case _:
            raise ValueError(f"the model of the disk does not know this call: {text[:300]}")


def _parse_open(arguments: str, path: PurePosixPath, began: int) -> TracedCall | None:
    if "O_TRUNC" in arguments:
        return TracedCall(change=Change.CREATE, path=path, offset=0, began=began)
    if "O_CREAT" in arguments:
        return TracedCall(change=Change.CREATE, path=path, began=began)
    return None


def _parse_write(name: str, arguments: str, path: PurePosixPath, written: int, began: int) -> TracedCall:
    text = _TEXT.search(arguments)
    assert text, arguments[:200]
    assert not text[2], f"strace cut a write off: {arguments[-200:]}"
    offset = int(arguments.rpartition(", ")[2], 0) if name == "pwrite64" else -1
    data = bytes.fromhex(text[1].replace("\\x", ""))[:written]
    return TracedCall(change=Change.WRITE, path=path, data=data, offset=offset, began=began)


def _paths(name: str, arguments: str) -> list[PurePosixPath]:
    """Returns the path of the descriptor, or those that the call names, completed by the folder before each."""
    if name not in _BY_PATH + _UNKNOWN_BY_PATH:
        descriptor = _DESCRIPTOR.match(arguments)
        return [PurePosixPath(_decode(descriptor[1]))] if descriptor else []
    found = []
    folder = PurePosixPath("/")
    for part in _PATH.finditer(arguments):
        if part["folder"] is not None:
            folder = PurePosixPath(_decode(part["folder"]))
        else:
            found.append(folder / _decode(part["text"]))
    return found


def _decode(text: str) -> str:
    return bytes.fromhex(text.replace("\\x", "")).decode() if text.startswith("\\x") else text
