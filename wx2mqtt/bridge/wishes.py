"""What the owner wants of one account and may change while the bridge runs. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wx2mqtt.bridge.expected import Expected
from wx2mqtt.bridge.filters import Filters
from wx2mqtt.bridge.homeassistant import Exposure
from wx2mqtt.bridge.judge import Rules
from wx2mqtt.bridge.media.rules import MediaRules
from wx2mqtt.bridge.people.evidence import Pin
from wx2mqtt.bridge.sending.fallback import FallbackRules
from wx2mqtt.bridge.sending.holding import HoldRules
from wx2mqtt.model import Json
from wx2mqtt.words import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the owner may change while the bridge runs (reload)."""

    rules: Rules
    filters: Filters
    media: MediaRules
    plain: bool
    per_minute: float
    burst: int
    pins: Mapping[str, Pin]
    named: frozenset[str]  # who stays in a directory that is too large for the broker
    language: Language
    expected: Expected
    exposure: Exposure
    public: Mapping[str, Json]
    warnings: tuple[str, ...] = ()
    hold: HoldRules = field(default_factory=HoldRules)
    fallback: FallbackRules = field(default_factory=FallbackRules)
