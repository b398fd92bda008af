"""The journal of one account: both directions and the cursor, each fact in one commit.

Its parts: `inbound` (from WeChat), `publications` (to the broker), `commands` (to WeChat), `upkeep`. When a
method returns, its work is on the disk; when it raises, nothing was changed.
"""

from __future__ import annotations

from wx2mqtt.store.commands import AlreadySettled, Commands
from wx2mqtt.store.inbound import Inbound
from wx2mqtt.store.publications import Publications
from wx2mqtt.store.rows import (
    Accepted,
    CommandRow,
    CommandState,
    DeliveryMark,
    NewCommand,
    NewEvent,
    NewMessage,
    NewPublication,
    Opened,
    Outcome,
    Pruned,
    Recorded,
    Reply,
    Row,
    Stats,
)
from wx2mqtt.store.upkeep import Upkeep


class Journal(Inbound, Publications, Commands, Upkeep):
    """What happened and is not to be forgotten, for one account. Several journals share one database."""


__all__ = [
    "Accepted",
    "AlreadySettled",
    "CommandRow",
    "CommandState",
    "DeliveryMark",
    "Journal",
    "NewCommand",
    "NewEvent",
    "NewMessage",
    "NewPublication",
    "Opened",
    "Outcome",
    "Pruned",
    "Recorded",
    "Reply",
    "Row",
    "Stats",
]
