"""Values that go into the store and come out of it: frozen, without I/O. Times are in milliseconds (Unix).

NewMessage, NewEvent, NewPublication  ->  a row of `publication`  ->  OutboxRow
NewMedia                              ->  a row of `media`        ->  MediaRow
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import IntEnum, StrEnum

from wx2mqtt.model import Blob, Cursor, Json, MediaRef
from wx2mqtt.store.question_records import NO_ANSWERS, AnswerAttempt, AnswerBatch
from wx2mqtt.store.remembered_owners import NamedOwner
from wx2mqtt.values import frozen

# The files of messages


class MediaPart(StrEnum):
    """Which file of a message: the whole file or its thumbnail; an avatar belongs to no message."""

    WHOLE = "whole"
    THUMBNAIL = "thumbnail"
    AVATAR = "avatar"


class MediaState(StrEnum):
    """The state of a file, as published in `state`."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"
    TOO_LARGE = "too_large"
    GONE = "gone"


@frozen
class NewMedia:
    """A file to download."""

    #: Its name in the topic and URL `/media/<id>`: random, unique in the store.
    id: str
    part: MediaPart
    #: The kind of the message.
    kind: str
    ref: MediaRef
    #: When to download first; None: on request only.
    due: int | None


@frozen
class MediaRow:
    """A stored download."""

    id: str
    part: MediaPart
    kind: str
    #: Empty for an avatar.
    message_id: str
    user: str
    ref: MediaRef
    state: MediaState
    #: How many attempts to download it there were.
    attempts: int
    #: How many of the latest attempts in a row brought no bytes.
    empty_attempts: int
    #: When the next attempt may start; None if none is planned.
    due: int | None
    created: int
    #: Why there is no file, in English.
    reason: str
    blob: Blob | None
    #: When the download ended.
    fetched: int | None


# Messages, events and publications


class PublicationState(IntEnum):
    """The column `state` of a publication; the SQL statements hold these numbers."""

    WAITING = 0
    PUBLISHED = 1
    REJECTED = 2
    DROPPED = 3
    HELD = 4


@frozen
class NewMessage:
    """A message from WeChat."""

    key: str
    id: str
    topic: str
    user: str
    kind: str
    time: int
    text: str
    #: The published payload without `schema`, `stream` and `seq`.
    body: Mapping[str, Json]
    #: The files to download for it.
    media: tuple[NewMedia, ...] = ()
    #: It is not published before `MediaJobs.release_message`.
    waits_for_file: bool = False
    #: A second publication of the same commit, which never waits for a file.
    plain: NewPublication | None = None
    #: It may answer a question; None for what cannot.
    answer: AnswerAttempt | None = None


@frozen
class NewEvent:
    """An event from WeChat."""

    key: str
    topic: str
    user: str
    name: str
    time: int
    #: The payload.
    body: Mapping[str, Json]
    #: Kept for the backend, never published.
    private: Mapping[str, str] = field(default_factory=dict)


@frozen
class NewPublication:
    """A publication that is neither a message nor an event from WeChat."""

    topic: str
    payload: bytes
    category: str
    content_type: str
    correlation: bytes | None = None
    #: It may be published within so many seconds after its commit; None: always.
    expiry: int | None = None


# The categories of what goes to a response topic, too.
ANSWER_CATEGORIES = frozenset({"result", "response"})


