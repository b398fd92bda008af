"""How bytes are shown: in the object of their message, in `event/media`, in answers (DESIGN 4). Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from wx2mqtt.bridge.media.rules import MediaRules
from wx2mqtt.model import Blob, Json, Kind, MediaRef, Message
from wx2mqtt.mqtt.payloads import event_body
from wx2mqtt.store.rows import MediaRow, MediaState, NewMedia, Part

EVENT = "media"
WITH_BYTES = frozenset({Kind.IMAGE, Kind.VOICE, Kind.VIDEO, Kind.STICKER, Kind.FILE})


def in_message(message: Message, jobs: Iterable[NewMedia], rules: MediaRules) -> dict[str, Json]:
    """What the object of a message says of its bytes before any has come.

    WeChat has no bytes at all of some stickers (webwx 2.16).
    """
    fields: dict[str, Json] = {}
    for job in jobs:
        state: dict[str, Json] = {"state": str(MediaState.PENDING), **_url(job.id, rules)}
        if job.part is Part.WHOLE:
            fields |= {**_announced(job.ref), **state}
        else:
            fields["thumbnail"] = state
    if message.kind in WITH_BYTES and message.media is None:
        fields["state"] = str(MediaState.GONE)
    return fields


def of_file(blob: Blob) -> dict[str, Json]:
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


def present(row: MediaRow) -> dict[str, Json]:
    """The state of bytes, and what is known of them."""
    return {"state": str(row.state), **(of_file(row.blob) if row.blob is not None else {})}


def over_event(row: MediaRow, rules: MediaRules, account: str, now: int) -> dict[str, Json]:
    """The body of `event/media`: the bytes are there, or are not to be had."""
    fields: dict[str, Json] = {
        "message_id": row.message_id,
        "media_id": row.id,
        **_url(row.id, rules),
        **present(row),
    }
    if row.why:
        fields["reason"] = row.why
    event_id = f"{EVENT}:{row.id}"
    return event_body(EVENT, event_id=event_id, account=account, time=now, user=row.user, fields=fields)


def in_answer(row: MediaRow, blob: Blob, rules: MediaRules) -> dict[str, Json]:
    """What `request/media` says of bytes that are there."""
    message = {"message_id": row.message_id} if row.message_id else {}
    return {**_url(row.id, rules), **of_file(blob), "media_id": row.id, **message}


def overlaid(payload: bytes, rows: Sequence[MediaRow]) -> dict[str, Json]:
    """A message of the history, with what is known by now of its bytes (`rows` are those of this message)."""
    body: dict[str, Json] = json.loads(payload)
    kind = str(body.get("kind"))
    shown = body.get(kind)
    if not rows or not isinstance(shown, dict):
        return body
    return {**body, kind: _overlaid(shown, rows)}


def _overlaid(shown: Mapping[str, Json], rows: Sequence[MediaRow]) -> dict[str, Json]:
    known = dict(shown)
    for row in rows:
        if row.part is Part.WHOLE:
            known = _now(known, row)
        elif isinstance(small := known.get("thumbnail"), dict):
            known["thumbnail"] = _now(small, row)
    return known


def _now(shown: Mapping[str, Json], row: MediaRow) -> dict[str, Json]:
    """A file that has been there may be so no longer."""
    return {**{key: value for key, value in shown.items() if key != "path"}, **present(row)}


def _announced(ref: MediaRef) -> dict[str, Json]:
    facts: dict[str, Json] = {"mime": ref.mime, "size": ref.size, "name": ref.name}
    return {key: value for key, value in facts.items() if value not in {"", None}}


def _url(media_id: str, rules: MediaRules) -> dict[str, Json]:
    url = rules.url(media_id)
    return {} if url is None else {"url": url}
