"""Chats, and what a command needs to know to write to one.

A handle says which kind of chat it is, because a group's id and a person's could be equal: `user:zhangsan`,
`group:wrkSFfCgAA…`. The ids themselves never change, and the case of their letters matters (wecom 6).
"""

from __future__ import annotations

import hashlib

from wx2mqtt.model import ChatKind, Contact, Handle, Json

_PERSON_PREFIX = "user:"
_GROUP_PREFIX = "group:"

# A group that the operator has not named is called `group-` and so many hex digits.
GROUP_NAME_DIGITS = 8

# The values of `chat_type`.
SINGLE_CHAT, GROUP_CHAT = 1, 2


def person_handle(user_id: str) -> Handle:
    return Handle(_PERSON_PREFIX + user_id)


def group_handle(chat_id: str) -> Handle:
    return Handle(_GROUP_PREFIX + chat_id)


def is_group(handle: Handle) -> bool:
    return handle.startswith(_GROUP_PREFIX)


def id_of(handle: Handle) -> str:
    """Returns the `userid` or `chatid`."""
    return handle.partition(":")[2]


def receiver(handle: Handle) -> dict[str, Json]:
    """Returns the fields of `aibot_send_msg` that name the chat.

    Without `chat_type` WeCom guesses, a group first (wecom 5.1).
    """
    return {"chatid": id_of(handle), "chat_type": GROUP_CHAT if is_group(handle) else SINGLE_CHAT}


# The id of a group begins so, and is longer than what anybody types as the id of a person.
_GROUP_ID_BEGIN = "wr"
_GROUP_ID_CHARACTERS = 24


def handle_of_id(chat_id: str, kind: ChatKind | None = None) -> Handle:
    """Returns the chat with this id; without `kind` its form says whether it is a group's."""
    if kind is None:
        looks_like_group = chat_id.startswith(_GROUP_ID_BEGIN) and len(chat_id) >= _GROUP_ID_CHARACTERS
        kind = ChatKind.GROUP if looks_like_group else ChatKind.FRIEND
    return group_handle(chat_id) if kind is ChatKind.GROUP else person_handle(chat_id)


def contact_of(handle: Handle) -> Contact:
    """Returns a chat as a contact. WeCom tells no names (wecom 4.6); a handle stays over logins."""
    chat_id = id_of(handle)
    if is_group(handle):
        digest = hashlib.sha256(chat_id.encode()).hexdigest()[:GROUP_NAME_DIGITS]
        return Contact(handle=handle, kind=ChatKind.GROUP, nickname=f"group-{digest}", permanent_id=handle)
    return Contact(handle=handle, kind=ChatKind.FRIEND, nickname=chat_id, permanent_id=handle)
