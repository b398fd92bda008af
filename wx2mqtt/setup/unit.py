"""The systemd unit: the shipped one with our paths in it, where it could work."""

from __future__ import annotations

import re
import sys
from importlib.resources import files
from pathlib import Path

PLACE = Path("/etc/systemd/system/wx2mqtt.service")
SYSTEMD = Path("/run/systemd/system")
"""Is there while systemd runs."""
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - which the unit's sandbox hides
SHIPPED = "/opt/wx2mqtt/bin/wx2mqtt", "/etc/wx2mqtt/wx2mqtt.yaml"
CREDENTIAL = "#LoadCredential=mqtt.password:/etc/wx2mqtt/mqtt.password"


def unit(config: Path, password: Path | None, command: str) -> str:
    """The text. The service's user is made at each start, so systemd hands it the password."""
    text = files("wx2mqtt.setup").joinpath("wx2mqtt.service").read_text(encoding="utf-8")
    text = text.replace(SHIPPED[0], command).replace(SHIPPED[1], str(config))
    if password is not None:
        text = text.replace(CREDENTIAL, f"LoadCredential=mqtt.password:{password}")
    return text


def program() -> str:
    """The command by which we were started, with whole paths."""
    started = Path(sys.argv[0]).absolute()
    return f"{sys.executable} -m wx2mqtt" if started.name == "__main__.py" else str(started)


def hidden(*paths: Path) -> Path | None:
    """The first that a service in its sandbox could not see, None where it sees all."""
    return next((path for path in paths if _is_hidden(path)), None)


def _is_hidden(path: Path) -> bool:
    return any(re.match(f"{re.escape(folder)}(/|$)", str(path)) for folder in HIDDEN)
