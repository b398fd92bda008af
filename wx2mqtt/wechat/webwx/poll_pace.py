"""How soon web WeChat is asked for news again, by what the last calls brought (webwx 5.1.2).

A healthy server holds a poll until there is news, so nothing waits. One that is stuck promises news and has
none, or sends the same messages again and again.

    the last call                               the next `receive`
    sync with new messages                      syncs where there is more, else polls
    empty sync without a poll before it         polls
    poll without news                           polls, a second after the start of this poll
    sync after a poll, empty or repeated        the same; after five in a row less and less often
    sync that failed                            polls, which shows whether the login is still valid
"""

from __future__ import annotations

from wx2mqtt.wechat.qr_login import MIN_POLL_INTERVAL_SECONDS

# After so many useless syncs in a row the interval doubles with each further one, up to the maximum.
MAX_EMPTY_SYNCS = 5
MAX_POLL_PAUSE_SECONDS = 30.0


class PollPace:
    """How the last polls and syncs of one login went."""

    def __init__(self) -> None:
        #: The last sync ended with an error.
        self.sync_failed = False
        #: The last poll or sync brought nothing new, so the next poll may have to wait.
        self._is_quiet = False
        #: When the last poll started, on the monotonic clock.
        self._poll_started_at = float("-inf")
        #: How many syncs in a row brought nothing new and did not move the position.
        self._useless_syncs = 0
        #: The keys of the messages of the last sync that was not empty.
        self._latest_keys: list[str] = []

    @property
    def must_poll(self) -> bool:
        """Whether a poll goes before the next sync, even where the server has more."""
        return self.sync_failed or self._is_quiet

    def start_poll(self, now: float) -> float:
        """Returns how long the next poll has to wait, and records that it starts then."""
        pause = 0.0
        if self._is_quiet:
            doublings = max(0, min(self._useless_syncs - MAX_EMPTY_SYNCS + 1, 10))
            interval = min(MAX_POLL_PAUSE_SECONDS, MIN_POLL_INTERVAL_SECONDS * 2.0**doublings)
            pause = max(0.0, self._poll_started_at + interval - now)
        self._poll_started_at = now + pause
        return pause

    def record_no_news(self) -> None:
        """Records a poll that ended without news, as it should when there is none."""
        self.sync_failed = False
        self._is_quiet = True
        self._useless_syncs = 0

    def record_sync(self, keys: list[str] | None, *, is_polled: bool, has_moved: bool) -> None:
        """Records a sync. `keys` are those of its messages; None: it had no news of any kind.

        `is_polled` says that a poll had promised news, `has_moved` that the sync brought another position.
        """
        if keys is None:
            self._is_quiet = is_polled
        else:
            self._is_quiet = bool(keys) and keys == self._latest_keys
            self._latest_keys = keys
        if self._is_quiet and not has_moved:
            self._useless_syncs += 1
        else:
            self._useless_syncs = 0
