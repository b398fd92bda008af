"""Who calls: the senders of the configuration, by their tokens; how fast each may be; what became of calls.

    registry.authenticate(token, address)      the sender, or how long the address must wait
    registry.count_call(sender)                how long the sender must wait

One `SenderRegistry` serves all addresses of the web server, and a reload changes it. A right token always
passes. Only wrong ones make an address wait, so that one bad program behind a proxy silences nobody.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from wx2mqtt.names import composed
from wx2mqtt.values import frozen
from wx2mqtt.web.auth import FailureThrottle, secret_digest
from wx2mqtt.web.options import SenderOptions
from wx2mqtt.web.senders.call_log import CallLog

# Calls that a sender may make at once; then its `rate` holds.
BURST = 30

# Unfinished commands of one sender, in all accounts that run here.
MAX_UNFINISHED = 1000


@frozen
class Recipient:
    account: str
    #: The topic name; empty where the call names nobody.
    user: str


@frozen
class Authentication:
    #: None for a wrong or missing token.
    sender: SenderOptions | None
    #: How long the address must wait after too many wrong tokens, else 0.
    wait_seconds: float = 0.0


class UnfinishedCommands(Protocol):
    """The commands of one account."""

    async def count_unfinished(self, sender: str) -> int: ...


@dataclass(slots=True)
class _Allowance:
    """How many calls a sender may make now: it grows with its `rate`, up to `BURST`."""

    calls: float
    updated_at: float


class SenderRegistry:
    """The senders that the current settings have; `clock` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._throttle = FailureThrottle(clock)
        #: By the hash of the token: the time that a look-up takes says nothing about a token.
        self._senders: dict[bytes, SenderOptions] = {}
        #: By the name of the sender.
        self._allowances: dict[str, _Allowance] = {}
        #: Calls since the start, by sender (empty: a wrong token or none) and code, `accepted` or why not.
        self.calls: Counter[tuple[str, str]] = Counter()
        self._log = CallLog()
        #: How many commands more each sender may have before its unfinished ones are counted again.
        self._room: dict[str, int] = {}
        self._counting = asyncio.Lock()

    def set_senders(self, senders: Iterable[SenderOptions]) -> None:
        """Replaces the senders; one whose name stays keeps its rate."""
        self._senders = {secret_digest(sender.token): sender for sender in senders}
        names = {sender.name for sender in self._senders.values()}
        self._allowances = {name: item for name, item in self._allowances.items() if name in names}

    @property
    def is_open(self) -> bool:
        return bool(self._senders)

    def authenticate(self, token: str, address: str) -> Authentication:
        """Returns who calls. A token that is missing is no guess, and makes no address wait."""
        sender = self._senders.get(secret_digest(token))
        if sender is not None or not token:
            return Authentication(sender=sender)
        wait = self._throttle.remaining_wait(address)
        if not wait:
            self._throttle.record_failure(address)
        return Authentication(sender=None, wait_seconds=wait)

    def count_call(self, sender: SenderOptions) -> float:
        """Returns 0 for a call that is allowed, else in how many seconds one will be."""
        if not sender.rate:
            return 0.0
        now = self._clock()
        per_second = sender.rate / 60
        allowance = self._allowances.setdefault(sender.name, _Allowance(BURST, now))
        allowance.calls = min(BURST, allowance.calls + (now - allowance.updated_at) * per_second)
        allowance.updated_at = now
        if allowance.calls < 1:
            return (1 - allowance.calls) / per_second
        allowance.calls -= 1
        return 0.0

    async def count_command(self, sender: SenderOptions, accounts: Iterable[UnfinishedCommands]) -> bool:
        """Counts one command more, and returns whether the sender may have it. Raises `StoreError`.

        The unfinished commands in the journals are counted only when the room of the last count is used up.
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

    def close(self) -> None:
        """Writes to the log what it still has to say of calls; none may be recorded afterwards."""
        self._log.close()


def find_recipient(named: str, sender: SenderOptions, first_account: str) -> Recipient:
    """Returns whom a call names, as a topic name or `account/name`; by default the `to` of the sender."""
    account, _, user = (named or sender.to).rpartition("/")
    return Recipient(account=account or first_account, user=user)


def may_send(sender: SenderOptions, recipient: Recipient, first_account: str) -> bool:
    """Returns whether a sender may send to somebody, who need not exist."""
    user = composed(recipient.user)
    for pattern in sender.users:
        account, slash, name = pattern.rpartition("/")
        if not slash and recipient.account != first_account:
            continue
        if slash and not fnmatchcase(recipient.account, account):
            continue
        # A name may be a pattern that does not fit itself, such as `a[b]`.
        if user == composed(name) or fnmatchcase(user, composed(name)):
            return True
    return False
