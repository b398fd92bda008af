"""Small text files that the owner names: read whole, bounded, every refusal with its cure.

What is found on the way to the settings: by one rule, and all together.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from wx2mqtt.errors import Problem
from wx2mqtt.settings.key_tree import KeyPath


class UnreadableError(Exception):
    """A file cannot be used; the message says why and how to mend it, and names the file."""


def read_text(path: Path, limit: int) -> str:
    """The text of a regular UTF-8 file of at most `limit` bytes; raises `UnreadableError`."""
    try:
        return _decoded(path, limit)
    except FileNotFoundError:
        raise UnreadableError(f"there is no file {path}; create it, or correct the path") from None
    except PermissionError:
        raise UnreadableError(
            f"{path} may not be read by user {os.geteuid()}; change its owner or mode"
            " (under systemd, hand secrets over with LoadCredential)"
        ) from None
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read: {error.strerror}; correct the path") from None
    except ValueError:
        raise UnreadableError(f"{path} cannot be the name of a file; correct the path") from None


def check_readable(path: Path) -> str:
    """Why a file cannot be read, or the empty text; its content is not looked at."""
    try:
        with path.open("rb"):
            return ""
    except FileNotFoundError:
        return f"there is no file {path}; create it, or correct the path"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}; correct the path, or the file's owner and mode"
    except ValueError:
        return f"{path} cannot be the name of a file; correct the path"


def is_world_readable(path: Path) -> bool:
    """Whether every user of this machine may read it."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _decoded(path: Path, limit: int) -> str:
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


@dataclass(frozen=True, slots=True)
class SettingsFinding:
    """`message` says what is wrong with the value at `path` and how to mend it; a warning stops nobody."""

    path: KeyPath
    message: str
    is_warning: bool = False


@dataclass(slots=True)
class SettingsReport:
    """What was found so far. Problems forbid the settings, warnings do not."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
