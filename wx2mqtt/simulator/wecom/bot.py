"""A bot: its credentials, the connection in use, the callbacks that wait for an answer, its uploads."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum

from wx2mqtt.simulator.media import ByteSource, UploadedBytes
from wx2mqtt.simulator.wecom.connection import Connection
from wx2mqtt.simulator.wecom.limits import Rate

MAX_CALLBACKS = 50_000
"""Number of callbacks whose `req_id` a bot keeps."""


class Expects(StrEnum):
    """The command that a callback takes as its answer; each takes only its own (wecom 5.6)."""

    RESPOND = "aibot_respond_msg"
    WELCOME = "aibot_respond_welcome_msg"
    UPDATE = "aibot_respond_update_msg"
    NOTHING = ""


@dataclass(slots=True, kw_only=True)
class Callback:
    """A callback that was sent to a program. Times are in seconds of the simulated clock.

    `chat` is an id of the world. `sending` counts answers to it that are being carried out. `line_id` is the
    message on the phone to which the frames of an answer belong.
    """

    req_id: str
    msgid: str
    expects: Expects
    connection: Connection
    chat: str
    sent_at: float
    task_id: str = ""
    finished: bool = False
    sending: int = 0
    stream_id: str = ""
    stream_began_at: float = 0.0
    line_id: str = ""


@dataclass(slots=True, kw_only=True)
class Upload:
    """An upload that is going on. `pieces` are those that came, by index."""

    upload_id: str
    kind: str
    name: str
    size: int
    total: int
    md5: str
    began_at: float
    pieces: dict[int, bytes] = field(default_factory=dict)
    in_flight: int = 0
    media_id: str = ""

    @property
    def max_in_flight(self) -> int:
        """How many pieces may be on the way at once (wecom 5.9)."""
        if self.total <= 4:
            return 4
        return 3 if self.total <= 10 else 2

    def content(self) -> ByteSource:
        """Returns the whole file."""
        whole = UploadedBytes()
        for index in range(self.total):
            whole.append(self.pieces[index])
        return whole


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedMedia:
    """A finished upload, which a message names by its `media_id`."""

    kind: str
    name: str
    content: ByteSource
    finished_at: float


@dataclass(slots=True, kw_only=True)
class Bot:
    """A bot and what the gateway knows of it. Chats are ids of the world.

    - `address`: the base URL of its newest program
    - `subscribed`: false when the subscription has died while the connection is open (wecom 2.8)
    - `elsewhere`: a program outside of the simulation has taken the bot over
    - `refuses`: the code that each subscription gets, 0 for none
    - `written`: the chats in which somebody wrote; `entered`: those that somebody opened
    - `callbacks`: by `req_id`; `bodies`: theirs, by msgid; `answered`: the msgids with a finished answer
    - `waiting`: callbacks for the next connection
    """

    bot_id: str
    secret: str
    name: str
    person: str = ""
    connection: Connection | None = None
    address: str = "http://127.0.0.1"
    subscribed: bool = False
    elsewhere: bool = False
    refuses: int = 0
    groups: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    entered: set[str] = field(default_factory=set)
    callbacks: dict[str, Callback] = field(default_factory=dict)
    bodies: dict[str, dict[str, object]] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    task_ids: set[str] = field(default_factory=set)
    chat_rates: defaultdict[str, Rate] = field(default_factory=lambda: defaultdict(Rate))
    upload_rate: Rate = field(default_factory=Rate)
    subscribe_rate: Rate = field(default_factory=Rate)
    subscriptions: int = 0
    taken_over_at: float | None = None
    uploads: dict[str, Upload] = field(default_factory=dict)
    media: dict[str, UploadedMedia] = field(default_factory=dict)
    waiting: list[dict[str, object]] = field(default_factory=list)

    @property
    def is_online(self) -> bool:
        """Whether a program is connected and subscribed."""
        return self.connection is not None and self.subscribed

    def add_callback(self, callback: Callback, body: dict[str, object]) -> None:
        """Keeps a callback and its body; drops the oldest beyond `MAX_CALLBACKS`."""
        self.callbacks[callback.req_id] = callback
        self.bodies[callback.msgid] = body
        for kept in (self.callbacks, self.bodies):
            if len(kept) > MAX_CALLBACKS:
                del kept[next(iter(kept))]

    def unanswered(self, chat: str, since: float) -> int:
        """Returns how many messages of a chat that were sent after `since` have no finished answer."""
        newest = itertools.takewhile(lambda one: one.sent_at > since, reversed(self.callbacks.values()))
        return sum(one.chat == chat and one.expects is Expects.RESPOND and not one.finished for one in newest)
