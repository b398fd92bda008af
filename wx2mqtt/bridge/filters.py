"""What of WeChat is published (DESIGN 3, `receive`). Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

from wx2mqtt.model import ChatKind, Message

FILEHELPER = "filehelper"


def fits(user: str, patterns: Collection[str]) -> bool:
    """Whether a topic name is one of the names or globs."""
    return any(fnmatchcase(user, pattern) for pattern in patterns)


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
        if not self.hears(user):
            return False
        return message.chat_kind is not ChatKind.GROUP or self._group_passes(message, listed=listed)

    def hears(self, user: str) -> bool:
        """Whether anything of this chat may be published."""
        return user == FILEHELPER or (fits(user, self.allow) and not fits(user, self.deny))

    def _group_passes(self, message: Message, *, listed: bool) -> bool:
        match self.groups:
            case "all":
                return True
            case "mentions":
                return message.mentioned
            case "listed":
                return listed
            case _:
                return False
