"""What a login is made of, and how all of them are saved (ilink 3.3, 3.4, 10.4). Pure.

A login is never thrown away for an error: while its binding lives, WeChat may give no other one (ilink 3.5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from wx2mqtt.model import Handle, Owner
from wx2mqtt.wechat.fields import Entry, inner, number, objects, text
from wx2mqtt.wechat.ilink.window import NEVER_WROTE, QUOTA, QUOTA_USED, TOO_LONG_AGO, Chat, anew

VERSION = 1
MOST = 10  # logins that are kept, and offered at the next one (ilink 3.1)
PEOPLE = 100  # chats that are kept of one

_SHUT = {TOO_LONG_AGO, QUOTA_USED, NEVER_WROTE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """One login: a bot that belongs to the person who scanned. `base` is where its calls go.

    `endpoint` is the owner's own address through which it was made: its token goes to no other. `over` says
    that somebody logged out. `cursor` is how far what it received is stored.
    """

    id: str
    token: str = field(repr=False)
    user: Handle
    base: str
    endpoint: str | None = None
    over: bool = False
    cursor: str = field(default="", repr=False)
    chats: Mapping[Handle, Chat] = field(default_factory=dict, repr=False)

    @property
    def login_id(self) -> str:
        """Names this login, and tells nothing of it."""
        return hashlib.sha256(self.id.encode("utf-8", "replace")).hexdigest()[:16]

    @property
    def owner(self) -> Owner:
        """Who scanned; of names nothing is told."""
        return Owner(handle=self.user, nickname="")


def added(bots: Iterable[Bot], bot: Bot) -> tuple[Bot, ...]:
    """With the login that stands now in front. The person's earlier ones are dead by then (ilink 3.4)."""
    bots = tuple(bots)
    same = next((one for one in bots if one.id == bot.id), None)
    if same is not None:
        bot = replace(bot, chats=same.chats, cursor=same.cursor)
    others = [one for one in bots if one.id != bot.id]
    earlier = [one for one in others if (one.user, one.endpoint) == (bot.user, bot.endpoint)]
    before = {user: anew(chat) for one in reversed(earlier) for user, chat in one.chats.items()}
    kept = [one for one in others if one not in earlier]
    return (replace(bot, over=False, chats={**before, **bot.chats}), *kept)[:MOST]


def changed(bots: Iterable[Bot], bot: Bot) -> tuple[Bot, ...]:
    """With another value of a login that is among them."""
    return tuple(bot if one.id == bot.id else one for one in bots)


def to_saved(bots: Iterable[Bot]) -> dict[str, object]:
    """Logins as JSON can hold them."""
    return {"version": VERSION, "bots": [_saved(bot) for bot in bots]}


def from_saved(saved: Mapping[str, object]) -> tuple[Bot, ...]:
    """What `to_saved` made; what cannot be read is left out."""
    if saved.get("version") != VERSION:
        return ()
    found, _ = objects(saved, "bots")
    return tuple(bot for bot in map(_bot, found) if bot.id and bot.token and bot.user and bot.base)


def _saved(bot: Bot) -> dict[str, object]:
    chats = {
        user: {
            "token": chat.token,
            "wrote": chat.wrote,
            "sent": list(chat.sent),
            "shut": chat.shut,
            "often": chat.often,
            "pause": chat.pause,
            "before": chat.before,
        }
        for user, chat in list(bot.chats.items())[-PEOPLE:]
    }
    facts = ("id", "token", "user", "base", "endpoint", "over", "cursor")
    return {**{name: getattr(bot, name) for name in facts}, "chats": chats}


def _bot(entry: Entry) -> Bot:
    chats = inner(entry, "chats")
    return Bot(
        id=text(entry, "id"),
        token=text(entry, "token"),
        user=Handle(text(entry, "user")),
        base=text(entry, "base"),
        endpoint=text(entry, "endpoint") or None,
        over=entry.get("over") is True,
        cursor=text(entry, "cursor"),
        chats={Handle(user): chat_from(inner(chats, user)) for user in chats},
    )


def chat_from(entry: Entry) -> Chat:
    """What is known of one chat, from JSON."""
    sent = entry.get("sent")
    times = [one for one in sent if type(one) is int] if isinstance(sent, list) else []
    shut = text(entry, "shut")
    return Chat(
        token=text(entry, "token"),
        wrote=max(0, number(entry, "wrote")),
        sent=tuple(times[-QUOTA:]),
        shut=shut if shut in _SHUT else "",
        often=max(0, number(entry, "often")),
        pause=max(0, number(entry, "pause")),
        before=entry.get("before") is True,
    )
