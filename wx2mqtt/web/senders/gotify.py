"""Gotify's interface: `POST /gotify/message`, as in version 2 of its API. Pure.

    {"title": "Backup", "message": "done", "priority": 8}        an urgent text

The token comes as `X-Gotify-Key`, as `?token=`, or as Bearer. The body is JSON, or a form of either kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from typing_extensions import override

from wx2mqtt.bounded_json import JsonDecimal
from wx2mqtt.clock import rfc3339
from wx2mqtt.errors import BadCommand
from wx2mqtt.limits import REQUEST_JSON
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
    bearer_token,
    form_fields,
    json_answer,
    json_object,
)
from wx2mqtt.web.senders.own_interface import FORM_TYPE, MULTIPART_TYPE
from wx2mqtt.web.senders.service_texts import (
    joined_text,
    object_value,
    plain_text_of,
    required_text,
    text_value,
)

# Gotify's own clients ring for a priority from 8 on, and show nothing for one up to 3.
URGENT_PRIORITY = 8
LOW_PRIORITY = 3


class GotifyInterface(SenderInterface):
    name = "gotify"
    paths = ("/gotify/message",)

    @override
    def read_token(self, head: RequestHead) -> str:
        return head.headers.get("x-gotify-key", "") or head.query.get("token", "") or bearer_token(head)

    @override
    def plan_body(self, head: RequestHead) -> BodyPlan:
        form = BodyForm.MULTIPART if head.media_type == MULTIPART_TYPE else BodyForm.BYTES
        return BodyPlan(form=form, max_bytes=REQUEST_JSON.max_bytes)

    @override
    def read_command(self, head: RequestHead, body: RequestBody) -> SenderCommand:
        message = _read_message(head, body)
        text = text_value(message, "message")
        extras = object_value(message, "extras")
        if text_value(object_value(extras, "client::display"), "contentType") == "text/markdown":
            text = plain_text_of(text)
        click = object_value(object_value(extras, "client::notification"), "click")
        link, title = text_value(click, "url"), text_value(message, "title")
        fields: dict[str, Json] = {"text": joined_text(title, required_text(text), links=[link])}
        priority = read_priority(message.get("priority"))
        answer_fields: dict[str, Json] = {
            "message": text_value(message, "message"),
            "priority": priority or 0,
        }
        if title.strip():
            answer_fields["title"] = title
        if extras:
            answer_fields["extras"] = {**extras}
        return SenderCommand(fields={**fields, **_priority_keys(priority)}, answer_fields=answer_fields)

    @override
    def write_answer(self, accepted: Accepted) -> ServiceAnswer:
        """Answers with the message. As in Gotify, one without a title has the name of its application."""
        body: dict[str, Json] = {
            "id": accepted.row_id,
            "appid": 1,
            "date": rfc3339(accepted.time),
            "title": accepted.sender,
            **accepted.answer_fields,
        }
        return json_answer(HTTPStatus.OK, body)

    @override
    def write_refusal(self, refused: Refused) -> ServiceAnswer:
        body: dict[str, Json] = {
            "error": refused.status.phrase,
            "errorCode": refused.status.value,
            "errorDescription": refused.message,
        }
        return json_answer(refused.status, body)


def _read_message(head: RequestHead, body: RequestBody) -> Mapping[str, Json]:
    if head.media_type == MULTIPART_TYPE:
        return {**body.fields}
    if head.media_type == FORM_TYPE:
        return {**form_fields(body.data.decode("utf-8", "replace"))}
    return json_object(body.data, REQUEST_JSON)


def read_priority(value: Json) -> int | None:
    """Returns the priority of a message; None without one. Raises `BadCommand`."""
    if value is None or value == "":
        return None
    text = value.text if isinstance(value, JsonDecimal) else str(value)
    digits = text.removeprefix("-")
    if isinstance(value, bool) or not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise BadCommand("bad_command", "bad_integer", key="priority", minimum=0)
    return int(text)


def _priority_keys(priority: int | None) -> dict[str, Json]:
    """Returns the keys of a command for a priority of Gotify."""
    if priority is None:
        return {}
    if priority >= URGENT_PRIORITY:
        return {"priority": "high", "urgent": True}
    return {"priority": "low"} if priority <= LOW_PRIORITY else {}
