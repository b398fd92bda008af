"""What one HTTP interface for senders has to say: how to read its requests, and how to answer them. Pure.

    POST /send/wife "home at six"
        read_token, read_recipient, plan_body      from the head alone, before a byte of the body is read
        read_command                               SenderCommand(fields={"text": "home at six"})
        write_answer, or write_refusal             202 {"id": "…", "account": "home", "user": "wife"}

An interface is a subclass of `SenderInterface` in a module of its own, and an entry of `INTERFACES` in
`endpoint.py`, which does the rest. It never sees a socket, a token that is right or wrong, or the store.
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

from wx2mqtt.bounded_json import JsonBounds
from wx2mqtt.errors import BadCommand
from wx2mqtt.i18n import Language
from wx2mqtt.model import JSON_TYPE, Blob, Json
from wx2mqtt.mqtt.commands import read_object
from wx2mqtt.values import frozen

# A form, in a body or a query, may have so many fields: far more than any interface has.
MAX_FORM_FIELDS = 100

# A form is decoded in pieces of so many characters.
ESCAPES_AT_A_TIME = 4096

# --- what comes in ---


@frozen
class RequestHead:
    """A request without its body."""

    method: str
    #: The language of the texts that the bridge makes itself.
    language: Language = "en"
    #: What the path names: for `/send/{user}` the value of `user`.
    path_names: Mapping[str, str] = field(default_factory=dict)
    #: The first value of each name.
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: The first value of each name, which is in lower case.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def media_type(self) -> str:
        """The type of the body in lower case, without parameters; empty without one."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class BodyForm(Enum):
    """What becomes of a body."""

    #: The body is kept in memory, as `RequestBody.data`.
    BYTES = auto()
    #: The body is stored, as `RequestBody.file`.
    FILE = auto()
    #: A text in UTF-8 of at most `max_bytes` is kept as `RequestBody.data`; any other body is stored.
    TEXT_OR_FILE = auto()
    #: The body is multipart/form-data: `RequestBody.fields`, and at most one stored file.
    MULTIPART = auto()


@frozen
class BodyPlan:
    form: BodyForm
    #: The largest data, or fields of a form together, in memory. A larger body is refused with 413, except
    #: with `TEXT_OR_FILE`. A stored file has another limit: what WeChat takes.
    max_bytes: int
    #: The kind of message as which the stored file is sent: image, video or file.
    kind: str = "file"


@frozen
class UploadedFile:
    """A file in the store that came as a body, or as a part of one."""

    #: The name as the caller wrote it, unchecked; empty without one.
    name: str
    #: Its `mime` is what the content is, whatever the caller wrote.
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
    #: The keys of a command (docs/en/reference/sending.md), unchecked.
    fields: Mapping[str, Json] = field(repr=False)
    #: The recipient: a topic name or `account/name`. Empty for the `to` of the sender.
    user: str = ""
    #: The file that the command sends, in place of a `path`, `url` or `data`. Where the fields have no
    #: `kind`, it is sent as what it is: a picture, a video or a file.
    file: UploadedFile | None = None
    #: What the request reports. The same text within ten minutes is not sent again, unless the first command
    #: ended in anything but `sent`. Empty for a request that is always sent.
    content: str = ""
    #: What the answer of an imitated service repeats of the request.
    answer_fields: Mapping[str, Json] = field(default_factory=dict, repr=False)
    #: How long the answer may wait for the result; 0 for an answer at once.
    wait_seconds: float = 0.0


@frozen
class Accepted:
    """A command that is stored and will be sent; `write_answer` answers with it."""

    id: str
    account: str
    user: str
    #: The name of the caller.
    sender: str
    #: The id of its row in the store.
    row_id: int
    #: When it was accepted, in milliseconds since 1970.
    time: int
    #: The result as on the topic `result/<user>`; None where there is none yet, or the call waits for none.
    result: Mapping[str, Json] | None = None
    #: As in its `SenderCommand`.
    answer_fields: Mapping[str, Json] = field(default_factory=dict, repr=False)


@frozen
class Refused:
    """A request that became no command; `write_refusal` answers with it."""

    status: HTTPStatus
    #: A code of results, or `unauthorized`, `forbidden` or `elsewhere`.
    code: str
    #: A sentence for people: what is wrong, and what to change.
    message: str
    #: In how many seconds the same request may succeed; the endpoint makes the header Retry-After of it.
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
    """One interface. The answers of this class are those of the bridge's own interface."""

    #: Its name in logs and counters.
    name: str
    #: Its paths as starlette writes them: `/send/{user}`.
    paths: tuple[str, ...]
    #: Its paths on the address `web.ntfy_listen`.
    root_paths: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("POST",)
    #: Paths that send with GET as well: for programs that can only call an address.
    get_paths: tuple[str, ...] = ()
    #: The same on the address `web.ntfy_listen`.
    root_get_paths: tuple[str, ...] = ()

    def read_token(self, head: RequestHead) -> str:
        """Returns the token of the caller; empty without one."""
        return bearer_token(head)

    def read_recipient(self, head: RequestHead) -> str | None:
        """Returns the recipient in the head, as in `SenderCommand.user`; None where only the body says it.

        A caller who may not send to this recipient is refused before the body is read.
        """
        names = head.path_names
        if "account" in names:
            return f"{names['account']}/{names['user']}"
        return names.get("user", "")

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
    """Returns the fields of a urlencoded form or a query, the first of each name. Raises `BadCommand`."""
    if text.count("&") >= MAX_FORM_FIELDS:
        raise BadCommand("bad_command", "too_many_form_fields", limit=MAX_FORM_FIELDS)
    fields: dict[str, str] = {}
    for pair in filter(None, text.split("&")):
        name, _, value = pair.replace("+", " ").partition("=")
        fields.setdefault(_without_escapes(name), _without_escapes(value))
    return fields


def _without_escapes(text: str) -> str:
    """Decodes escapes such as `%41`, a piece of the text at a time.

    `unquote` makes an object of each escape: 50 MB of a text of 256 kB.
    """
    pieces: list[bytes] = []
    start = 0
    while start < len(text):
        end = start + ESCAPES_AT_A_TIME
        if end < len(text):
            cut_escape = text.rfind("%", end - 2, end)
            end = cut_escape if cut_escape > start else end
        pieces.append(unquote_to_bytes(text[start:end]))
        start = end
    return b"".join(pieces).decode("utf-8", "replace")


def json_object(data: bytes, bounds: JsonBounds) -> dict[str, Json]:
    """Returns the object that a body is; numbers with a point are `JsonDecimal`. Raises `BadCommand`."""
    return read_object(data, bounds, "bad_command", "bad_body_json")
