"""The request `history`: returns published messages again, for clients that were not connected.

An answer has at most `MAX_HISTORY_MESSAGES` messages and fits into one packet of the broker; `more` says that
there are further ones. Reads only.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from wx2mqtt.bridge.media.payloads import with_current_media
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.errors import BadCommand
from wx2mqtt.limits import MAX_HISTORY_ANSWER_BYTES, MAX_HISTORY_MESSAGES
from wx2mqtt.model import Json, Kind
from wx2mqtt.mqtt import commands as read
from wx2mqtt.mqtt.payloads import cut_payload, encode
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.records import HistoryQuery, HistoryRow, MediaRow

DEFAULT_HISTORY_MESSAGES = 100

# Messages that are read at a time: each may contain a file as base64.
READ_BATCH_ROWS = 50

MessageBody = dict[str, Json]


@dataclass(slots=True)
class _HistoryPage:
    """The messages of an answer."""

    free_bytes: int
    #: Whether the bytes of the JSON count as they are sent; else those that are stored.
    is_exact: bool
    bodies: list[MessageBody] = field(default_factory=list)
    #: A further message did not fit.
    full: bool = False

    def add(self, body: MessageBody, stored_bytes: int) -> None:
        """Adds a message if it fits. The first one always does: the next page must get past it."""
        size = len(encode(body)) + 1 if self.is_exact else stored_bytes
        if size > self.free_bytes and self.bodies:
            self.full = True
            return
        if size > self.free_bytes and self.is_exact:
            shorter = cut_payload(encode(body), self.free_bytes - 1)
            body = body if shorter is None else json.loads(shorter)
            size = len(encode(body)) + 1
        self.bodies.append(body)
        self.free_bytes -= size


class HistoryRequest:
    """Answers the requests of one account."""

    def __init__(self, journal: Journal, registry: PeopleRegistry, contacts_topic: str) -> None:
        self._journal = journal
        self._registry = registry
        self._contacts_topic = contacts_topic

    async def answer(self, fields: dict[str, Json], max_bytes: int | None) -> Json:
        """Returns messages in the order of `seq`; the data have at most `max_bytes`, None: no limit.

        Raises `BadCommand` and `StoreError`.
        """
        stream = self._journal.stream
        limit = MAX_HISTORY_ANSWER_BYTES if max_bytes is None else min(MAX_HISTORY_ANSWER_BYTES, max_bytes)
        frame_bytes = len(encode({"messages": [], "more": False, "stream": stream}))
        page = _HistoryPage(limit - frame_bytes, is_exact=True)
        more = await self._fill(page, self._parse_query(fields))
        messages: list[Json] = list(page.bodies)
        return {"messages": messages, "more": more, "stream": stream}

    async def find(self, query: HistoryQuery) -> tuple[list[MessageBody], bool]:
        """Returns the same messages for the page, and whether there are further ones."""
        page = _HistoryPage(MAX_HISTORY_ANSWER_BYTES, is_exact=False)
        more = await self._fill(page, query)
        return page.bodies, more

    async def _fill(self, page: _HistoryPage, query: HistoryQuery) -> bool:
        """Adds messages up to the limits of query and page; returns whether there are further ones.

        With `since` the oldest are added first, else the newest, so that the oldest ones are left out. The
        page has them in the order of `seq`.
        """
        more = True
        missing = query.limit
        rows: Sequence[HistoryRow] = ()
        is_forward = query.since is not None
        while more and missing and not page.full:
            rows, more = await self._journal.history.find(replace(query, limit=min(READ_BATCH_ROWS, missing)))
            if not rows:
                break
            await self._add_rows(page, rows if is_forward else rows[::-1])
            missing -= len(rows)
            query = replace(query, since=rows[-1].seq) if is_forward else replace(query, before=rows[0].seq)
        if not is_forward:
            page.bodies.reverse()
        return bool(rows) and (more or page.full)

    async def _add_rows(self, page: _HistoryPage, history_rows: Sequence[HistoryRow]) -> None:
        """Adds messages with the current state of their media."""
        media_rows: defaultdict[str, list[MediaRow]] = defaultdict(list)
        for media_row in await self._journal.media.of_messages([row.message_id for row in history_rows]):
            media_rows[media_row.message_id].append(media_row)
        for row in history_rows:
            if not page.full:
                page.add(with_current_media(row.payload, media_rows[row.message_id]), len(row.payload))

    def _parse_query(self, fields: dict[str, Json]) -> HistoryQuery:
        read.reject_unknown_fields(fields, "since", "before", "user", "kind", "text", "limit", "stream")
        since = read.read_integer(fields, "since")
        stream = read.read_text(fields, "stream", "")
        if stream and stream != self._journal.stream:
            raise BadCommand("stream_changed", "stream_changed", stream=self._journal.stream)
        kind = read.read_text(fields, "kind", "")
        if kind and kind not in list(Kind):
            raise BadCommand("bad_request", "unknown_kind", kind=kind, known=", ".join(Kind))
        users: tuple[str, ...] = ()
        if user := read.read_text(fields, "user", ""):
            person = self._registry.by_topic_name(user)
            if person is None:
                raise BadCommand("unknown_user", "unknown_user", user=user, contacts=self._contacts_topic)
            users = self._registry.topic_names_of(person.id)  # a message is stored with the name of its time
        return HistoryQuery(
            since=since,
            before=read.read_integer(fields, "before"),
            users=users,
            kind=kind,
            text=read.read_text(fields, "text", ""),
            limit=min(
                MAX_HISTORY_MESSAGES,
                read.read_integer(fields, "limit", DEFAULT_HISTORY_MESSAGES, minimum=1)
                or DEFAULT_HISTORY_MESSAGES,
            ),
        )
