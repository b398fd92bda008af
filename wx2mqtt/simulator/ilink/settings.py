"""The settings of the simulated iLink (`POST /sim/ilink/settings`), and its clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from wx2mqtt.simulator.settings import AdjustableSettings


class SimulatedClock:
    """The machine's clock plus `offset_seconds`."""

    def __init__(self) -> None:
        self.offset_seconds = 0.0

    def now(self) -> float:
        """Returns seconds since 1970."""
        return time.time() + self.offset_seconds

    def now_ms(self) -> int:
        """Returns milliseconds since 1970."""
        return int(self.now() * 1000)


CodeField = Literal["ret", "errcode", "both"]


Frequency = Literal["sometimes", "always", "never"]
"""`sometimes`: in every second answer, from the first one on."""


@dataclass(slots=True, kw_only=True)
class ILinkSettings(AdjustableSettings):
    """How the simulated iLink behaves; every field can change while it runs.

    Times are in seconds. The defaults are what was observed on the real servers, where that is known.
    """

    # login (ilink 3)
    hold_status: float = 30.0
    qr_lifetime: float = 120.0
    autoscan: str = ""  # the id of a person who scans and confirms at once; empty: nobody
    verify_code: bool = False  # the phone shows a number that the program must send
    code_tries: int = 3  # so many wrong numbers, then verify_code_blocked
    redirect_host: str = ""  # scanned codes are sent on to this host
    old_host: Literal["expired", "missing"] = "expired"  # what the first host says of such a code
    binded_redirect: bool = True  # a token of the list that is good still: no new credentials
    refuse_bind: bool = False  # the phone says network error; the code stays as it was (ilink 3.5.2)
    baseurl: str = "here"  # `here`: where the code was asked; empty: none; else this text
    # receiving (ilink 4)
    hold_updates: float = 35.0
    updates_batch: int = 50  # messages in one answer
    told_hold: int = 35_000  # longpolling_timeout_ms; 0: never told
    tell_hold: Frequency = "sometimes"
    tell_ret: Frequency = "sometimes"  # an answer without ret is a success, too
    empty_answer: Frequency = "sometimes"  # no news: a bare {}
    empty_cursor: Literal["unseen", "all"] = "unseen"  # what a poll without a cursor brings
    second_poll: Literal["refuse", "share"] = "refuse"  # HTTP 403, or whoever is first
    redeliver_after: float = (
        0.0  # each message comes again under a new id so long after it was given; 0: never
    )
    poll_limit: int = 10  # polls that ended at once with nothing, in a second; then HTTP 503; 0: no limit
    # sending (ilink 6, 10)
    window_hours: float = 24.0
    quota: int = 10  # messages for each of the person's
    rate_limit: int = 0  # messages a minute, then -2; 0: no limit
    rate_words: Literal["rate limited", "freq limit"] = "rate limited"
    text_limit: int = 16_384  # bytes, then -2
    refuse_tokens: str = ""  # sends with a context token: -2 with these words, those without one pass
    need_token: bool = False  # sends without a context token: prepare failed
    answer: Literal["id", "only_id", "ret", "object", "empty"] = "id"  # ret, object, empty: no message_id
    stale_in: CodeField = "errcode"  # where the -14 of a dead token stands
    code_in: CodeField = "ret"  # where the number of a refusal stands
    drop_repeats: bool = True  # a known client_id is answered and not delivered again
    # media (ilink 8)
    media_limit: int = 0  # bytes of a file of a bot; 0: no limit is known
    upload_url: Literal["both", "full", "param", "none"] = "both"
    own_url_limit: int = 98_304  # bytes; more than these by a URL of one's own: HTTP 500; 0: no limit
    upload_answer: Literal["ok", "refuse", "no_header"] = "ok"
    full_urls: Frequency = "always"  # whether what comes has a full_url
    own_urls: bool = True  # a URL of one's own leads to what has a full_url, too
