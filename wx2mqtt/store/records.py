"""What goes into the journal and what comes out of it: values, frozen. Times are milliseconds since 1970."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from wx2mqtt.model import Blob, Command, Cursor, Json, MediaRef, PersonId, Result, SendKey


class MediaPart(StrEnum):
    """Which bytes of a message: the thing itself or a small picture of it; an avatar belongs to none."""

    WHOLE = "whole"
    THUMBNAIL = "thumbnail"
    AVATAR = "avatar"


class MediaState(StrEnum):
    """What is known of bytes that came with a message (published as `state`)."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"
    TOO_LARGE = "too_large"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMedia:
    """Bytes that are to be fetched; `id` is the level in `/media/<id>`, random, unique in the store.

    `kind` is that of the message, `due` when to fetch first (ms); None: not until somebody asks.
    """

    id: str
    part: MediaPart
    kind: str
    ref: MediaRef
    due: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRow:
    """Bytes as the journal knows them. `message_id` is empty for an avatar.

    `tries` counts attempts, `empty` those of them in a row that brought nothing at all. `due` is when the
    next one may begin, None where none is planned. `why` says in words why there are no bytes. `fetched` is
    when they came.
    """

    id: str
    part: MediaPart
    kind: str
    message_id: str
    user: str
    ref: MediaRef
    state: MediaState
    tries: int
    empty: int
    due: int | None
    created: int
    why: str
    blob: Blob | None
    fetched: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message from WeChat. `body` is what is published, but for `schema`, `stream` and `seq`.

    `media` are the jobs that fetch its bytes. A `held` one is not published before `release`. `plain` goes
    out beside it, whenever that is.
    """

    key: str
    id: str
    topic: str
    user: str
    kind: str
    sender: str
    time: int
    text: str
    body: Mapping[str, Json]
    media: tuple[NewMedia, ...] = ()
    held: bool = False
    plain: NewPublication | None = None


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
class OutboxRow:
    """A publication that waits. `sort` is message, event, plain, result or response."""

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
class AccountState:
    """Where an account stands. `last` is the payload of its newest message.

    `session` numbers the broker's session that was used last; 0 when there was none.
    """

    cursor: Cursor | None
    login_id: str
    seq: int
    last_payload: bytes | None
    base_topic: str | None
    broker_session: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordResult:
    """What one commit took in. `last` is the payload of its newest message, None when there was none.

    `kinds` are its messages by kind.
    """

    messages: int
    events: int
    repeated: int
    last_payload: bytes | None
    seq: int
    kinds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyTarget:
    """Where a result is awaited. `shape` is `result`, or `response` for a request called `name`."""

    topic: str
    correlation: bytes | None
    shape: str
    name: str
    transaction: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryMark:
    """How the broker delivered a command, to know the same delivery again."""

    broker_session: int
    mid: int
    topic: str
    digest: bytes
    dup: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCommand:
    """A command to be accepted. With a `result` it is settled at once, and its `publications` go with it.

    `blob` is the file that it sends; None where it sends none, or has still to fetch it from its `url`.
    """

    command: Command
    command_id: str
    fingerprint: str
    person: PersonId | None
    key: SendKey
    accepted: int
    expires: int | None
    replies: tuple[ReplyTarget, ...]
    delivery: DeliveryMark | None = None
    duplicate_possible: bool = False
    result: Result | None = None
    publications: tuple[NewPublication, ...] = ()
    blob: Blob | None = None


class CommandState(StrEnum):
    """Whether a command has its result."""

    WAITING = "waiting"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRow:
    """A command as the journal knows it.

    `open` is true from the mark of an attempt until its end is known; `unknown` counts attempts that nobody
    answered, `attempts` all. `held` says why WeChat took no message when it was first to be sent, empty where
    it did. `parts_sent` counts the parts of a long text that are out; `unknown` is then of the next one.
    `fallback` is begun, sent, failed or uncertain, empty while no other way was needed.
    """

    id: int
    command: Command
    command_id: str
    fingerprint: str
    person: PersonId | None
    key: SendKey
    accepted: int
    expires: int | None
    replies: tuple[ReplyTarget, ...]
    open: bool
    unknown: int
    attempts: int
    duplicate_possible: bool
    state: CommandState
    result: Result | None
    blob: Blob | None = None
    held: str = ""
    parts_sent: int = 0
    fallback: str = ""


class AcceptOutcome(StrEnum):
    """What became of a command that was handed to `accept`."""

    NEW = "new"
    SAME_DELIVERY = "same_delivery"
    REPEAT = "repeat"
    REUSED = "reused"


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptResult:
    """`row` is the command's own row, or the earlier one that it repeats or collides with."""

    outcome: AcceptOutcome
    row: CommandRow | None


class RequestState(StrEnum):
    """What is known of a request that changes something at WeChat, when the broker delivers it."""

    FRESH = "fresh"
    IN_DOUBT = "in_doubt"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True, kw_only=True)
class JournaledRequest:
    """Such a request: `answer` are the publications of one that is answered already."""

    state: RequestState
    answer: tuple[NewPublication, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    """Which messages of the history: behind `since`, before `before` (both seq), of `users`, of a kind,
    with a text in them; None and empty mean all. With `since` the first `limit`, else the newest.
    """

    since: int | None = None
    before: int | None = None
    users: tuple[str, ...] = ()
    kind: str = ""
    text: str = ""
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """A message of the history: its payload as published first."""

    seq: int
    message_id: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneCounts:
    """How many rows went."""

    messages: int = 0
    publications: int = 0
    commands: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalStats:
    """How much waits and since when (None: nothing does). `messages` and `dropped` count for ever.

    `pending_media` are bytes that are still to be fetched.
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
    pending_media: int = 0
    trouble: str = ""
