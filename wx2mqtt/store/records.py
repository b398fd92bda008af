"""Values that go into the store and come out of it: frozen, without I/O. Times are in milliseconds (Unix)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import field
from enum import IntEnum, StrEnum

from wx2mqtt.model import Blob, ChatKind, Command, Cursor, Handle, Json, MediaRef, PersonId, Result, SendKey
from wx2mqtt.values import frozen


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


class PublicationState(IntEnum):
    """The column `state` of a publication; the statements in `sql/` hold these numbers."""

    WAITING = 0
    PUBLISHED = 1
    SET_ASIDE = 2
    DROPPED = 3
    HELD = 4


@frozen
class NewMedia:
    """A file to download. `id` is the topic and URL level in `/media/<id>`: random, unique in the store.

    `kind` is the kind of the message. `due` is when to download first; None means on request only.
    """

    id: str
    part: MediaPart
    kind: str
    ref: MediaRef
    due: int | None


@frozen
class MediaRow:
    """A stored media job. `message_id` is empty for an avatar.

    `attempts` counts all attempts, `empty_attempts` the latest attempts in a row that brought no bytes.
    `due` is when the next attempt may start; None if none is planned. `reason` says in English why there
    is no file. `fetched` is when the download ended.
    """

    id: str
    part: MediaPart
    kind: str
    message_id: str
    user: str
    ref: MediaRef
    state: MediaState
    attempts: int
    empty_attempts: int
    due: int | None
    created: int
    reason: str
    blob: Blob | None
    fetched: int | None


@frozen
class NewMessage:
    """A message from WeChat. `body` is the published payload without `schema`, `stream` and `seq`.

    `media` are the files to download for it. A `held` message is not published before
    `MediaJobs.release_message`. `plain` is a second publication of the same commit, which is never held.
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


@frozen
class NewEvent:
    """An event from WeChat. `body` is the payload; `private` is kept for the backend, never published."""

    key: str
    topic: str
    user: str
    name: str
    time: int
    body: Mapping[str, Json]
    private: Mapping[str, str] = field(default_factory=dict)


@frozen
class NewPublication:
    """A publication that is neither a message nor an event from WeChat.

    It may be published within `expiry` seconds after its commit; None: always.
    """

    topic: str
    payload: bytes
    category: str
    content_type: str
    correlation: bytes | None = None
    expiry: int | None = None


# The categories of what goes to a response topic, too.
ANSWER_CATEGORIES = frozenset({"result", "response"})


@frozen
class OutboxRow:
    """A publication that waits for the broker. `category` is message, event, plain, result or response."""

    id: int
    topic: str
    payload: bytes
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

    `after_id` is the id of the account's publication before them, None where it is not known: a reader that
    knows all rows up to `after_id` knows with this batch all rows up to `last_id`, except those that wait
    behind a held message of their topic.
    """

    rows: tuple[OutboxRow, ...] = ()
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


@frozen
class AccountState:
    """The stored state of an account at start. `last_payload` is the payload of its newest message.

    `broker_session` numbers the MQTT session that was used last; 0 if there was none. `owner_ids` has the id
    of the WeChat account to which the store belongs, by backend.
    """

    cursor: Cursor | None
    login_id: str
    seq: int
    last_payload: bytes | None
    base_topic: str | None
    broker_session: int = 0
    owner_ids: Mapping[str, str] = field(default_factory=dict)


@frozen
class RecordResult:
    """The result of a commit of received items. `last_payload` is the payload of its newest message, if any.

    `repeated` counts items that were stored before, `kinds` the new messages. `outbox` has the publications.
    """

    messages: int
    events: int
    repeated: int
    last_payload: bytes | None
    seq: int
    kinds: Mapping[str, int] = field(default_factory=dict)
    outbox: OutboxBatch = NO_PUBLICATIONS


@frozen
class ReplyTarget:
    """A topic that gets the result of a command. `shape` is `result`, or `response` to the request `name`."""

    topic: str
    correlation: bytes | None
    shape: str
    name: str
    transaction: Json


@frozen
class DeliveryMark:
    """The delivery of a command or request by the broker, to recognise the same delivery again.

    `packet_id` is the MQTT packet id, `digest` the SHA-256 of the content, `dup` the DUP flag.
    """

    broker_session: int
    packet_id: int
    topic: str
    digest: bytes
    dup: bool


@frozen
class NewCommand:
    """A command to accept. With a `result` it is settled at once, and `publications` are enqueued with it.

    `blob` is the file to send; None if there is none, or if it is still to be fetched from its `url`. With
    `starts` its commit marks the first attempt, too. Without `keeps_replies` the row has none of `replies`.
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
    starts: bool = False
    keeps_replies: bool = True


class CommandState(StrEnum):
    WAITING = "waiting"
    SETTLED = "settled"


# For whom a command was accepted: a person, or the user on the topic where no person was known at that time.
Recipient = PersonId | str


