"""Where bytes are found that came with messages; whoever wants some that are not there yet waits for them.

`request/media`: the bytes of a message, a small picture of it, or somebody's avatar.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wx2mqtt.aio import Signal
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.media.payloads import media_answer, new_media_id, read_as_base64
from wx2mqtt.bridge.media.retries import GIVE_UP_AFTER_MS, retry_time_when_requested
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Blob, Json
from wx2mqtt.mqtt.commands import reject_unknown_fields
from wx2mqtt.store.records import MediaPart, MediaRow, MediaState, NewMedia


class MediaLibrary:
    """The bytes of one account. `download_requested` is emitted when somebody waits for bytes."""

    def __init__(self, ctx: AccountContext) -> None:
        self._journal = ctx.journal
        self._blobs = ctx.shared.blobs
        self.download_requested: Signal[[]] = Signal()
        self._waiters: dict[str, list[asyncio.Event]] = {}
        self._requested_ids: set[str] = set()

    @property
    def requested_ids(self) -> Collection[str]:
        """The ids of pending files that a client has requested since the start."""
        return self._requested_ids

    def is_requested(self, row: MediaRow) -> bool:
        """Returns whether a client has requested this file: since the start, or before without a try."""
        return row.due == 0 or row.id in self._requested_ids

    def mark_requested(self, media_id: str) -> None:
        """Remembers that a client has requested a file until its download has ended."""
        self._requested_ids.add(media_id)

    async def find(self, media_id: str, wait: float) -> MediaRow | None:
        """What is known of these bytes, in about `wait` seconds at most; None for an id that is unknown.

        What is not there is asked for, and waited for until it is there, is not to be had, or time is over.
        Raises `StoreError`.
        """
        over = asyncio.Event()
        waiting = self._waiters.setdefault(media_id, [])
        waiting.append(over)
        try:
            row = await self._request(media_id)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    while row is not None and row.state is MediaState.PENDING:
                        await over.wait()
                        over.clear()  # what ended may be the try before the one that was asked for
                        row = await self._journal.get_media(media_id)
            return row
        finally:
            waiting.remove(over)
            if not waiting:
                self._waiters.pop(media_id, None)

    def file(self, row: MediaRow) -> Path:
        """Where the bytes of a row are that is `ready`."""
        if row.blob is None:
            raise ValueError("there are no bytes yet")
        return self._blobs.path_of(row.blob)

    def on_media_finished(self, media_id: str) -> None:
        """These are there, or are not to be had."""
        self._requested_ids.discard(media_id)
        for waiting in self._waiters.get(media_id, ()):
            waiting.set()

    async def _request(self, media_id: str) -> MediaRow | None:
        self.mark_requested(media_id)  # before the row is read, so that nobody takes its time away meanwhile
        row = await self._journal.get_media(media_id)
        if row is not None and await self._request_download(row):
            self.download_requested.emit()
            row = await self._journal.get_media(media_id)
        if row is None or row.state is not MediaState.PENDING:
            self._requested_ids.discard(media_id)
        return row

    async def _request_download(self, row: MediaRow) -> bool:
        """Whether it is to be fetched, which is noted; so are bytes that somebody took away by hand."""
        match row.state:
            case MediaState.READY if not await self._exists(row):
                await self._journal.mark_media_lost(row.id, 0)
            case MediaState.PENDING | MediaState.FAILED if (
                due := retry_time_when_requested(row, now_ms())
            ) is not None:
                await self._journal.request_media(row.id, due)
            case _:
                return False
        return True

    async def _exists(self, row: MediaRow) -> bool:
        return row.blob is not None and await asyncio.to_thread(self._blobs.exists, row.blob)


MEDIA_WAIT_TIMEOUT_SECONDS = 20.0  # seconds that an answer waits for bytes


MAX_INLINE_BYTES = 1_000_000  # bytes of a file that go into an answer; it is in memory some times over


ANSWER_OVERHEAD_BYTES = 2_000  # bytes of an answer beside the file's own


AVATAR_RETRY_MS = 600_000  # milliseconds in which an avatar that was not to be had is not asked for again


QUERY_FIELDS = ("message_id", "id", "avatar")


ERROR_CODES = {
    MediaState.PENDING: "not_ready",
    MediaState.FAILED: "fetch_failed",
    MediaState.TOO_LARGE: "too_large",
    MediaState.GONE: "gone",
}
"""What an answer says where there are no bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaQuery:
    """Whose bytes: those of a message, those with an id, or somebody's avatar; one of these is given."""

    message_id: str
    media_id: str
    avatar: str
    part: MediaPart
    inline: bool


