"""`request/media`: the bytes of a message, a small picture of it, or somebody's avatar (DESIGN 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wx2mqtt.bridge.fields import only
from wx2mqtt.bridge.media.jobs import new_id
from wx2mqtt.bridge.media.reading import in_base64
from wx2mqtt.bridge.media.rules import MediaRules
from wx2mqtt.bridge.media.shelf import Shelf
from wx2mqtt.bridge.media.shown import in_answer
from wx2mqtt.bridge.media.tries import DAY
from wx2mqtt.bridge.people.identity import Identity
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Blob, Json
from wx2mqtt.store.journal import Journal, MediaRow, MediaState, NewMedia, Part
from wx2mqtt.wechat.gateway import Gateway

WAIT = 20.0  # seconds that an answer waits for bytes
LARGEST_INLINE = 1_000_000  # bytes of a file that go into an answer; it is in memory some times over
FRAME = 2_000  # bytes of an answer beside the file's own
SOON = 600_000  # milliseconds in which an avatar that was not to be had is not asked for again

NAMES = ("message_id", "id", "avatar")

CODES = {
    MediaState.PENDING: "not_ready",
    MediaState.FAILED: "fetch_failed",
    MediaState.TOO_LARGE: "too_large",
    MediaState.GONE: "gone",
}
"""What an answer says where there are no bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Whose bytes: those of a message, those with an id, or somebody's avatar; one of these is given."""

    message_id: str
    media_id: str
    avatar: str
    part: Part
    inline: bool


class MediaRequest:
    """Answers for one account."""

    def __init__(
        self,
        *,
        shelf: Shelf,
        journal: Journal,
        gateway: Gateway,
        identity: Identity,
        rules: Callable[[], MediaRules],
    ) -> None:
        self._shelf = shelf
        self._journal = journal
        self._gateway = gateway
        self._identity = identity
        self._rules = rules

    async def answer(self, fields: dict[str, Json], room: int | None) -> Json:
        """Where the bytes are and what they are; with `inline` the bytes themselves, where they fit.

        `room` is how many bytes the answer may have, None without a limit. Raises `BadCommand`.
        """
        asked = read(fields)
        row = await (self._avatar(asked.avatar) if asked.avatar else self._of_message(asked))
        blob = _there(row)
        found = in_answer(row, blob, self._rules())
        if asked.inline:
            _must_fit(blob, found, room)
            found["data"] = await in_base64(self._shelf.file(row))
        return found

    async def _of_message(self, asked: Asked) -> MediaRow:
        media_id = asked.media_id or await self._id_of(asked.message_id, asked.part)
        row = await self._shelf.find(media_id, WAIT)
        if row is None:
            raise BadCommand("unknown_message", "media_unknown", id=media_id)
        return row

    async def _id_of(self, message_id: str, part: Part) -> str:
        for row in await self._journal.media_of([message_id]):
            if row.part is part:
                return row.id
        raise BadCommand("unknown_message", "media_unknown", id=message_id)

    async def _avatar(self, user: str) -> MediaRow:
        """The picture of today; where that is not to be had, the last one that was."""
        person = self._identity.by_level(user)
        if person is None:
            raise BadCommand("unknown_user", "media_nobody", user=user)
        before = await self._journal.media_avatar(person.level)
        if before is not None and _is_fresh(before, now_ms()):
            return await self._shelf.find(before.id, WAIT) or before
        ref = None if person.handle is None else self._gateway.avatar(person.handle)
        found = before
        if ref is not None:
            new = NewMedia(id=new_id(), part=Part.AVATAR, kind="image", ref=ref, due=0)
            kept = await self._journal.media_keep(new, person.level)
            found = await self._shelf.find(kept.id, WAIT)
        if before is not None and (found is None or found.blob is None):
            found = await self._shelf.find(before.id, 0)
        if found is None:
            raise BadCommand("gone", "no_avatar", user=user)
        return found


def read(fields: Mapping[str, Json]) -> Asked:
    """What a request asks for. Raises `BadCommand`."""
    only(fields, *NAMES, "thumbnail", "inline")
    names = {key: _text(fields, key) for key in NAMES}
    if sum(map(bool, names.values())) != 1:
        raise BadCommand("bad_request", "media_which")
    return Asked(
        message_id=names["message_id"],
        media_id=names["id"],
        avatar=names["avatar"],
        part=Part.THUMBNAIL if _flag(fields, "thumbnail") else Part.WHOLE,
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
    return 0 <= now - row.created < (DAY if row.state is MediaState.READY else SOON)


def _there(row: MediaRow) -> Blob:
    if row.state is MediaState.READY and row.blob is not None:
        return row.blob
    word = "media_not_ready" if row.state is MediaState.PENDING else "media_not_to_be_had"
    raise BadCommand(CODES[row.state], word, why=row.why)


def _must_fit(blob: Blob, found: Mapping[str, Json], room: int | None) -> None:
    most = LARGEST_INLINE if room is None else max(0, min(LARGEST_INLINE, (room - FRAME) * 3 // 4))
    if blob.size > most:
        where = found.get("url") or blob.path
        raise BadCommand("too_large", "media_not_inline", size=blob.size, limit=most, where=where)
