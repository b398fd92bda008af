"""The context that all components of one account share: values, services, live settings and signals.

It holds no component. A component gets the components whose methods it calls as constructor parameters, and
announces everything else with a signal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from structlog.contextvars import bound_contextvars

from wx2mqtt.aio import ChangeNotifier, Signal
from wx2mqtt.bridge.account_settings import AccountSettings
from wx2mqtt.bridge.health import CallStatistics, ReloadStatus
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.bridge.supervisor import Watchdog
from wx2mqtt.clock import ENDLESS_LEASE, Lease
from wx2mqtt.errors import LoggedOut
from wx2mqtt.i18n import Language
from wx2mqtt.limits import MAX_COMMAND_STORE_SHARE
from wx2mqtt.model import Json
from wx2mqtt.mqtt.broker import BrokerClient
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.media_retention import MediaRetention
from wx2mqtt.store.people_copy import PeopleCopy
from wx2mqtt.store.records import AccountState, NewMessage, NewPublication, OutboxBatch, RecordResult
from wx2mqtt.store.unsynced_files import ProcessingMarks, PubackLog
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend import Backend

PlainHandler = Callable[[dict[str, Json]], Awaitable[Json]]
"""Carries out one request: takes its fields, returns the data of the answer, raises `BadCommand`."""


class StorageQuota(Protocol):
    """The bytes that the store uses and may use; a limit of 0 means none."""

    @property
    def size(self) -> int: ...
    @property
    def limit(self) -> int: ...


@frozen
class SharedServices:
    """The services of the process, which all accounts share.

    `process_requests` are the requests that concern the whole process, by name. `contacts_fetched` is emitted
    with the number of contacts fetched so far, `login_reported` with account, login and text of the QR code.
    `reload_status` says whether the configuration file is refused. `instance` is the name of this process
    among those that share a database, empty without one. Nothing goes out without a valid `lease`.
    """

    watchdog: Watchdog
    changes: ChangeNotifier
    blobs: Blobs
    media_retention: MediaRetention
    quota: StorageQuota
    process_requests: Mapping[str, PlainHandler] = field(default_factory=dict)
    instance: str = ""
    lease: Lease = ENDLESS_LEASE
    reload_status: ReloadStatus = field(default_factory=ReloadStatus)
    contacts_fetched: Signal[[int]] = field(default_factory=Signal)
    login_reported: Signal[[str, LoginStatus, str]] = field(default_factory=Signal)

    @property
    def free_bytes_for_commands(self) -> int:
        """Bytes that the files of commands may still take; the rest is kept for messages."""
        return int(self.quota.limit * MAX_COMMAND_STORE_SHARE) - self.quota.size

    def exceeded_limit(self, *, for_commands: bool = False) -> str:
        """Returns the limit as text (`500 MB`) when it is used up, else an empty string.

        Commands may use less of it than messages, which come once.
        """
        limit = self.quota.limit
        usable = int(limit * MAX_COMMAND_STORE_SHARE) if for_commands else limit
        return f"{limit / 1_000_000:g} MB" if limit > 0 and self.quota.size >= usable else ""


@frozen
class AccountSignals:
    """The signals of one account. `AccountComponents` connects the receivers."""

    login_changed: Signal[[LoginStatus, str]] = field(default_factory=Signal)
    """The login has changed: its state, and the text of the QR code to scan (empty without one)."""

    online_changed: Signal[[bool]] = field(default_factory=Signal)
    """Sends may be attempted from now on, or no longer."""

    logged_out: Signal[[LoggedOut]] = field(default_factory=Signal)
    """WeChat answered a send, a download or an action with the end of the login."""

    other_account_refused: Signal[[str]] = field(default_factory=Signal)
    """Another account than the owner's has scanned, and was logged out: its nickname, empty on iLink."""

    renewal_requested: Signal[[]] = field(default_factory=Signal)
    """Somebody wants a code for the next login while the current one goes on."""

    login_ended: Signal[[str]] = field(default_factory=Signal)
    """WeChat has ended the login, and no renewal follows: the reason as a sentence."""

    contacts_synced: Signal[[]] = field(default_factory=Signal)
    """All contacts of this login are stored."""

    media_expected: Signal[[Sequence[NewMessage]]] = field(default_factory=Signal)
    """Messages with bytes to fetch are about to be stored; if that succeeds, `media_received` follows."""

    media_received: Signal[[]] = field(default_factory=Signal)
    """The messages of the last `media_expected` are stored."""

    received: Signal[[RecordResult]] = field(default_factory=Signal)
    """A batch of messages, events or a cursor is stored; its publications are not in `outbox_changed`.

    Emit it as `outbox_changed`.
    """

    outbox_changed: Signal[[OutboxBatch]] = field(default_factory=Signal)
    """Other publications were committed; the batch may be empty.

    Emit it right after the commit, with no `await` in between: batches must arrive in the order of commits.
    """

    people_changed: Signal[[]] = field(default_factory=Signal)
    """Names, trust or handles of people have changed and are stored."""

    people_stored: Signal[[]] = field(default_factory=Signal)
    """Any change of people is stored, also one that the directory does not show."""

    reply_windows_changed: Signal[[]] = field(default_factory=Signal)
    """The reply window of at least one person has changed."""

    held_changed: Signal[[]] = field(default_factory=Signal)
    """Commands are held from now on, or were held and have ended."""

    send_attempted: Signal[[]] = field(default_factory=Signal)
    """A message was handed to WeChat, with whatever outcome."""

    topic_dropped: Signal[[str, int]] = field(default_factory=Signal)
    """The broker refused a topic for too long: the topic, and how many of its publications were dropped."""

    health_changed: Signal[[]] = field(default_factory=Signal)
    """A fact in `bridge/health` has changed."""

    settings_changed: Signal[[]] = field(default_factory=Signal)
    """`AccountContext.settings` was replaced."""


@dataclass(slots=True, kw_only=True, eq=False)
class AccountContext:
    """The values, services and live settings of one account.

    A reload replaces `settings` as a whole: read a setting when it is needed, and keep no copy.
    """

    name: str
    topics: Topics
    broker: BrokerClient
    backend: Backend
    calls: CallStatistics
    journal: Journal
    people_copy: PeopleCopy | None
    registry: PeopleRegistry
    saved_state: AccountState
    settings: AccountSettings
    shared: SharedServices
    marks: ProcessingMarks = field(default_factory=ProcessingMarks)
    puback_log: PubackLog = field(default_factory=PubackLog)
    signals: AccountSignals = field(default_factory=AccountSignals)

    @property
    def language(self) -> Language:
        """The language of all texts for people."""
        return self.settings.language

    def in_log(self) -> AbstractContextManager[None]:
        """Names the account in each line of the log that is written inside the block.

        The tasks of the account have it by themselves; who calls the account from outside needs it.
        """
        return bound_contextvars(account=self.name)

    async def publish(self, publications: Sequence[NewPublication]) -> None:
        """Stores publications and announces them. Raises `StoreError`."""
        self.signals.outbox_changed.emit(await self.journal.enqueue(publications))

    def heartbeat(self, loop: str, limit_seconds: float) -> None:
        """Reports to the watchdog that a loop makes progress and reports again within `limit_seconds`."""
        self.shared.watchdog.heartbeat(f"{loop}:{self.name}", limit_seconds)

    def idle(self, loop: str) -> None:
        """Reports to the watchdog that a loop waits for an event and has no deadline."""
        self.shared.watchdog.idle(f"{loop}:{self.name}")
