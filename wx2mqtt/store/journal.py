"""The journal of one account: both directions and the cursor, each fact in one commit.

Its parts: `inbound` (from WeChat), `media` (the bytes of that), `publications` (to the broker), `announced`
(to Home Assistant), `history`, `commands` and `deeds` (to WeChat), `upkeep`. When a method returns, its work
is on the disk; when it raises, nothing was changed.
"""

from __future__ import annotations

from wx2mqtt.store.commands import JournaledCommands
from wx2mqtt.store.history import HistoryQueries
from wx2mqtt.store.media import MediaJobs
from wx2mqtt.store.outbox import DiscoveryState, Outbox
from wx2mqtt.store.received import ReceivedMessages
from wx2mqtt.store.requests import JournaledRequests
from wx2mqtt.store.retention import JournalRetention


class Journal(
    ReceivedMessages,
    MediaJobs,
    Outbox,
    DiscoveryState,
    HistoryQueries,
    JournaledCommands,
    JournaledRequests,
    JournalRetention,
):
    """What happened and is not to be forgotten, for one account. Several journals share one database."""
