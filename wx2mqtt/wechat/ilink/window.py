"""Whether WeChat would take a message to somebody: what is known of one chat (ilink 10.1). Pure.

All times are WeChat's, in milliseconds since 1970. The server's word counts more than our count: what it
refuses is shut until the person writes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from wx2mqtt.model import Window

OPEN_FOR = 24 * 3_600_000  # milliseconds after a message of theirs
QUOTA = 10  # messages of ours for each of theirs
FRESH = 600_000  # milliseconds in which an open window has certainly stayed one

PAUSES = (30_000, 60_000, 90_000, 300_000, 600_000)  # milliseconds after each "too often" in a row

NEVER_WROTE = "never_wrote"
NEW_BINDING = "new_binding"
TOO_LONG_AGO = "too_long_ago"
QUOTA_USED = "quota_used"
RATE_LIMITED = "rate_limited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """One person and the bot. `token` goes along with what we send. `wrote` is when they wrote last, `sent`
    when WeChat took each message of ours since. `shut` is why the server refused. `often` counts its "too
    often" in a row, which ends at `pause`. `before` says that they wrote to an earlier bot of ours.
    """

    token: str = field(default="", repr=False)
    wrote: int = 0
    sent: tuple[int, ...] = ()
    shut: str = ""
    often: int = 0
    pause: int = 0
    before: bool = False

    def heard(self, time: int, token: str) -> Chat:
        """They wrote at `time`. The same message again changes nothing, but it may bring a newer token."""
        chat = replace(self, token=token) if token and time >= self.wrote else self
        if time <= self.wrote:
            return chat
        later = tuple(one for one in self.sent if one > time)
        return replace(chat, wrote=time, sent=later, shut="", often=0, pause=0)

    def took(self, time: int) -> Chat:
        """WeChat took a message of ours: so the window is open, whatever was believed."""
        return replace(self, sent=(*self.sent, time)[-QUOTA:], shut="", often=0, pause=0)

    def without_token(self) -> Chat:
        """WeChat takes messages without the token, and not with it."""
        return replace(self, token="")

    def refused(self, why: str) -> Chat:
        """WeChat takes none until they write."""
        return replace(self, shut=why)

    def slowed(self, now: int) -> Chat:
        """WeChat said that this was too often."""
        pause = PAUSES[min(self.often, len(PAUSES) - 1)]
        return replace(self, often=self.often + 1, pause=now + pause)

    def is_open(self, now: int) -> bool:
        """Whether WeChat would take a message, but for its pace."""
        return not self._why_shut(now)

    def is_fresh(self, now: int) -> bool:
        """Whether something happened a moment ago that shows an open window."""
        return self.is_open(now) and now - max(self.wrote, *self.sent, 0) < FRESH

    def is_old(self, now: int) -> bool:
        """Whether they wrote too long ago, or never."""
        return not self.wrote or now - self.wrote >= OPEN_FOR

    def window(self, now: int) -> Window:
        """What is known now."""
        why = self._why_shut(now)
        if why:
            return Window(open=False, left=0, why=why)
        left = QUOTA - len(self.sent)
        if self.pause > now:
            return Window(open=False, until=self.pause, left=left, why=RATE_LIMITED)
        return Window(open=True, until=self.wrote + OPEN_FOR, left=left)

    def _why_shut(self, now: int) -> str:
        if not self.wrote:
            return NEW_BINDING if self.before else NEVER_WROTE
        if self.shut:
            return self.shut
        if self.is_old(now):
            return TOO_LONG_AGO
        return QUOTA_USED if len(self.sent) >= QUOTA else ""


def anew(chat: Chat) -> Chat:
    """The same person with a new bot: nothing that was said to the old one counts (ilink 10.1)."""
    return Chat(before=chat.before or bool(chat.wrote))
