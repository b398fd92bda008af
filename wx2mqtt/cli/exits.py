"""Exit codes (DESIGN 2), and which error leads to which."""

from __future__ import annotations

from collections.abc import Callable

from wx2mqtt.errors import SettingsError, StoreError, StoreTooNew, Wx2MqttError
from wx2mqtt.mqtt.embedded import PortInUse
from wx2mqtt.web.options import CannotListen

WELL = 0
UNEXPECTED = 1
USAGE = 2
TEMPORARY = 75  # a port in use, a store that is locked or full: try again later
CONFIGURATION = 78  # the file, or a file that it names: systemd must not restart on it

Say = Callable[[str], None]


def exit_code(error: Wx2MqttError, say: Say) -> int:
    """Tell what went wrong, one line each and no traceback, and how to exit."""
    match error:
        case SettingsError(problems=problems):
            for problem in problems:
                say(str(problem))
            return CONFIGURATION
        case StoreTooNew():
            say(str(error))
            return CONFIGURATION
        case StoreError() | PortInUse() | CannotListen():
            say(str(error))
            return TEMPORARY
        case _:
            say(str(error))
            return UNEXPECTED
