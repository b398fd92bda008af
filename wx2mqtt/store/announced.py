"""What was announced to Home Assistant, so that it can be taken back, also after a restart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from wx2mqtt.store.encoding import storable
from wx2mqtt.store.lane import Lane
from wx2mqtt.store.queries import queries

_SQL = queries("announced")


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What may stand at the broker for one account.

    `topics` are where. `components` has the platform of each by its key, also of
    those that were taken back. `ids` has the id of each person by the level under which they were first
    exposed; it stays for ever, so that a person who comes back is the same one.
    """

    topics: tuple[str, ...] = ()
    components: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)


class Announcements(Lane):
    """The announcement of one account."""

    async def announced(self) -> Announced:
        """What was announced last; nothing before the first time."""
        row = await self._database.read(lambda db: db.execute(_SQL["announced"], (self._account,)).fetchone())
        if row is None or not row[0]:
            return Announced()
        kept = json.loads(row[0])
        return Announced(**{**kept, "topics": tuple(kept["topics"])})

    async def announce(self, announced: Announced) -> None:
        """Write down what is about to be announced."""
        text = storable(json.dumps(asdict(announced), ensure_ascii=False))
        await self._database.write("announce", lambda db: db.execute(_SQL["announce"], (text, self._account)))
