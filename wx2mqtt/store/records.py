"""Values that go into the store and come out of it: frozen, without I/O. Times are in milliseconds (Unix)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, field, replace
from enum import IntEnum, StrEnum
from typing import Any

from wx2mqtt.bounded_json import load_json
from wx2mqtt.limits import STORED_JSON
from wx2mqtt.model import Blob, Cursor, Json, MediaRef
from wx2mqtt.store.question_records import NO_ANSWERS, AnswerAttempt, AnswerBatch
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
    """The column `state` of a publication; the SQL statements hold these numbers."""

    WAITING = 0
    PUBLISHED = 1
    REJECTED = 2
    DROPPED = 3
    HELD = 4


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
    #: All attempts.
    attempts: int
    #: The latest attempts in a row that brought no bytes.
    empty_attempts: int
    #: When the next attempt may start; None if none is planned.
    due: int | None
    created: int
    #: Why there is no file, in English.
    reason: str
    blob: Blob | None
    #: When the download ended.
    fetched: int | None


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


@frozen
class NamedOwner:
    """What the operator has said of a bot whose logins name no owner (WeCom)."""

    #: It is the right bot: whom the configuration or the operator names is trusted.
    is_confirmed: bool = False
    #: The handle of the person who is the owner; empty while the operator has named nobody.
    person: str = ""


NOTHING_SAID = NamedOwner()


# What the operator has said, in the column `owner`; no backend is called so.
_NAMED = "named"


@frozen
class RememberedOwners:
    """The column `owner` of an account: the WeChat accounts to which the store belongs, by backend.

    {"ilink": "o9cq…", "wecom": "aibK…", "named": {"wecom": {"is_confirmed": true, "person": "user:li"}}}
    """

    #: The ids of the accounts.
    ids: Mapping[str, str] = field(default_factory=dict)
    #: Without those of whom the operator has said nothing.
    named: Mapping[str, NamedOwner] = field(default_factory=dict)

    def with_owner(self, backend: str, owner_id: str, named: NamedOwner) -> RememberedOwners:
        """Returns them with this account in place of another one of the backend."""
        others = {name: said for name, said in self.named.items() if name != backend}
        if named != NOTHING_SAID:
            others[backend] = named
        return RememberedOwners(ids={**self.ids, backend: owner_id}, named=others)

    def unconfirmed(self) -> RememberedOwners:
        """Returns them without the word of the operator that a bot is theirs."""
        return replace(
            self, named={backend: replace(said, is_confirmed=False) for backend, said in self.named.items()}
        )

    def to_json(self) -> str:
        """Returns the text of the column."""
        stored: dict[str, Any] = dict(self.ids)
        if self.named:
            stored[_NAMED] = {backend: asdict(named) for backend, named in self.named.items()}
        return json.dumps(stored, ensure_ascii=False, separators=(",", ":"))


def read_owners(column: str) -> RememberedOwners:
    """Returns what the column has, without values that the bridge never writes: a backup may be forged."""
    try:
        stored = load_json(column.encode("utf-8", "replace"), STORED_JSON)
        json.dumps(stored, ensure_ascii=False).encode()  # else it could not be stored again
    except ValueError:
        stored = None
    if not isinstance(stored, dict):
        return RememberedOwners()
    said = stored.get(_NAMED)
    named = {backend: _read_named(value) for backend, value in said.items()} if isinstance(said, dict) else {}
    ids = {backend: owner_id for backend, owner_id in stored.items() if isinstance(owner_id, str)}
    return RememberedOwners(ids=ids, named=named)


def _read_named(value: object) -> NamedOwner:
    if not isinstance(value, dict):
        return NOTHING_SAID
    person = value.get("person")
    return NamedOwner(
        is_confirmed=value.get("is_confirmed") is True, person=person if isinstance(person, str) else ""
    )


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
    #: The payload of its newest message, if any.
    last_payload: bytes | None
    seq: int
    #: The new messages by kind.
    kinds: Mapping[str, int] = field(default_factory=dict)
    #: The publications.
    outbox: OutboxBatch = NO_PUBLICATIONS
    #: What it answers.
    answers: AnswerBatch = NO_ANSWERS
    #: The publications of other accounts, by account: events about answers to their questions.
    elsewhere: Mapping[str, OutboxBatch] = field(default_factory=dict)


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


@frozen(kw_only=False)
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
    """The figures of one account."""

    waiting_publications: int
    #: When it was created; None if none waits.
    oldest_publication: int | None
    waiting_commands: int
    #: When it was accepted; None if none waits.
    oldest_command: int | None
    set_aside: int
    #: Never falls.
    dropped: int
    #: Never falls.
    messages: int
    failed_today: int
    #: Files that are still to be downloaded.
    pending_media: int = 0
    #: When the store was written into a backup (ms), None before the first time.
    last_backup: int | None = None
    #: Why the last commit failed; empty if it did not.
    trouble: str = ""
