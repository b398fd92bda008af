"""What one HTTP interface for senders has to say: how to read its requests, and how to answer them. Pure.

    POST /send/wife "home at six"
        read_token, read_recipient, plan_body      from the head alone, before a byte of the body is read
        read_command                               SenderCommand(fields={"text": "home at six"})
        write_answer, or write_refusal             202 {"id": "…", "account": "home", "user": "wife"}

An interface is a subclass of `SenderInterface` in a module of its own, and an entry of `INTERFACES` in
`interfaces.py`. It never sees a socket, a token that is right or wrong, or the store. `endpoint.py` does the
rest.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import field
from enum import Enum, auto
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from wx2mqtt.bounded_json import JsonBounds, JsonDecimal, JsonOutOfBounds, load_json
from wx2mqtt.errors import BadCommand
from wx2mqtt.i18n import Language
from wx2mqtt.model import JSON_TYPE, Blob, Json
from wx2mqtt.values import frozen

# Of a form, in a body or a query: far more than any of the interfaces has.
MAX_FORM_FIELDS = 100

# Characters of a form that are decoded together.
ESCAPES_AT_A_TIME = 4096

# --- what comes in ---


@frozen
class RequestHead:
    """A request without its body."""

    method: str
    #: Of the texts that the bridge makes itself.
    language: Language = "en"
    #: The names in the path, such as `user`.
    path_names: Mapping[str, str] = field(default_factory=dict)
    #: Of each name the first value.
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: Names in lower case; of each name the first value.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def media_type(self) -> str:
        """The type of the body in lower case, without parameters; empty without one."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class BodyForm(Enum):
    """What becomes of a body."""

    #: It is kept in memory, in `RequestBody.data`.
    BYTES = auto()
    #: It is stored, as `RequestBody.file`.
    FILE = auto()
    #: UTF-8 of at most `max_bytes` is kept in memory, as with `BYTES`; anything else is stored.
    TEXT_OR_FILE = auto()
    #: multipart/form-data: `RequestBody.fields`, and at most one stored file.
    MULTIPART = auto()


@frozen
class BodyPlan:
    """How to read a body."""

    form: BodyForm
    #: What may be in memory: the data, or the fields of a form together. A larger one is refused with 413,
    #: except with `TEXT_OR_FILE`. A stored file is limited by what WeChat takes.
    max_bytes: int
    #: What the stored file is to be: image, video or file.
    kind: str = "file"


@frozen
class UploadedFile:
    """A file in the store that came as a body, or as a part of one."""

    #: As the caller wrote it, unchecked; empty without one.
    name: str
    #: Its `mime` is that of its content, whatever the caller wrote.
    blob: Blob


@frozen
class RequestBody:
    """A body that was read as its `BodyPlan` says."""

    data: bytes = field(default=b"", repr=False)
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    file: UploadedFile | None = None


# --- what it asks for ---


@frozen
class SenderCommand:
    """A request that was read."""

    #: The keys of a command (docs/en/reference/sending.md), unchecked.
    fields: Mapping[str, Json] = field(repr=False)
    #: A topic name, or `account/name`; empty: the `to` of the sender.
    user: str = ""
    #: What the command sends, in place of its `path`, `url` or `data`. Without a `kind` among the fields it
    #: is sent as what it is: a picture, a video or a file.
    file: UploadedFile | None = None
    #: The same within ten minutes is not sent again unless the first ended in anything but `sent`; empty: it
    #: is. Any text.
    content: str = ""
    #: How long the answer may wait for the result; 0: not at all.
    wait_seconds: float = 0.0


@frozen
class Accepted:
    """A command that is stored and will be sent; `write_answer` answers with it."""

    id: str
    account: str
    user: str
    #: The number of its row in the journal.
    row_id: int
    #: When it was accepted, in milliseconds.
    time: int
    #: As on `result/<user>`; None where there is none yet, or nobody waits for it.
    result: Mapping[str, Json] | None = None


@frozen
class Refused:
    """A request that became no command; `write_refusal` answers with it."""

    status: HTTPStatus
    #: As in results; `unauthorized`, `forbidden` and `elsewhere` besides.
    code: str
    #: For people: what is wrong, and what to change.
    message: str
    #: In seconds; the endpoint makes the header of it.
    retry_after: int | None = None


