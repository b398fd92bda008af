"""The request `history`: published messages again, for clients that were not connected.

    {"user": "wife", "limit": 2}  ->  {"messages": [{"seq": 7, …}, {"seq": 9, …}], "more": true, …}

An answer has at most `MAX_HISTORY_MESSAGES` messages and fits into one packet of the broker; `more` says that
there are further ones.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from wx2mqtt.bridge.media.media_payloads import with_current_media
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.errors import BadCommand
from wx2mqtt.limits import MAX_HISTORY_ANSWER_BYTES, MAX_HISTORY_MESSAGES
from wx2mqtt.model import Json, Kind
from wx2mqtt.mqtt import commands as read
from wx2mqtt.mqtt.payloads import cut_payload, encode
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.records import HistoryQuery, HistoryRow, MediaRow

DEFAULT_HISTORY_MESSAGES = 100

# How many messages are read from the journal at a time; each may contain a file as base64.
READ_BATCH_ROWS = 50

MessageBody = dict[str, Json]


class HistoryRequest:
    """Answers the requests `history` of one account (`answer`), and finds messages for the page (`find`)."""

    def __init__(self, journal: Journal, registry: PeopleRegistry, contacts_topic: str) -> None:
        self._journal = journal
        self._registry = registry
        self._contacts_topic = contacts_topic

    async def answer(self, fields: dict[str, Json], max_bytes: int | None) -> Json:
        """Returns messages in the order of `seq`, in `max_bytes`. Raises `BadCommand` and `StoreError`."""
        stream = self._journal.stream
        limit = MAX_HISTORY_ANSWER_BYTES if max_bytes is None else min(MAX_HISTORY_ANSWER_BYTES, max_bytes)
        frame_bytes = len(encode({"messages": [], "more": False, "stream": stream}))
        page = _HistoryPage(limit - frame_bytes, is_exact=True)
        more = await self._fill(page, self._parse_query(fields))
        messages: list[Json] = list(page.bodies)
        return {"messages": messages, "more": more, "stream": stream}

    async def find(self, query: HistoryQuery) -> tuple[list[MessageBody], bool]:
        """Returns messages in the order of `seq`, and whether there are further ones. Raises `StoreError`."""
        page = _HistoryPage(MAX_HISTORY_ANSWER_BYTES, is_exact=False)
        more = await self._fill(page, query)
        return page.bodies, more

    async def _fill(self, page: _HistoryPage, query: HistoryQuery) -> bool:
        """Adds messages up to the limits of query and page; returns whether there are further ones.

        With `since` the oldest are added first, else the newest, so that the oldest ones are left out. The
        page has them in the order of `seq`.
        """
        is_forward = query.since is not None
        missing = query.limit
        more = True
        while more and missing and not page.full:
            rows, more = await self._journal.history.find(replace(query, limit=min(READ_BATCH_ROWS, missing)))
            if not rows:
                more = False
            elif is_forward:
                await self._add_rows(page, rows)
                query = replace(query, since=rows[-1].seq)
            else:
                await self._add_rows(page, rows[::-1])
                query = replace(query, before=rows[0].seq)
            missing -= len(rows)
        if not is_forward:
            page.bodies.reverse()
        return bool(page.bodies) and (more or page.full)

    async def _add_rows(self, page: _HistoryPage, rows: Sequence[HistoryRow]) -> None:
        """Adds messages with the current state of their files, until the page is full."""
        media: defaultdict[str, list[MediaRow]] = defaultdict(list)
        for media_row in await self._journal.media.of_messages([row.message_id for row in rows]):
            media[media_row.message_id].append(media_row)
        for row in rows:
            if not page.full:
                page.add(with_current_media(row.payload, media[row.message_id]), len(row.payload))

    def _parse_query(self, fields: dict[str, Json]) -> HistoryQuery:
        read.reject_unknown_fields(fields, "since", "before", "user", "kind", "text", "limit", "stream")
        since = read.read_integer(fields, "since")
        before = read.read_integer(fields, "before")
        limit = read.read_integer(fields, "limit", minimum=1) or DEFAULT_HISTORY_MESSAGES
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
            before=before,
            users=users,
            kind=kind,
            text=read.read_text(fields, "text", ""),
            limit=min(limit, MAX_HISTORY_MESSAGES),
        )


@dataclass(slots=True)
class _HistoryPage:
    """The messages of an answer."""

    free_bytes: int
    #: Whether a message counts with its bytes in the answer. If not, with those in the store: that is faster.
    is_exact: bool
    bodies: list[MessageBody] = field(default_factory=list)
    #: Whether a further message did not fit.
    full: bool = False

    def add(self, body: MessageBody, stored_bytes: int) -> None:
        """Adds a message if it fits.

        The first one is added in any case, cut if possible, else a client would never get past it.
        """
        size = self._size(body, stored_bytes)
        if size > self.free_bytes and self.bodies:
            self.full = True
            return
        if size > self.free_bytes and self.is_exact:
            shorter = cut_payload(encode(body), self.free_bytes - 1)
            if shorter is not None:
                body = json.loads(shorter)
                size = self._size(body, stored_bytes)
        self.bodies.append(body)
        self.free_bytes -= size

    def _size(self, body: MessageBody, stored_bytes: int) -> int:
        return len(encode(body)) + len(",") if self.is_exact else stored_bytes
