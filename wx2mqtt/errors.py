"""One tree of errors, by the reaction that they ask for.

    Wx2MqttError
    ├─ SettingsError(problems)          exit 78; systemd does not restart
    ├─ BadCommand(code, …)              the MQTT caller is wrong: a result `rejected`, nothing sent
    ├─ GatewayError
    │  ├─ Unreachable                   certainly not delivered; try later with back-off
    │  │  └─ NothingYet                 a download without bytes; they may come, or never
    │  ├─ Throttled(retry_after)        certainly not delivered; slow everything down
    │  ├─ LoggedOut(reason)             a person must log in
    │  ├─ LoginRefused(reason)          WeChat refuses this account on this backend; do not try again
    │  ├─ WindowClosed(code)            certainly not delivered; wait until the person writes
    │  ├─ Rejected(code)                certainly not delivered, and trying again is no use
    │  ├─ OutcomeUnknown                perhaps delivered: one more attempt with the same key
    │  └─ ProtocolViolation             they sent what we do not know
    ├─ LinkError
    │  ├─ NotConnected                  the broker is away; what waits stays in the journal
    │  │  └─ HungUp                     it went while this was the oldest without an answer
    │  └─ PublishRefused(reason, code)  an error PUBACK: this topic waits, the others go on
    └─ StoreError                       never acknowledge what is not on disk
       ├─ StoreFull                     no space, or the size that the owner allows is used up
       ├─ StoreLocked(holder)           another process has this store; exit 75
       └─ StoreTooNew                   written by a newer version; left untouched

The first line of a class's docstring is its default message.
"""

from __future__ import annotations

from dataclasses import dataclass


class Wx2MqttError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").partition("\n")[0])


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file: where it is, what it is and how to mend it.

    `line` is 0 for what is in no file (`file` then says where it is: in the environment, say).
    """

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.key}: {self.message}"


class SettingsError(Wx2MqttError):
    """The configuration cannot be used."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class BadCommand(Wx2MqttError):
    """The command cannot be carried out as it stands.

    `code` is the result's code; `word` and `facts` make the sentence (`words.explain`).
    """

    def __init__(self, code: str, message_key: str, /, *, command_id: str = "", **facts: object) -> None:
        super().__init__(f"{code}: {message_key}")
        self.code = code
        self.message_key = message_key
        self.command_id = command_id
        self.facts = facts


class BackendError(Wx2MqttError):
    """WeChat did not do what was asked."""


class Unreachable(BackendError):
    """WeChat does not answer.

    `hung` is true when a long poll was cut at its own limit: no answer, and yet the loop has moved.
    """

    def __init__(self, message: str | None = None, *, poll_timed_out: bool = False) -> None:
        super().__init__(message)
        self.poll_timed_out = poll_timed_out


class NoContentYet(Unreachable):
    """WeChat has no bytes for this (yet)."""


class Throttled(BackendError):
    """WeChat says that this was too often."""

    def __init__(self, message: str | None = None, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LoggedOut(BackendError):
    """WeChat has ended the login."""


class LoginRefused(BackendError):
    """WeChat does not let this account in."""


class Rejected(BackendError):
    """WeChat refused the message."""

    def __init__(self, message: str | None = None, *, code: str = "refused_by_wechat") -> None:
        super().__init__(message)
        self.code = code


class WindowClosed(BackendError):
    """WeChat takes no message until the person writes.

    `code` is window_closed, or quota_used where too many went out since the person last wrote.
    """

    def __init__(self, message: str | None = None, *, code: str = "window_closed") -> None:
        super().__init__(message)
        self.code = code


class OutcomeUnknown(BackendError):
    """The request was written and no complete answer came."""


class ProtocolViolation(BackendError):
    """WeChat's answer cannot be understood."""


class BrokerError(Wx2MqttError):
    """The broker did not do what was asked."""


class NotConnected(BrokerError):
    """There is no connection to the broker."""


class ConnectionDropped(NotConnected):
    """The connection ended while this was the oldest message without an answer."""


class PublishRefused(BrokerError):
    """The broker refused the message.

    `code` is MQTT 5's reason code, 0 where none came.
    """

    def __init__(self, reason: str, *, code: int = 0, too_large: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.too_large = too_large


class StoreError(Wx2MqttError):
    """The store cannot be used."""


class StoreFull(StoreError):
    """There is no room left in the store."""


class StoreLocked(StoreError):
    """Another process uses this store."""


class StoreTooNew(StoreError):
    """The store was written by a newer version of wx2mqtt."""
