"""The cursor that the journal keeps: how far we have received, and what that opened for us (ilink 4.4). Pure.

The token that an answer must bring along comes with a message. It stands in the cursor too, since that is
stored in one commit with the message: a crash between the two must not take the token away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from wx2mqtt.model import Cursor, Handle
from wx2mqtt.wechat.fields import inner, text
from wx2mqtt.wechat.ilink.session import chat_from
from wx2mqtt.wechat.ilink.window import Chat


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """`buf` is the server's own cursor, empty at the beginning. `chats` are as of this place."""

    buf: str = field(default="", repr=False)
    chats: Mapping[Handle, Chat] = field(default_factory=dict, repr=False)

    def cursor(self) -> Cursor:
        """As the journal keeps it."""
        chats = {user: {"token": chat.token, "wrote": chat.wrote} for user, chat in self.chats.items()}
        return Cursor(json.dumps({"buf": self.buf, "chats": chats}, separators=(",", ":")))

    @classmethod
    def of(cls, cursor: Cursor) -> Position:
        """What `cursor` made; the beginning of everything where it is not ours."""
        try:
            found = json.loads(cursor)
        except (ValueError, RecursionError):
            return cls()
        if not isinstance(found, dict):
            return cls()
        chats = inner(found, "chats")
        return cls(
            buf=text(found, "buf"),
            chats={Handle(user): chat_from(inner(chats, user)) for user in chats},
        )
