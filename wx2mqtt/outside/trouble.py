"""Why something outside is not to be had."""

from __future__ import annotations

from wx2mqtt.errors import BadCommand, Wx2MqttError


class TooLarge(Wx2MqttError):
    """It is announced to be larger than it may be."""


class NotNow(BadCommand):
    """It may be had in a moment; whoever has the time tries again."""


class Broken(NotNow):
    """It may be had in a moment, and more likely never; a few tries are enough."""