@frozen
class CommandRow:
    """A stored command.

    `attempt_open` is true from the start of an attempt until its outcome is known; `unanswered` counts
    attempts without an answer, `attempts` counts all. `held_reason` says why WeChat accepted no message
    when the command was due, empty if it was never held. `parts_sent` counts the sent parts of a long
    text; `unanswered` then counts attempts at the next part. `fallback` is begun, sent, failed or
    uncertain; empty if none was needed. `bundle` is the row id of the command that leads the bundle in which
    this one is attempted, None outside of one; `bundle_position` is its place in the text, 0 for the leader.
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
    attempt_open: bool
    unanswered: int
    attempts: int
    duplicate_possible: bool
    state: CommandState
    result: Result | None
    blob: Blob | None = None
    held_reason: str = ""
    parts_sent: int = 0
    fallback: str = ""
    bundle: int | None = None
    bundle_position: int = 0

    @property
    def recipient(self) -> Recipient:
        """The recipient as stored, which does not change when the user becomes a known person."""
        return self.command.user if self.person is None else self.person


class AcceptOutcome(StrEnum):
    """The outcome of `JournaledCommands.accept` for a command; documented there."""

    NEW = "new"
    SAME_DELIVERY = "same_delivery"
    REPEAT = "repeat"
    REUSED = "reused"


@frozen
class AcceptResult:
    """`row` is the command's own row, or the earlier row that it repeats or collides with.

    `outbox` are the publications of a new command that was settled at once.
    """

    outcome: AcceptOutcome
    row: CommandRow | None
    outbox: OutboxBatch = NO_PUBLICATIONS


class RequestState(StrEnum):
    """The state of a delivered request that changes something at WeChat."""

    FRESH = "fresh"
    IN_DOUBT = "in_doubt"
    ANSWERED = "answered"


@frozen
class JournaledRequest:
    """A delivered request. `answer` holds the publications of a request that was answered before."""

    state: RequestState
    answer: tuple[NewPublication, ...] = ()


@frozen
class HistoryQuery:
    """Selects messages with `since` < seq < `before`, of these users, of this kind, with this text in them.

    None and empty match every message. With `since` the oldest `limit` matches, otherwise the newest.
    """

    since: int | None = None
    before: int | None = None
    users: tuple[str, ...] = ()
    kind: str = ""
    text: str = ""
    limit: int = 100


@frozen
class HistoryRow:
    """A message of the history; `payload` is as first published."""

    seq: int
    message_id: str
    payload: bytes


@frozen
class PruneCounts:
    messages: int = 0
    publications: int = 0
    commands: int = 0


@frozen
class JournalStats:
    """The figures of one account. The `oldest_...` are creation times, None if nothing waits.

    `messages` and `dropped` never fall. `pending_media` counts files that are still to be downloaded.
    `last_backup` is when the store was written into a backup (ms), None before the first time. `trouble` is
    why the last commit failed; empty if it did not.
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
    last_backup: int | None = None
    trouble: str = ""


@frozen
class Person:
    """A person or group that the account knows. `id` is never given again.

    `level` is the topic level. `handle` is valid within the login `login_id` only. `members` are the sorted
    4-byte CRC-32 values of the nicknames of a group's members. `wrote` says that a message of this chat was
    published before. A `stranger` is no contact of the owner: a member of a group, or a recent chat.
    """

    id: PersonId
    level: str
    kind: ChatKind
    handle: Handle | None
    login_id: str
    matched_by: str
    pin: str = ""
    trusted: bool = False
    permanent_id: str = ""
    alias: str = ""
    remark: str = ""
    nickname: str = ""
    avatar: str = ""
    profile: Mapping[str, str] = field(default_factory=dict)
    members: bytes = b""
    closed: bool = False
    removed: bool = False
    stranger: bool = False
    wrote: bool = False
    created: int = 0
    seen: int = 0


NO_PROFILE: Mapping[str, str] = {}


def shared_profile(items: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Returns a profile of strings that all persons share: thousands live in the same few places."""
    return {sys.intern(key): sys.intern(value) for key, value in items} or NO_PROFILE


@frozen
class PeopleChanges:
    """Changes to store: persons with their new values, levels with their owners, ids of deleted persons."""

    persons: tuple[Person, ...] = ()
    levels: tuple[tuple[str, PersonId], ...] = ()
    removed: tuple[PersonId, ...] = ()

    @classmethod
    def merged(cls, changes: Iterable[PeopleChanges]) -> PeopleChanges:
        """Returns several as one change, of which each is applied after those before it."""
        persons, levels, removed = dict[PersonId, Person](), dict[str, PersonId](), dict[PersonId, None]()
        for change in changes:
            persons |= {person.id: person for person in change.persons}
            for person_id in change.removed:
                persons.pop(person_id, None)
                removed[person_id] = None
            levels |= dict(change.levels)
        return cls(persons=tuple(persons.values()), levels=tuple(levels.items()), removed=tuple(removed))


NO_CHANGES = PeopleChanges()
