"""From a message to the bytes that are to be fetched for it.

Files as they stand in JSON.

How bytes are shown: in the object of their message, in `event/media`, in answers. Pure.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from wx2mqtt.bridge.account_settings import MediaRules
from wx2mqtt.model import Blob, Json, Kind, MediaRef, Message
from wx2mqtt.mqtt.payloads import event_body
from wx2mqtt.store.records import MediaPart, MediaRow, MediaState, NewMedia

THUMBNAIL_DELAY_MS = 5_000  # milliseconds: in a burst the pictures themselves come before the small ones


_ID_BYTES = 12


def new_media_id() -> str:
    """A level of a url that nobody can guess."""
    return secrets.token_hex(_ID_BYTES)


def media_jobs(message: Message, rules: MediaRules, now: int) -> tuple[NewMedia, ...]:
    """What is to be fetched for a message, the thing itself first; `now` in milliseconds.

    A text has no object that could say where its bytes are.
    """
    if message.kind is Kind.TEXT:
        return ()
    parts = (
        (MediaPart.WHOLE, message.media, now),
        (MediaPart.THUMBNAIL, message.thumbnail, now + THUMBNAIL_DELAY_MS),
    )
    return tuple(
        _job(part, message, ref, due if rules.download else None)
        for part, ref, due in parts
        if ref is not None
    )


def _job(part: MediaPart, message: Message, ref: MediaRef, due: int | None) -> NewMedia:
    return NewMedia(id=new_media_id(), part=part, kind=str(message.kind), ref=ref, due=due)


def is_held(jobs: Iterable[NewMedia], rules: MediaRules) -> bool:
    """Whether a message waits a moment for its bytes. What was announced of their size is not looked at."""
    return rules.inline_below > 0 and any(job.part is MediaPart.WHOLE and job.due is not None for job in jobs)


async def read_as_base64(file: Path) -> str:
    """A whole file, read beside the loop; whoever asks has seen how large it is. Raises `OSError`."""
    return await asyncio.to_thread(_in_base64, file)


def _in_base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode("ascii")


MEDIA_EVENT = "media"


KINDS_WITH_MEDIA = frozenset({Kind.IMAGE, Kind.VOICE, Kind.VIDEO, Kind.STICKER, Kind.FILE})


def media_in_message(message: Message, jobs: Iterable[NewMedia], rules: MediaRules) -> dict[str, Json]:
    """What the object of a message says of its bytes before any has come.

    WeChat has no bytes at all of some stickers (webwx 2.16.8).
    """
    fields: dict[str, Json] = {}
    for job in jobs:
        state: dict[str, Json] = {"state": str(MediaState.PENDING), **_url(job.id, rules)}
        if job.part is MediaPart.WHOLE:
            fields |= {**_announced(job.ref), **state}
        else:
            fields["thumbnail"] = state
    if message.kind in KINDS_WITH_MEDIA and message.media is None:
        fields["state"] = str(MediaState.GONE)
    return fields


def file_fields(blob: Blob) -> dict[str, Json]:
    """What is known of bytes that are on the disk."""
    facts: dict[str, Json] = {
        "path": blob.path,
        "mime": blob.mime,
        "size": blob.size,
        "sha256": blob.sha256,
        "width": blob.width,
        "height": blob.height,
    }
    return {key: value for key, value in facts.items() if value is not None}


def media_fields(row: MediaRow) -> dict[str, Json]:
    """The state of bytes, and what is known of them."""
    return {"state": str(row.state), **(file_fields(row.blob) if row.blob is not None else {})}


def media_event(row: MediaRow, rules: MediaRules, account: str, now: int) -> dict[str, Json]:
    """The body of `event/media`: the bytes are there, or are not to be had."""
    fields: dict[str, Json] = {
        "message_id": row.message_id,
        "media_id": row.id,
        **_url(row.id, rules),
        **media_fields(row),
    }
    if row.reason:
        fields["reason"] = row.reason
    event_id = f"{MEDIA_EVENT}:{row.id}"
    return event_body(MEDIA_EVENT, event_id=event_id, account=account, time=now, user=row.user, fields=fields)


def media_answer(row: MediaRow, blob: Blob, rules: MediaRules) -> dict[str, Json]:
    """What `request/media` says of bytes that are there."""
    message = {"message_id": row.message_id} if row.message_id else {}
    return {**_url(row.id, rules), **file_fields(blob), "media_id": row.id, **message}


def with_current_media(payload: bytes, rows: Sequence[MediaRow]) -> dict[str, Json]:
    """A message of the history, with what is known by now of its bytes (`rows` are those of this message)."""
    body: dict[str, Json] = json.loads(payload)
    kind = str(body.get("kind"))
    shown = body.get(kind)
    if not rows or not isinstance(shown, dict):
        return body
    return {**body, kind: _overlaid(shown, rows)}


def _overlaid(described: Mapping[str, Json], rows: Sequence[MediaRow]) -> dict[str, Json]:
    known = dict(described)
    for row in rows:
        if row.part is MediaPart.WHOLE:
            known = _now(known, row)
        elif isinstance(small := known.get("thumbnail"), dict):
            known["thumbnail"] = _now(small, row)
    return known


def _now(described: Mapping[str, Json], row: MediaRow) -> dict[str, Json]:
    """A file that has been there may be so no longer."""
    return {**{key: value for key, value in described.items() if key != "path"}, **media_fields(row)}


def _announced(ref: MediaRef) -> dict[str, Json]:
    facts: dict[str, Json] = {"mime": ref.mime, "size": ref.size, "name": ref.name}
    return {key: value for key, value in facts.items() if value not in {"", None}}


def _url(media_id: str, rules: MediaRules) -> dict[str, Json]:
    url = rules.url(media_id)
    return {} if url is None else {"url": url}
