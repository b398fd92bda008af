"""The reply window: when WeChat accepts a message to a person, and what a refusal means (ilink 10.1, 10.3).

A message of the person opens the window for 24 hours and ten replies. `ChatWindow` counts them; it is a
value, and each `with_…` returns the next one. When WeChat refuses a reply all the same, its answer has
precedence over this count: the chat stays closed until the person writes. One error code has five meanings;
the server's text and the state of the chat decide which one applies (`meaning_of_refusal`).

All times are milliseconds since 1970 by WeChat's clock.
"""

from __future__ import annotations

from dataclasses import field, replace
from enum import StrEnum

from wx2mqtt.model import ReplyWindow
from wx2mqtt.values import frozen
from wx2mqtt.wechat.ilink.protocol.codes import ERR_BUSY, ERR_LOGGED_OUT, ERR_REFUSED, ERR_TOO_OFTEN
from wx2mqtt.wechat.ilink.protocol.endpoints import MAX_REPLIES_PER_MESSAGE

# A message of the person opens the window for so long.
WINDOW_OPEN_MS = 24 * 3_600_000

# A window in which a message went through so recently is certainly still open.
CERTAINLY_OPEN_MS = 600_000

# The pauses after the first, second … refusal "too often" in a row; the last one is for all further ones.
RATE_LIMIT_PAUSES_MS = (30_000, 60_000, 90_000, 300_000, 600_000)

# Why the window is closed: `ReplyWindow.reason`.
NEVER_WROTE = "never_wrote"
NEW_BINDING = "new_binding"
TOO_LONG_AGO = "too_long_ago"
QUOTA_USED = "quota_used"
RATE_LIMITED = "rate_limited"


@frozen
class ChatWindow:
    """The state of the chat between the bot and one person."""

    #: Came with the newest message of the person; each reply carries it.
    context_token: str = field(default="", repr=False)
    #: When the person wrote last; 0: never.
    last_wrote: int = 0
    #: When WeChat accepted each reply since then.
    sent: tuple[int, ...] = ()
    #: Why the server refuses replies until the person writes (`ReplyWindow.reason`); empty where it does not.
    refused_reason: str = ""
    #: How many refusals in a row were "too often".
    throttle_count: int = 0
    #: The server accepts no reply before this time.
    throttled_until: int = 0
    #: The person wrote to an earlier login of this account, whose messages open no window here.
    wrote_to_earlier_bot: bool = False

    def with_message(self, time: int, context_token: str) -> ChatWindow:
        """Records that the person wrote at `time`. A repeated message changes only the token."""
        if time < self.last_wrote:
            return self
        newest_token = context_token or self.context_token
        if time == self.last_wrote:
            return replace(self, context_token=newest_token)
        return replace(
            self,
            context_token=newest_token,
            last_wrote=time,
            sent=tuple(sent_at for sent_at in self.sent if sent_at > time),
            refused_reason="",
            throttle_count=0,
            throttled_until=0,
        )

    def with_sent(self, time: int) -> ChatWindow:
        """Records that WeChat accepted a reply at `time`, so the window is open.

        It does not count where the person has written since.
        """
        sent = (*self.sent, time) if time > self.last_wrote else self.sent
        return replace(
            self,
            sent=sent[-MAX_REPLIES_PER_MESSAGE:],
            refused_reason="",
            throttle_count=0,
            throttled_until=0,
        )

    def with_refusal(self, reason: str) -> ChatWindow:
        """Records that WeChat refuses replies until the person writes."""
        return replace(self, refused_reason=reason)

    def with_throttling(self, now: int) -> ChatWindow:
        """Records that WeChat refused a reply as too often; the pause begins at `now`."""
        pause = RATE_LIMIT_PAUSES_MS[min(self.throttle_count, len(RATE_LIMIT_PAUSES_MS) - 1)]
        return replace(self, throttle_count=self.throttle_count + 1, throttled_until=now + pause)

    def is_open(self, now: int) -> bool:
        """Whether WeChat would accept a reply, apart from its rate limit."""
        return not self._closed_reason(now)

    def is_fresh(self, now: int) -> bool:
        """Whether a recent message or reply proves that the window is open."""
        return self.is_open(now) and now - max(self.last_wrote, *self.sent, 0) < CERTAINLY_OPEN_MS

    def is_expired(self, now: int) -> bool:
        """Whether the person wrote too long ago, or never."""
        return not self.last_wrote or now - self.last_wrote >= WINDOW_OPEN_MS

    def reply_window(self, now: int) -> ReplyWindow:
        """Returns the window as far as it is known at `now`."""
        closed_reason = self._closed_reason(now)
        if closed_reason:
            return ReplyWindow(open=False, remaining=0, limit=MAX_REPLIES_PER_MESSAGE, reason=closed_reason)
        remaining = MAX_REPLIES_PER_MESSAGE - len(self.sent)
        if self.throttled_until > now:
            return ReplyWindow(
                open=False,
                until=self.throttled_until,
                remaining=remaining,
                limit=MAX_REPLIES_PER_MESSAGE,
                reason=RATE_LIMITED,
            )
        closes = self.last_wrote + WINDOW_OPEN_MS
        return ReplyWindow(
            open=True,
            until=closes,
            remaining=remaining,
            limit=MAX_REPLIES_PER_MESSAGE,
            opened=self.last_wrote,
        )

    def _closed_reason(self, now: int) -> str:
        if not self.last_wrote:
            return NEW_BINDING if self.wrote_to_earlier_bot else NEVER_WROTE
        if self.refused_reason:
            return self.refused_reason
        if self.is_expired(now):
            return TOO_LONG_AGO
        return QUOTA_USED if len(self.sent) >= MAX_REPLIES_PER_MESSAGE else ""


