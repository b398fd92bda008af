"""Commands and requests as they are stored: frozen, without I/O. Times are in milliseconds (Unix)."""

from __future__ import annotations

from enum import StrEnum

from wx2mqtt.model import Blob, Command, Json, PersonId, Result, SendKey
from wx2mqtt.store.records import NO_PUBLICATIONS, NewPublication, OutboxBatch
from wx2mqtt.values import frozen


@frozen
class ReplyTarget:
    """A topic that gets the result of a command."""

    topic: str
    correlation: bytes | None
    #: `result`, or `response` to the request `name`.
    shape: str
    name: str
    transaction: Json


@frozen
class DeliveryMark:
    """The delivery of a command or request by the broker, to recognise the same delivery again."""

    broker_session: int
    #: The MQTT packet id.
    packet_id: int
    topic: str
    #: The SHA-256 of the content.
    digest: bytes
    #: The DUP flag.
    dup: bool


@frozen
class NewCommand:
    """A command to accept. With a `result` it is finished at once."""

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
    #: Enqueued in the same commit.
    publications: tuple[NewPublication, ...] = ()
    #: The file to send; None if there is none, or if it is still to be fetched from its `url`.
    blob: Blob | None = None
    #: The commit stores the begin of the first attempt, too.
    starts: bool = False
    #: Otherwise the row has none of `replies`.
    keeps_replies: bool = True


class CommandState(StrEnum):
    WAITING = "waiting"
    FINISHED = "settled"


# For whom a command was accepted: a person, or the user on the topic where no person was known at that time.
Recipient = PersonId | str


@frozen
class CommandRow:
    """A stored command."""

    id: int
    command: Command
    command_id: str
    fingerprint: str
    person: PersonId | None
    key: SendKey
    accepted: int
    expires: int | None
    replies: tuple[ReplyTarget, ...]
    #: An attempt has begun, and its outcome is not known.
    attempt_open: bool
    #: Attempts without an answer; of a long text those at the next part.
    unanswered: int
    #: All attempts.
    attempts: int
    duplicate_possible: bool
    state: CommandState
    result: Result | None
    blob: Blob | None = None
    #: Why WeChat accepted no message when the command was due; empty if it never waited for the window.
    window_reason: str = ""
    #: The sent parts of a long text.
    parts_sent: int = 0
    #: Begun, sent, failed or uncertain; empty if no fallback was needed.
    fallback: str = ""
    #: The row id of the command that leads the combined message in which this one is; None outside of one.
    leader: int | None = None
    #: The place in the text of the combined message, 0 for the leader.
    combined_position: int = 0

    @property
    def recipient(self) -> Recipient:
        """The recipient as stored, which does not change when the user becomes a known person."""
        return self.command.user if self.person is None else self.person


class AcceptOutcome(StrEnum):
    """What became of a new command."""

    #: It is stored.
    NEW = "new"
    #: The broker redelivered a stored command.
    SAME_DELIVERY = "same_delivery"
    #: Same id, same content; a waiting command also answers to the new reply targets.
    REPEAT = "repeat"
    #: Same id, other content; nothing is stored, the caller rejects it.
    REUSED = "reused"


@frozen
class AcceptResult:
    outcome: AcceptOutcome
    #: The command's own row, or the earlier row that it repeats or collides with.
    row: CommandRow | None
    #: The publications of a new command that was finished at once.
    outbox: OutboxBatch = NO_PUBLICATIONS


class RequestState(StrEnum):
    """The state of a delivered request that changes something at WeChat."""

    FRESH = "fresh"
    IN_DOUBT = "in_doubt"
    ANSWERED = "answered"


@frozen
class JournaledRequest:
    """A delivered request, with its answer if it was answered before."""

    state: RequestState
    answer: tuple[NewPublication, ...] = ()
