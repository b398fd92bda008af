"""What a rule finds in settings whose values are right one by one."""

from __future__ import annotations

from wx2mqtt.settings.key_tree import KeyPath
from wx2mqtt.values import frozen


@frozen(kw_only=False)
class SettingsFinding:
    """A fault of the value at `path`, and how to fix it. A warning does not refuse the settings."""

    path: KeyPath
    message: str
    is_warning: bool = False


def warning(path: KeyPath, message: str) -> SettingsFinding:
    return SettingsFinding(path, message, is_warning=True)
