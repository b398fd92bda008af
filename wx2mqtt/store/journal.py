"""The journal of one account: both directions and the cursor, each fact in one commit.

Its parts: `inbound` (from WeChat), `media` (the bytes of that), `publications` (to the broker), `announced`
(to Home Assistant), `history`, `commands` and `deeds` (to WeChat), `upkeep`. When a method returns, its work
is on the disk; when it raises, nothing was changed.
"""

from __future__ import annotations

from wx2mqtt.store.announced import Announced, Announcements
from wx2mqtt.store.commands import AlreadySettled, Commands
from wx2mqtt.store.deeds import Deeds
from wx2mqtt.store.history import History
from wx2mqtt.store.inbound import Inbound
from wx2mqtt.store.media import Media
from wx2mqtt.store.publications import Publications
from wx2mqtt.store.rows import (
    Accepted,
    CommandRow,
    CommandState,
    Deed,
    DeedState,
    DeliveryMark,
    Kept,
    MediaRow,
    MediaState,
    NewCommand,
    NewEvent,
    NewMedia,
    NewMessage,
    NewPublication,
    Opened,
    Outcome,
    Part,
    Pruned,
    Recorded,
    Reply,
    Row,
    Stats,
    Wanted,
)
from wx2mqtt.store.upkeep import Upkeep


class Journal(Inbound, Media, Publications, Announcements, History, Commands, Deeds, Upkeep):
    """What happened and is not to be forgotten, for one account. Several journals share one database."""


__all__ = [
    "Accepted",
    "AlreadySettled",
    "Announced",
    "CommandRow",
    "CommandState",
    "Deed",
    "DeedState",
    "DeliveryMark",
    "Journal",
    "Kept",
    "MediaRow",
    "MediaState",
    "NewCommand",
    "NewEvent",
    "NewMedia",
    "NewMessage",
    "NewPublication",
    "Opened",
    "Outcome",
    "Part",
    "Pruned",
    "Recorded",
    "Reply",
    "Row",
    "Stats",
    "Wanted",
]
