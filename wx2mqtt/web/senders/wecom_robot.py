"""The interface of WeCom's group robot: `POST /wecom/cgi-bin/webhook/send?key=…`. Pure.

    {"msgtype": "text", "text": {"content": "done"}}              a text
    {"msgtype": "markdown", "markdown": {"content": "**done**"}}  a text without the signs of markdown
    {"msgtype": "image", "image": {"base64": "…", "md5": "…"}}    a picture
    {"msgtype": "news", "news": {"articles": […]}}                a text with the links of the articles

The token is the `key`. A refusal has an HTTP status as everywhere, and the `errcode` that clients know.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from http import HTTPStatus

from typing_extensions import override

from wx2mqtt.errors import BadCommand
from wx2mqtt.limits import ROBOT_JSON
from wx2mqtt.model import Json
from wx2mqtt.web.senders.interface import (
    Accepted,
    BodyForm,
    BodyPlan,
    Refused,
    RequestBody,
    RequestHead,
    SenderCommand,
    SenderInterface,
    ServiceAnswer,
    json_answer,
    json_object,
)
from wx2mqtt.web.senders.service_texts import (
    joined_text,
    object_value,
    plain_text_of,
    required_text,
    text_value,
)

# `errcode` of a refusal; any other code is an invalid parameter.
_ERROR_CODES: Mapping[str, int] = {
    "unauthorized": 93000,
    "rate_limited": 45009,
    "empty": 44004,
    "too_long": 45002,
    "too_large": 45001,
    "unsupported": 40008,
}
_INVALID_PARAMETER = 40058


class WeComRobotInterface(SenderInterface):
    name = "wecom"
    paths = ("/wecom/cgi-bin/webhook/send",)

    @override
    def read_token(self, head: RequestHead) -> str:
        return head.query.get("key", "")

    @override
    def plan_body(self, head: RequestHead) -> BodyPlan:
        return BodyPlan(form=BodyForm.BYTES, max_bytes=ROBOT_JSON.max_bytes)

    @override
    def read_command(self, head: RequestHead, body: RequestBody) -> SenderCommand:
        message = json_object(body.data, ROBOT_JSON)
        kind = text_value(message, "msgtype")
        read = _READERS.get(kind)
        if read is None:
            known = ", ".join(_READERS)
            raise BadCommand("unsupported", "robot_type", kind=kind, known=known)
        return SenderCommand(fields=read(object_value(message, kind)))

    @override
    def write_answer(self, accepted: Accepted) -> ServiceAnswer:
        return json_answer(HTTPStatus.OK, {"errcode": 0, "errmsg": "ok"})

    @override
    def write_refusal(self, refused: Refused) -> ServiceAnswer:
        code = _ERROR_CODES.get(refused.code, _INVALID_PARAMETER)
        return json_answer(refused.status, {"errcode": code, "errmsg": refused.message})


def _read_text(content: Mapping[str, Json]) -> dict[str, Json]:
    text = required_text(text_value(content, "content"))
    listed = content.get("mentioned_list")
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    mentions = [f"@{name.removeprefix('@')}" for name in names]
    return {"text": joined_text(text, " ".join(mention for mention in mentions if mention not in text))}


def _read_markdown(content: Mapping[str, Json]) -> dict[str, Json]:
    return {"text": plain_text_of(required_text(text_value(content, "content")))}


def _read_image(content: Mapping[str, Json]) -> dict[str, Json]:
    data, checksum = text_value(content, "base64"), text_value(content, "md5")
    try:
        picture = base64.b64decode(data)
    except (binascii.Error, ValueError):
        raise BadCommand("bad_command", "bad_base64") from None
    if checksum and hashlib.md5(picture, usedforsecurity=False).hexdigest() != checksum.lower():
        raise BadCommand("bad_command", "robot_checksum")
    return {"kind": "image", "data": data}


def _read_news(content: Mapping[str, Json]) -> dict[str, Json]:
    articles = content.get("articles")
    texts = []
    for article in articles if isinstance(articles, list) else ():
        if isinstance(article, dict):
            title, words = text_value(article, "title"), text_value(article, "description")
            texts.append(joined_text(title, words, links=[text_value(article, "url")]))
    return {"text": required_text("\n\n".join(filter(None, texts)))}


_READERS: Mapping[str, Callable[[Mapping[str, Json]], dict[str, Json]]] = {
    "text": _read_text,
    "markdown": _read_markdown,
    "markdown_v2": _read_markdown,
    "image": _read_image,
    "news": _read_news,
}
