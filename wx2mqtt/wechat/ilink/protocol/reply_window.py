"""Whether WeChat would take a message to a person, and what a refusal means (ilink 10.1, 10.3).

All times are WeChat's, in milliseconds since 1970. What the server says counts more than our count: a chat
that it refuses is shut until the person writes. One error number has five meanings; the server's text and
the state of the chat tell which.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from wx2mqtt.model import ReplyWindow
from wx2mqtt.wechat.ilink.protocol.endpoints import ERR_BUSY, ERR_LOGGED_OUT, ERR_REFUSED, ERR_TOO_OFTEN

WINDOW_OPEN_MS = 24 * 3_600_000  # milliseconds after a message of theirs


MAX_REPLIES_PER_MESSAGE = 10  # messages of ours for each of theirs


CERTAINLY_OPEN_MS = 600_000  # milliseconds in which an open window has certainly stayed one


RATE_LIMIT_PAUSES_MS = (
    30_000,
    60_000,
    90_000,
    300_000,
    600_000,
)  # milliseconds after each "too often" in a row


NEVER_WROTE = "never_wrote"


NEW_BINDING = "new_binding"


TOO_LONG_AGO = "too_long_ago"


QUOTA_USED = "quota_used"


RATE_LIMITED = "rate_limited"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatWindow:
    """One person and the bot. `token` goes along with what we send. `wrote` is when they wrote last, `sent`
    when WeChat took each message of ours since. `shut` is why the server refused. `often` counts its "too
    often" in a row, which ends at `pause`. `before` says that they wrote to an earlier bot of ours.
    """

    token: str = field(default="", repr=False)
    last_wrote: int = 0
    sent: tuple[int, ...] = ()
    refused_reason: str = ""
    throttle_count: int = 0
    throttled_until: int = 0
    wrote_to_earlier_bot: bool = False

    def with_message(self, time: int, token: str) -> ChatWindow:
        """They wrote at `time`. The same message again changes nothing, but it may bring a newer token."""
        chat = replace(self, token=token) if token and time >= self.last_wrote else self
        if time <= self.last_wrote:
            return chat
        later = tuple(one for one in self.sent if one > time)
        return replace(
            chat, last_wrote=time, sent=later, refused_reason="", throttle_count=0, throttled_until=0
        )

    def with_sent(self, time: int) -> ChatWindow:
        """WeChat took a message of ours: so the window is open, whatever was believed."""
        return replace(
            self,
            sent=(*self.sent, time)[-MAX_REPLIES_PER_MESSAGE:],
            refused_reason="",
            throttle_count=0,
            throttled_until=0,
        )

    def without_token(self) -> ChatWindow:
        """WeChat takes messages without the token, and not with it."""
        return replace(self, token="")

    def with_refusal(self, reason: str) -> ChatWindow:
        """WeChat takes none until they write."""
        return replace(self, refused_reason=reason)

    def with_throttling(self, now: int) -> ChatWindow:
        """WeChat said that this was too often."""
        pause = RATE_LIMIT_PAUSES_MS[min(self.throttle_count, len(RATE_LIMIT_PAUSES_MS) - 1)]
        return replace(self, throttle_count=self.throttle_count + 1, throttled_until=now + pause)

    def is_open(self, now: int) -> bool:
        """Whether WeChat would take a message, but for its pace."""
        return not self._closed_reason(now)

    def is_fresh(self, now: int) -> bool:
        """Whether something happened a moment ago that shows an open window."""
        return self.is_open(now) and now - max(self.last_wrote, *self.sent, 0) < CERTAINLY_OPEN_MS

    def is_expired(self, now: int) -> bool:
        """Whether they wrote too long ago, or never."""
        return not self.last_wrote or now - self.last_wrote >= WINDOW_OPEN_MS

    def reply_window(self, now: int) -> ReplyWindow:
        """What is known now."""
        why = self._closed_reason(now)
        if why:
            return ReplyWindow(open=False, remaining=0, reason=why)
        left = MAX_REPLIES_PER_MESSAGE - len(self.sent)
        if self.throttled_until > now:
            return ReplyWindow(open=False, until=self.throttled_until, remaining=left, reason=RATE_LIMITED)
        return ReplyWindow(open=True, until=self.last_wrote + WINDOW_OPEN_MS, remaining=left)

    def _closed_reason(self, now: int) -> str:
        if not self.last_wrote:
            return NEW_BINDING if self.wrote_to_earlier_bot else NEVER_WROTE
        if self.refused_reason:
            return self.refused_reason
        if self.is_expired(now):
            return TOO_LONG_AGO
        return QUOTA_USED if len(self.sent) >= MAX_REPLIES_PER_MESSAGE else ""


def chat_after_rebinding(chat: ChatWindow) -> ChatWindow:
    """The same person with a new bot: nothing that was said to the old one counts (ilink 10.1)."""
    return ChatWindow(wrote_to_earlier_bot=chat.wrote_to_earlier_bot or bool(chat.last_wrote))


class RefusalMeaning(StrEnum):
    """What follows from a refusal. `AGAIN`: once more without the token, which may be stale."""

    LOGGED_OUT = "logged_out"
    WINDOW = "window_closed"
    QUOTA = "quota_used"
    OFTEN = "rate_limited"
    AGAIN = "again"
    LATER = "later"
    REJECTED = "rejected"


_ALWAYS = {ERR_LOGGED_OUT: RefusalMeaning.LOGGED_OUT, ERR_BUSY: RefusalMeaning.LATER}


_OFTEN = ("rate limit", "freq limit", "freq_limit", "rate_limit", "too fast", "too many")


_WINDOW = ("prepare failed", "unknown error")


def meaning_of_refusal(
    ret: int, errmsg: str, chat: ChatWindow, now: int, *, with_token: bool, has_file: bool
) -> RefusalMeaning:
    """What a refusal says. `now` is WeChat's time in milliseconds; `with_token` says that we sent one.

    Within a window that we know to be open a refused file is at fault itself; a text has nothing that
    could be.
    """
    if ret in _ALWAYS:
        return _ALWAYS[ret]
    text = errmsg.lower()
    if ret == ERR_TOO_OFTEN or any(one in text for one in _OFTEN):  # it is said also where the token is stale
        return RefusalMeaning.WINDOW if chat.is_expired(now) else RefusalMeaning.OFTEN
    if ret != ERR_REFUSED or "invalid argument" in text:
        return RefusalMeaning.REJECTED
    if any(one in text for one in _WINDOW):
        return _of_window(chat, now, with_token=with_token, has_file=has_file)
    if text and chat.is_open(now):
        return RefusalMeaning.REJECTED
    return RefusalMeaning.WINDOW if chat.is_expired(now) else RefusalMeaning.QUOTA


def _of_window(chat: ChatWindow, now: int, *, with_token: bool, has_file: bool) -> RefusalMeaning:
    if chat.is_open(now):
        if with_token:
            return RefusalMeaning.AGAIN
        if has_file and chat.is_fresh(now):
            return RefusalMeaning.REJECTED
    used = len(chat.sent) >= MAX_REPLIES_PER_MESSAGE and not chat.is_expired(now)
    return RefusalMeaning.QUOTA if used else RefusalMeaning.WINDOW
