"""Who calls: the senders of the configuration, by their tokens; how fast each may be; what became of calls.

One `SenderRegistry` serves all addresses of the web server, and a reload changes it. A right token always
passes. Only wrong ones make an address wait, so that one bad program behind a proxy silences nobody.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

import structlog

from wx2mqtt.names import composed
from wx2mqtt.values import frozen
from wx2mqtt.web.auth import FailureThrottle
from wx2mqtt.web.options import SenderOptions

log = structlog.get_logger(__name__)

# Commands that a sender may send at once.
BURST = 30

# Of one sender, in all accounts that run here.
MAX_UNFINISHED = 1000

# Anybody may call: so many lines in a period, then one with the number of the rest.
MAX_LOG_LINES = 30
LOG_PERIOD_SECONDS = 60.0


@frozen
class Recipient:
    account: str
    user: str


@frozen
class Authentication:
    """The sender of a call, or None; then how long its address must wait, 0 if not."""

    sender: SenderOptions | None
    wait_seconds: float = 0.0


class UnfinishedCommands(Protocol):
    """The commands of one account."""

    async def count_unfinished(self, sender: str) -> int: ...


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class SenderRegistry:
    """The senders of now; `clock` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._throttle = FailureThrottle(clock)
        self._senders: dict[bytes, SenderOptions] = {}
        self._buckets: dict[str, _Bucket] = {}
        #: Calls since the start, by sender (empty: a wrong token or none) and code, `accepted` or why not.
        self.calls: Counter[tuple[str, str]] = Counter()
        self._log = _CallLog(clock)
        self._room: dict[str, int] = {}
        self._counting = asyncio.Lock()

    def set_senders(self, senders: Iterable[SenderOptions]) -> None:
        """Replaces the senders; one whose name stays keeps its rate."""
        self._senders = {_digest(sender.token): sender for sender in senders}
        names = {sender.name for sender in self._senders.values()}
        self._buckets = {name: bucket for name, bucket in self._buckets.items() if name in names}

    @property
    def is_open(self) -> bool:
        return bool(self._senders)

    def authenticate(self, token: str, address: str) -> Authentication:
        """Returns who calls. A token that is missing is no guess, and makes no address wait."""
        sender = self._senders.get(_digest(token))  # by its hash: the time of a look-up says nothing of it
        if sender is not None or not token:
            return Authentication(sender=sender)
        wait = self._throttle.remaining_wait(address)
        if not wait:
            self._throttle.record_failure(address)
        return Authentication(sender=None, wait_seconds=wait)

    def take_token(self, sender: SenderOptions) -> float:
        """Counts one call; returns in how many seconds the sender may call again if this one is too much."""
        if not sender.rate:
            return 0.0
        now = self._clock()
        bucket = self._buckets.setdefault(sender.name, _Bucket(BURST, now))
        per_second = sender.rate / 60
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.filled_at) * per_second)
        bucket.filled_at = now
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / per_second
        bucket.tokens -= 1
        return 0.0

    async def has_room(self, sender: SenderOptions, accounts: Iterable[UnfinishedCommands]) -> bool:
        """Returns whether a sender may have one command more, and counts it. Raises `StoreError`.

        They are counted in the journal only when as many were accepted as had room at the last count.
        """
        async with self._counting:
            room = self._room.get(sender.name, 0)
            if room <= 0:
                room = MAX_UNFINISHED
                for account in accounts:
                    room -= await account.count_unfinished(sender.name)
            self._room[sender.name] = room - 1
            return room > 0

    def record(self, sender: str, code: str, **facts: object) -> None:
        """Counts and logs what became of a call. `facts` have no content, and nothing of the query."""
        self.calls[sender, code] += 1
        self._log.write(sender, code, facts)


def find_recipient(named: str, sender: SenderOptions, first_account: str) -> Recipient:
    """Returns whom a call names, as a topic name or `account/name`; where nobody, the sender's `to`."""
    account, _, user = (named or sender.to).rpartition("/")
    return Recipient(account=account or first_account, user=user)


def may_send(sender: SenderOptions, recipient: Recipient, first_account: str) -> bool:
    """Returns whether a sender may send to somebody, who need not exist."""
    user = composed(recipient.user)
    for pattern in sender.users:
        account, slash, name = pattern.rpartition("/")
        is_account = fnmatchcase(recipient.account, account) if slash else recipient.account == first_account
        if is_account and (user == composed(name) or fnmatchcase(user, composed(name))):
            return True
    return False


class _CallLog:
    """Writes a line for each call; of too many in a period only their number."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = 0.0
        self._count = 0

    def write(self, sender: str, code: str, facts: dict[str, object]) -> None:
        now = self._clock()
        if now - self._began >= LOG_PERIOD_SECONDS:
            left_out = self._count - MAX_LOG_LINES
            self._began, self._count = now, 0
            if left_out > 0:
                log.info("more calls of senders; their lines are left out", count=left_out)
        self._count += 1
        if self._count > MAX_LOG_LINES:
            return
        if code == "accepted":
            log.info("command from a sender", sender=sender, **facts)
        else:
            log.warning("call of a sender refused", sender=sender, code=code, **facts)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
