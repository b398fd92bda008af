"""What a refused message means: one number says five things (ilink 10.3). Pure.

Told apart by the server's words, and by what we know of the chat.
"""

from __future__ import annotations

from enum import StrEnum

from wx2mqtt.wechat.ilink.codes import BUSY, LOGGED_OUT, OFTEN, REFUSED
from wx2mqtt.wechat.ilink.window import QUOTA, Chat


class Meaning(StrEnum):
    """What follows from a refusal. `AGAIN`: once more without the token, which may be stale."""

    LOGGED_OUT = "logged_out"
    WINDOW = "window_closed"
    QUOTA = "quota_used"
    OFTEN = "rate_limited"
    AGAIN = "again"
    LATER = "later"
    REJECTED = "rejected"


_ALWAYS = {LOGGED_OUT: Meaning.LOGGED_OUT, BUSY: Meaning.LATER}
_OFTEN = ("rate limit", "freq limit", "freq_limit", "rate_limit", "too fast", "too many")
_WINDOW = ("prepare failed", "unknown error")


def meaning(ret: int, words: str, chat: Chat, now: int, *, with_token: bool, has_file: bool) -> Meaning:
    """What a refusal says. `now` is WeChat's time in milliseconds; `with_token` says that we sent one.

    Within a window that we know to be open a refused file is at fault itself; a text has nothing that
    could be.
    """
    if ret in _ALWAYS:
        return _ALWAYS[ret]
    said = words.lower()
    if ret == OFTEN or any(one in said for one in _OFTEN):  # it is said also where the token is stale
        return Meaning.WINDOW if chat.is_old(now) else Meaning.OFTEN
    if ret != REFUSED or "invalid argument" in said:
        return Meaning.REJECTED
    if any(one in said for one in _WINDOW):
        return _of_window(chat, now, with_token=with_token, has_file=has_file)
    if said and chat.is_open(now):
        return Meaning.REJECTED
    return Meaning.WINDOW if chat.is_old(now) else Meaning.QUOTA


def _of_window(chat: Chat, now: int, *, with_token: bool, has_file: bool) -> Meaning:
    if chat.is_open(now):
        if with_token:
            return Meaning.AGAIN
        if has_file and chat.is_fresh(now):
            return Meaning.REJECTED
    used = len(chat.sent) >= QUOTA and not chat.is_old(now)
    return Meaning.QUOTA if used else Meaning.WINDOW
