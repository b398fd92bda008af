"""What all accounts of the process share: services, the storage quota, and what became of the last reload.

ctx.shared.exceeded_limit()  ->  "500 MB" when the store is full, so that the account receives nothing
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from wx2mqtt.aio import ChangeNotifier, Signal
from wx2mqtt.bridge.fallback_accounts import FallbackAccounts
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.watchdog import Watchdog
from wx2mqtt.clock import ENDLESS_LEASE, Lease, now_ms
from wx2mqtt.errors import Problem
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.limits import MAX_COMMAND_STORE_SHARE
from wx2mqtt.model import Json
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.database import Database
from wx2mqtt.store.media_retention import MediaRetention
from wx2mqtt.values import frozen

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
