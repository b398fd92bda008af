"""Writes the files of setup: completely or not at all, with the right mode, and keeping an old file.

The systemd unit is the shipped one with the paths of this installation.
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

PUBLIC_MODE = 0o644
PRIVATE_MODE = 0o600

UNIT_PATH = Path("/etc/systemd/system/wx2mqtt.service")
SYSTEMD_RUNTIME = Path("/run/systemd/system")
"""Exists while systemd runs."""
HIDDEN_FOLDERS = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - only compared
"""Folders that the sandbox of the service hides."""

SHIPPED_PROGRAM = "/opt/wx2mqtt/bin/wx2mqtt"
SHIPPED_CONFIG = "/etc/wx2mqtt/wx2mqtt.yaml"
SHIPPED_CREDENTIAL_LINE = "#LoadCredential=mqtt.password:/etc/wx2mqtt/mqtt.password"


class CannotWrite(Wx2MqttError):
    """A file cannot be written."""


def write_file(path: Path, text: str, mode: int, *, keep_old: bool = True) -> Path | None:
    """Writes a file; returns the new name of the file that was there, or None. Raises `CannotWrite`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept_file = _keep_old_file(path) if keep_old else None
        descriptor, temporary_name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary_name).replace(path)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise CannotWrite(f"{path} cannot be written: {reason}; name another file with -c") from None
    return kept_file


def _keep_old_file(path: Path) -> Path | None:
    """Gives an existing file a second name with the time in it."""
    if not path.exists():
        return None
    kept_file = path.with_name(f"{path.name}.{time.strftime('%Y%m%d-%H%M%S')}")
    os.link(path, kept_file)
    return kept_file


def unit_text(config: Path, password_file: Path | None, command: str) -> str:
    """Returns the text of the systemd unit for these paths.

    systemd creates the service's user at each start, so that user could not read the password file: systemd
    passes it on as a credential.
    """
    text = files("wx2mqtt.setup").joinpath("wx2mqtt.service").read_text(encoding="utf-8")
    text = text.replace(SHIPPED_PROGRAM, command).replace(SHIPPED_CONFIG, str(config))
    if password_file is not None:
        text = text.replace(SHIPPED_CREDENTIAL_LINE, f"LoadCredential=mqtt.password:{password_file}")
    return text


def program_path() -> str:
    """Returns the command that started this program, with absolute paths."""
    program = Path(sys.argv[0]).absolute()
    return f"{sys.executable} -m wx2mqtt" if program.name == "__main__.py" else str(program)


def hidden_path(*paths: Path) -> Path | None:
    """Returns the first path that the sandbox of the service hides, or None."""
    return next((path for path in paths if _is_hidden(path)), None)


def _is_hidden(path: Path) -> bool:
    return any(re.match(f"{re.escape(folder)}(/|$)", str(path)) for folder in HIDDEN_FOLDERS)
