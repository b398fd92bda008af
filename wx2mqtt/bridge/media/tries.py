"""What follows a try to fetch bytes: another one, or the end. Pure; clock and dice are arguments.

WeChat often has no bytes yet, or never will (webwx 2.16): after a few tries in a row that brought nothing
they count as gone. Everything else is tried again until a day has passed.
"""

from __future__ import annotations

from dataclasses import dataclass

from wx2mqtt.errors import NothingYet, Rejected, Throttled, Wx2MqttError
from wx2mqtt.retry import Backoff
from wx2mqtt.store.rows import MediaRow, MediaState
from wx2mqtt.words import Language, say

DAY = 86_400_000  # milliseconds after which bytes that do not come are given up
LONGEST = 300.0  # seconds between two tries
EMPTY = (1, 3, 9, 27)  # seconds to wait after so many tries in a row without a byte
EMPTY_LARGE = (*EMPTY, 81, 240)  # a phone may still be sending a video or a file (webwx 2.16)
LARGE = frozenset({"video", "file"})
WAITED_FOR = 5_000  # milliseconds: who waits for bytes hurries their next try, and never more than so


@dataclass(frozen=True, slots=True)
class Again:
    """Another try at `due`, in milliseconds; `empty` tries in a row have brought nothing."""

    due: int
    empty: int
    why: str


@dataclass(frozen=True, slots=True)
class Over:
    """There will be no bytes."""

    state: MediaState
    why: str


def after(row: MediaRow, trouble: Exception, *, now: int, chance: float, language: Language) -> Again | Over:
    """What follows from how a try failed; `chance` is a number in [0, 1)."""
    known = isinstance(trouble, Wx2MqttError)  # what else it says may be anything, secrets too
    why = str(trouble).removesuffix(".") if known else say(language, "internal")
    match trouble:
        case Rejected(code="gone"):
            return Over(MediaState.GONE, say(language, "media_gone"))
        case Rejected():
            return Over(MediaState.FAILED, say(language, "media_refused", why=why))
        case NothingYet():
            return _after_nothing(row, now, why, language)
    if now - row.created >= DAY:
        return Over(MediaState.FAILED, say(language, "media_failed", why=why))
    pause = Backoff(cap=LONGEST, failures=row.tries + 1).wait(chance)
    longer = trouble.retry_after if isinstance(trouble, Throttled) else 0.0
    return Again(now + int(max(pause, longer) * 1000), 0, why)


def too_large(limit: int, language: Language) -> Over:
    """What follows when more than `limit` bytes come."""
    said = f"{limit / 1_000_000:g} MB"
    return Over(MediaState.TOO_LARGE, say(language, "media_too_large", limit=said))


def _after_nothing(row: MediaRow, now: int, why: str, language: Language) -> Again | Over:
    waits = EMPTY_LARGE if row.kind in LARGE else EMPTY
    if row.empty >= len(waits):
        return Over(MediaState.GONE, say(language, "media_nothing"))
    return Again(now + waits[row.empty] * 1000, row.empty + 1, why)


def wanted_by(row: MediaRow, now: int) -> int | None:
    """When bytes that somebody waits for are to be fetched; None where that changes nothing.

    What was never tried goes before all that only waits for its turn. Whoever asks again and again makes no
    storm (P7), and does not shorten the time that WeChat gets to have the bytes.
    """
    if not (row.tries or row.why):
        return 0
    if row.empty and row.due is not None:
        return None
    return now + WAITED_FOR
