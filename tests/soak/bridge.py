"""The bridge of a soak: the real program, whose retention times are short.

What the product keeps for days is kept for minutes, so that within an hour all that may be removed is removed again
and again. What still grows has no end. Retention that the configuration sets is set there (`arrangement.py`).
"""

from __future__ import annotations

from wx2mqtt.__main__ import main
from wx2mqtt.app import maintenance
from wx2mqtt.store import media_retention, retention

KEPT_MS = 600_000  # 10 minutes, in place of one or seven days
PRUNE_SECONDS = 60.0  # in place of an hour


def shorten_retention() -> None:
    maintenance.PRUNE_INTERVAL_SECONDS = PRUNE_SECONDS
    maintenance.COMMAND_RETENTION_MS = KEPT_MS
    retention.MIN_KEY_RETENTION_MS = KEPT_MS
    retention.TRANSIENT_RETENTION_MS = KEPT_MS
    retention.REQUEST_RETENTION_MS = KEPT_MS
    media_retention.FINISHED_RETENTION_MS = KEPT_MS
    media_retention.MediaRetention.remove_orphans.__defaults__ = (KEPT_MS / 1000,)


if __name__ == "__main__":
    shorten_retention()
    main()
