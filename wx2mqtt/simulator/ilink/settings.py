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
    """Settings of the simulated iLink; every field can change while it runs.

    Times are in seconds. The defaults are what was observed on the real servers, where that is known.
    """

    # login (ilink 3)
    hold_status: float = 30.0
    qr_lifetime: float = 120.0
    autoscan: str = ""  # the id of a person who scans and confirms at once; empty: nobody
    verify_code: bool = False  # the program must send a number that the phone shows
    code_tries: int = 3  # wrong numbers until verify_code_blocked
    redirect_host: str = ""  # scanned codes are redirected to this host
    old_host: Literal["expired", "missing"] = "expired"  # answer of the first host for such a code
    binded_redirect: bool = True  # a still valid token in the list: no new credentials
    refuse_bind: bool = False  # scanning fails with a network error; the code stays as it is (ilink 3.5.2)
    baseurl: str = "here"  # `here`: the host that issued the code; empty: none; else this text
    # receiving (ilink 4)
    hold_updates: float = 35.0
    updates_batch: int = 50  # messages in one answer
    told_hold: int = 35_000  # longpolling_timeout_ms; 0: not in the answer
    tell_hold: Frequency = "sometimes"
    tell_ret: Frequency = "sometimes"  # an answer without ret is a success, too
    empty_answer: Frequency = "sometimes"  # the answer without news is a bare {}
    empty_cursor: Literal["unseen", "all"] = "unseen"  # messages of a poll without a cursor
    second_poll: Literal["refuse", "share"] = "refuse"  # HTTP 403, or both polls compete
    refuse_polls: bool = False  # getupdates gets -14 while everything else goes on (ilink 10.4.3)
    redeliver_after: float = 0.0  # seconds until each delivered message is sent again; 0: never
    poll_limit: int = 10  # empty immediate polls a second, then HTTP 503; 0: no limit
    # sending (ilink 6, 10)
    window_hours: float = 24.0
    quota: int = 10  # messages of the bot after each message of the person
    rate_limit: int = 0  # messages a minute, then -2; 0: no limit
    rate_words: Literal["rate limited", "freq limit"] = "rate limited"
    text_limit: int = 16_384  # bytes, then -2
    refuse_tokens: str = ""  # sends with a context token get -2 with this errmsg; sends without pass
    need_token: bool = False  # sends without a context token get `prepare failed`
    answer: Literal["id", "only_id", "ret", "object", "empty"] = "id"  # ret, object, empty: no message_id
    stale_in: CodeField = "errcode"  # the field of the -14 for a revoked token
    code_in: CodeField = "ret"  # the field of a refusal's code
    drop_repeats: bool = True  # a known client_id is answered and not delivered again
    # media (ilink 8)
    media_limit: int = 0  # bytes of a bot's file; 0: no limit
    upload_url: Literal["both", "full", "param", "none"] = "both"
    own_url_limit: int = 98_304  # bytes; larger uploads by the program's own URL get HTTP 500; 0: no limit
    upload_answer: Literal["ok", "refuse", "no_header"] = "ok"
    full_urls: Frequency = "always"  # whether received files have a full_url
    own_urls: bool = True  # the program's own URL works although there is a full_url
