"""What iLink can do, as data (ilink 6.4, 8.2, 9)."""

from __future__ import annotations

from wx2mqtt.model import Kind
from wx2mqtt.wechat.gateway import Capabilities, Sendable

LARGEST = 100 << 20  # bytes; no limit is published, and this is what other clients take (ilink 8.4)

CAPABILITIES = Capabilities(
    backend="ilink",
    contacts=False,
    groups=False,
    start_chat=False,
    new_handles=False,
    text_limit=16384,  # more is refused (ilink 6.4)
    media={
        Kind.IMAGE: Sendable(
            largest=LARGEST,
            mimes=frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"}),
        ),
        Kind.VIDEO: Sendable(
            largest=LARGEST,
            mimes=frozenset(
                {"video/mp4", "video/quicktime", "video/webm", "video/x-matroska", "video/x-msvideo"}
            ),
        ),
        Kind.FILE: Sendable(largest=LARGEST),
    },
    window=True,
    part_limit=2000,  # beyond that texts were seen cut (ilink 6.4)
)
