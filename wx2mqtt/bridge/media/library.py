"""Finds the stored media of one account, and answers the request `media` with them.

A file that is not downloaded yet is requested and waited for; `downloader.py` does the downloads. The web
server reads files through `MediaLibrary`, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.media.payloads import media_answer, new_media_id, read_as_base64
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand
from wx2mqtt.limits import MAX_INLINE_FILE_BYTES
from wx2mqtt.model import Blob, Json
from wx2mqtt.mqtt.commands import read_flag, reject_unknown_fields
from wx2mqtt.store.records import MediaPart, MediaRow, MediaState, NewMedia

# A failed download that a caller waits for is tried again after this time.
REQUESTED_RETRY_DELAY_MS = 5_000

# An answer waits so long for a download.
# An answer waits so long for a download.
MEDIA_WAIT_TIMEOUT_SECONDS = 20.0

# Room in an answer for everything besides the file.
ANSWER_OVERHEAD_BYTES = 2_000

# A fetched avatar is fetched again after this time.
AVATAR_REFRESH_MS = 86_400_000

# An avatar that could not be fetched is fetched again after this time.
AVATAR_RETRY_MS = 600_000

# Exactly one of these is given.
QUERY_FIELDS = ("message_id", "id", "avatar")

# The error code of an answer for a file that is not stored.
ERROR_CODES = {
    MediaState.PENDING: "not_ready",
    MediaState.FAILED: "fetch_failed",
    MediaState.TOO_LARGE: "too_large",
    MediaState.GONE: "gone",
}


class MediaLibrary:
    """The media of one account."""

    def __init__(self, ctx: AccountContext) -> None:
        self._journal = ctx.journal.media
        self._blobs = ctx.shared.blobs
        #: Set when a caller waits for a download.
        self.download_requested = asyncio.Event()
        self._waiters: dict[str, list[asyncio.Event]] = {}
        #: The ids of files that a client has requested since the start, and whose download has not ended.
        self.requested_ids: set[str] = set()

    async def find(self, media_id: str, wait: float) -> MediaRow | None:
        """Returns the row of an id, None if it is unknown.

        A file that is not stored is requested; this waits up to `wait` seconds for the end of its download.
        Raises `StoreError`.
        """
        finished = asyncio.Event()
        waiters = self._waiters.setdefault(media_id, [])
        waiters.append(finished)
        try:
            row = await self._request(media_id)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    while row is not None and row.state is MediaState.PENDING:
                        await finished.wait()
                        finished.clear()  # perhaps an earlier attempt ended, not the requested one
                        row = await self._journal.get(media_id)
            return row
        finally:
            waiters.remove(finished)
            if not waiters:
                self._waiters.pop(media_id, None)

    def file(self, row: MediaRow) -> Path:
        """Returns the path of the file of a row in the state `ready`."""
        if row.blob is None:
            raise ValueError("the file is not stored yet")
        return self._blobs.path_of(row.blob)

    def on_media_finished(self, media_id: str) -> None:
        """Wakes the callers that wait for a download: it succeeded or was given up."""
        self.requested_ids.discard(media_id)
        for waiter in self._waiters.get(media_id, ()):
            waiter.set()

    async def _request(self, media_id: str) -> MediaRow | None:
        self.requested_ids.add(media_id)  # before the read: else the downloader could unschedule it meanwhile
        row = await self._journal.get(media_id)
        if row is not None and await self._request_download(row):
            self.download_requested.set()
            row = await self._journal.get(media_id)
        if row is None or row.state is not MediaState.PENDING:
            self.requested_ids.discard(media_id)
        return row

    async def _request_download(self, row: MediaRow) -> bool:
        """Makes the download of a row due, also of a deleted file. Returns whether it did."""
        match row.state:
            case MediaState.READY if row.blob is None or not await self._blobs.fetch(row.blob):
                await self._journal.mark_lost(row.id, 0)
            case MediaState.PENDING | MediaState.FAILED if (
                due := retry_time_when_requested(row, now_ms())
            ) is not None:
                await self._journal.request(row.id, due)
            case _:
                return False
        return True


def retry_time_when_requested(row: MediaRow, now: int) -> int | None:
    """Returns when a download that a caller waits for becomes due, in ms since 1970; None: as before.

    A download that was never tried becomes the next one (0). Repeated requests do not add attempts, and do
    not shorten the pauses after answers without a byte.
    """
    if not (row.attempts or row.reason):
        return 0
    if row.empty_attempts and row.due is not None:
        return None
    return now + REQUESTED_RETRY_DELAY_MS


class MediaRequest:
    """Answers the requests of one account."""

    def __init__(self, ctx: AccountContext, library: MediaLibrary) -> None:
        self._ctx = ctx
        self._journal = ctx.journal.media
        self._library = library

    async def answer(self, fields: dict[str, Json], max_bytes: int | None) -> Json:
        """Returns url, path and facts of a stored file; with `inline` also its bytes as base64.

        The file is that of a message (`message_id`, with `thumbnail` the small one), that with the media id
        `id`, or the `avatar` of a topic name. The answer has at most `max_bytes`, None: no limit. Raises
        `BadCommand` and `StoreError`.
        """
        reject_unknown_fields(fields, *QUERY_FIELDS, "thumbnail", "inline")
        message_id, media_id, avatar = (_text(fields, key) for key in QUERY_FIELDS)
        if [bool(message_id), bool(media_id), bool(avatar)].count(True) != 1:
            raise BadCommand("bad_request", "media_which")
        part = MediaPart.THUMBNAIL if read_flag(fields, "thumbnail") else MediaPart.WHOLE
        inline = read_flag(fields, "inline")
        if avatar:
            row = await self._find_avatar(avatar)
        else:
            row = await self._find_file(media_id or await self._media_id_of(message_id, part))
        blob = _require_ready(row)
        answer = media_answer(row, blob, self._ctx.settings)
        if inline:
            _require_fitting(blob, answer, max_bytes)
            answer["data"] = await read_as_base64(self._library.file(row))
        return answer

    async def _find_file(self, media_id: str) -> MediaRow:
        row = await self._library.find(media_id, MEDIA_WAIT_TIMEOUT_SECONDS)
        if row is None:
            raise BadCommand("unknown_message", "media_unknown", id=media_id)
        return row

    async def _media_id_of(self, message_id: str, part: MediaPart) -> str:
        for row in await self._journal.of_messages([message_id]):
            if row.part is part:
                return row.id
        raise BadCommand("unknown_message", "media_unknown", id=message_id)

    async def _find_avatar(self, user: str) -> MediaRow:
        """Returns the current avatar, fetched if need be; if that fails, the last one that was fetched."""
        person = self._ctx.registry.by_topic_name(user)
        if person is None:
            raise BadCommand("unknown_user", "media_nobody", user=user)
        stored = await self._journal.newest_avatar(person.topic_name)
        if stored is not None:
            max_age = AVATAR_REFRESH_MS if stored.state is MediaState.READY else AVATAR_RETRY_MS
            if 0 <= now_ms() - stored.created < max_age:
                return await self._library.find(stored.id, MEDIA_WAIT_TIMEOUT_SECONDS) or stored
        ref = None if person.handle is None else self._ctx.backend.avatar(person.handle)
        row = stored
        if ref is not None:
            new = NewMedia(id=new_media_id(), part=MediaPart.AVATAR, kind="image", ref=ref, due=0)
            added = await self._journal.add(new, person.topic_name)
            row = await self._library.find(added.id, MEDIA_WAIT_TIMEOUT_SECONDS)
        if stored is not None and (row is None or row.blob is None):
            row = await self._library.find(stored.id, 0)
        if row is None:
            raise BadCommand("gone", "no_avatar", user=user)
        return row


def _text(fields: Mapping[str, Json], key: str) -> str:
    value = fields.get(key, "")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise BadCommand("bad_request", "bad_value", key=key, expected="a text")
    return value


def _require_ready(row: MediaRow) -> Blob:
    if row.state is MediaState.READY and row.blob is not None:
        return row.blob
    message_key = "media_not_ready" if row.state is MediaState.PENDING else "media_not_to_be_had"
    raise BadCommand(ERROR_CODES[row.state], message_key, why=row.reason)


def _require_fitting(blob: Blob, answer: Mapping[str, Json], max_bytes: int | None) -> None:
    limit = MAX_INLINE_FILE_BYTES
    if max_bytes is not None:
        room = (max_bytes - ANSWER_OVERHEAD_BYTES) * 3 // 4  # base64 makes four bytes of three
        limit = max(0, min(limit, room))
    if blob.size > limit:
        where = answer.get("url") or blob.path
        raise BadCommand("too_large", "media_not_inline", size=blob.size, limit=limit, where=where)
