"""Account contexts for tests: real values and signals, and only the services that a test gives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from wx2mqtt.aio import ChangeNotifier
from wx2mqtt.bridge.account_settings import AccountSettings
from wx2mqtt.bridge.context import AccountContext, ReloadStatus, SharedServices, Watchdog
from wx2mqtt.bridge.counters import AccountCounters
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.settings.schema import Account, Send, Settings
from wx2mqtt.store.records import AccountState

NO_LIMITS = Send(per_minute=0, burst=1)


@dataclass
class FakeQuota:
    """A quota of which the test sets size and limit."""

    size: int = 0
    limit: int = 10**9


class FakeWatchdog(Watchdog):
    """A watchdog that keeps all heartbeats, None for `idle`."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.heartbeats: list[tuple[str, float | None]] = []

    def heartbeat(self, name: str, limit: float) -> None:
        super().heartbeat(name, limit)
        self.heartbeats.append((name, limit))

    def idle(self, name: str) -> None:
        super().idle(name)
        self.heartbeats.append((name, None))


def settings(**sections: Any) -> AccountSettings:
    """Returns settings of an account without rate limits; `sections` as in `changed`."""
    account = Account(send=NO_LIMITS)
    whole = Settings(accounts={"home": account})
    plain = AccountSettings(whole=whole, name="home", account=account, base_topics=("wx", "other"))
    return changed(plain, **sections)


def changed(settings: AccountSettings, **sections: Any) -> AccountSettings:
    """Returns settings with other sections of the account or file, or other fields of `AccountSettings`."""
    in_account = {key: value for key, value in sections.items() if key in Account.model_fields}
    in_file = {key: value for key, value in sections.items() if key in Settings.model_fields}
    others = {key: value for key, value in sections.items() if key not in in_account | in_file}
    account = settings.account.model_copy(update=in_account)
    whole = settings.whole.model_copy(update={"accounts": {settings.name: account}, **in_file})
    return replace(settings, whole=whole, account=account, **others)


def shared(**services: Any) -> SharedServices:
    """Returns the services of a process; those that are not given are absent."""
    usual: dict[str, Any] = {
        "watchdog": FakeWatchdog(),
        "changes": ChangeNotifier(),
        "blobs": None,
        "media_retention": None,
        "quota": FakeQuota(),
        "reload_status": ReloadStatus(),
    }
    return SharedServices(**{**usual, **services})


def context(**parts: Any) -> AccountContext:
    """Returns the context of the account `home`; parts that are not given are absent."""
    usual: dict[str, Any] = {
        "name": "home",
        "topics": Topics("wx"),
        "broker": None,
        "backend": None,
        "counters": AccountCounters(started=0),
        "journal": None,
        "people_file": SimpleNamespace(request=lambda: None, request_soon=lambda: None),
        "registry": None,
        "saved_state": AccountState(cursor=None, login_id="", seq=0, last_payload=None, base_topic="wx"),
        "settings": parts.pop("settings", None) or settings(),
        "shared": parts.pop("shared", None) or shared(),
    }
    return AccountContext(**{**usual, **parts})
