"""ntfy's interface: `/ntfy/<user>`, or JSON to `/ntfy`; the same at the root of `ntfy_listen`. Pure.

    POST /ntfy/me  Title: Door  Priority: 5  "somebody rang"      an urgent text
    PUT  /ntfy/me  Filename: door.jpg        (bytes)              a picture; title and message are its caption
    POST /ntfy     {"topic": "me", "message": "somebody rang"}    a text
    GET  /ntfy/me/publish?message=somebody+rang&priority=5        an urgent text

`_OPTIONS` has the names of what is read, each in a header, a short header or the query. The text is the body.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from contextlib import suppress
from email.errors import MessageError
from email.header import decode_header, make_header
from http import HTTPStatus
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from typing_extensions import override

from wx2mqtt.bounded_json import JsonDecimal
from wx2mqtt.errors import BadCommand
from wx2mqtt.limits import MAX_NTFY_TEXT_BYTES, REQUEST_JSON
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
    basic_password,
    bearer_token,
    json_answer,
    json_object,
)
from wx2mqtt.web.senders.service_texts import joined_text, plain_text_of, text_value

EMPTY_MESSAGE = "triggered"  # ntfy's text of a message without one
DEFAULT_FILENAME = "attachment"  # ntfy's name of a file without one

# The last part of the path of a message that is published with GET.
_GET_WORDS = ("publish", "send", "trigger")


class NtfyInterface(SenderInterface):
    name = "ntfy"
    paths = ("/ntfy", "/ntfy/{user}")
    root_paths = ("/", "/{user}")
    methods = ("POST", "PUT")
    get_paths = tuple(f"/ntfy/{{user}}/{word}" for word in _GET_WORDS)
    root_get_paths = tuple(f"/{{user}}/{word}" for word in _GET_WORDS)

    @override
    def read_token(self, head: RequestHead) -> str:
        return bearer_token(head) or basic_password(head) or _token_of_query(head)

    @override
    def read_recipient(self, head: RequestHead) -> str | None:
        return head.path_names.get("user")

    @override
    def plan_body(self, head: RequestHead) -> BodyPlan:
        if "user" not in head.path_names:  # the body is JSON, with the topic
            return BodyPlan(form=BodyForm.BYTES, max_bytes=REQUEST_JSON.max_bytes)
        if head.method == "GET":
            return BodyPlan(form=BodyForm.BYTES, max_bytes=0)
        options = _read_options(head)
        if options.get("filename") and not options.get("attach"):  # the body is the file of this name
            return BodyPlan(form=BodyForm.FILE, max_bytes=0)
        return BodyPlan(form=BodyForm.TEXT_OR_FILE, max_bytes=MAX_NTFY_TEXT_BYTES)

    @override
    def read_command(self, head: RequestHead, body: RequestBody) -> SenderCommand:
        user = head.path_names.get("user", "")
        options = _read_options(head)
        if not user:
            fields = json_object(body.data, REQUEST_JSON)
            options |= _options_of_json(fields)
            user = _read_topic(fields)
        elif text := body.data.decode("utf-8", "replace").strip():
            options["message"] = text
        return SenderCommand(
            fields=_command_fields(options, body),
            user=user,
            file=body.file,
            answer_fields=_answer_fields(options, body),
        )

    @override
    def write_answer(self, accepted: Accepted) -> ServiceAnswer:
        body: dict[str, Json] = {
            "id": accepted.id,
            "time": accepted.time // 1000,
            "event": "message",
            "topic": accepted.user,
            **accepted.answer_fields,
        }
        return json_answer(HTTPStatus.OK, body)

    @override
    def write_refusal(self, refused: Refused) -> ServiceAnswer:
        body: dict[str, Json] = {
            "code": refused.status.value * 100 + 1,
            "http": refused.status.value,
            "error": refused.message,
        }
        return json_answer(refused.status, body)


# --- reading ---


def _token_of_query(head: RequestHead) -> str:
    """Returns the token of `?auth=`: an Authorization header in base64 for addresses, without padding."""
    code = head.query.get("auth", "").strip().replace("-", "+").replace("_", "/").rstrip("=")
    padding = "=" * (-len(code) % 4)
    try:
        header = base64.b64decode(code + padding, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    inner = RequestHead(method=head.method, headers={"authorization": header})
    return bearer_token(inner) or basic_password(inner)


# What a publisher can say besides the text: the name in JSON, and the names of headers and query keys.
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "title": ("x-title", "title", "ti", "t"),
    "message": ("x-message", "message", "m"),
    "priority": ("x-priority", "priority", "prio", "p"),
    "tags": ("x-tags", "tags", "tag", "ta"),
    "click": ("x-click", "click"),
    "attach": ("x-attach", "attach", "a"),
    "filename": ("x-filename", "filename", "file", "f"),
    "markdown": ("x-markdown", "markdown", "md"),
    "delay": ("x-delay", "delay", "x-at", "at", "x-in", "in"),
}


def _read_options(head: RequestHead) -> dict[str, str]:
    """Returns the options in the headers; what no header says, the query may say."""
    options: dict[str, str] = {}
    for option, names in _OPTIONS.items():
        for name in names:
            value = _decode_header(head.headers.get(name, "")) or head.query.get(name, "")
            if value and not _is_http_priority(name, value):
                options[option] = value.strip()
                break
    if "message" in options:  # a header has one line: ntfy writes a line break as two characters
        options["message"] = options["message"].replace("\\n", "\n")
    return options


def _decode_header(value: str) -> str:
    """Returns the text of a header, which may be UTF-8, or encoded words as in mail (RFC 2047)."""
    with suppress(UnicodeError):
        value = value.encode("latin-1").decode()
    if "=?" not in value:
        return value
    try:
        return str(make_header(decode_header(value)))
    except (MessageError, UnicodeError, LookupError, ValueError):
        return value


def _is_http_priority(name: str, value: str) -> bool:
    """Returns whether a header is the Priority of HTTP, such as `u=1`, from a browser or proxy (RFC 9218)."""
    return name == "priority" and (value.startswith("u=") or value == "i")


def _options_of_json(fields: Mapping[str, Json]) -> dict[str, str]:
    """Returns the options in a body of JSON. Raises `BadCommand`."""
    options: dict[str, str] = {}
    for option in _OPTIONS:
        value = fields.get(option)
        if option == "tags" and isinstance(value, list):
            options[option] = ",".join(tag for tag in value if isinstance(tag, str))
        elif isinstance(value, bool):
            options[option] = str(value).lower()
        elif isinstance(value, JsonDecimal):
            options[option] = value.text
        else:
            options[option] = text_value(fields, option)
    return {option: text for option, text in options.items() if text}


def _read_topic(fields: Mapping[str, Json]) -> str:
    topic = text_value(fields, "topic")
    if not topic:
        raise BadCommand("bad_command", "bad_value", key="topic", expected="a topic level")
    return topic


# --- the command ---


def _command_fields(options: Mapping[str, str], body: RequestBody) -> dict[str, Json]:
    """Returns the keys of the command. Raises `BadCommand`."""
    if options.get("delay"):
        raise BadCommand("unsupported", "ntfy_delay")
    priority = _read_priority(options)
    fields = {} if priority is None else {**_PRIORITY_KEYS[priority]}
    filename, address = options.get("filename", ""), options.get("attach", "")
    text = _text_of(options)
    if not address and body.file is None:
        return {**fields, "text": text or EMPTY_MESSAGE}
    if address:  # the bridge fetches the file
        fields |= {"kind": _kind_of(filename or _path_of(address)), "url": address}
    if text:
        fields["text"] = text
    if filename:
        fields["name"] = filename
    elif body.file is not None and not body.file.name:
        fields["name"] = DEFAULT_FILENAME
    return fields


def _path_of(address: str) -> str:
    """Returns the path of an address; empty for a wrong address, which the check of `url` refuses later."""
    try:
        return urlsplit(address).path
    except ValueError:
        return ""


_PRIORITIES: Mapping[str, int] = {
    "1": 1,
    "min": 1,
    "2": 2,
    "low": 2,
    "3": 3,
    "default": 3,
    "4": 4,
    "high": 4,
    "5": 5,
    "max": 5,
    "urgent": 5,
}
_PRIORITY_KEYS: Mapping[int, Mapping[str, Json]] = {
    1: {"priority": "low"},
    2: {"priority": "low"},
    3: {},
    4: {"priority": "high"},
    5: {"priority": "high", "urgent": True},
}


def _read_priority(options: Mapping[str, str]) -> int | None:
    """Returns the priority from 1 to 5; None without one. Raises `BadCommand`."""
    text = options.get("priority", "").strip().lower()
    if not text:
        return None
    if text not in _PRIORITIES:
        raise BadCommand("bad_command", "ntfy_priority", priority=text[:20], known=", ".join(_PRIORITIES))
    return _PRIORITIES[text]


# Values of the option `markdown` that switch it on.
_TRUE = frozenset({"1", "yes", "true"})

# Tags that ntfy shows as a sign before the title. These are those of its documentation that suit alarms.
_TAG_SIGNS: Mapping[str, str] = {
    "+1": "👍",
    "-1": "👎",
    "bell": "🔔",
    "computer": "💻",
    "cd": "💿",
    "door": "🚪",
    "facepalm": "🤦",
    "fire": "🔥",
    "green_circle": "🟢",
    "heavy_check_mark": "✔️",
    "information_source": "ℹ️",
    "loudspeaker": "📢",
    "no_entry": "⛔",
    "partying_face": "🥳",
    "red_circle": "🔴",
    "rotating_light": "🚨",
    "skull": "💀",
    "tada": "🎉",
    "triangular_flag_on_post": "🚩",
    "warning": "⚠️",
    "white_check_mark": "✅",
    "x": "❌",
}


def _text_of(options: Mapping[str, str]) -> str:
    """Returns the text with its title, tags and link: "🔥 Title", the message, "[tag]", the link."""
    message = options.get("message", "")
    if options.get("markdown", "").lower() in _TRUE:
        message = plain_text_of(message)
    tags = _tags_of(options)
    signs = "".join(_TAG_SIGNS[tag] for tag in tags if tag in _TAG_SIGNS)
    words = ", ".join(tag for tag in tags if tag not in _TAG_SIGNS)
    title = options.get("title", "")
    first = f"{signs} {title or message}".strip()
    return joined_text(
        first,
        message if title else "",
        f"[{words}]" if words else "",
        links=[options.get("click", "")],
    )


def _tags_of(options: Mapping[str, str]) -> list[str]:
    return [tag.strip() for tag in options.get("tags", "").split(",") if tag.strip()]


_KINDS_BY_SUFFIX: Mapping[str, str] = {
    **dict.fromkeys((".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"), "image"),
    **dict.fromkeys((".mp4", ".mov", ".webm", ".mkv", ".avi"), "video"),
}


def _kind_of(path: str) -> str:
    return _KINDS_BY_SUFFIX.get(PurePosixPath(path).suffix.lower(), "file")


# --- the answer ---


def _answer_fields(options: Mapping[str, str], body: RequestBody) -> dict[str, Json]:
    """Returns what ntfy's answer repeats of the message; what the message does not have is left out."""
    message = options.get("message", "")
    if not message and (body.file is not None or options.get("attach")):
        message = f"You received a file: {options.get('filename') or DEFAULT_FILENAME}"  # as ntfy says it
    fields: dict[str, Json] = {"message": message or EMPTY_MESSAGE}
    for name in ("title", "click"):
        if options.get(name):
            fields[name] = options[name]
    priority = _read_priority(options)
    if priority is not None:
        fields["priority"] = priority
    tags = _tags_of(options)
    if tags:
        fields["tags"] = [*tags]
    return fields
