"""Control API for the files of messages: `/sim/media`."""

from __future__ import annotations

import base64
import binascii
from typing import get_args

from wx2mqtt.simulator import media
from wx2mqtt.simulator.file_answer import file_answer
from wx2mqtt.simulator.http_messages import Request, SimulatedAnswer
from wx2mqtt.simulator.media import ByteSource, GivenBytes, MessageMedia
from wx2mqtt.simulator.settings import GoneAnswer
from wx2mqtt.simulator.wechat import WeChat
from wx2mqtt.simulator.world import OWNER

PREFIX = "/sim/media/"

Fields = dict[str, object]


class BadMedia(ValueError):
    """The order is malformed."""


class UnknownMessage(KeyError):
    """No message with that id has a file."""

    def __str__(self) -> str:
        return f"no message {self.args[0]!r} has a file"


def decode_bytes(value: object) -> ByteSource:
    """Decodes the base64 of an order; raises `BadMedia`."""
    try:
        return GivenBytes(base64.b64decode(str(value), validate=True))
    except binascii.Error as error:
        raise BadMedia(f"data is no base64: {error}") from None


def _attachment(wechat: WeChat, msg_id: str) -> MessageMedia:
    attachment = wechat.media.find(msg_id)
    if attachment is None:
        raise UnknownMessage(msg_id)
    return attachment


async def get_file(wechat: WeChat, request: Request, _: Fields) -> SimulatedAnswer:
    """Returns the file of a message to the phone page or a test, even if WeChat's servers withhold it."""
    attachment = _attachment(wechat, request.path.removeprefix(PREFIX))
    content = attachment.thumbnail if "thumbnail" in request.query else attachment.content
    if content is None:
        raise UnknownMessage(request.path.removeprefix(PREFIX))
    return file_answer(content, attachment.name)


async def change_media(wechat: WeChat, _: Request, order: Fields) -> Fields:
    """Changes how the servers deliver the file of a message, or replaces the file."""
    unknown = [key for key in order if key not in ("msg_id", "kind", "data", "bytes_of", "empty", "gone")]
    if unknown:
        raise BadMedia(f"unknown: {', '.join(unknown)}; known: msg_id kind data bytes_of empty gone")
    msg_id = str(order.get("msg_id"))
    gone = order.get("gone", "")
    empty = order.get("empty")
    if gone not in get_args(GoneAnswer) or not (empty is None or type(empty) is int):
        raise BadMedia(f"gone must be one of {', '.join(map(repr, get_args(GoneAnswer)))}, empty a number")
    content = _content(msg_id, order)
    if content is not None:
        attachment = media.make_media(str(order.get("kind", "file")), msg_id, OWNER, content)
        assert attachment is not None
        wechat.media.put(msg_id, attachment)
    attachment = _attachment(wechat, msg_id)
    attachment.gone = gone  # type: ignore[assignment]
    attachment.empty_answers = empty
    return {}


def _content(msg_id: str, order: Fields) -> ByteSource | None:
    if "data" in order:
        return decode_bytes(order["data"])
    size = order.get("bytes_of")
    kind = str(order.get("kind", "file"))
    if size is None:
        return None
    if type(size) is not int or size < 0 or not media.has_bytes(kind):
        raise BadMedia("bytes_of must be a number, kind one that brings bytes")
    return media.generate_file(kind, msg_id, size)
