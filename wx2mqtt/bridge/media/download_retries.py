"""Decides what follows from a failed download: another attempt, or the end. Pure.

    the 1st answer without a byte  ->  `RetryAt` in 1 s
    the 5th of them in a row       ->  `GiveUp`: the file is gone
    any error after a day          ->  `GiveUp`: the download has failed
    any error after `ref.expires`  ->  `GiveUp`: the file is gone

WeChat often answers without a byte, for a while or always (webwx 2.16.7).
"""

from __future__ import annotations

from dataclasses import replace

from wx2mqtt.clock import Backoff
from wx2mqtt.errors import NoContentYet, Rejected, Throttled, Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Blob
from wx2mqtt.store.file_type import UNKNOWN_TYPE
from wx2mqtt.store.records import MediaRow, MediaState
from wx2mqtt.values import frozen

# A download that keeps failing is given up at this age.
GIVE_UP_AFTER_MS = 86_400_000

# The pause between two attempts doubles from the first of these values to the second.
FIRST_RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 300.0

# The pauses after the first, second, … answer in a row without a byte; after the last one the file is gone.
EMPTY_RETRY_DELAYS_SECONDS = (1, 3, 9, 27)

# For these kinds an answer without a byte may also mean that the sender's phone is still uploading the file
# (webwx 2.16.7). So they are given up later.
LARGE_KINDS = frozenset({"video", "file"})
LARGE_EMPTY_RETRY_DELAYS_SECONDS = (*EMPTY_RETRY_DELAYS_SECONDS, 81, 240)


@frozen(kw_only=False)
class RetryAt:
    """The download is tried again."""

    #: When, in ms since 1970.
    due: int
    #: How many answers in a row had no byte.
    empty_tries: int
    reason: str


@frozen(kw_only=False)
class GiveUp:
    """The download is given up."""

    #: The final state: gone, failed or too large.
    state: MediaState
    reason: str


def next_attempt(
    row: MediaRow, error: Exception, *, now: int, chance: float, language: Language
) -> RetryAt | GiveUp:
    """Decides what follows from a failed attempt; `chance` is a random number in [0, 1)."""
    is_own_error = isinstance(error, Wx2MqttError)  # the text of other errors may contain secrets
    why = str(error).removesuffix(".") if is_own_error else bridge_text(language, "internal")
    match error:
        case Rejected(code="gone"):
            return GiveUp(MediaState.GONE, why)
        case Rejected():
            return GiveUp(MediaState.FAILED, bridge_text(language, "media_refused", why=why))
    expires = row.ref.expires
    if expires is not None and now >= expires:
        return GiveUp(MediaState.GONE, bridge_text(language, "media_expired", why=why))
    decision = _after_temporary_failure(row, error, now=now, chance=chance, why=why, language=language)
    if isinstance(decision, RetryAt) and expires is not None:
        return replace(decision, due=min(decision.due, expires))
    return decision


def _after_temporary_failure(
    row: MediaRow, error: Exception, *, now: int, chance: float, why: str, language: Language
) -> RetryAt | GiveUp:
    if isinstance(error, NoContentYet):
        return _after_empty_answer(row, now, why, language)
    if now - row.created >= GIVE_UP_AFTER_MS:
        return GiveUp(MediaState.FAILED, bridge_text(language, "media_failed", why=why))
    pause = Backoff(first=FIRST_RETRY_SECONDS, cap=MAX_RETRY_SECONDS, failures=row.attempts + 1).wait(chance)
    throttled_seconds = error.retry_after if isinstance(error, Throttled) else 0.0
    return RetryAt(now + int(max(pause, throttled_seconds) * 1000), 0, why)


def _after_empty_answer(row: MediaRow, now: int, reason: str, language: Language) -> RetryAt | GiveUp:
    delays = LARGE_EMPTY_RETRY_DELAYS_SECONDS if row.kind in LARGE_KINDS else EMPTY_RETRY_DELAYS_SECONDS
    if row.empty_attempts >= len(delays):
        return GiveUp(MediaState.GONE, bridge_text(language, "media_nothing"))
    return RetryAt(now + delays[row.empty_attempts] * 1000, row.empty_attempts + 1, reason)


def too_large_outcome(limit: int, language: Language) -> GiveUp:
    """Returns the outcome of a download of more than `limit` bytes."""
    limit_text = f"{limit / 1_000_000:g} MB"
    return GiveUp(MediaState.TOO_LARGE, bridge_text(language, "media_too_large", limit=limit_text))


# A download whose bytes seem to be something else is repeated so many times; then they are kept.
WRONG_CONTENT_ATTEMPTS = 2

# How the MIME types of a kind begin. A `file` may be of any type that is known.
MIME_PREFIXES = {"image": "image/", "sticker": "image/", "voice": "audio/", "video": "video/"}


def is_wrong_content(row: MediaRow, blob: Blob) -> bool:
    """Returns whether downloaded bytes seem to be something else, such as the answer of a proxy.

    They do if they have neither the announced size nor a format of their kind. One of these alone proves
    nothing: WeChat's pictures often have another size, and formats that no library knows.
    """
    if row.ref.size in {None, blob.size} or row.attempts >= WRONG_CONTENT_ATTEMPTS:
        return False
    is_of_kind = blob.mime != UNKNOWN_TYPE and blob.mime.startswith(MIME_PREFIXES.get(row.kind, ""))
    return not is_of_kind
