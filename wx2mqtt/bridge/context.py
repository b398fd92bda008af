"""What the components of one account share: values, services, live settings and signals.

It holds no component. A component gets the components that it commands as constructor parameters.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from wx2mqtt.aio import ChangeNotifier, Signal
from wx2mqtt.bridge.account_settings import AccountSettings
from wx2mqtt.bridge.health import CallStatistics
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.bridge.supervisor import Watchdog
from wx2mqtt.errors import LoggedOut
from wx2mqtt.i18n import Language
from wx2mqtt.model import Json
from wx2mqtt.mqtt.broker import BrokerClient
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.media_retention import MediaRetention
from wx2mqtt.store.people_copy import PeopleCopy
from wx2mqtt.store.records import AccountState, NewMessage, NewPublication, OutboxBatch, RecordResult
from wx2mqtt.wechat.backend import Backend

PlainHandler = Callable[[dict[str, Json]], Awaitable[Json]]
"""Carries one request out: fields in, the answer's data out. Raises `BadCommand` for what cannot be done."""


class StorageQuota(Protocol):
    """How much of the disk the store takes and may take, in bytes; a limit of 0 means none."""

    @property
    def size(self) -> int: ...
    @property
    def limit(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedServices:
    """The services of the process, which all accounts share.

    `process_requests` are the requests that concern the whole process, by name. `contacts_fetched` is emitted
    with the number of contacts fetched so far, `login_reported` with account, login and text of the QR code.
    """

    watchdog: Watchdog
    changes: ChangeNotifier
    blobs: Blobs
    media_retention: MediaRetention
    quota: StorageQuota
    process_requests: Mapping[str, PlainHandler] = field(default_factory=dict)
    contacts_fetched: Signal[[int]] = field(default_factory=Signal)
    login_reported: Signal[[str, LoginStatus, str]] = field(default_factory=Signal)

    @property
    def free_bytes(self) -> int:
        """Bytes that the store may still take."""
        return self.quota.limit - self.quota.size

    def exceeded_limit(self) -> str:
        """The limit of the store that is used up, in words; empty while there is room."""
        limit = self.quota.limit
        return f"{limit / 1_000_000:g} MB" if self.quota.size >= limit > 0 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSignals:
    """What the components of one account announce. `Account._connect_signals` has all receivers.

    `login_changed`: the login, and the text of the QR code that is to be scanned, else empty.
    `online_changed`: whether sends may be attempted.
    `logged_out`: a send, a download or an action was answered that the login is over.
    `contacts_synced`: everybody of this login is known.
    `media_received`: stored messages that have bytes to fetch.
    `received`: messages, events or a cursor are stored.
    `outbox_changed`: something was committed, and with it these publications, if any. To be emitted right
    after the commit, so that batches come in its order.
    `people_changed`: names, trust or handles of people are different and stored.
    `reply_windows_changed`: WeChat takes messages to somebody where it took none, or the reverse.
    `send_attempted`: WeChat was asked to send something.
    `topic_dropped`: the rows of a topic were given up; topic and number of rows.
    `health_changed`: the health is to be published soon.
    `settings_changed`: `AccountContext.settings` was replaced.
    """

    login_changed: Signal[[LoginStatus, str]] = field(default_factory=Signal)
    online_changed: Signal[[bool]] = field(default_factory=Signal)
    logged_out: Signal[[LoggedOut]] = field(default_factory=Signal)
    contacts_synced: Signal[[]] = field(default_factory=Signal)
    media_received: Signal[[Sequence[NewMessage]]] = field(default_factory=Signal)
    received: Signal[[RecordResult]] = field(default_factory=Signal)
    outbox_changed: Signal[[OutboxBatch]] = field(default_factory=Signal)
    people_changed: Signal[[]] = field(default_factory=Signal)
    reply_windows_changed: Signal[[]] = field(default_factory=Signal)
    send_attempted: Signal[[]] = field(default_factory=Signal)
    topic_dropped: Signal[[str, int]] = field(default_factory=Signal)
    health_changed: Signal[[]] = field(default_factory=Signal)
    settings_changed: Signal[[]] = field(default_factory=Signal)


@dataclass(slots=True, kw_only=True, eq=False)
class AccountContext:
    """The values, services and live settings of one account.

    `settings` is replaced as a whole by a reload: read it when a value is needed, keep no copy.
    """

    name: str
    topics: Topics
    broker: BrokerClient
    backend: Backend
    calls: CallStatistics
    journal: Journal
    people_copy: PeopleCopy
    registry: PeopleRegistry
    saved_state: AccountState
    settings: AccountSettings
    shared: SharedServices
    signals: AccountSignals = field(default_factory=AccountSignals)

    @property
    def language(self) -> Language:
        """The language of texts for people."""
        return self.settings.language

    async def publish(self, publications: Sequence[NewPublication]) -> None:
        """Store publications and announce them. Raises `StoreError`."""
        self.signals.outbox_changed.emit(await self.journal.enqueue(publications))

    def heartbeat(self, loop: str, limit_seconds: float) -> None:
        """Tell the watchdog that a loop has moved and moves again within `limit_seconds`."""
        self.shared.watchdog.heartbeat(f"{loop}:{self.name}", limit_seconds)

    def idle(self, loop: str) -> None:
        """Tell the watchdog that a loop waits until it is woken."""
        self.shared.watchdog.idle(f"{loop}:{self.name}")
