"""Requests of senders over HTTP: heads, queries, forms and JSON, before anybody judges the command in them."""

from __future__ import annotations

from tests.fuzz.mutators import grown, mutated
from tests.fuzz.target import Target
from tests.fuzz.targets.mqtt import check_refusal
from wx2mqtt.errors import BadCommand
from wx2mqtt.limits import COMMAND_JSON
from wx2mqtt.web.senders import interface
from wx2mqtt.web.senders.interface import MAX_FORM_FIELDS, RequestBody, RequestHead
from wx2mqtt.web.senders.plain import MAX_WAIT_SECONDS, PlainInterface

_TYPES = ("", "text/plain", "application/json", "multipart/form-data", "image/png", "application/pdf")


def _run(data: bytes) -> None:
    """The first line is the query, the second a header; what follows is the body."""
    query_line, _, rest = data.partition(b"\n")
    header, _, body = rest.partition(b"\n")
    text = header.decode("latin-1")
    try:
        query = interface.form_fields(query_line.decode("latin-1"))
    except BadCommand as bad:
        check_refusal(bad)
        query = {}
    assert len(query) <= MAX_FORM_FIELDS
    try:
        interface.json_object(body, COMMAND_JSON)
    except BadCommand as bad:
        check_refusal(bad)
    for media_type in (*_TYPES, text):
        headers = {"content-type": media_type, "authorization": text, "idempotency-key": text}
        head = RequestHead(method="POST", path_names={"user": "wife"}, query=query, headers=headers)
        _check(head, body)
    assert "\n" not in interface.bearer_token(head)
    interface.basic_password(head)


def _check(head: RequestHead, data: bytes) -> None:
    plain = PlainInterface()
    try:
        plain.plan_body(head)
        form = interface.form_fields(data.decode("latin-1"))
        read = plain.read_command(head, RequestBody(data=data, fields=form))
    except BadCommand as bad:
        check_refusal(bad)
        return
    assert read.user == "wife"
    assert 0 <= read.wait_seconds <= MAX_WAIT_SECONDS
    if head.media_type == "multipart/form-data":
        assert {*read.fields} - {"id"} == {*form} - {"id"}


_SEEDS = (
    b'wait=3\n"k1"\n{"text": "home", "id": "k1"}',
    b"ttl=600&urgent=1&id=7\nBearer abc\nhome at six",
    b"name=plan.pdf\nBasic dTpw\nttl=1.5&mention=%5B%22a%22%5D&urgent=yes",
    b"\n\n",
)
_WORDS = (
    "&",
    "=",
    "%",
    "\n",
    '"',
    "{",
    "}",
    "[",
    "wait=",
    "id=",
    "ttl=",
    "urgent=",
    "name=",
    "Basic ",
    "1e9",
)

TARGETS = (
    Target(
        name="web.senders",
        run=_run,
        parsers=tuple(f"web.senders.interface:{name}" for name in ("form_fields", "json_object")),
        seeds=_SEEDS,
        generate=mutated(_SEEDS, _WORDS),
        grow=grown(_SEEDS, _WORDS),
        cost_factor=8.0,
        memory_factor=8.0,  # each body is read as six types
    ),
)