def chat_after_rebinding(chat: ChatWindow) -> ChatWindow:
    """Returns the state of a chat after a new login: earlier messages do not count (ilink 10.1)."""
    return ChatWindow(wrote_to_earlier_bot=chat.wrote_to_earlier_bot or bool(chat.last_wrote))


class RefusalMeaning(StrEnum):
    """The meaning of a refusal. In none of these cases the message was delivered."""

    #: The login has ended.
    LOGGED_OUT = "logged_out"
    #: The person wrote too long ago, or never.
    WINDOW = "window_closed"
    #: All replies of this window are used.
    QUOTA = "quota_used"
    #: Replies come too fast.
    OFTEN = "rate_limited"
    #: The context token may be stale: the message must be sent again without it.
    AGAIN = "again"
    #: WeChat is busy.
    LATER = "later"
    #: The message itself is at fault.
    REJECTED = "rejected"


# Error codes that have one meaning in every state of the chat.
_MEANING_BY_CODE = {ERR_LOGGED_OUT: RefusalMeaning.LOGGED_OUT, ERR_BUSY: RefusalMeaning.LATER}

# The server's text has one of these when replies come too fast, in lower case.
_RATE_LIMIT_TEXTS = ("rate limit", "freq limit", "freq_limit", "rate_limit", "too fast", "too many")

# The server's text has one of these when the window is closed, the quota used, the token stale or a file bad.
_WINDOW_TEXTS = ("prepare failed", "unknown error")


def meaning_of_refusal(
    ret: int, errmsg: str, chat: ChatWindow, now: int, *, with_token: bool, has_file: bool
) -> RefusalMeaning:
    """Returns the meaning of a refusal of a message to `chat` at `now`.

    `with_token` is true where the message carried a context token. Where the window is certainly open, a
    refused file is itself the cause; a text cannot be.
    """
    if ret in _MEANING_BY_CODE:
        return _MEANING_BY_CODE[ret]
    text = errmsg.lower()
    if ret == ERR_TOO_OFTEN or any(phrase in text for phrase in _RATE_LIMIT_TEXTS):
        # WeChat also sends this for a stale token.
        return RefusalMeaning.WINDOW if chat.is_expired(now) else RefusalMeaning.OFTEN
    if ret != ERR_REFUSED or "invalid argument" in text:
        return RefusalMeaning.REJECTED
    if any(phrase in text for phrase in _WINDOW_TEXTS):
        return _meaning_of_window_text(chat, now, with_token=with_token, has_file=has_file)
    if text and chat.is_open(now):
        return RefusalMeaning.REJECTED
    return RefusalMeaning.WINDOW if chat.is_expired(now) else RefusalMeaning.QUOTA


def _meaning_of_window_text(
    chat: ChatWindow, now: int, *, with_token: bool, has_file: bool
) -> RefusalMeaning:
    """Returns the meaning of a refusal with one of `_WINDOW_TEXTS`."""
    if chat.is_open(now):
        if with_token:
            return RefusalMeaning.AGAIN
        if has_file and chat.is_fresh(now):
            return RefusalMeaning.REJECTED
    is_quota_used = len(chat.sent) >= MAX_REPLIES_PER_MESSAGE and not chat.is_expired(now)
    return RefusalMeaning.QUOTA if is_quota_used else RefusalMeaning.WINDOW
