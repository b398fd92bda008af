"""The reply window: when WeChat accepts a message to a person, and what a refusal means (ilink 10.1, 10.3).

All times are milliseconds since 1970 by WeChat's clock. The server's answer has precedence over our own
count: after a refusal a chat stays closed until the person writes. One error code has five meanings; the
server's text and the state of the chat decide which one applies.
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

# The pause after each refusal "too often" in a row.
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

    #: The context token that each reply carries.
    token: str = field(default="", repr=False)
    #: When the person wrote last; 0: never.
    last_wrote: int = 0
    #: When WeChat accepted each reply since then.
    sent: tuple[int, ...] = ()
    #: Why the server refuses replies, or empty.
    refused_reason: str = ""
    #: Refusals "too often" in a row.
    throttle_count: int = 0
    #: No reply is accepted before this.
    throttled_until: int = 0
    #: The person wrote to an earlier login.
    wrote_to_earlier_bot: bool = False

    def with_message(self, time: int, token: str) -> ChatWindow:
        """Records that the person wrote at `time`. A repeated message changes only the token."""
        chat = replace(self, token=token) if token and time >= self.last_wrote else self
        if time <= self.last_wrote:
            return chat
        sent_since = tuple(sent_at for sent_at in self.sent if sent_at > time)
        return replace(
            chat, last_wrote=time, sent=sent_since, refused_reason="", throttle_count=0, throttled_until=0
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
    """The meaning of a refusal. `AGAIN`: send again without the token, which may be stale."""

    LOGGED_OUT = "logged_out"
    WINDOW = "window_closed"
    QUOTA = "quota_used"
    OFTEN = "rate_limited"
    AGAIN = "again"
    LATER = "later"
    REJECTED = "rejected"


# Error codes that have one meaning in every state of the chat.
_MEANING_BY_CODE = {ERR_LOGGED_OUT: RefusalMeaning.LOGGED_OUT, ERR_BUSY: RefusalMeaning.LATER}

# Parts of the server's text, in lower case.
_RATE_LIMIT_TEXTS = ("rate limit", "freq limit", "freq_limit", "rate_limit", "too fast", "too many")
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
    if chat.is_open(now):
        if with_token:
            return RefusalMeaning.AGAIN
        if has_file and chat.is_fresh(now):
            return RefusalMeaning.REJECTED
    is_quota_used = len(chat.sent) >= MAX_REPLIES_PER_MESSAGE and not chat.is_expired(now)
    return RefusalMeaning.QUOTA if is_quota_used else RefusalMeaning.WINDOW
