"""The bridge's own interface for senders: `POST /send/<user>` and `/send/<account>/<user>`. Pure.

    text/plain                        home at six                     a text
    application/json                  {"text": "home at six"}         a command, as on `out/<user>`
    image/jpeg, video/mp4             its bytes                       a picture, a video
    application/pdf   ?name=plan.pdf  its bytes                       a file
    multipart/form-data               text=…, urgent=true, file=@…    a command, and perhaps a file

What is wrong with the keys of a command is found later, as for commands from MQTT.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from typing_extensions import override

from wx2mqtt.errors import BadCommand
from wx2mqtt.limits import COMMAND_JSON, MAX_TEXT_PAYLOAD_BYTES
from wx2mqtt.model import Json
from wx2mqtt.web.senders.interface import (
    BodyForm,
    BodyPlan,
    RequestBody,
    RequestHead,
    SenderCommand,
    SenderInterface,
    json_object,
)

FORM_TYPE = "application/x-www-form-urlencoded"
MULTIPART_TYPE = "multipart/form-data"
JSON_TYPES = ("application/json", "text/json")

# A longer `?wait=` is cut: proxies give up on an answer after a minute or two.
MAX_WAIT_SECONDS = 60.0


class PlainInterface(SenderInterface):
    name = "send"
    paths = ("/send/{user}", "/send/{account}/{user}")

    @override
    def plan_body(self, head: RequestHead) -> BodyPlan:
        media_type = head.media_type
        main_type = media_type.partition("/")[0]
        if media_type == "text/plain":
            return BodyPlan(form=BodyForm.BYTES, max_bytes=MAX_TEXT_PAYLOAD_BYTES)
        if media_type in JSON_TYPES:
            return BodyPlan(form=BodyForm.BYTES, max_bytes=COMMAND_JSON.max_bytes)
        if media_type == MULTIPART_TYPE:
            return BodyPlan(form=BodyForm.MULTIPART, max_bytes=MAX_TEXT_PAYLOAD_BYTES)
        if main_type in {"image", "video"}:
            return BodyPlan(form=BodyForm.FILE, max_bytes=0, kind=main_type)
        if media_type == FORM_TYPE:
            raise BadCommand("bad_command", "form_is_no_text")
        if "name" in head.query:
            return BodyPlan(form=BodyForm.FILE, max_bytes=0)
        if media_type:
            raise BadCommand("bad_command", "type_needs_name", mime=media_type)
        return BodyPlan(form=BodyForm.BYTES, max_bytes=MAX_TEXT_PAYLOAD_BYTES)

    @override
    def read_command(self, head: RequestHead, body: RequestBody) -> SenderCommand:
        fields = _read_fields(head, body)
        _add_idempotency_key(fields, head)
        return SenderCommand(
            fields=fields,
            user=self.read_recipient(head) or "",
            file=body.file,
            wait_seconds=_read_wait(head.query),
        )


# Keys that the query may have beside a body without keys. `wait` is allowed beside every body.
TEXT_QUERY_KEYS = ("id", "ttl", "priority", "urgent", "hold")
FILE_QUERY_KEYS = (*TEXT_QUERY_KEYS, "name")


def _read_fields(head: RequestHead, body: RequestBody) -> dict[str, Json]:
    """Returns the keys of the command, from the body or from the query beside it."""
    if head.media_type in JSON_TYPES:
        _reject_unknown_keys(head.query, (), "query_beside_command")
        return json_object(body.data, COMMAND_JSON)
    if head.media_type == MULTIPART_TYPE:
        _reject_unknown_keys(head.query, (), "query_beside_command")
        values = {name: _field_value(name, value) for name, value in body.fields.items()}
        if body.file is not None and body.file.name:
            values.setdefault("name", body.file.name)
        return values
    known = TEXT_QUERY_KEYS if body.file is None else FILE_QUERY_KEYS
    _reject_unknown_keys(head.query, known, "unknown_query_key")
    fields = {name: _field_value(name, value) for name, value in head.query.items() if name != "wait"}
    if body.file is None:
        fields["text"] = _decode(body.data)
    elif head.media_type.startswith(("image/", "video/")):
        fields["kind"] = head.media_type.partition("/")[0]
    else:
        fields["kind"] = "file"
    return fields


def _reject_unknown_keys(query: Mapping[str, str], known: tuple[str, ...], message_key: str) -> None:
    known = (*known, "wait")
    for key in query:
        if key not in known:
            raise BadCommand("bad_command", message_key, key=key, known=", ".join(known))


# Keys whose value is a text, also where it looks like a number. In a form all others are read as JSON.
_TEXT_KEYS = frozenset(
    {"text", "kind", "path", "url", "data", "name", "message_id", "id", "priority", "format"}
)
_SWITCHES: Mapping[str, Json] = {"1": True, "yes": True, "on": True, "0": False, "no": False, "off": False}
_SWITCH_KEYS = frozenset({"hold", "urgent", "also_wechat"})


def _field_value(name: str, value: str) -> Json:
    """Returns the value of a field of a form or a query: a text, or what it is as JSON, such as `true`."""
    if name in _TEXT_KEYS:
        return value
    if name in _SWITCH_KEYS and value.lower() in _SWITCHES:
        return _SWITCHES[value.lower()]
    try:
        read = json_object(f'{{"value": {value}}}'.encode(), COMMAND_JSON)
    except (BadCommand, UnicodeEncodeError):
        return value  # the check of the command says what it must be
    is_one_value = len(read) == 1 and "value" in read  # `1, "text": "…"` would be two
    return read["value"] if is_one_value else value


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadCommand("bad_command", "bytes_as_text") from None


def _add_idempotency_key(fields: dict[str, Json], head: RequestHead) -> None:
    """Makes `Idempotency-Key` the id of the command. Raises `BadCommand` for another one in the body."""
    key = head.headers.get("idempotency-key", "").strip()
    if len(key) > 1 and key[0] == key[-1] == '"':  # as the draft of the header's standard writes it
        key = key[1:-1]
    if not key:
        return
    if "id" in fields and json.dumps(fields["id"], default=str) != json.dumps(key):
        raise BadCommand("bad_command", "two_ids")
    fields["id"] = key


def _read_wait(query: Mapping[str, str]) -> float:
    text = query.get("wait")
    if text is None:
        return 0.0
    if not (text.isascii() and text.replace(".", "", 1).isdigit() and len(text) <= 10):
        raise BadCommand("bad_command", "bad_value", key="wait", expected="a number of seconds above 0")
    return min(float(text), MAX_WAIT_SECONDS)
