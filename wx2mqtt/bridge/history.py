"""`request/history`: what was published before, for whoever was away. Reads only.

At most `MOST` messages and no more than the broker takes in one packet; `more` says that there are others.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from wx2mqtt.bridge import fields as read
from wx2mqtt.bridge.media.shown import overlaid
from wx2mqtt.bridge.people.identity import Identity
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Json, Kind
from wx2mqtt.mqtt.payloads import cut, encode
from wx2mqtt.store.journal import Journal, Kept, MediaRow, Wanted

MOST = 500  # messages in an answer (DESIGN 4.2)
USUAL = 100
LARGEST = 1_000_000  # bytes of an answer where the broker names no limit
STEP = 50  # messages read at a time, since each may hold the bytes of a picture

Body = dict[str, Json]


@dataclass(slots=True)
class _Page:
    """Messages as far as they fit into `room` bytes."""

    room: int
    bodies: list[Body]
    full: bool = False

    def take(self, body: Body) -> None:
        size = len(encode(body)) + 1
        if size > self.room and not self.bodies:  # whoever asks on must get past it
            shorter = cut(encode(body), self.room - 1)
            body = body if shorter is None else json.loads(shorter)
            size = len(encode(body)) + 1
        self.full = size > self.room and bool(self.bodies)
        if not self.full:
            self.bodies.append(body)
            self.room -= size


class History:
    """Looks up what one account published."""

    def __init__(self, journal: Journal, identity: Identity, contacts: str) -> None:
        self._journal = journal
        self._identity = identity
        self._contacts = contacts  # the topic of the directory

    async def answer(self, fields: dict[str, Json], room: int | None) -> Json:
        """Messages in the order of `seq`; `room` is how many bytes the data may have, None: no limit."""
        wanted = self._wanted(fields)
        stream = self._journal.stream
        frame = len(encode({"messages": [], "more": False, "stream": stream}))
        page = _Page(min(LARGEST, LARGEST if room is None else room) - frame, [])
        more = await self._fill(page, wanted)
        if wanted.since is None:
            page.bodies.reverse()
        messages: list[Json] = list(page.bodies)
        return {"messages": messages, "more": more, "stream": stream}

    async def _fill(self, page: _Page, wanted: Wanted) -> bool:
        """Take messages until there are enough, no more or no room; returns whether there are others.

        From `since` on in their order; else from the newest back, so that what does not fit is the oldest.
        """
        more, missing = True, wanted.limit
        while more and missing and not page.full:
            kept, more = await self._journal.history(replace(wanted, limit=min(STEP, missing)))
            if not kept:
                return False
            await self._take(page, kept if wanted.since is not None else kept[::-1])
            missing -= len(kept)
            wanted = _behind(wanted, kept)
        return more or page.full

    async def _take(self, page: _Page, kept: Sequence[Kept]) -> None:
        """What is said of the bytes of a message is what is known of them by now."""
        rows: defaultdict[str, list[MediaRow]] = defaultdict(list)
        for row in await self._journal.media_of([one.message_id for one in kept]):
            rows[row.message_id].append(row)
        for one in kept:
            if not page.full:
                page.take(overlaid(one.payload, rows[one.message_id]))

    def _wanted(self, fields: dict[str, Json]) -> Wanted:
        read.only(fields, "since", "before", "user", "kind", "text", "limit", "stream")
        since = read.whole(fields, "since")
        self._must_be_this_stream(read.text(fields, "stream", ""))
        kind = read.text(fields, "kind", "")
        if kind and kind not in list(Kind):
            raise BadCommand("bad_request", "unknown_kind", kind=kind, known=", ".join(Kind))
        return Wanted(
            since=since,
            before=read.whole(fields, "before"),
            users=self._names(read.text(fields, "user", "")),
            kind=kind,
            text=read.text(fields, "text", ""),
            limit=min(MOST, read.whole(fields, "limit", USUAL, least=1) or USUAL),
        )

    def _must_be_this_stream(self, stream: str) -> None:
        if stream and stream != self._journal.stream:
            raise BadCommand("stream_changed", "stream_changed", stream=self._journal.stream)

    def _names(self, user: str) -> tuple[str, ...]:
        """Every name that somebody ever had here: their messages stand below the one of their time."""
        if not user:
            return ()
        person = self._identity.by_level(user)
        if person is None:
            raise BadCommand("unknown_user", "unknown_user", user=user, contacts=self._contacts)
        return self._identity.levels(person.id)


def _behind(wanted: Wanted, kept: Sequence[Kept]) -> Wanted:
    if wanted.since is not None:
        return replace(wanted, since=kept[-1].seq)
    return replace(wanted, before=kept[0].seq)
