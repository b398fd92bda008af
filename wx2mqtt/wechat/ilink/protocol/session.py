"""Logins and the cursor as values, and the formats in which they are saved (ilink 3.3, 3.4, 10.4).

    {"version": 1, "bots": [{"id": "b…@im.bot", "token": "…", "user": "…@im.wechat", "chats": {…}, …}]}

The first login of a list is the newest. No error removes a login: while the person is bound to a bot, WeChat
may issue no other login (ilink 3.5).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from itertools import islice
from urllib.parse import urlsplit

from wx2mqtt.model import Cursor, Handle, Owner
from wx2mqtt.values import frozen
from wx2mqtt.wechat.ilink.protocol.endpoints import MAX_REPLIES_PER_MESSAGE
from wx2mqtt.wechat.ilink.protocol.reply_window import (
    NEVER_WROTE,
    QUOTA_USED,
    TOO_LONG_AGO,
    ChatWindow,
    chat_after_rebinding,
)
from wx2mqtt.wechat.ilink.protocol.trusted_hosts import TrustedHosts
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_object, read_objects, read_text

BOTS_FORMAT_VERSION = 1

# How many logins are saved, and sent with the request for a QR code (ilink 3.1.2, 3.4.2).
MAX_SAVED_BOTS = 10

# How many chats are remembered with each login.
MAX_CHATS_PER_BOT = 100

_REFUSED_REASONS = {TOO_LONG_AGO, QUOTA_USED, NEVER_WROTE}


@frozen
class Bot:
    """One login: a bot that belongs to the person who scanned the QR code."""

    id: str
    #: Signs its calls. The tokens of its chats are others (`ChatWindow.context_token`).
    token: str = field(repr=False)
    #: The person who scanned.
    user: Handle
    #: The base URL of its calls.
    base: str
    #: The configured endpoint through which the login was made; its token is sent to no other one.
    endpoint: str | None = None
    #: Somebody logged out: it stays saved, but no login uses it by itself.
    logged_out: bool = False
    #: The position up to which received messages are stored.
    cursor: str = field(default="", repr=False)
    #: When the login was made, in milliseconds since 1970; 0 where an earlier version did not record it.
    made: int = 0
    #: When codes for its renewal were offered, in milliseconds since 1970.
    offers: tuple[int, ...] = ()
    #: True from a renewal until the bot has received a message: the earlier login stays saved so long.
    keeps_earlier: bool = False
    #: The state of each chat, by the handle of the other person.
    chats: Mapping[Handle, ChatWindow] = field(default_factory=dict, repr=False)

    @property
    def login_id(self) -> str:
        """An id for this login that reveals nothing about it."""
        return hashlib.sha256(self.id.encode("utf-8", "replace")).hexdigest()[:16]

    @property
    def owner(self) -> Owner:
        """The person who scanned; iLink sends no name."""
        return Owner(handle=self.user, nickname="")


def with_bot(bots: Iterable[Bot], bot: Bot) -> tuple[Bot, ...]:
    """Returns the logins with the current one first.

    The new login ends the earlier ones of the same person (ilink 3.4.1), so they are removed, unless the new
    one `keeps_earlier`; their chats are kept as those of an earlier bot.
    """
    bots = tuple(bots)
    same = next((other for other in bots if other.id == bot.id), None)
    if same is not None:
        bot = replace(bot, chats=same.chats, cursor=same.cursor)
    others = [other for other in bots if other.id != bot.id]
    earlier = [other for other in others if (other.user, other.endpoint) == (bot.user, bot.endpoint)]
    chats: dict[Handle, ChatWindow] = {}
    for other in reversed(earlier):  # of a chat that several of them have, the newest state counts
        chats |= {user: chat_after_rebinding(chat) for user, chat in other.chats.items()}
    chats |= bot.chats
    kept = others if bot.keeps_earlier else [other for other in others if other not in earlier]
    return (replace(bot, logged_out=False, chats=chats), *kept)[:MAX_SAVED_BOTS]


def with_refused_bot(bots: Iterable[Bot], bot: Bot) -> tuple[Bot, ...]:
    """Returns the logins with one behind the others that must not be used."""
    added, *others = with_bot(bots, bot)
    return (*others[: MAX_SAVED_BOTS - 1], replace(added, logged_out=True))


def with_changed_bot(bots: Iterable[Bot], bot: Bot) -> tuple[Bot, ...]:
    """Returns the logins with `bot` in place of the one with its id."""
    return tuple(bot if other.id == bot.id else other for other in bots)


def newest_chats(chats: Mapping[Handle, ChatWindow], owner: Handle) -> Mapping[Handle, ChatWindow]:
    """Returns at most `MAX_CHATS_PER_BOT` chats: the newest ones, and always that of the owner."""
    excess = len(chats) - MAX_CHATS_PER_BOT
    oldest = set(islice((user for user in chats if user != owner), max(0, excess)))
    return {user: chat for user, chat in chats.items() if user not in oldest} if oldest else chats


@frozen
class SyncCursor:
    """A position in the stream of messages, with the context tokens that replies need.

    The journal stores it in one commit with the messages: a crash between two would lose the tokens.
    """

    #: The server's own position (`get_updates_buf`), empty at the beginning.
    buf: str = field(default="", repr=False)
    #: The states of the chats at this position.
    chats: Mapping[Handle, ChatWindow] = field(default_factory=dict, repr=False)

    def to_cursor(self) -> Cursor:
        """Returns the text that the journal stores."""
        chats = {
            user: {"token": chat.context_token, "wrote": chat.last_wrote} for user, chat in self.chats.items()
        }
        return Cursor(json.dumps({"buf": self.buf, "chats": chats}, separators=(",", ":")))

    @classmethod
    def from_cursor(cls, cursor: Cursor) -> SyncCursor:
        """Reads a text of `to_cursor`; returns the beginning for any other text."""
        try:
            saved = json.loads(cursor)
        except (ValueError, RecursionError):
            return cls()
        if not isinstance(saved, dict):
            return cls()
        chats = read_object(saved, "chats")
        return cls(
            buf=read_text(saved, "buf"),
            chats={Handle(user): chat_from(read_object(chats, user)) for user in chats},
        )


def bots_to_saved(bots: Iterable[Bot]) -> dict[str, object]:
    return {"version": BOTS_FORMAT_VERSION, "bots": [_bot_to_saved(bot) for bot in bots]}


def bots_from_saved(saved: Mapping[str, object]) -> tuple[Bot, ...]:
    """Reads an object of `bots_to_saved`; skips logins that cannot be read."""
    if saved.get("version") != BOTS_FORMAT_VERSION:
        return ()
    entries, _ = read_objects(saved, "bots")
    return tuple(bot for bot in map(_bot_from, entries) if bot.id and bot.token and bot.user and bot.base)


def is_saved_login(saved: Mapping[str, object]) -> bool:
    """Returns whether this is an object of `bots_to_saved` with a login."""
    return bool(bots_from_saved(saved))


def host_origins(endpoint: str | None, saved: Mapping[str, object]) -> Iterator[str]:
    """Yields the origins of the login host, of the hosts of the `saved` logins, and of the CDN.

    An `endpoint` replaces all of them.
    """
    hosts = TrustedHosts(endpoint=endpoint)
    yield _origin(hosts.login)
    for bot in bots_from_saved(saved):
        if bot.endpoint == endpoint and not bot.logged_out:
            yield _origin(bot.base)
    yield _origin(hosts.cdn)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _bot_to_saved(bot: Bot) -> dict[str, object]:
    chats = {
        user: {
            "token": chat.context_token,
            "wrote": chat.last_wrote,
            "sent": list(chat.sent),
            "shut": chat.refused_reason,
            "often": chat.throttle_count,
            "pause": chat.throttled_until,
            "before": chat.wrote_to_earlier_bot,
        }
        for user, chat in newest_chats(bot.chats, bot.user).items()
    }
    return {
        "id": bot.id,
        "token": bot.token,
        "user": bot.user,
        "base": bot.base,
        "endpoint": bot.endpoint,
        "over": bot.logged_out,
        "cursor": bot.cursor,
        "made": bot.made,
        "keeps_earlier": bot.keeps_earlier,
        "offers": list(bot.offers),
        "chats": chats,
    }


def _bot_from(entry: JsonObject) -> Bot:
    chats = read_object(entry, "chats")
    return Bot(
        id=read_text(entry, "id"),
        token=read_text(entry, "token"),
        user=Handle(read_text(entry, "user")),
        base=read_text(entry, "base"),
        endpoint=read_text(entry, "endpoint") or None,
        logged_out=entry.get("over") is True,
        cursor=read_text(entry, "cursor"),
        made=max(0, read_number(entry, "made")),
        offers=_times(entry, "offers"),
        keeps_earlier=entry.get("keeps_earlier") is True,
        chats={Handle(user): chat_from(read_object(chats, user)) for user in chats},
    )


def chat_from(entry: JsonObject) -> ChatWindow:
    """Reads the state of a chat from a saved login or from a cursor, which has fewer of the fields."""
    refused_reason = read_text(entry, "shut")
    return ChatWindow(
        context_token=read_text(entry, "token"),
        last_wrote=max(0, read_number(entry, "wrote")),
        sent=_times(entry, "sent")[-MAX_REPLIES_PER_MESSAGE:],
        refused_reason=refused_reason if refused_reason in _REFUSED_REASONS else "",
        throttle_count=max(0, read_number(entry, "often")),
        throttled_until=max(0, read_number(entry, "pause")),
        wrote_to_earlier_bot=entry.get("before") is True,
    )


def _times(entry: JsonObject, key: str) -> tuple[int, ...]:
    times = entry.get(key)
    return tuple(time for time in times if type(time) is int) if isinstance(times, list) else ()
