"""The bytes of a message for the phone page and for tests, whatever the servers say of them."""

from __future__ import annotations

from urllib.parse import quote

from wx2mqtt.simulator.http_messages import BodyStream, SimulatedAnswer
from wx2mqtt.simulator.media import ByteSource

_SHOWN_IN_A_PAGE = ("image/", "audio/", "video/")


def shown_bytes(content: ByteSource, name: str) -> SimulatedAnswer:
    """An answer that a browser shows or stores, and in which no script runs."""
    disposition = "inline" if content.mime.startswith(_SHOWN_IN_A_PAGE) else "attachment"
    return SimulatedAnswer(
        stream=BodyStream(size=content.size, pieces=content.pieces()),
        content_type=content.mime,
        headers=(
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'; sandbox"),
            ("content-disposition", f"{disposition}; filename*=UTF-8''{quote(name)}"),
        ),
    )