@frozen
class OutboxRow:
    """A publication that waits for the broker."""

    id: int
    topic: str
    payload: bytes
    #: Message, event, plain, result or response.
    category: str
    created: int
    content_type: str
    correlation: bytes | None
    expiry: int | None
    user: str

    def is_expired(self, now: int) -> bool:
        """Returns whether this may no longer be published; `now` is the time of day in milliseconds."""
        return self.expiry is not None and now - self.created >= self.expiry * 1000

    def remaining_expiry(self, now: int) -> int | None:
        """Returns the whole seconds that are left of `expiry`, at least 1; None without one."""
        if self.expiry is None:
            return None
        elapsed = max(0, now - self.created)  # a clock that was put back makes nothing younger
        return max(1, self.expiry - elapsed // 1000)


@frozen
class OutboxBatch:
    """The publications of one commit that may go out at once, in order of their ids.

    A reader that knows all rows up to `after_id` knows with this batch all rows up to `last_id`, except those
    that wait behind a message of their topic that waits for its file.
    """

    rows: tuple[OutboxRow, ...] = ()
    #: The id of the account's publication before them, None where it is not known.
    after_id: int | None = None
    last_id: int = 0

    def __bool__(self) -> bool:
        return self.last_id > 0

    def joined(self, later: OutboxBatch) -> OutboxBatch:
        """Returns this batch and one that the same commit stored behind it as one."""
        if not self or not later:
            return later or self
        return OutboxBatch(rows=self.rows + later.rows, after_id=self.after_id, last_id=later.last_id)


NO_PUBLICATIONS = OutboxBatch()


# An account, and what was done with its rows


@frozen
class AccountState:
    """The stored state of an account at start."""

    cursor: Cursor | None
    login_id: str
    seq: int
    #: The payload of its newest message.
    last_payload: bytes | None
    base_topic: str | None
    #: The number of the MQTT session that was used last; 0 if there was none.
    broker_session: int = 0
    #: The id of the WeChat account to which the store belongs, by backend.
    owner_ids: Mapping[str, str] = field(default_factory=dict)
    #: What the operator has said of that account, by backend.
    named_owners: Mapping[str, NamedOwner] = field(default_factory=dict)


@frozen
class RecordResult:
    """The result of a commit of received items."""

    messages: int
    events: int
    #: Items that were stored before.
    repeated: int
    #: The payload of the newest message of this commit; None if it has no message.
    last_payload: bytes | None
    #: The newest seq of the account.
    seq: int
    #: The keys of the new messages.
    message_keys: tuple[str, ...] = ()
    #: The new messages by kind.
    kinds: Mapping[str, int] = field(default_factory=dict)
    #: The publications that may go out at once.
    outbox: OutboxBatch = NO_PUBLICATIONS
    #: What the answers among the items prove, and what their cards show from now on.
    answers: AnswerBatch = NO_ANSWERS
    #: The publications of other accounts, by account: events about answers to their questions.
    for_other_accounts: Mapping[str, OutboxBatch] = field(default_factory=dict)


# The history


@frozen
class HistoryQuery:
    """Selects messages; None and empty match every message.

    With `since` the oldest `limit` matches are selected, otherwise the newest.
    """

    #: Only messages with a larger seq.
    since: int | None = None
    #: Only messages with a smaller seq.
    before: int | None = None
    #: Only messages of one of these chats.
    users: tuple[str, ...] = ()
    kind: str = ""
    #: Only messages that contain this text.
    text: str = ""
    limit: int = 100

    @property
    def is_oldest_first(self) -> bool:
        """Whether the search goes from old to new."""
        return self.since is not None


@frozen(kw_only=False)
class HistoryRow:
    """A message of the history; `payload` is as first published."""

    seq: int
    message_id: str
    payload: bytes


# Figures


@frozen
class PruneCounts:
    """How many rows were deleted."""

    messages: int = 0
    publications: int = 0
    commands: int = 0


@frozen
class JournalStats:
    """The figures of one account."""

    waiting_publications: int
    #: When the oldest waiting publication was created; None if none waits.
    oldest_publication: int | None
    waiting_commands: int
    #: When the oldest waiting command was accepted; None if none waits.
    oldest_command: int | None
    #: Publications that the broker has rejected.
    set_aside: int
    #: Publications that were given up; never falls.
    dropped: int
    #: All messages that were ever stored; never falls.
    messages: int
    #: Commands that ended within a day and were not sent, without those that the bridge has made.
    failed_today: int
    #: Files that are still to be downloaded.
    pending_media: int = 0
    #: When the store was written into a backup (ms), None before the first time.
    last_backup: int | None = None
    #: Why the last commit failed; empty if it did not.
    trouble: str = ""
