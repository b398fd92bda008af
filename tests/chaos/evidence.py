"""The evidence of a run for the judge: the simulator's records, all publications, and all commands."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

JsonBody = dict[str, Any]
KILLS = frozenset({"kill", "kill at a commit", "fault"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A message of the broker to a subscriber; `at` is a time of the monotonic clock."""

    topic: str
    payload: bytes
    retain: bool = False
    dup: bool = False
    at: float = 0.0
    correlation: bytes = b""

    @property
    def body(self) -> JsonBody:
        value = json.loads(self.payload) if self.payload.startswith(b"{") else {}
        return value if isinstance(value, dict) else {}


@dataclass(slots=True, kw_only=True)
class PublishedCommand:
    """A command that the broker acknowledged to its publisher.

    - `content` is the text, or the SHA-256 of the file.
    - `id` is empty when the publisher gave none: `correlation` then finds the result.
    - `transaction` is set when it was a `request/send`, whose answer is the result.
    - `may_repeat`: the publisher may have published it more than once without an id.
    - `published_again`: it was published again after the broker had lost it, so it has no place in the order.
    """

    id: str
    user: str
    content: str
    publisher: str
    correlation: bytes = b""
    transaction: str = ""
    may_repeat: bool = False
    published_again: bool = False


@dataclass(slots=True, kw_only=True)
class PublishedChange:
    """A request `name` that changes something at WeChat, acknowledged to its publisher.

    - `group`: the name of the group that it creates, `friend`: the stranger whom it accepts; else empty.
    - `may_repeat`: the publisher may have published it more than once.
    """

    transaction: str
    name: str
    group: str = ""
    friend: str = ""
    may_repeat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UserAnswer:
    """An answer to a question: the button's key, and the id of the message; empty for a press."""

    key: str
    message_id: str = ""


@dataclass(slots=True, kw_only=True)
class PublishedQuestion:
    """A command with buttons: `text` is its first line, `keys` those of its buttons by their texts.

    `choice` is the button of the right answer, `method` how: `press`, `number` or `text`.
    `answers` are in the order in which they were given.
    """

    command_id: str
    user: str
    text: str
    keys: Mapping[str, str]
    choice: str
    method: str
    answers: list[UserAnswer] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class DisruptionRecord:
    """A disruption: its kind, when it began and ended (monotonic clock), and how long the recovery took.

    A `single` disruption has no other one at the same time. `recovery` is in seconds, for a message and for a command.
    """

    kind: str
    began: float
    ended: float
    single: bool
    recovery: Mapping[str, float] = field(default_factory=dict)


@dataclass(kw_only=True)
class AccountEvidence:
    """The evidence of one account.

    - `levels`: the topic level of each chat of the simulator.
    - `logs`: `/sim/logs`, the messages of each login; `lines`: `/sim/feed`; `sent`: `/sim/sent`.
    - `publications`: publications below the base topic, in order; `history`: the answers of `request/history`.
    - `requests`: the name of each request by its transaction; `changes`: those that change something.
    - `groups`: the names of all groups at WeChat, `friends`: the ids of all friends there.
    - `event_ids`: messages of WeChat that become events.
    - `files`: by message id, the SHA-256 that the bridge served and that of WeChat.
    - `questions`: those that were asked; `gaps`: the times without a connection that the bridge published.
    - `connections`, `written`: of WeCom, which keeps no messages: what went to each connection, and all that people wrote.
    - `clock_moved`: the clock of the bridge was moved at all.
    - `broker_forgot`: the broker lost what it had acknowledged.
    - `clock_was_wrong`: the clock of the bridge was further from WeChat's than the bridge tolerates.
    - `reason`: what the last `login/state` said.
    """

    name: str
    base: str
    levels: Mapping[str, str]
    logs: Sequence[JsonBody] = ()
    lines: Sequence[JsonBody] = ()
    sent: Sequence[JsonBody] = ()
    publications: Sequence[Publication] = ()
    replies: Sequence[Publication] = ()
    history: Sequence[JsonBody] = ()
    commands: Sequence[PublishedCommand] = ()
    requests: Mapping[str, str] = field(default_factory=dict)
    changes: Sequence[PublishedChange] = ()
    groups: Sequence[str] = ()
    friends: Collection[str] = ()
    event_ids: Collection[str] = ()
    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    questions: Sequence[PublishedQuestion] = ()
    gaps: Sequence[Any] = ()
    connections: Sequence[Any] = ()
    written: Sequence[Any] | None = None
    clock_moved: bool = False
    broker_forgot: bool = False
    clock_was_wrong: bool = False
    reason: str = ""
