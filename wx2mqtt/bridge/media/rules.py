"""What the owner wants of the bytes that come with messages (DESIGN 3, `media`). Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRules:
    """Sizes in bytes. `base` is what a url begins with: an address, or nothing for one on the bridge's own
    server; None where there is no server.
    """

    download: bool = True
    max_size: int = 25_000_000
    inline_below: int = 0
    base: str | None = ""

    def url(self, media_id: str) -> str | None:
        """Where the bytes are, or will be."""
        return None if self.base is None else f"{self.base}/media/{media_id}"
