"""All interfaces for senders. A new one is a module beside this one, and an entry here."""

from __future__ import annotations

from wx2mqtt.web.senders.interface import SenderInterface
from wx2mqtt.web.senders.plain import PlainInterface

INTERFACES: tuple[SenderInterface, ...] = (PlainInterface(),)
