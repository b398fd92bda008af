"""What follows a try to fetch bytes: another one, or the end. Pure; clock and randomness are arguments.

WeChat often has no bytes yet, or never will (webwx 2.16.7): after a few tries in a row that brought nothing
they count as gone. Everything else is tried again until a day has passed.
"""

from __future__ import annotations

from dataclasses import dataclass

from wx2mqtt.backoff import Backoff
from wx2mqtt.errors import NoContentYet, Rejected, Throttled, Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.store.records import MediaRow, MediaState

GIVE_UP_AFTER_MS = 86_400_000  # milliseconds after which bytes that do not come are given up


MAX_RETRY_SECONDS = 300.0  # seconds between two tries


EMPTY_RETRY_SECONDS = (1, 3, 9, 27)  # seconds to wait after so many tries in a row without a byte


LARGE_EMPTY_RETRY_SECONDS = (
    *EMPTY_RETRY_SECONDS,
    81,
    240,
)  # a phone may still be sending a video or a file (webwx 2.16.7)


LARGE_KINDS = frozenset({"video", "file"})


WAITED_FOR_RETRY_MS = (
    5_000  # milliseconds: who waits for bytes hurries their next try, and never more than so
)


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Another try at `due`, in milliseconds; `empty` tries in a row have brought nothing."""

    due: int
    empty_tries: int
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """There will be no bytes."""

    state: MediaState
    reason: str


def next_attempt(
    row: MediaRow, error: Exception, *, now: int, chance: float, language: Language
) -> RetryAt | GiveUp:
    """What follows from how a try failed; `chance` is a number in [0, 1)."""
    known = isinstance(error, Wx2MqttError)  # what else it says may be anything, secrets too
    why = str(error).removesuffix(".") if known else bridge_text(language, "internal")
    match error:
        case Rejected(code="gone"):
            return GiveUp(MediaState.GONE, bridge_text(language, "media_gone"))
        case Rejected():
            return GiveUp(MediaState.FAILED, bridge_text(language, "media_refused", why=why))
        case NoContentYet():
            return _after_nothing(row, now, why, language)
    if now - row.created >= GIVE_UP_AFTER_MS:
        return GiveUp(MediaState.FAILED, bridge_text(language, "media_failed", why=why))
    pause = Backoff(cap=MAX_RETRY_SECONDS, failures=row.attempts + 1).wait(chance)
    longer = error.retry_after if isinstance(error, Throttled) else 0.0
    return RetryAt(now + int(max(pause, longer) * 1000), 0, why)


def too_large_outcome(limit: int, language: Language) -> GiveUp:
    """What follows when more than `limit` bytes come."""
    said = f"{limit / 1_000_000:g} MB"
    return GiveUp(MediaState.TOO_LARGE, bridge_text(language, "media_too_large", limit=said))


def _after_nothing(row: MediaRow, now: int, reason: str, language: Language) -> RetryAt | GiveUp:
    waits = LARGE_EMPTY_RETRY_SECONDS if row.kind in LARGE_KINDS else EMPTY_RETRY_SECONDS
    if row.empty_attempts >= len(waits):
        return GiveUp(MediaState.GONE, bridge_text(language, "media_nothing"))
    return RetryAt(now + waits[row.empty_attempts] * 1000, row.empty_attempts + 1, reason)


def retry_time_when_requested(row: MediaRow, now: int) -> int | None:
    """When bytes that somebody waits for are to be fetched; None where that changes nothing.

    What was never tried goes before all that only waits for its turn. Whoever asks again and again makes no
    storm, and does not shorten the time that WeChat gets to have the bytes.
    """
    if not (row.attempts or row.reason):
        return 0
    if row.empty_attempts and row.due is not None:
        return None
    return now + WAITED_FOR_RETRY_MS
