"""Account contexts for tests: real values and signals, and only the services that a test gives."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from wx2mqtt.aio import ChangeNotifier
from wx2mqtt.bridge.account_settings import (
    AccountSettings,
    ExpectedAccount,
    HomeAssistantSettings,
    MediaRules,
    ReceiveFilter,
    SendRules,
)
from wx2mqtt.bridge.context import AccountContext, SharedServices
from wx2mqtt.bridge.health import CallStatistics
from wx2mqtt.bridge.supervisor import Watchdog
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store.records import AccountState

RULES = SendRules(allow=("*",), ttl=600.0, base_topics=("wx", "other"), discovery_prefix="homeassistant")


@dataclass
class PaperQuota:
    """A store of which the test says how large it is."""

    size: int = 0
    limit: int = 10**9


class PaperWatchdog(Watchdog):
    """Notes the beats of all loops besides."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.beats: list[tuple[str, float | None]] = []

    def heartbeat(self, name: str, limit: float) -> None:
        super().heartbeat(name, limit)
        self.beats.append((name, limit))

    def idle(self, name: str) -> None:
        super().idle(name)
        self.beats.append((name, None))


def settings(**values: Any) -> AccountSettings:
    """Settings of an account without limits."""
    usual: dict[str, Any] = {
        "send": RULES,
        "receive": ReceiveFilter(),
        "media": MediaRules(),
        "plain_text_max_age": None,
        "per_minute": 0.0,
        "burst": 1,
        "pins": {},
        "named_users": frozenset(),
        "language": "en",
        "expected_account": ExpectedAccount(),
        "home_assistant": HomeAssistantSettings(),
        "public_settings": {},
    }
    return AccountSettings(**{**usual, **values})


def shared(**services: Any) -> SharedServices:
    """Services of a process; those that are not given are absent."""
    usual: dict[str, Any] = {
        "watchdog": PaperWatchdog(),
        "changes": ChangeNotifier(),
        "blobs": None,
        "media_retention": None,
        "quota": PaperQuota(),
    }
    return SharedServices(**{**usual, **services})


def context(**parts: Any) -> AccountContext:
    """The context of the account `home`; parts that are not given are absent."""
    usual: dict[str, Any] = {
        "name": "home",
        "topics": Topics("wx"),
        "broker": None,
        "backend": None,
        "calls": CallStatistics(),
        "journal": None,
        "people_copy": SimpleNamespace(request=lambda: None, request_soon=lambda: None),
        "registry": None,
        "saved_state": AccountState(cursor=None, login_id="", seq=0, last_payload=None, base_topic="wx"),
        "settings": parts.pop("settings", None) or settings(),
        "shared": parts.pop("shared", None) or shared(),
    }
    return AccountContext(**{**usual, **parts})
