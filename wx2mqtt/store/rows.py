"""What goes into the journal and what comes out of it: values, frozen. Times are milliseconds since 1970."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from wx2mqtt.model import Command, Cursor, Json, PersonId, Result, SendKey


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message from WeChat. `body` is what is published, but for `schema`, `stream` and `seq`."""

    key: str
    id: str
    topic: str
    user: str
    kind: str
    sender: str
    time: int
    text: str
    body: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event. `body` is published as it is; `private` is kept for the backend, never published."""

    key: str
    topic: str
    user: str
    name: str
    time: int
    body: Mapping[str, Json]
    private: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPublication:
    """Something for the broker that no message from WeChat brought. `expiry` in seconds."""

    topic: str
    payload: bytes
    sort: str
    content_type: str
    correlation: bytes | None = None
    expiry: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A publication that waits. `sort` is message, event, result or response."""

    id: int
    topic: str
    payload: bytes
    sort: str
    created: int
    content_type: str
    correlation: bytes | None
    expiry: int | None
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Where an account stands. `last` is the payload of its newest message.

    `session` numbers the broker's session that was used last; 0 when there was none.
    """

    cursor: Cursor | None
    login_id: str
    seq: int
    last: bytes | None
    base_topic: str | None
    session: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What one commit took in. `last` is the payload of its newest message, None when there was none."""

    messages: int
    events: int
    repeated: int
    last: bytes | None
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Where a result is awaited. `shape` is `result`, or `response` for a request called `name`."""

    topic: str
    correlation: bytes | None
    shape: str
    name: str
    transaction: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryMark:
    """How the broker delivered a command, to know the same delivery again (DESIGN 4.2)."""

    session: int
    mid: int
    topic: str
    digest: bytes
    dup: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCommand:
    """A command to be accepted. With a `result` it is settled at once, and its `publications` go with it."""

    command: Command
    command_id: str
    fingerprint: str
    person: PersonId | None
    key: SendKey
    accepted: int
    expires: int | None
    replies: tuple[Reply, ...]
    delivery: DeliveryMark | None = None
    duplicate_possible: bool = False
    result: Result | None = None
    publications: tuple[NewPublication, ...] = ()


class CommandState(StrEnum):
    """Whether a command has its result."""

    WAITING = "waiting"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRow:
    """A command as the journal knows it.

    `open` is true from the mark of an attempt until its end is known; `unknown` counts attempts that nobody
    answered, `attempts` all.
    """

    id: int
    command: Command
    command_id: str
    fingerprint: str
    person: PersonId | None
    key: SendKey
    accepted: int
    expires: int | None
    replies: tuple[Reply, ...]
    open: bool
    unknown: int
    attempts: int
    duplicate_possible: bool
    state: CommandState
    result: Result | None


class Outcome(StrEnum):
    """What became of a command that was handed to `accept`."""

    NEW = "new"
    SAME_DELIVERY = "same_delivery"
    REPEAT = "repeat"
    REUSED = "reused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """`row` is the command's own row, or the earlier one that it repeats or collides with."""

    outcome: Outcome
    row: CommandRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How many rows went."""

    messages: int = 0
    publications: int = 0
    commands: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """How much waits and since when (None: nothing does). `messages` and `dropped` count for ever.

    `trouble` is why nothing could be written the last time; empty when it could.
    """

    waiting_publications: int
    oldest_publication: int | None
    waiting_commands: int
    oldest_command: int | None
    set_aside: int
    dropped: int
    messages: int
    failed_today: int
    trouble: str = ""
