"""Values that go into the store and come out of it: frozen, without I/O. Times are in milliseconds (Unix)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import IntEnum, StrEnum

from wx2mqtt.model import Blob, Cursor, Json, MediaRef
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
    REJECTED = 2
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