class MediaRequest:
    """Answers for one account."""

    def __init__(self, ctx: AccountContext, library: MediaLibrary) -> None:
        self._ctx = ctx
        self._journal = ctx.journal
        self._backend = ctx.backend
        self._registry = ctx.registry
        self._library = library

    async def answer(self, fields: dict[str, Json], max_bytes: int | None) -> Json:
        """Where the bytes are and what they are; with `inline` the bytes themselves, where they fit.

        `room` is how many bytes the answer may have, None without a limit. Raises `BadCommand`.
        """
        asked = read_media_query(fields)
        row = await (self._avatar(asked.avatar) if asked.avatar else self._find_by_message(asked))
        blob = _there(row)
        found = media_answer(row, blob, self._ctx.settings.media)
        if asked.inline:
            _must_fit(blob, found, max_bytes)
            found["data"] = await read_as_base64(self._library.file(row))
        return found

    async def _find_by_message(self, query: MediaQuery) -> MediaRow:
        media_id = query.media_id or await self._media_id_of(query.message_id, query.part)
        row = await self._library.find(media_id, MEDIA_WAIT_TIMEOUT_SECONDS)
        if row is None:
            raise BadCommand("unknown_message", "media_unknown", id=media_id)
        return row

    async def _media_id_of(self, message_id: str, part: MediaPart) -> str:
        for row in await self._journal.media_of_messages([message_id]):
            if row.part is part:
                return row.id
        raise BadCommand("unknown_message", "media_unknown", id=message_id)

    async def _avatar(self, user: str) -> MediaRow:
        """The picture of today; where that is not to be had, the last one that was."""
        person = self._registry.by_level(user)
        if person is None:
            raise BadCommand("unknown_user", "media_nobody", user=user)
        before = await self._journal.newest_avatar(person.level)
        if before is not None and _is_fresh(before, now_ms()):
            return await self._library.find(before.id, MEDIA_WAIT_TIMEOUT_SECONDS) or before
        ref = None if person.handle is None else self._backend.avatar(person.handle)
        found = before
        if ref is not None:
            new = NewMedia(id=new_media_id(), part=MediaPart.AVATAR, kind="image", ref=ref, due=0)
            kept = await self._journal.add_media(new, person.level)
            found = await self._library.find(kept.id, MEDIA_WAIT_TIMEOUT_SECONDS)
        if before is not None and (found is None or found.blob is None):
            found = await self._library.find(before.id, 0)
        if found is None:
            raise BadCommand("gone", "no_avatar", user=user)
        return found


def read_media_query(fields: Mapping[str, Json]) -> MediaQuery:
    """What a request asks for. Raises `BadCommand`."""
    reject_unknown_fields(fields, *QUERY_FIELDS, "thumbnail", "inline")
    names = {key: _text(fields, key) for key in QUERY_FIELDS}
    if sum(map(bool, names.values())) != 1:
        raise BadCommand("bad_request", "media_which")
    return MediaQuery(
        message_id=names["message_id"],
        media_id=names["id"],
        avatar=names["avatar"],
        part=MediaPart.THUMBNAIL if _flag(fields, "thumbnail") else MediaPart.WHOLE,
        inline=_flag(fields, "inline"),
    )


def _text(fields: Mapping[str, Json], key: str) -> str:
    value = fields.get(key, "")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise BadCommand("bad_request", "bad_value", key=key, expected="a text")
    return value


def _flag(fields: Mapping[str, Json], key: str) -> bool:
    value = fields.get(key, False)
    if not isinstance(value, bool):
        raise BadCommand("bad_request", "bad_value", key=key, expected="true or false")
    return value


def _is_fresh(row: MediaRow, now: int) -> bool:
    return 0 <= now - row.created < (GIVE_UP_AFTER_MS if row.state is MediaState.READY else AVATAR_RETRY_MS)


def _there(row: MediaRow) -> Blob:
    if row.state is MediaState.READY and row.blob is not None:
        return row.blob
    word = "media_not_ready" if row.state is MediaState.PENDING else "media_not_to_be_had"
    raise BadCommand(ERROR_CODES[row.state], word, why=row.reason)


def _must_fit(blob: Blob, answer: Mapping[str, Json], max_bytes: int | None) -> None:
    most = (
        MAX_INLINE_BYTES
        if max_bytes is None
        else max(0, min(MAX_INLINE_BYTES, (max_bytes - ANSWER_OVERHEAD_BYTES) * 3 // 4))
    )
    if blob.size > most:
        where = answer.get("url") or blob.path
        raise BadCommand("too_large", "media_not_inline", size=blob.size, limit=most, where=where)
