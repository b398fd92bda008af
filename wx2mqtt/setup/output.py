"""What setup writes: whole or not at all, with the right modes, and nothing that was there is lost.

The systemd unit: the shipped one with our paths in it, where it could work.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

from wx2mqtt.errors import Wx2MqttError

PUBLIC_MODE, PRIVATE_MODE = 0o644, 0o600


class CannotWrite(Wx2MqttError):
    """A file cannot be written."""


def write_file(path: Path, text: str, mode: int, *, keep_old: bool = True) -> Path | None:
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


UNIT_PATH = Path("/etc/systemd/system/wx2mqtt.service")


SYSTEMD_RUNTIME = Path("/run/systemd/system")
"""Is there while systemd runs."""


HIDDEN_FOLDERS = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - which the unit's sandbox hides


SHIPPED_PATHS = "/opt/wx2mqtt/bin/wx2mqtt", "/etc/wx2mqtt/wx2mqtt.yaml"


CREDENTIAL_LINE = "#LoadCredential=mqtt.password:/etc/wx2mqtt/mqtt.password"


def unit_text(config: Path, password_file: Path | None, command: str) -> str:
    """The text. The service's user is made at each start, so systemd hands it the password."""
    text = files("wx2mqtt.setup").joinpath("wx2mqtt.service").read_text(encoding="utf-8")
    text = text.replace(SHIPPED_PATHS[0], command).replace(SHIPPED_PATHS[1], str(config))
    if password_file is not None:
        text = text.replace(CREDENTIAL_LINE, f"LoadCredential=mqtt.password:{password_file}")
    return text


def program_path() -> str:
    """The command by which we were started, with whole paths."""
    started = Path(sys.argv[0]).absolute()
    return f"{sys.executable} -m wx2mqtt" if started.name == "__main__.py" else str(started)


def hidden_path(*paths: Path) -> Path | None:
    """The first that a service in its sandbox could not see, None where it sees all."""
    return next((path for path in paths if _is_hidden(path)), None)


def _is_hidden(path: Path) -> bool:
    return any(re.match(f"{re.escape(folder)}(/|$)", str(path)) for folder in HIDDEN_FOLDERS)
