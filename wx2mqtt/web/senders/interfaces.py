"""All interfaces for senders. A new one is a module beside this one, and an entry here."""

from __future__ import annotations

from wx2mqtt.web.senders.alert_webhooks import AlertmanagerInterface, GrafanaInterface
from wx2mqtt.web.senders.gotify import GotifyInterface
from wx2mqtt.web.senders.interface import SenderInterface
from wx2mqtt.web.senders.ntfy import NtfyInterface
from wx2mqtt.web.senders.own_interface import PlainInterface
from wx2mqtt.web.senders.wecom_robot import WeComRobotInterface

INTERFACES: tuple[SenderInterface, ...] = (
    PlainInterface(),
    GotifyInterface(),
    NtfyInterface(),
    WeComRobotInterface(),
    AlertmanagerInterface(),
    GrafanaInterface(),
)
