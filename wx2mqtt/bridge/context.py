"""The context that all components of one account share: values, services, live settings, queues and signals.

    ctx.settings.account.send.ttl                 a setting as of now
    ctx.publish_event("session_lost", {…})        an event of the bridge itself
    ctx.signals.people_changed.emit()             whoever reacts to it follows

It holds no component. A component gets the components whose methods it calls as constructor parameters. What
two or more components react to is a signal. `ctx.shared`, below, is what all accounts of the process share:

    ctx.shared.exceeded_limit()  ->  "500 MB" when the store is full, so that the account receives nothing
    ctx.heartbeat("receive", 120)  ->  no further heartbeat for 120 s  ->  the account is started again
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from structlog.contextvars import bound_contextvars

from wx2mqtt.aio import ChangeNotifier, Signal
from wx2mqtt.bridge.account_settings import AccountSettings
from wx2mqtt.bridge.counters import AccountCounters
from wx2mqtt.bridge.fallback_accounts import FallbackAccounts
from wx2mqtt.bridge.login_requests import LoginRequests
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.clock import ENDLESS_LEASE, Lease, now_ms
from wx2mqtt.errors import Problem
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.limits import MAX_COMMAND_STORE_SHARE
from wx2mqtt.model import JSON_TYPE, Json
from wx2mqtt.mqtt.broker import BrokerClient
from wx2mqtt.mqtt.payloads import encode, event_body
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.mapped_files import ProcessingMarks, PubackLog
from wx2mqtt.store.media_retention import MediaRetention
from wx2mqtt.store.people_file import PeopleFile
from wx2mqtt.store.question_records import AnswerBatch
from wx2mqtt.store.records import AccountState, NewPublication, OutboxBatch, RecordResult
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend import Backend


@frozen
class AccountSignals:
    """What several components of an account react to. `AccountComponents` connects the receivers."""

    #: The login has changed, or the text of the QR code to scan.
    login_changed: Signal[[LoginStatus]] = field(default_factory=Signal)

    #: A batch of messages, events or a cursor is stored, and handed to the publisher.
    received: Signal[[RecordResult]] = field(default_factory=Signal)

    #: Questions were answered by what is stored.
    answered: Signal[[AnswerBatch]] = field(default_factory=Signal)

    #: Other publications were committed; the batch may be empty. Emit it right after the commit, with no
    #: `await` in between: batches must arrive in the order of commits.
    outbox_changed: Signal[[OutboxBatch]] = field(default_factory=Signal)

    #: Names, trust or handles of people have changed and are stored.
    people_changed: Signal[[]] = field(default_factory=Signal)

    #: The handler of a request is done. What its answer tells of must be on the retained topics before it.
    request_handled: Signal[[]] = field(default_factory=Signal)

    #: The reply window of at least one person has changed.
    reply_windows_changed: Signal[[]] = field(default_factory=Signal)

    #: A message was handed to WeChat, with whatever outcome, or other commands wait for a reply window.
    sending_changed: Signal[[]] = field(default_factory=Signal)

    #: Somebody wants a code for the next login while the current one goes on.
    renewal_requested: Signal[[]] = field(default_factory=Signal)

    #: A fact in `bridge/health` has changed.
    health_changed: Signal[[]] = field(default_factory=Signal)


@dataclass(slots=True, kw_only=True, eq=False)
class AccountContext:
    """The values, services and live settings of one account."""

    name: str
    topics: Topics
    broker: BrokerClient
    backend: Backend
    counters: AccountCounters
    journal: Journal
    #: The copy of the known people outside of the database; None without one.
    people_file: PeopleFile | None
    registry: PeopleRegistry
    #: What the journal had of the account when it was opened.
    saved_state: AccountState
    #: A reload replaces it as a whole: read a setting when it is needed, and keep no copy.
    settings: AccountSettings
    shared: SharedServices
    #: Says which message ended the process, if one did.
    marks: ProcessingMarks = field(default_factory=ProcessingMarks)
    puback_log: PubackLog = field(default_factory=PubackLog)
    #: How any component ends the login, or begins one.
    login_requests: LoginRequests = field(default_factory=LoginRequests)
    #: What `publish_event` was called with; `StatusReporter` publishes it.
    own_events: asyncio.Queue[NewPublication] = field(default_factory=asyncio.Queue)
    signals: AccountSignals = field(default_factory=AccountSignals)

    @property
    def language(self) -> Language:
        return self.settings.whole.language

    def in_log(self) -> AbstractContextManager[None]:
        """Names the account in each line of the log that is written inside the block.

        The tasks of the account have it by themselves; who calls the account from outside needs it.
        """
        return bound_contextvars(account=self.name)

    async def publish(self, publications: Sequence[NewPublication]) -> None:
        """Stores publications and hands them to the publisher. Raises `StoreError`."""
        self.signals.outbox_changed.emit(await self.journal.outbox.add(publications))

    def publish_event(self, name: str, fields: Mapping[str, Json]) -> None:
        """Publishes an event of the bridge itself on `event/<name>`, as soon as it is stored."""
        now = now_ms()
        body = event_body(
            name, event_id=f"{name}:{now}", account=self.name, time=now, user=None, fields=fields
        )
        self.own_events.put_nowait(
            NewPublication(
                topic=self.topics.event(name), payload=encode(body), category="event", content_type=JSON_TYPE
            )
        )

    def heartbeat(self, loop: str, limit_seconds: float) -> None:
        """Reports to the watchdog that a loop makes progress and reports again within `limit_seconds`."""
        self.shared.watchdog.heartbeat(f"{loop}:{self.name}", limit_seconds)

    def idle(self, loop: str) -> None:
        """Reports to the watchdog that a loop waits for an event and has no deadline."""
        self.shared.watchdog.idle(f"{loop}:{self.name}")


# Carries out one request: takes its fields, returns the data of the answer, raises `BadCommand`.
PlainHandler = Callable[[dict[str, Json]], Awaitable[Json]]


@frozen
class SharedServices:
    """What all accounts of the process share."""

    watchdog: Watchdog
    changes: ChangeNotifier
    blobs: Blobs
    media_retention: MediaRetention
    quota: StorageQuota
    #: Whether the configuration file is refused.
    reload_status: ReloadStatus
    #: The requests that concern the whole process, by name.
    process_requests: Mapping[str, PlainHandler] = field(default_factory=dict)
    #: The name of this process among those that share a database; empty if it shares none.
    instance: str = ""
    #: The right to run accounts, which such a process must renew: nothing goes out without it.
    lease: Lease = ENDLESS_LEASE
    #: The accounts that send an urgent command in place of another one.
    fallback_accounts: FallbackAccounts = field(default_factory=FallbackAccounts)
    #: Emitted with the number of contacts fetched so far.
    contacts_fetched: Signal[[int]] = field(default_factory=Signal)
    #: Emitted with account, login and the text of the QR code.
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
        if not limit:
            return ""
        usable = int(limit * MAX_COMMAND_STORE_SHARE) if for_commands else limit
        return f"{limit / 1_000_000:g} MB" if self.quota.size >= usable else ""


@dataclass(slots=True, kw_only=True, eq=False)
class StorageQuota:
    """The bytes that the store uses and may use."""

    database: Database
    blobs: Blobs
    #: 0 for no limit.
    limit: int
    #: The size of what else is in the folder, at the last check (`app/storage_maintenance.py`).
    other_files_size: int = 0

    @property
    def size(self) -> int:
        """Bytes of the database and media now, and of other files at the last check."""
        return self.other_files_size + self.database.allocated_bytes + self.blobs.size


class ReloadStatus:
    """What became of the last reload of the configuration, or of the start if there was none yet."""

    def __init__(self) -> None:
        #: Why the last reload was refused; empty if it was accepted.
        self.problems: tuple[Problem, ...] = ()
        #: When a file was accepted last, in milliseconds.
        self.accepted = now_ms()

    def record_accepted(self) -> None:
        self.problems = ()
        self.accepted = now_ms()

    def record_refused(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems

    @property
    def is_refused(self) -> bool:
        return bool(self.problems)

    def sentence(self, language: Language) -> str:
        """Returns what people are told while the file is refused; empty if it is not.

        It has the place and the key of the first problem, never a value of the file.
        """
        if not self.problems:
            return ""
        first = self.problems[0]
        position = f"{first.file}:{first.line}" if first.line else first.file
        return bridge_text(
            language, "reload_refused", count=len(self.problems), place=position, key=first.key
        )


class Watchdog:
    """Notices a loop of the process that makes no progress, by its deadline.

    The name of a loop is `<loop>:<account>`; `clock` returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._deadlines: dict[str, Callable[[], float]] = {}

    def heartbeat(self, name: str, limit: float) -> None:
        """Records that a loop has made progress, and must again within `limit` seconds."""
        deadline = self._clock() + limit
        self._deadlines[name] = lambda: deadline

    def watch(self, name: str, progress_deadline: Callable[[], float]) -> None:
        """Watches a loop that computes its deadline itself, on the same clock."""
        self._deadlines[name] = progress_deadline

    def idle(self, name: str) -> None:
        """Records that a loop waits for an event and has no deadline."""
        self._deadlines.pop(name, None)

    def watch_only(self, loop: str, account: str, limit: float) -> None:
        """Watches one loop in place of all others of an account, which have ended or end now."""
        self.remove(account)
        self.heartbeat(f"{loop}:{account}", limit)

    def remove(self, account: str) -> None:
        """Removes all loops of an account."""
        for name in [name for name in self._deadlines if name.endswith(f":{account}")]:
            del self._deadlines[name]

    def overdue(self, account: str = "") -> tuple[str, ...]:
        """Returns the loops past their deadline, of one account or of all."""
        now = self._clock()
        ending = f":{account}" if account else ""
        return tuple(
            name for name, deadline in self._deadlines.items() if name.endswith(ending) and deadline() < now
        )
