"""Reads the callbacks of messages (wecom 4).

    {"msgid": "m1", "chattype": "group", "chatid": "wrk…", "from": {"userid": "zhangsan"}, "msgtype": "text",
     "text": {"content": "@Bot open"}}

becomes a text message of `zhangsan` in that group. A `mixed` message becomes one message a part.
`PART_READERS` has a function for each type of part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from functools import partial

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import wecom_placeholder
from wx2mqtt.model import ButtonPress, ChatKind, Handle, Json, Kind, MediaRef, Message
from wx2mqtt.values import frozen
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_object, read_objects, read_text
from wx2mqtt.wechat.wecom.protocol.cards import read_press
from wx2mqtt.wechat.wecom.protocol.frames import Callback
from wx2mqtt.wechat.wecom.protocol.handles import group_handle, person_handle
from wx2mqtt.wechat.wecom.protocol.media import media_ref

# A message whose time (in seconds) is later counts as one without a time.
MAX_TIME_SECONDS = 1 << 33

# A longer id of a message, person or group is refused: it would be stored and published.
MAX_ID_CHARACTERS = 256

# More parts of a message are not read; people send a few.
MAX_PARTS = 100

# How much of a quoted text is published.
MAX_QUOTE_CHARACTERS = 1000


@frozen
class PartContent:
    """What a part says, without the sender and the time of its message."""

    kind: Kind
    text: str
    detail: Mapping[str, Json] = field(default_factory=dict)
    media: MediaRef | None = None


@frozen
class _PartContext:
    """What the readers of parts need besides the part."""

    #: When the message was received, in milliseconds since 1970.
    received: int
    language: Language


def read_messages(body: JsonObject, bot_name: str, language: Language, now: int) -> tuple[Message, ...]:
    """Reads one callback; a mixed message has several.

    `bot_name` is the name by which a group addresses the bot, empty where it has no blanks. `now`
    (milliseconds since 1970) becomes the time of a message without one. Raises `ValueError` for a message
    without an id, a sender or a chat.
    """
    origin = _read_origin(body)
    time = _read_time(body, now)
    context = _PartContext(received=now, language=language)
    contents = [_read_part(part, context) for part in _parts(body)]
    if origin.chat_kind is ChatKind.GROUP:
        contents = _without_address(contents, bot_name)
    quote = _read_quote(read_object(body, "quote"), context)
    if quote:
        contents = _with_quote(contents, quote)
    return tuple(_message(origin, time, number, content) for number, content in enumerate(contents, start=1))


def _message(origin: _Origin, time: int, number: int, content: PartContent) -> Message:
    """Returns a part as a message. The first part, with the number 1, has the id of the whole."""
    part_id = origin.id if number == 1 else f"{origin.id}-{number}"
    return Message(
        key=part_id,
        id=part_id,
        chat=origin.chat,
        chat_kind=origin.chat_kind,
        sender=origin.sender,
        kind=content.kind,
        text=content.text,
        time=time,
        detail=content.detail,
        media=content.media,
        mentioned=origin.chat_kind is ChatKind.GROUP,  # WeCom sends a bot only what is addressed to it
    )


def read_button_press(callback: Callback, connection_id: str, now: int) -> ButtonPress:
    """Reads the event `template_card_event` (wecom 4.5). Raises `ValueError` without a button or a chat.

    `connection_id` names the connection that brought it: only there the card can be updated.
    """
    origin = _read_origin(callback.body)
    press = read_press(read_object(callback.body, "event"))
    if press is None:
        raise ValueError
    return ButtonPress(
        key=origin.id,
        chat=origin.chat,
        sender=origin.sender,
        card_id=press.task_id,
        button=press.key,
        time=_read_time(callback.body, now),
        private={"connection": connection_id, "request_id": callback.request_id},
    )


@frozen(kw_only=False)
class _Origin:
    """Which message a callback is about, and who wrote it where."""

    id: str
    sender: Handle
    #: The group, or in a chat of two the sender.
    chat: Handle
    chat_kind: ChatKind


def _read_origin(body: JsonObject) -> _Origin:
    """Raises `ValueError` without an id, a sender or a chat, or where one of these is too long."""
    message_id = _require_id(read_text(body, "msgid").strip())
    sender = person_handle(_require_id(read_text(read_object(body, "from"), "userid")))
    if read_text(body, "chattype") != "group":
        return _Origin(message_id, sender, sender, ChatKind.FRIEND)
    chat = group_handle(_require_id(read_text(body, "chatid")))
    return _Origin(message_id, sender, chat, ChatKind.GROUP)


def _require_id(text: str) -> str:
    if not 0 < len(text) <= MAX_ID_CHARACTERS:
        raise ValueError
    return text


def _read_time(body: JsonObject, now: int) -> int:
    """Returns when a callback was made, in milliseconds since 1970; `now` where it does not say it."""
    seconds = read_number(body, "create_time")
    return seconds * 1000 if 0 < seconds < MAX_TIME_SECONDS else now


def _parts(body: JsonObject) -> list[JsonObject]:
    """Returns the parts of a message; one that is not `mixed` is a part itself."""
    if read_text(body, "msgtype") != "mixed":
        return [body]
    parts, _ = read_objects(read_object(body, "mixed"), "msg_item")
    return parts[:MAX_PARTS] or [{}]  # a message without parts is shown as one that is not understood


def _read_part(part: JsonObject, context: _PartContext) -> PartContent:
    part_type = read_text(part, "msgtype")
    reader = PART_READERS.get(part_type)
    if reader is not None:
        return reader(read_object(part, part_type), context)
    text = wecom_placeholder(context.language, Kind.UNSUPPORTED)
    detail: dict[str, Json] = {"type": part_type[:MAX_ID_CHARACTERS]} if part_type else {}
    return PartContent(kind=Kind.UNSUPPORTED, text=text, detail=detail)


def _without_address(contents: list[PartContent], bot_name: str) -> list[PartContent]:
    """Returns the parts without the `@Bot` with which the first text of a message in a group begins."""
    for index, content in enumerate(contents):
        if content.kind is Kind.TEXT:
            text = text_without_address(content.text, bot_name)
            return [*contents[:index], replace(content, text=text), *contents[index + 1 :]]
    return contents


def _with_quote(contents: list[PartContent], quote: dict[str, Json]) -> list[PartContent]:
    """Returns the parts with the quoted message in the first one, if that is a text."""
    first, *others = contents
    if first.kind is not Kind.TEXT:
        return contents
    return [replace(first, kind=Kind.QUOTE, detail=quote), *others]


def text_without_address(text: str, bot_name: str) -> str:
    """Returns a text without the first word where that begins with `@`; with `bot_name` that is one word."""
    stripped = text.lstrip()
    if not stripped.startswith("@"):
        return text
    address = f"@{bot_name}"
    if bot_name and stripped.startswith(address):
        return stripped[len(address) :].lstrip()
    return stripped.partition(" ")[2].lstrip()


# Parts: one function for each type.


def _text_content(part: JsonObject, _context: _PartContext) -> PartContent:
    return PartContent(kind=Kind.TEXT, text=read_text(part, "content"))


def _file_content(kind: Kind, part: JsonObject, context: _PartContext) -> PartContent:
    """Reads a file; its name comes with its bytes (`Backend.download`)."""
    text = wecom_placeholder(context.language, kind)
    return PartContent(kind=kind, text=text, media=media_ref(part, context.received))


def _voice_content(part: JsonObject, context: _PartContext) -> PartContent:
    """Reads a voice message: WeCom sends its transcript, and no sound."""
    text = read_text(part, "content").strip()
    detail: dict[str, Json] = {"transcript": True} if text else {}
    placeholder = wecom_placeholder(context.language, Kind.VOICE)
    return PartContent(kind=Kind.VOICE, text=text or placeholder, detail=detail)


PART_READERS: dict[str, Callable[[JsonObject, _PartContext], PartContent]] = {
    "text": _text_content,
    "image": partial(_file_content, Kind.IMAGE),
    "voice": _voice_content,
    "file": partial(_file_content, Kind.FILE),
    "video": partial(_file_content, Kind.VIDEO),
}


def _read_quote(quote: JsonObject, context: _PartContext) -> dict[str, Json]:
    """Returns kind and text of the quoted message, or nothing without one; WeCom sends no id of it."""
    if not quote:
        return {}
    contents = [_read_part(part, context) for part in _parts(quote)]
    text = " ".join(content.text for content in contents)
    return {"kind": str(contents[0].kind), "text": text[:MAX_QUOTE_CHARACTERS]}
