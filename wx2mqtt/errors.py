"""All errors in one tree, ordered by the reaction that each requires.

    Wx2MqttError
    ├─ SettingsError(problems)          exit code 78; systemd does not restart
    ├─ UnknownBackend(names)            a mistake in the configuration, which `settings` makes a problem of
    ├─ BadCommand(code, …)              a wrong command or request: rejected, nothing is sent
    ├─ BackendError
    │  ├─ Unreachable                   certainly not delivered; retry with back-off
    │  │  └─ NoContentYet               a download without bytes; retry, they may never come
    │  ├─ Throttled(retry_after)        certainly not delivered; slow down all sends
    │  │  └─ LoginPostponed             no login for now; retry later, or when a person asks
    │  ├─ LoggedOut                     a person must log in
    │  │  └─ LoginEnded                 nothing is tried until a person asks
    │  ├─ LoginRefused                  WeChat refuses this account on this backend; do not retry
    │  ├─ WindowClosed(code)            certainly not delivered; retry when the person has written
    │  ├─ Rejected(code)                certainly not delivered; do not retry
    │  ├─ OutcomeUnknown                perhaps delivered; one more attempt with the same key
    │  └─ ProtocolViolation             a response that cannot be understood
    ├─ BrokerError
    │  ├─ NotConnected                  no broker; publications wait in the journal
    │  │  └─ ConnectionDropped          the connection ended with this as the oldest unacknowledged publish
    │  └─ PublishRefused(reason, code)  an error PUBACK; this topic waits, the others go on
    └─ StoreError                       nothing that is not on disk may be acknowledged
       ├─ StoreFull                     no space, or the configured size is used up
       ├─ StoreLocked                   another process uses this store; exit code 75
       ├─ StoreTooNew                   written by a newer version; left untouched
       └─ WrongStoreKey                 `storage.key` is not the one that the database uses

The first line of the docstring of each class is its default message.
"""

from __future__ import annotations

from dataclasses import field

from wx2mqtt.values import frozen


class Wx2MqttError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").partition("\n")[0])


@frozen(kw_only=False)
class Problem:
    """One mistake in the configuration: its position, what is wrong, and how to correct it."""

    #: The configuration file, or another source such as the environment.
    file: str
    #: 0 where the source has no lines.
    line: int
    #: The name of the key for people, such as `WX2MQTT_WEB__PORT (web.port)`.
    key: str
    message: str
    #: The parts of the key; empty for the whole file, None where no key of the configuration is concerned.
    path: tuple[str | int, ...] | None = field(default=None, compare=False)

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.key}: {self.message}"


class SettingsError(Wx2MqttError):
    """The configuration cannot be used."""

    def __init__(self, problems: tuple[Problem, ...], warnings: tuple[Problem, ...] = ()) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems
        self.warnings = warnings


class UnknownBackend(Wx2MqttError):
    """No backend has this name, or it cannot be loaded.

    `names` are those that can be named. `package` is the one that brings it and `fault` why that cannot be
    used; both are empty where none brings it.
    """

    def __init__(self, names: tuple[str, ...], package: str = "", fault: str = "") -> None:
        super().__init__()
        self.names = names
        self.package = package
        self.fault = fault


class BadCommand(Wx2MqttError):
    """The command cannot be carried out as it stands.

    `code` is the code of the result. `message_key` and `facts` make the sentence for people
    (`rejection_text`).
    """

    def __init__(self, code: str, message_key: str, /, *, command_id: str = "", **facts: object) -> None:
        super().__init__(f"{code}: {message_key}")
        self.code = code
        self.message_key = message_key
        self.command_id = command_id
        self.facts = facts


class TemporarilyUnavailable(BadCommand):
    """The file of a command cannot be had now; a later attempt may succeed."""


class TransferBroken(TemporarilyUnavailable):
    """A later attempt may succeed, but more likely none does; a few attempts are enough."""


class DeclaredSizeTooLarge(Wx2MqttError):
    """A file is announced to be larger than it may be."""


class BackendError(Wx2MqttError):
    """WeChat did not do what was asked."""


class Unreachable(BackendError):
    """WeChat does not answer.

    `poll_timed_out` is true when a long poll ended at its own time limit: the receive loop is not stuck then.
    `retry_after` is the pause in seconds where the backend has a schedule of its own, else None.
    """

    def __init__(
        self, message: str | None = None, *, poll_timed_out: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.poll_timed_out = poll_timed_out
        self.retry_after = retry_after


class NoContentYet(Unreachable):
    """WeChat has no bytes for this (yet)."""


class Throttled(BackendError):
    """WeChat says that this was too often."""

    def __init__(self, message: str | None = None, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LoginPostponed(Throttled):
    """WeChat does not let this account in now.

    It is tried again after `retry_after` seconds, and at once when a person asks.
    """


class LoggedOut(BackendError):
    """WeChat has ended the login."""


class LoginEnded(LoggedOut):
    """The login has ended, and no other one begins until a person asks."""


class LoginRefused(BackendError):
    """WeChat does not let this account in.

    `is_correctable` is true where other credentials help, and not another backend.
    """

    def __init__(self, message: str | None = None, *, is_correctable: bool = False) -> None:
        super().__init__(message)
        self.is_correctable = is_correctable


class Rejected(BackendError):
    """WeChat refused the message."""

    def __init__(self, message: str | None = None, *, code: str = "refused_by_wechat") -> None:
        super().__init__(message)
        self.code = code


class WindowClosed(BackendError):
    """WeChat takes no message until the person writes.

    `code` is window_closed, or quota_used if too many messages were sent since the person last wrote.
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

    `code` is the reason code of MQTT 5, 0 without one.
    """

    def __init__(self, reason: str, *, code: int = 0, too_large: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.too_large = too_large


class WebSocketError(ConnectionError):
    """The WebSocket was not opened, or has ended. The key and its facts are of `i18n/broker.py`."""

    def __init__(self, message_key: str, **facts: object) -> None:
        super().__init__()
        self.message_key = message_key
        self.facts = facts


class StoreError(Wx2MqttError):
    """The store cannot be used."""


class StoreFull(StoreError):
    """There is no room left in the store."""


class StoreLocked(StoreError):
    """Another process uses this store."""


class StoreTooNew(StoreError):
    """The store was written by a newer version of wx2mqtt."""


class WrongStoreKey(StoreError):
    """The saved logins in this database are encrypted with another key."""


class BadBackup(Wx2MqttError):
    """The backup cannot be made or restored; `key` and `facts` select the text (`i18n`)."""

    def __init__(self, key: str, **facts: object) -> None:
        super().__init__(key)
        self.key = key
        self.facts = facts
