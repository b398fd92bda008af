"""How an account asks another one of this process to send in its place (`fallback.accounts`).

    home cannot send "fire"  ->  asks `office/zhangsan`  ->  office sends it, or answers that it cannot

Here home is the account that asks (`commands/fallback_ways.py`), and office the one that is asked
(`commands/fallback_receiver.py`). An account can be asked from when it is built until it stops.
"""

from __future__ import annotations

from typing import Protocol

import structlog

from wx2mqtt.aio import ChangeNotifier
from wx2mqtt.external.alerts import AlertOutcome
from wx2mqtt.model import AskingCommand, Blob, Button
from wx2mqtt.store.records import OutboxBatch
from wx2mqtt.values import frozen

log = structlog.get_logger(__name__)

# How long an account is waited for after the start until it is built, and again until it is logged in.
START_WAIT_SECONDS = 10.0


@frozen
class FallbackQuestion:
    """The buttons of a command; the question that they ask stays one of the account that asks."""

    #: The command in the account that asks.
    asked_by: AskingCommand
    buttons: tuple[Button, ...]
    #: How long an answer counts, in seconds.
    buttons_for: float
    #: Whose answer counts: trusted or anyone.
    buttons_from: str


@frozen
class FallbackMessage:
    """What an account is asked to send."""

    #: The account that asks.
    account: str
    #: Its command, or the first one if the message sums several up.
    command_id: str
    #: Names this message: it is equal only when the same is asked for again after a crash.
    fingerprint: str
    text: str
    #: text, image, video or file.
    kind: str = "text"
    #: The name of the file; empty for a text.
    name: str = ""
    #: The file; None for a text.
    blob: Blob | None = None
    #: Whether the text is markdown. An account without markdown sends it as it is.
    markdown: bool = False
    #: None without buttons.
    question: FallbackQuestion | None = None


class FallbackTarget(Protocol):
    """An account that can be asked."""

    async def deliver(self, user: str, message: FallbackMessage) -> AlertOutcome:
        """Sends it to `user`, a topic name, and returns what became of it. Never raises."""

    def on_answered(self, batch: OutboxBatch) -> None:
        """Publishes that another account got the answer to its question; call it right after the commit."""


class FallbackAccounts:
    """The accounts of this process that can be asked, by name."""

    def __init__(self) -> None:
        #: By name: the accounts that can be asked now.
        self._targets: dict[str, FallbackTarget] = {}
        #: The accounts that ran and have stopped: nobody waits for them.
        self._stopped: set[str] = set()
        #: Notifies when an account can be asked.
        self._added = ChangeNotifier()

    def add(self, name: str, target: FallbackTarget) -> None:
        """Lets an account be asked; it replaces an earlier one of this name."""
        self._targets[name] = target
        self._stopped.discard(name)
        self._added.notify()

    def remove(self, name: str, target: FallbackTarget) -> None:
        """Lets an account be asked no more, unless another one has replaced it."""
        if self._targets.get(name) is target:
            del self._targets[name]
            self._stopped.add(name)

    async def deliver(self, recipient: str, message: FallbackMessage) -> AlertOutcome:
        """Asks the account of `account/user`; `FAILED` at once if that has stopped. Never raises."""
        account, _, user = recipient.partition("/")
        await self._added.wait_until(
            lambda: account in self._targets or account in self._stopped, START_WAIT_SECONDS
        )
        target = self._targets.get(account)
        if target is None:
            log.warning("the account of a fallback does not run here", other=account)
            return AlertOutcome.FAILED
        return await target.deliver(user, message)

    def on_answered(self, account: str, batch: OutboxBatch) -> None:
        """Lets the account that asks publish an answer; one that has stopped does it when it runs again."""
        target = self._targets.get(account)
        if target is not None:
            target.on_answered(batch)
