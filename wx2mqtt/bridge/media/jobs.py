"""From a message to the bytes that are to be fetched for it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from wx2mqtt.bridge.media.rules import MediaRules
from wx2mqtt.model import Kind, MediaRef, Message
from wx2mqtt.store.rows import NewMedia, Part

AFTER_THE_WHOLE = 5_000  # milliseconds: in a burst the pictures themselves come before the small ones
_ID_BYTES = 12


def new_id() -> str:
    """A level of a url that nobody can guess."""
    return secrets.token_hex(_ID_BYTES)


def jobs_of(message: Message, rules: MediaRules, now: int) -> tuple[NewMedia, ...]:
    """What is to be fetched for a message, the thing itself first; `now` in milliseconds.

    A text has no object that could say where its bytes are.
    """
    if message.kind is Kind.TEXT:
        return ()
    parts = ((Part.WHOLE, message.media, now), (Part.THUMBNAIL, message.thumbnail, now + AFTER_THE_WHOLE))
    return tuple(
        _job(part, message, ref, due if rules.download else None)
        for part, ref, due in parts
        if ref is not None
    )


def _job(part: Part, message: Message, ref: MediaRef, due: int | None) -> NewMedia:
    return NewMedia(id=new_id(), part=part, kind=str(message.kind), ref=ref, due=due)


def is_held(jobs: Iterable[NewMedia], rules: MediaRules) -> bool:
    """Whether a message waits a moment for its bytes. What was announced of their size is not looked at."""
    return rules.inline_below > 0 and any(job.part is Part.WHOLE and job.due is not None for job in jobs)
