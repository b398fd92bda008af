"""Serves the file of a message to the phone page and to tests."""

from __future__ import annotations

from urllib.parse import quote

from wx2mqtt.simulator.http_messages import BodyStream, SimulatedAnswer
from wx2mqtt.simulator.media import ByteSource

_INLINE_TYPES = ("image/", "audio/", "video/")


def file_answer(content: ByteSource, name: str) -> SimulatedAnswer:
    """Returns an answer that a browser displays or saves, and in which no script runs."""
    disposition = "inline" if content.mime.startswith(_INLINE_TYPES) else "attachment"
    return SimulatedAnswer(
        stream=BodyStream(size=content.size, pieces=content.pieces()),
        content_type=content.mime,
        headers=(
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'; sandbox"),
            ("content-disposition", f"{disposition}; filename*=UTF-8''{quote(name)}"),
        ),
    )
