"""What is saved of a login: which bot it is, why its use has ended, and who has written to it.

    {"backend": "wecom", "bot_id": "aibK…", "secret": "…", "ended": "taken_over", "chats": ["user:zhangsan"]}

Only the secret of a bot that a scan made is saved. Of a configured one it is a digest, so that another secret
in the configuration is noticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from enum import StrEnum

from wx2mqtt.model import Handle
from wx2mqtt.values import frozen
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_text
from wx2mqtt.wechat.wecom.protocol.endpoints import MAX_UPLOADS

NAME = "wecom"

# So many chats are remembered; further ones displace the oldest.
MAX_CHATS = 2000

# So many uploads are remembered, as the largest limit of WeCom counts; further ones displace the oldest.
COUNTED_UPLOADS = max(count for count, _ in MAX_UPLOADS)


class End(StrEnum):
    """Why the bot is not used until a person asks, or the credentials change.

    It is saved, so that two programs never end each other's connections in a loop (wecom 2.6).
    """

    NOT_ENDED = ""
    TAKEN_OVER = "taken_over"
    REFUSED = "refused"
    #: Somebody logged out.
    LOGGED_OUT = "logged_out"


@frozen
class BotCredentials:
    """What a bot subscribes with."""

    bot_id: str
    secret: str = field(repr=False)

    @property
    def digest(self) -> str:
        """Tells these credentials from others, and gives none of them away."""
        return hashlib.sha256(f"wx2mqtt\0{self.bot_id}\0{self.secret}".encode("utf-8", "replace")).hexdigest()


@frozen
class SentTimes:
    """When messages and receipts went to a chat within the last hour, in milliseconds since 1970."""

    messages: tuple[int, ...] = ()
    receipts: tuple[int, ...] = ()


@frozen
class SavedBot:
    """The saved state of one bot."""

    bot_id: str
    #: The secret of a bot that a scan made; empty for a configured one.
    secret: str = field(default="", repr=False)
    #: `BotCredentials.digest` of a configured bot; empty for one that a scan made.
    digest: str = field(default="", repr=False)
    #: The configured endpoint for which it is; empty for WeCom itself.
    endpoint: str = ""
    ended: End = End.NOT_ENDED
    #: A sentence about `ended`, with WeCom's words.
    reason: str = ""
    #: When the connection was last known to be alive, in milliseconds since 1970; 0 before the first one.
    alive: int = 0
    #: The chats in which somebody has written, in the order of the first message of each.
    chats: tuple[Handle, ...] = ()
    #: When each upload began that WeCom's limits may still count, in milliseconds since 1970; oldest first.
    uploads: tuple[int, ...] = ()
    #: What went to each chat, saved at an orderly stop; None while a process may send more, and after a kill.
    sent: Mapping[Handle, SentTimes] | None = None

    @property
    def is_scanned(self) -> bool:
        return bool(self.secret)

    def with_chats(self, written: Iterable[Handle]) -> SavedBot:
        """Returns the bot that also remembers these chats; too many displace the oldest."""
        chats = dict.fromkeys((*self.chats, *written))
        return replace(self, chats=tuple(chats)[-MAX_CHATS:])

    def to_saved(self) -> dict[str, object]:
        return {
            "backend": NAME,
            "bot_id": self.bot_id,
            "secret": self.secret,
            "digest": self.digest,
            "endpoint": self.endpoint,
            "ended": str(self.ended),
            "reason": self.reason,
            "alive": self.alive,
            "chats": list(self.chats),
            "uploads": list(self.uploads),
            "sent": _saved_sent(self.sent),
        }


def is_saved_login(saved: Mapping[str, object]) -> bool:
    """Returns whether a saved session is one of this backend."""
    return saved.get("backend") == NAME and bool(saved.get("bot_id"))


def read_saved_bot(saved: JsonObject) -> SavedBot | None:
    """Reads a saved session; returns None for one that is not this backend's."""
    bot_id = read_text(saved, "bot_id")
    if not is_saved_login(saved) or not bot_id:
        return None
    ended = read_text(saved, "ended")
    bot = SavedBot(
        bot_id=bot_id,
        secret=read_text(saved, "secret"),
        digest=read_text(saved, "digest"),
        endpoint=read_text(saved, "endpoint"),
        ended=End(ended) if ended in {*End} else End.NOT_ENDED,
        reason=read_text(saved, "reason"),
        alive=max(0, read_number(saved, "alive")),
        uploads=_read_times(saved.get("uploads"))[-COUNTED_UPLOADS:],
        sent=_read_sent(saved.get("sent")),
    )
    return bot.with_chats(_read_chats(saved.get("chats")))


def _read_chats(value: object) -> tuple[Handle, ...]:
    items = value if isinstance(value, list) else ()
    return tuple(Handle(item) for item in items if isinstance(item, str))


def _read_times(value: object) -> tuple[int, ...]:
    items = value if isinstance(value, list) else ()
    return tuple(sorted(item for item in items if type(item) is int and item >= 0))


def _saved_sent(sent: Mapping[Handle, SentTimes] | None) -> dict[str, object] | None:
    if sent is None:
        return None
    return {chat: [list(times.messages), list(times.receipts)] for chat, times in sent.items()}


def _read_sent(value: object) -> Mapping[Handle, SentTimes] | None:
    """Reads what went to each chat; None where any of it is unreadable: then nothing of it is certain."""
    if not isinstance(value, dict):
        return None
    sent: dict[Handle, SentTimes] = {}
    for chat, times in value.items():
        match times:
            case [[*messages], [*receipts]]:
                sent[Handle(chat)] = SentTimes(messages=_read_times(messages), receipts=_read_times(receipts))
            case _:
                return None
    return sent
