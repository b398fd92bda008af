"""The bridge of a soak: the real program, whose retention times are short.

What the product keeps for days is kept for minutes, so that within an hour all that may be removed is removed again
and again, and a figure that still grows has no limit. Other retention times are in the configuration (`environment.py`).
"""

from __future__ import annotations

from wx2mqtt.__main__ import main
from wx2mqtt.app import storage_maintenance
from wx2mqtt.store import journal_retention, media_retention

KEPT_SECONDS = 600.0  # in place of one or seven days
PRUNE_SECONDS = 60.0  # in place of an hour


def shorten_retention(kept_seconds: float, prune_seconds: float) -> None:
    """Sets all fixed retention times to `kept_seconds`, and the interval of removals to `prune_seconds`."""
    kept_ms = int(kept_seconds * 1000)
    storage_maintenance.PRUNE_INTERVAL_SECONDS = prune_seconds
    storage_maintenance.COMMAND_RETENTION_MS = kept_ms
    journal_retention.MIN_KEY_RETENTION_MS = kept_ms
    journal_retention.TRANSIENT_RETENTION_MS = kept_ms
    journal_retention.REQUEST_RETENTION_MS = kept_ms
    media_retention.FINISHED_RETENTION_MS = kept_ms
    media_retention.MediaRetention.delete_unused_files.__defaults__ = (kept_seconds,)


if __name__ == "__main__":
    shorten_retention(KEPT_SECONDS, PRUNE_SECONDS)
    main()
