"""What a backend is given: its options, what it stores and looks up by the bridge, and what it calls back.

`registry.py` makes a backend of `BackendOptions`; `backend.py` says what a backend does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import field
from typing import Any, Protocol

from wx2mqtt.clock import Clock
from wx2mqtt.i18n import Language
from wx2mqtt.model import Event, Handle, Json, Owner, QuotedMessage
from wx2mqtt.values import frozen


class CredentialStore(Protocol):
    """Stores the secrets of one account's login, in a file of mode 0600."""

    async def load(self) -> Mapping[str, object] | None:
        """Returns the saved object, or None."""

    async def save(self, session: Mapping[str, object]) -> None:
        """Stores the object durably in place of the saved one."""

    async def clear(self) -> None:
        """Removes the saved object: the login has ended."""


class MessageMarks(Protocol):
    """Marks the message that is being processed: one that ends the process each time is found."""

    def is_fatal(self, key: str) -> bool:
        """Returns whether the process was killed three times in a row while it processed this message."""

    def processing(self, key: str) -> AbstractContextManager[object]:
        """Marks a message in a block without `await`."""


# The event about a message that is skipped.
SKIPPED_MESSAGE_EVENT = "unreadable"


def fatal_message_event(key: str, message_id: str, now: int) -> Event:
    """Returns the event about a message that has ended the process three times."""
    return skipped_message_event(key, message_id, now, {})


def skipped_message_event(key: str, message_id: str, now: int, reason: Mapping[str, Json]) -> Event:
    """Returns the event about a skipped message. `now` is in milliseconds since 1970."""
    fields: dict[str, Json] = {"message_id": message_id, **reason} if message_id else {**reason}
    return Event(key=f"{SKIPPED_MESSAGE_EVENT}:{key}", name=SKIPPED_MESSAGE_EVENT, time=now, fields=fields)


# Returns the message with this id in the chat with this handle, received or sent; None where it is not in the
# store (any more), or is in another chat.
QuoteLookup = Callable[[str, Handle], Awaitable[QuotedMessage | None]]


@frozen
class PastMessage:
    """A message that the journal has of the last process."""

    chat: Handle
    #: When it was stored; for one that was sent, the latest time at which WeChat may have taken it. In ms.
    time: int
    #: Somebody wrote it; else the bridge has sent it, or has tried to.
    is_received: bool


# Returns the messages since a time, in milliseconds since 1970; more where it is not certain. Raises
# `StoreError`.
PastMessageLookup = Callable[[int], Awaitable[Iterable[PastMessage]]]


async def no_past_messages(_since: int) -> Iterable[PastMessage]:
    """For a backend that sends nothing to chats."""
    return ()


# Called after every exchange: name of the call, outcome in one word, duration in seconds.
CallObserver = Callable[[str, str, float], None]

# Called with the number of contacts so far.
OnProgress = Callable[[int], None]

# Called with the name of a file that WeChat tells only with the bytes, before the first of them.
OnFileName = Callable[[str], None]

# Returns whether a saved login of this account may be used.
LoginFilter = Callable[[Owner], bool]


def any_login(_owner: Owner) -> bool:
    """The filter that allows every saved login."""
    return True


def ignore_name(_name: str) -> None:
    """For callers of `Backend.download` that need no name."""


@frozen
class BackendOptions:
    """What every backend is made of."""

    credentials: CredentialStore
    observe: CallObserver
    quote_lookup: QuoteLookup
    marks: MessageMarks
    past_messages: PastMessageLookup = no_past_messages
    #: A base URL that replaces all of WeChat's hosts, as a simulator does.
    endpoint: str | None = None
    language: Language = "en"
    #: The backend's own section of the configuration as plain values; secrets are texts.
    section: Mapping[str, Any] = field(default_factory=dict)
    clock: Clock = Clock()
