"""Answers the request `media` with a stored file, or the reason why there is none.

    request/media {"avatar": "wife"}   ->   {"media_id": "…", "url": "…", "path": "…", …}

`stored_media.py` finds the file, and requests its download if it is not stored.
"""

from __future__ import annotations

from collections.abc import Mapping

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.media.media_payloads import media_answer, new_media_id, read_as_base64
from wx2mqtt.bridge.media.stored_media import MediaLibrary
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand
from wx2mqtt.limits import MAX_INLINE_FILE_BYTES
from wx2mqtt.model import Blob, Json, MediaRef
from wx2mqtt.mqtt.commands import read_flag, reject_unknown_fields
from wx2mqtt.store.records import MediaPart, MediaRow, MediaState, NewMedia

# The longest time for which an answer waits for a download.
MEDIA_WAIT_TIMEOUT_SECONDS = 20.0

# Room in an answer for everything besides the file.
ANSWER_OVERHEAD_BYTES = 2_000

# A fetched avatar is fetched again after this time.
AVATAR_REFRESH_MS = 86_400_000

# An avatar that could not be fetched is fetched again after this time.
AVATAR_RETRY_MS = 600_000

# A request has exactly one of these fields.
QUERY_FIELDS = ("message_id", "id", "avatar")

# The error code of an answer for a file that is not stored.
ERROR_CODES = {
    MediaState.PENDING: "not_ready",
    MediaState.FAILED: "fetch_failed",
    MediaState.TOO_LARGE: "too_large",
    MediaState.GONE: "gone",
}


class MediaRequest:
    """Answers the requests `media` of one account."""

    def __init__(self, ctx: AccountContext, library: MediaLibrary) -> None:
        self._ctx = ctx
        self._journal = ctx.journal.media
        self._library = library

    async def answer(self, fields: dict[str, Json], max_bytes: int | None) -> Json:
        """Returns url, path and facts of a stored file; with `inline` also its bytes as base64.

        Which file it is, one of these says:

        - `message_id`: the file of a message, or with `thumbnail` its thumbnail;
        - `id`: a media id;
        - `avatar`: the topic name of a person, whose picture it is.

        The answer has at most `max_bytes`; None is no limit. Raises `BadCommand` and `StoreError`.
        """
        reject_unknown_fields(fields, *QUERY_FIELDS, "thumbnail", "inline")
        message_id, media_id, avatar = (_text(fields, key) for key in QUERY_FIELDS)
        given = [value for value in (message_id, media_id, avatar) if value]
        if len(given) != 1:
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
        """Returns the avatar of a topic name, the first of these that there is:

        - the stored one, if it is too early to fetch another;
        - a new one, if it can be fetched;
        - the stored one, even if it is old;
        - the row of a download that failed or has not ended.

        Raises `BadCommand` if there is none of them.
        """
        person = self._ctx.registry.by_topic_name(user)
        if person is None:
            raise BadCommand("unknown_user", "media_nobody", user=user)
        last = await self._journal.newest_avatar(person.topic_name)
        if last is not None and _is_current(last):
            return await self._library.find(last.id, MEDIA_WAIT_TIMEOUT_SECONDS) or last
        ref = None if person.handle is None else self._ctx.backend.avatar(person.handle)
        if ref is not None:
            fetched = await self._fetch_avatar(ref, person.topic_name)
            if fetched is not None and (fetched.blob is not None or last is None):
                return fetched
        elif last is not None and last.blob is not None:
            return last
        again = None if last is None else await self._library.find(last.id, 0)
        if again is None:
            raise BadCommand("gone", "no_avatar", user=user)
        return again

    async def _fetch_avatar(self, ref: MediaRef, topic_name: str) -> MediaRow | None:
        """Adds a new avatar, and returns its row when it was fetched, or after the longest wait."""
        new = NewMedia(id=new_media_id(), part=MediaPart.AVATAR, kind="image", ref=ref, due=0)
        added = await self._journal.add(new, topic_name)
        return await self._library.find(added.id, MEDIA_WAIT_TIMEOUT_SECONDS)


def _is_current(avatar: MediaRow) -> bool:
    """Returns whether it is too early to fetch another avatar."""
    max_age = AVATAR_REFRESH_MS if avatar.state is MediaState.READY else AVATAR_RETRY_MS
    return 0 <= now_ms() - avatar.created < max_age


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