@frozen
class ServiceAnswer:
    """An answer; the endpoint adds the headers that all answers have."""

    status: int
    content: bytes
    media_type: str = JSON_TYPE


def json_answer(status: int, body: Mapping[str, Json]) -> ServiceAnswer:
    return ServiceAnswer(
        status=status, content=json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    )


class SenderInterface:
    """One interface. The answers here are those of the bridge's own."""

    #: For logs and counters.
    name: str
    #: As starlette writes paths: `/send/{user}`.
    paths: tuple[str, ...]
    #: Besides, on `web.ntfy_listen`.
    root_paths: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("POST",)
    #: With GET, which sends as well: for programs that know an address and nothing else.
    get_paths: tuple[str, ...] = ()
    #: Besides, on `web.ntfy_listen`.
    root_get_paths: tuple[str, ...] = ()

    def read_token(self, head: RequestHead) -> str:
        """Returns the token of the caller; empty without one."""
        return bearer_token(head)

    def read_recipient(self, head: RequestHead) -> str | None:
        """Returns whom the head names, as in `SenderCommand.user`; None where only the body says it.

        A caller who may not send to this person is refused before the body is read.
        """
        names = head.path_names
        return f"{names['account']}/{names['user']}" if "account" in names else names.get("user", "")

    def plan_body(self, head: RequestHead) -> BodyPlan:
        """Returns how to read the body. Raises `BadCommand`."""
        raise NotImplementedError

    def read_command(self, head: RequestHead, body: RequestBody) -> SenderCommand:
        """Returns what the request asks for. Raises `BadCommand`."""
        raise NotImplementedError

    def write_answer(self, accepted: Accepted) -> ServiceAnswer:
        if accepted.result is not None:
            return json_answer(HTTPStatus.OK, accepted.result)
        body: dict[str, Json] = {"id": accepted.id, "account": accepted.account, "user": accepted.user}
        return json_answer(HTTPStatus.ACCEPTED, body)

    def write_refusal(self, refused: Refused) -> ServiceAnswer:
        body: dict[str, Json] = {"status": "error", "code": refused.code, "error": refused.message}
        return json_answer(refused.status, body)


# --- tools of the interfaces ---


def bearer_token(head: RequestHead) -> str:
    """Returns the token of `Authorization: Bearer`, else the empty text."""
    scheme, _, token = head.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def basic_password(head: RequestHead) -> str:
    """Returns the password of `Authorization: Basic`, whoever the user is; else the empty text."""
    scheme, _, code = head.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(code.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def form_fields(text: str) -> dict[str, str]:
    """Returns the fields of a urlencoded form or a query, of each name the first. Raises `BadCommand`."""
    if text.count("&") >= MAX_FORM_FIELDS:
        raise BadCommand("bad_command", "too_many_form_fields", limit=MAX_FORM_FIELDS)
    fields: dict[str, str] = {}
    for pair in filter(None, text.split("&")):
        name, _, value = pair.replace("+", " ").partition("=")
        fields.setdefault(_without_escapes(name), _without_escapes(value))
    return fields


def _without_escapes(text: str) -> str:
    """Decodes `%41` piece by piece: `unquote` makes an object of each, 50 MB of 256 kB of them."""
    pieces: list[bytes] = []
    start = 0
    while start < len(text):
        end = start + ESCAPES_AT_A_TIME
        cut = text.rfind("%", end - 2, end)  # an escape stays whole
        end = cut if start < cut and end < len(text) else end
        pieces.append(unquote_to_bytes(text[start:end]))
        start = end
    return b"".join(pieces).decode("utf-8", "replace")


def json_object(data: bytes, bounds: JsonBounds) -> dict[str, Json]:
    """Returns the object that a body is; numbers with a point are `JsonDecimal`. Raises `BadCommand`."""
    try:
        value = load_json(data, bounds, JsonDecimal)
    except UnicodeDecodeError:
        raise BadCommand("bad_command", "not_utf8") from None
    except json.JSONDecodeError as wrong:
        problem = f"{wrong.msg} at character {wrong.pos + 1}"
        raise BadCommand("bad_command", "bad_body_json", problem=problem) from None
    except JsonOutOfBounds as wrong:
        raise BadCommand("bad_command", "bad_body_json", problem=str(wrong)) from None
    if not isinstance(value, dict):
        raise BadCommand("bad_command", "bad_body_json", problem=f"it is a {type(value).__name__}")
    return value
