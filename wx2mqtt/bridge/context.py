"""The context that all components of one account share: values, services, live settings, queues and signals.

    ctx.settings.account.send.ttl                 a setting as of now
    ctx.publish_event("session_lost", {…})        an event of the bridge itself
    ctx.signals.people_changed.emit()             whoever reacts to it follows

It holds no component. A component gets the components whose methods it calls as constructor parameters. What
two or more components react to is a signal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from structlog.contextvars import bound_contextvars

from wx2mqtt.aio import Signal
from wx2mqtt.bridge.account_settings import AccountSettings
from wx2mqtt.bridge.counters import AccountCounters
from wx2mqtt.bridge.login_requests import LoginRequests
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.bridge.shared_services import SharedServices
from wx2mqtt.clock import now_ms
from wx2mqtt.i18n import Language
from wx2mqtt.model import JSON_TYPE, Json
from wx2mqtt.mqtt.broker import BrokerClient
from wx2mqtt.mqtt.payloads import encode, event_body
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.mapped_files import PubackLog
from wx2mqtt.store.people_file import PeopleFile
from wx2mqtt.store.processing_marks import ProcessingMarks
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
