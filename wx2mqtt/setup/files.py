"""What setup writes: whole or not at all, with the right modes, and nothing that was there is lost."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from wx2mqtt.errors import Wx2MqttError

OPEN, PRIVATE = 0o644, 0o600


class CannotWrite(Wx2MqttError):
    """A file cannot be written."""


def put(path: Path, text: str, mode: int, *, keep_old: bool = True) -> Path | None:
    """Write it; where there was another one its new name, else None. Raises `CannotWrite`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = _aside(path) if keep_old else None
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise CannotWrite(f"{path} cannot be written: {reason}; name another place with -c") from None
    return aside


def _aside(path: Path) -> Path | None:
    """The old one stays beside it."""
    if not path.exists():
        return None
    aside = path.with_name(f"{path.name}.{time.strftime('%Y%m%d-%H%M%S')}")
    os.link(path, aside)
    return aside
