"""The JSON of media in messages, in `event/media` and in answers, and the download jobs of a message.

a picture arrives   ->  `media_jobs`: one job for it, one for its thumbnail
                    ->  `media_in_message`: {"state": "pending", "url": "…", "thumbnail": {…}}
it is downloaded    ->  `media_event`: {"state": "ready", "path": "…", "mime": "image/jpeg", …}
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from wx2mqtt.bridge.account_settings import AccountSettings
from wx2mqtt.model import Blob, Json, Kind, Message
from wx2mqtt.mqtt.payloads import event_body
from wx2mqtt.store.records import MediaPart, MediaRow, MediaState, NewMedia

# The name of the event that says what became of a download.
MEDIA_EVENT = "media"

# Thumbnails are due later, so that in a burst of messages the files themselves are downloaded first.
THUMBNAIL_DELAY_MS = 5_000

MEDIA_ID_BYTES = 12

# Messages of these kinds have a file. If WeChat names none, it is gone.
KINDS_WITH_MEDIA = frozenset({Kind.IMAGE, Kind.VOICE, Kind.VIDEO, Kind.STICKER, Kind.FILE})


def new_media_id() -> str:
    """Returns a random id, which is part of an url and cannot be guessed."""
    return secrets.token_hex(MEDIA_ID_BYTES)


def media_jobs(message: Message, settings: AccountSettings, now: int) -> tuple[NewMedia, ...]:
    """Returns the download jobs of a message: its file first, then its thumbnail; `now` in milliseconds.

    Without `media.download` they are stored, too, but not due (None): a client may request them.
    """
    parts = (
        (MediaPart.WHOLE, message.media, now),
        (MediaPart.THUMBNAIL, message.thumbnail, now + THUMBNAIL_DELAY_MS),
    )
    return tuple(
        NewMedia(
            id=new_media_id(),
            part=part,
            kind=str(message.kind),
            ref=ref,
            due=due if settings.account.media.download else None,
        )
        for part, ref, due in parts
        if ref is not None
    )


def waits_for_file(jobs: Iterable[NewMedia], settings: AccountSettings) -> bool:
    """Returns whether a message waits for its file (`inline_files.py`), whatever size of it is announced."""
    has_file = any(job.part is MediaPart.WHOLE and job.due is not None for job in jobs)
    return settings.account.media.inline_below > 0 and has_file


async def read_as_base64(file: Path) -> str:
    """Returns a whole file as base64; the caller has checked its size. Raises `OSError`."""
    return base64.b64encode(await asyncio.to_thread(file.read_bytes)).decode("ascii")


def media_in_message(
    message: Message, jobs: Iterable[NewMedia], settings: AccountSettings
) -> dict[str, Json]:
    """Returns the media fields of a new message, before any download.

    WeChat has no file of some stickers (webwx 2.16.8): these are `gone`.
    """
    fields: dict[str, Json] = {}
    for job in jobs:
        state: dict[str, Json] = {"state": str(MediaState.PENDING), **_url(job.id, settings)}
        if job.part is MediaPart.WHOLE:
            announced: dict[str, Json] = {"mime": job.ref.mime, "size": job.ref.size, "name": job.ref.name}
            fields |= {key: value for key, value in announced.items() if value not in {"", None}}
            fields |= state
        else:
            fields["thumbnail"] = state
    if message.kind in KINDS_WITH_MEDIA and message.media is None:
        fields["state"] = str(MediaState.GONE)
    return fields


def file_fields(blob: Blob) -> dict[str, Json]:
    """Returns the fields of a stored file; unknown ones are left out."""
    fields: dict[str, Json] = {
        "path": blob.path,
        "mime": blob.mime,
        "size": blob.size,
        "sha256": blob.sha256,
        "width": blob.width,
        "height": blob.height,
    }
    return {key: value for key, value in fields.items() if value is not None}


def media_fields(row: MediaRow) -> dict[str, Json]:
    """Returns the state of a download, and the fields of the file if it is stored.

    The name is among them, since WeCom tells it only with the file.
    """
    file = {} if row.blob is None else {**_name(row), **file_fields(row.blob)}
    return {"state": str(row.state), **file}


def media_event(row: MediaRow, settings: AccountSettings, account: str, now: int) -> dict[str, Json]:
    """Returns the body of `event/media`, which announces that a download succeeded or was given up."""
    fields: dict[str, Json] = {
        "message_id": row.message_id,
        "media_id": row.id,
        **_url(row.id, settings),
        **media_fields(row),
    }
    if row.reason:
        fields["reason"] = row.reason
    event_id = f"{MEDIA_EVENT}:{row.id}"
    return event_body(MEDIA_EVENT, event_id=event_id, account=account, time=now, user=row.user, fields=fields)


def media_answer(row: MediaRow, blob: Blob, settings: AccountSettings) -> dict[str, Json]:
    """Returns the answer of the request `media` for a stored file."""
    message = {"message_id": row.message_id} if row.message_id else {}
    return {**_url(row.id, settings), **_name(row), **file_fields(blob), "media_id": row.id, **message}


def with_current_media(payload: bytes, rows: Sequence[MediaRow]) -> dict[str, Json]:
    """Returns the JSON of a published message with the current state of its media (`rows`)."""
    body: dict[str, Json] = json.loads(payload)
    kind = str(body.get("kind"))
    media_object = body.get(kind)
    if not rows or not isinstance(media_object, dict):
        return body
    for row in rows:
        if row.part is MediaPart.WHOLE:
            media_object = _with_current_fields(media_object, row)
        elif isinstance(thumbnail := media_object.get("thumbnail"), dict):
            media_object = {**media_object, "thumbnail": _with_current_fields(thumbnail, row)}
    return {**body, kind: media_object}


def _with_current_fields(published: Mapping[str, Json], row: MediaRow) -> dict[str, Json]:
    """Returns the published fields with those of the row; `path` is dropped if the file was deleted."""
    return {**{key: value for key, value in published.items() if key != "path"}, **media_fields(row)}


def _name(row: MediaRow) -> dict[str, Json]:
    return {"name": row.ref.name} if row.ref.name else {}


def _url(media_id: str, settings: AccountSettings) -> dict[str, Json]:
    url = settings.media_url(media_id)
    return {} if url is None else {"url": url}
