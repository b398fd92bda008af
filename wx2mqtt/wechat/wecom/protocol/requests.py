"""The bodies of what the bridge asks WeCom for (wecom 2.4, 5)."""

from __future__ import annotations

from wx2mqtt.model import Handle, Json, Kind
from wx2mqtt.wechat.wecom.protocol.handles import receiver
from wx2mqtt.wechat.wecom.protocol.session import BotCredentials

JsonBody = dict[str, Json]

# How the bridge's kinds are called in an upload and in a message.
MEDIA_TYPES: dict[Kind, str] = {
    Kind.IMAGE: "image",
    Kind.VIDEO: "video",
    Kind.VOICE: "voice",
    Kind.FILE: "file",
}

MAX_FILENAME_BYTES = 256
MAX_VIDEO_TITLE_BYTES = 64


def subscription(credentials: BotCredentials) -> JsonBody:
    return {"bot_id": credentials.bot_id, "secret": credentials.secret}


def text_message(chat: Handle, markdown: str) -> JsonBody:
    """Returns a message with a text, which is markdown already."""
    return {**receiver(chat), "msgtype": "markdown", "markdown": {"content": markdown}}


def card_message(chat: Handle, card: JsonBody) -> JsonBody:
    return {**receiver(chat), "msgtype": "template_card", "template_card": card}


def file_message(chat: Handle, kind: Kind, media_id: str, name: str = "") -> JsonBody:
    """Returns a message with an uploaded file; a video has its name as title."""
    media_type = MEDIA_TYPES[kind]
    content: JsonBody = {"media_id": media_id}
    if kind is Kind.VIDEO and name:
        content["title"] = cut_to_bytes(name, MAX_VIDEO_TITLE_BYTES)
    return {**receiver(chat), "msgtype": media_type, media_type: content}


def receipt(stream_id: str, text: str) -> JsonBody:
    """Returns the finished answer to a message, which ends WeCom's waiting for one (wecom 4.7)."""
    return {"msgtype": "stream", "stream": {"id": stream_id, "finish": True, "content": text}}


def card_update(card: JsonBody) -> JsonBody:
    """Returns what replaces the card on which somebody pressed a button."""
    return {"response_type": "update_template_card", "template_card": card}


def upload_begin(kind: Kind, name: str, size: int, pieces: int, md5: str) -> JsonBody:
    return {
        "type": MEDIA_TYPES[kind],
        "filename": cut_to_bytes(name, MAX_FILENAME_BYTES),
        "total_size": size,
        "total_chunks": pieces,
        "md5": md5,
    }


def upload_piece(upload_id: str, index: int, base64_data: str) -> JsonBody:
    """Returns one piece; `index` counts from 0."""
    return {"upload_id": upload_id, "chunk_index": index, "base64_data": base64_data}


def upload_end(upload_id: str) -> JsonBody:
    return {"upload_id": upload_id}


def cut_to_bytes(text: str, max_bytes: int) -> str:
    """Returns the begin of a text, in at most so many bytes of UTF-8."""
    return text.encode("utf-8", "replace")[:max_bytes].decode("utf-8", "ignore")
