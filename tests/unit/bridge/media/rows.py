"""Rows of files in messages, with usual values for what a test does not name."""

from __future__ import annotations

from typing import Any

from wx2mqtt.model import Blob, MediaRef
from wx2mqtt.store.records import MediaPart, MediaRow, MediaState

NOW = 1_795_600_000_000
REF = MediaRef(locator={"call": "image", "msgid": "77"}, mime="image/jpeg", size=5, name="a.jpg")
BLOB = Blob(sha256="ab12", size=1234, mime="image/png", path="media/ab/ab12.png", width=640, height=480)


def row(**more: Any) -> MediaRow:
    """Returns the row of a picture that is still to be downloaded."""
    values: dict[str, Any] = {
        "id": "m1",
        "part": MediaPart.WHOLE,
        "kind": "image",
        "message_id": "77",
        "user": "wife",
        "ref": REF,
        "state": MediaState.PENDING,
        "attempts": 0,
        "empty_attempts": 0,
        "due": NOW,
        "created": NOW,
        "reason": "",
        "blob": None,
        "fetched": None,
    }
    return MediaRow(**{**values, **more})
