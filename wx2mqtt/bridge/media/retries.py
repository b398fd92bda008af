"""Decides when a failed download of media is tried again, and when it is given up. Pure.

WeChat often answers without a byte, for a while or always (webwx 2.16.7): after a few such answers in a row
the file counts as gone. After other failures a download is tried again for a day.
Bytes that are neither of the announced size nor of a format of their kind are asked for again, and kept if
nothing better comes: WeChat's pictures often have another size, and formats that no library knows.
Besides, `downloader.py` pauses all downloads of an account after a failure that concerns them all.
"""

from __future__ import annotations

from wx2mqtt.backoff import Backoff
from wx2mqtt.errors import NoContentYet, Rejected, Throttled, Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Blob
from wx2mqtt.store.file_type import UNKNOWN_TYPE
from wx2mqtt.store.records import MediaRow, MediaState
from wx2mqtt.values import frozen

GIVE_UP_AFTER_MS = 86_400_000
"""A download that keeps failing is given up at this age."""

FIRST_RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 300.0
"""The longest pause between two attempts; the pause doubles from attempt to attempt."""

EMPTY_RETRY_DELAYS_SECONDS = (1, 3, 9, 27)
"""The pauses after the first, second, ... answer in a row without a byte; after the last one it is gone."""

LARGE_EMPTY_RETRY_DELAYS_SECONDS = (*EMPTY_RETRY_DELAYS_SECONDS, 81, 240)
"""The same for `LARGE_KINDS`: the sender's phone may still be uploading (webwx 2.16.7)."""

LARGE_KINDS = frozenset({"video", "file"})

WRONG_CONTENT_ATTEMPTS = 2
"""So many attempts may end with bytes that seem to be something else; those of the next attempt are kept."""

MIME_PREFIXES = {"image": "image/", "sticker": "image/", "voice": "audio/", "video": "video/"}
"""How the types of media begin, by kind. A file may have any type that is known."""

REQUESTED_RETRY_DELAY_MS = 5_000
"""A failed download that a caller waits for is tried again after this time."""


@frozen(kw_only=False)
class RetryAt:
    """Try again at `due`, in ms since 1970; `empty_tries` counts answers in a row without a byte."""

    due: int
    empty_tries: int
    reason: str


@frozen(kw_only=False)
class GiveUp:
    """Give the download up."""

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
            return GiveUp(MediaState.GONE, bridge_text(language, "media_gone"))
        case Rejected():
            return GiveUp(MediaState.FAILED, bridge_text(language, "media_refused", why=why))
        case NoContentYet():
            return _after_empty_answer(row, now, why, language)
    if now - row.created >= GIVE_UP_AFTER_MS:
        return GiveUp(MediaState.FAILED, bridge_text(language, "media_failed", why=why))
    pause = Backoff(first=FIRST_RETRY_SECONDS, cap=MAX_RETRY_SECONDS, failures=row.attempts + 1).wait(chance)
    throttled_seconds = error.retry_after if isinstance(error, Throttled) else 0.0
    return RetryAt(now + int(max(pause, throttled_seconds) * 1000), 0, why)


def is_wrong_content(row: MediaRow, blob: Blob) -> bool:
    """Returns whether downloaded bytes seem to be something else, such as the answer of a proxy.

    Only where the size was announced, and not after `WRONG_CONTENT_ATTEMPTS`.
    """
    if row.ref.size in {None, blob.size} or row.attempts >= WRONG_CONTENT_ATTEMPTS:
        return False
    return blob.mime == UNKNOWN_TYPE or not blob.mime.startswith(MIME_PREFIXES.get(row.kind, ""))


def too_large_outcome(limit: int, language: Language) -> GiveUp:
    """Returns the outcome of a download of more than `limit` bytes."""
    limit_text = f"{limit / 1_000_000:g} MB"
    return GiveUp(MediaState.TOO_LARGE, bridge_text(language, "media_too_large", limit=limit_text))


def _after_empty_answer(row: MediaRow, now: int, reason: str, language: Language) -> RetryAt | GiveUp:
    delays = LARGE_EMPTY_RETRY_DELAYS_SECONDS if row.kind in LARGE_KINDS else EMPTY_RETRY_DELAYS_SECONDS
    if row.empty_attempts >= len(delays):
        return GiveUp(MediaState.GONE, bridge_text(language, "media_nothing"))
    return RetryAt(now + delays[row.empty_attempts] * 1000, row.empty_attempts + 1, reason)


def retry_time_when_requested(row: MediaRow, now: int) -> int | None:
    """Returns when a download that a caller waits for becomes due, in ms since 1970; None: as before.

    A download that was never tried becomes the next one (0). Repeated requests do not add attempts, and do
    not shorten the pauses after answers without a byte.
    """
    if not (row.attempts or row.reason):
        return 0
    if row.empty_attempts and row.due is not None:
        return None
    return now + REQUESTED_RETRY_DELAY_MS
