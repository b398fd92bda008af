"""Logins as values, and how all of them are saved (ilink 3.3, 3.4, 10.4).

A login is never thrown away for an error: while its binding lives, WeChat may give no other one (ilink
3.5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from wx2mqtt.model import Handle, Owner
from wx2mqtt.wechat.ilink.protocol.endpoints import TrustedHosts
from wx2mqtt.wechat.ilink.protocol.reply_window import (
    MAX_REPLIES_PER_MESSAGE,
    NEVER_WROTE,
    QUOTA_USED,
    TOO_LONG_AGO,
    ChatWindow,
    chat_after_rebinding,
)
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_object, read_objects, read_text

BOTS_FORMAT_VERSION = 1
MAX_SAVED_BOTS = 10  # logins that are kept, and offered at the next one (ilink 3.1.2, 3.4.2)
MAX_CHATS_PER_BOT = 100  # chats that are kept of one

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
    chats: Mapping[Handle, ChatWindow] = field(default_factory=dict, repr=False)

    @property
    def login_id(self) -> str:
        """Names this login, and tells nothing of it."""
        return hashlib.sha256(self.id.encode("utf-8", "replace")).hexdigest()[:16]

    @property
    def owner(self) -> Owner:
        """Who scanned; of names nothing is told."""
        return Owner(handle=self.user, nickname="")


def with_bot(bots: Iterable[Bot], bot: Bot) -> tuple[Bot, ...]:
    """With the login that stands now in front. The person's earlier ones are dead by then (ilink 3.4.1)."""
    bots = tuple(bots)
    same = next((one for one in bots if one.id == bot.id), None)
    if same is not None:
        bot = replace(bot, chats=same.chats, cursor=same.cursor)
    others = [one for one in bots if one.id != bot.id]
    earlier = [one for one in others if (one.user, one.endpoint) == (bot.user, bot.endpoint)]
    before = {
        user: chat_after_rebinding(chat) for one in reversed(earlier) for user, chat in one.chats.items()
    }
    kept = [one for one in others if one not in earlier]
    return (replace(bot, over=False, chats={**before, **bot.chats}), *kept)[:MAX_SAVED_BOTS]


def with_changed_bot(bots: Iterable[Bot], bot: Bot) -> tuple[Bot, ...]:
    """With another value of a login that is among them."""
    return tuple(bot if one.id == bot.id else one for one in bots)


def bots_to_saved(bots: Iterable[Bot]) -> dict[str, object]:
    """Logins as JSON can hold them."""
    return {"version": BOTS_FORMAT_VERSION, "bots": [_saved(bot) for bot in bots]}


def bots_from_saved(saved: Mapping[str, object]) -> tuple[Bot, ...]:
    """What `bots_to_saved` made; what cannot be read is left out."""
    if saved.get("version") != BOTS_FORMAT_VERSION:
        return ()
    found, _ = read_objects(saved, "bots")
    return tuple(bot for bot in map(_bot, found) if bot.id and bot.token and bot.user and bot.base)


def host_origins(endpoint: str | None, saved: Mapping[str, object]) -> Iterator[str]:
    """The origins of the hosts where logins begin, where the `saved` logins live, and where bytes are.

    An `endpoint` stands for all of them.
    """
    hosts = TrustedHosts(endpoint=endpoint)
    yield _origin(hosts.login)
    for bot in bots_from_saved(saved):
        if bot.endpoint == endpoint and not bot.over:
            yield _origin(bot.base)
    yield _origin(hosts.cdn)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _saved(bot: Bot) -> dict[str, object]:
    chats = {
        user: {
            "token": chat.token,
            "wrote": chat.last_wrote,
            "sent": list(chat.sent),
            "shut": chat.refused_reason,
            "often": chat.throttle_count,
            "pause": chat.throttled_until,
            "before": chat.wrote_to_earlier_bot,
        }
        for user, chat in list(bot.chats.items())[-MAX_CHATS_PER_BOT:]
    }
    facts = ("id", "token", "user", "base", "endpoint", "over", "cursor")
    return {**{name: getattr(bot, name) for name in facts}, "chats": chats}


def _bot(entry: JsonObject) -> Bot:
    chats = read_object(entry, "chats")
    return Bot(
        id=read_text(entry, "id"),
        token=read_text(entry, "token"),
        user=Handle(read_text(entry, "user")),
        base=read_text(entry, "base"),
        endpoint=read_text(entry, "endpoint") or None,
        over=entry.get("over") is True,
        cursor=read_text(entry, "cursor"),
        chats={Handle(user): chat_from(read_object(chats, user)) for user in chats},
    )


def chat_from(entry: JsonObject) -> ChatWindow:
    """What is known of one chat, from JSON."""
    sent = entry.get("sent")
    times = [one for one in sent if type(one) is int] if isinstance(sent, list) else []
    shut = read_text(entry, "shut")
    return ChatWindow(
        token=read_text(entry, "token"),
        last_wrote=max(0, read_number(entry, "wrote")),
        sent=tuple(times[-MAX_REPLIES_PER_MESSAGE:]),
        refused_reason=shut if shut in _SHUT else "",
        throttle_count=max(0, read_number(entry, "often")),
        throttled_until=max(0, read_number(entry, "pause")),
        wrote_to_earlier_bot=entry.get("before") is True,
    )
