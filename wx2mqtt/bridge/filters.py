"""What of WeChat is published (DESIGN 3, `receive`). Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

from wx2mqtt.model import ChatKind, Message

FILEHELPER = "filehelper"


def fits(user: str, patterns: Collection[str]) -> bool:
    """Whether a topic name is one of the names or globs; a name may hold what a glob means otherwise."""
    return user in patterns or any(fnmatchcase(user, pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """`groups`: all, mentions, listed (those that the owner named), none."""

    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()
    groups: str = "all"
    own: bool = False

    def passes(self, message: Message, user: str, *, listed: bool) -> bool:
        """Whether a message in the chat with `user` is published.

        What the owner writes to the file helper always is: it is the remote control (DESIGN 4).
        """
        if user == FILEHELPER:
            return True
        if message.from_self and not self.own:
            return False
        mentions_only = message.chat_kind is ChatKind.GROUP and self.groups == "mentions"
        return self.hears(user, message.chat_kind, listed=listed) and (message.mentioned or not mentions_only)

    def hears(self, user: str, kind: ChatKind, *, listed: bool) -> bool:
        """Whether anything of this chat may be published, events included."""
        if user == FILEHELPER:
            return True
        if not fits(user, self.allow) or fits(user, self.deny):
            return False
        match self.groups if kind is ChatKind.GROUP else "all":
            case "listed":
                return listed
            case "none":
                return False
            case _:
                return True
