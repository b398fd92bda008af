"""`request/history`: what was published before, for whoever was away. Reads only.

At most `MAX_HISTORY_MESSAGES` messages and no more than the broker takes in one packet; `more` says that
there are others.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from wx2mqtt.bridge.media.payloads import with_current_media
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Json, Kind
from wx2mqtt.mqtt import commands as read
from wx2mqtt.mqtt.payloads import cut_payload, encode
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.records import HistoryQuery, HistoryRow, MediaRow

MAX_HISTORY_MESSAGES = 500  # messages in an answer
DEFAULT_HISTORY_MESSAGES = 100
MAX_ANSWER_BYTES = 1_000_000  # bytes of an answer where the broker names no limit
READ_BATCH_SIZE = 50  # messages read at a time, since each may hold the bytes of a picture

MessageBody = dict[str, Json]


@dataclass(slots=True)
class _HistoryPage:
    """Messages as far as they fit into `room` bytes."""

    free_bytes: int
    bodies: list[MessageBody]
    full: bool = False

    def add(self, body: MessageBody) -> None:
        size = len(encode(body)) + 1
        if size > self.free_bytes and not self.bodies:  # whoever asks on must get past it
            shorter = cut_payload(encode(body), self.free_bytes - 1)
            body = body if shorter is None else json.loads(shorter)
            size = len(encode(body)) + 1
        self.full = size > self.free_bytes and bool(self.bodies)
        if not self.full:
            self.bodies.append(body)
            self.free_bytes -= size


class HistoryRequest:
    """Looks up what one account published."""

    def __init__(self, journal: Journal, registry: PeopleRegistry, contacts_topic: str) -> None:
        self._journal = journal
        self._registry = registry
        self._contacts_topic = contacts_topic  # the topic of the directory

    async def answer(self, fields: dict[str, Json], max_bytes: int | None) -> Json:
        """Messages in the order of `seq`; `room` is how many bytes the data may have, None: no limit."""
        wanted = self._parse_query(fields)
        stream = self._journal.stream
        frame = len(encode({"messages": [], "more": False, "stream": stream}))
        page = _HistoryPage(
            min(MAX_ANSWER_BYTES, MAX_ANSWER_BYTES if max_bytes is None else max_bytes) - frame, []
        )
        more = await self._fill(page, wanted)
        if wanted.since is None:
            page.bodies.reverse()
        messages: list[Json] = list(page.bodies)
        return {"messages": messages, "more": more, "stream": stream}

    async def _fill(self, page: _HistoryPage, query: HistoryQuery) -> bool:
        """Take messages until there are enough, no more or no room; returns whether there are others.

        From `since` on in their order; else from the newest back, so that what does not fit is the oldest.
        """
        more, missing = True, query.limit
        while more and missing and not page.full:
            kept, more = await self._journal.find_messages(
                replace(query, limit=min(READ_BATCH_SIZE, missing))
            )
            if not kept:
                return False
            await self._add_rows(page, kept if query.since is not None else kept[::-1])
            missing -= len(kept)
            query = _behind(query, kept)
        return more or page.full

    async def _add_rows(self, page: _HistoryPage, history_rows: Sequence[HistoryRow]) -> None:
        """What is said of the bytes of a message is what is known of them by now."""
        rows: defaultdict[str, list[MediaRow]] = defaultdict(list)
        for row in await self._journal.media_of_messages([one.message_id for one in history_rows]):
            rows[row.message_id].append(row)
        for one in history_rows:
            if not page.full:
                page.add(with_current_media(one.payload, rows[one.message_id]))

    def _parse_query(self, fields: dict[str, Json]) -> HistoryQuery:
        read.reject_unknown_fields(fields, "since", "before", "user", "kind", "text", "limit", "stream")
        since = read.read_integer(fields, "since")
        self._require_current_stream(read.read_text(fields, "stream", ""))
        kind = read.read_text(fields, "kind", "")
        if kind and kind not in list(Kind):
            raise BadCommand("bad_request", "unknown_kind", kind=kind, known=", ".join(Kind))
        return HistoryQuery(
            since=since,
            before=read.read_integer(fields, "before"),
            users=self._all_levels(read.read_text(fields, "user", "")),
            kind=kind,
            text=read.read_text(fields, "text", ""),
            limit=min(
                MAX_HISTORY_MESSAGES,
                read.read_integer(fields, "limit", DEFAULT_HISTORY_MESSAGES, minimum=1)
                or DEFAULT_HISTORY_MESSAGES,
            ),
        )

    def _require_current_stream(self, stream: str) -> None:
        if stream and stream != self._journal.stream:
            raise BadCommand("stream_changed", "stream_changed", stream=self._journal.stream)

    def _all_levels(self, user: str) -> tuple[str, ...]:
        """Every name that somebody ever had here: their messages stand below the one of their time."""
        if not user:
            return ()
        person = self._registry.by_level(user)
        if person is None:
            raise BadCommand("unknown_user", "unknown_user", user=user, contacts=self._contacts_topic)
        return self._registry.levels_of(person.id)


def _behind(query: HistoryQuery, rows: Sequence[HistoryRow]) -> HistoryQuery:
    if query.since is not None:
        return replace(query, since=rows[-1].seq)
    return replace(query, before=rows[0].seq)
