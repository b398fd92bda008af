"""Findings about the configuration, and reading the files that it names with a sentence for each failure."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from wx2mqtt.errors import Problem
from wx2mqtt.settings.key_tree import KeyPath
from wx2mqtt.values import frozen


@frozen(kw_only=False)
class SettingsFinding:
    """A fault of the value at `path`, and how to fix it. A warning does not refuse the settings."""

    path: KeyPath
    message: str
    is_warning: bool = False


@dataclass(slots=True)
class SettingsReport:
    """All problems and warnings so far. Problems refuse the settings, warnings do not."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


class UnreadableError(Exception):
    """A file cannot be used; the message names the file and says why and how to fix it."""


def read_text(path: Path, limit: int) -> str:
    """Returns the text of a regular UTF-8 file of at most `limit` bytes; raises `UnreadableError`."""
    try:
        return _decode(path, limit)
    except (OSError, ValueError) as error:
        raise UnreadableError(_open_fault(path, error)) from None


def check_readable(path: Path) -> str:
    """Returns why a file cannot be opened, or the empty text; does not look at its content."""
    try:
        with path.open("rb"):
            return ""
    except (OSError, ValueError) as error:
        return _open_fault(path, error)


def _open_fault(path: Path, error: OSError | ValueError) -> str:
    match error:
        case FileNotFoundError():
            return f"there is no file {path}; create it, or correct the path"
        case PermissionError():
            return (
                f"{path} may not be read by user {os.geteuid()}; change its owner or mode"
                " (under systemd, hand secrets over with LoadCredential)"
            )
        case OSError():
            return f"{path} cannot be read: {error.strerror}; correct the path"
    return f"{path} cannot be the name of a file; correct the path"


def _decode(path: Path, limit: int) -> str:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise UnreadableError(f"{path} is a folder; name the file in it")
    if not stat.S_ISREG(mode):
        raise UnreadableError(f"{path} is no regular file; write the content into one")
    with path.open("rb") as file:
        raw = file.read(limit + 1)
    if len(raw) > limit:
        raise UnreadableError(f"{path} is larger than {limit} bytes; is it the right file?")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UnreadableError(f"{path} is not UTF-8 (line {line}); save it as UTF-8") from None


def is_world_readable(path: Path) -> bool:
    """Returns whether every user of this machine may read the file."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
