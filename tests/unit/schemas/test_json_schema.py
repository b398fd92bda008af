"""What the program builds has the form that the schemas tell, and nothing that they do not tell."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support.rows import every_row
from tests.support.schema_conformance import payload_faults
from tests.unit.bridge.test_health import health_snapshot
from wx2mqtt.bridge.health import health_body, info_body
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.people.directory import DirectoryEntry, directory_payload
from wx2mqtt.bridge.people.evidence import MatchedBy
from wx2mqtt.message_kinds import MESSAGE_KINDS
from wx2mqtt.model import ChatKind, Handle, Kind, LoginState, Message, Result, Status
from wx2mqtt.mqtt.payloads import (
    RESULT_CODES,
    answer_error,
    answer_ok,
    cut_payload,
    encode,
    event_body,
    last_body,
    message_body,
    result_body,
)
from wx2mqtt.schemas.messages import EVENT_SCHEMAS, kind_keys
from wx2mqtt.wechat.backend import Capabilities

NOW = 1_795_600_000_000
MEDIA: dict[str, Any] = {"pending": 1, "size": 0, "ready": 2}
SAMPLES = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}}


def sample(schema: Any) -> Any:
    """A value that a piece of a schema allows."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "$ref" in schema:
        return {"name": "text", "self": False} if schema["$ref"].endswith("/sender") else {}
    if "pattern" in schema:
        return (
            "0" * 64
            if "64" in schema["pattern"]
            else "2026-11-25T08:00:00.000Z"
            if "T" in schema["pattern"]
            else "5"
        )
    return SAMPLES[schema["type"]]


def message(kind: Kind, **more: Any) -> dict[str, Any]:
    detail = {key: sample(schema) for key, schema in kind_keys(MESSAGE_KINDS[kind]).items()}
    made = Message(
        key="1",
        id="1",
        chat=Handle("@1"),
        chat_kind=ChatKind.GROUP,
        sender=Handle("@2"),
        kind=kind,
        text="text",
        time=NOW,
        detail=detail,
    )
    sender: dict[str, Any] = {"user": "wife", "name": "老婆", "self": False}
    body = message_body(
        replace(made, **more),
        account="home",
        user="wife",
        chat_name="x",
        sender=sender,
        trusted=True,
        media={},
    )
    return {"schema": 1, "stream": "abc", "seq": 1, **body}


@every_row("kind", Kind)
def test_a_message_of_every_kind(kind):
    whole = message(kind)
    assert payload_faults(f"message_{kind}", whole) == []
    assert payload_faults("message", whole) == []
    assert (
        payload_faults(f"message_{kind}", json.loads(last_body(encode({**whole, "text": "x" * 2000})))) == []
    )
    smaller = cut_payload(encode({**whole, "text": "x" * 2000}), 1000)
    assert smaller is not None
    assert payload_faults(f"message_{kind}", json.loads(smaller)) == []


@pytest.mark.parametrize("kind", [Kind.IMAGE, Kind.LOCATION])
def test_a_message_without_what_it_must_have_is_noticed(kind):
    whole = message(kind)
    for key in ("seq", "stream", "user", "text", str(kind)):
        assert payload_faults(
            f"message_{kind}", {name: value for name, value in whole.items() if name != key}
        ), key
    assert payload_faults(f"message_{kind}", {**whole, "surprise": 1})
    assert payload_faults(f"message_{kind}", {**whole, str(kind): {"surprise": 1}})
    assert payload_faults(f"message_{kind}", {**whole, "time": "2026-11-25T08:00:00Z"})


@every_row("name", EVENT_SCHEMAS)
def test_every_event(name):
    event = EVENT_SCHEMAS[name]
    fields = {key: sample(schema) for key, schema in {**event.required, **event.optional}.items()}
    body = event_body(name, event_id="1", account="home", time=NOW, user="wife", fields=fields)
    assert payload_faults(f"event_{name}", body) == []
    least = {key: fields[key] for key in event.required}
    nobody = event_body(name, event_id="1", account="home", time=NOW, user=None, fields=least)
    assert payload_faults(f"event_{name}", nobody) == []
    assert payload_faults("event", nobody) == []
    assert payload_faults(f"event_{name}", {**nobody, "seq": 1}), "events have none"


@pytest.mark.parametrize("status", Status)
def test_every_result(status):
    for code in RESULT_CODES:
        result = Result(id="1", user="wife", status=status, code=code, time=NOW)
        assert payload_faults("result", result_body(result, "home")) == [], code
        full = replace(result, message="x", message_id="2", retry_after=1.5, duplicate_possible=True)
        assert payload_faults("result", result_body(full, "home")) == [], code


def test_a_result_has_all_its_keys():
    body = result_body(Result(id="1", user="wife", status=Status.SENT, code="ok", time=NOW), "home")
    for key in body:
        assert payload_faults("result", {name: value for name, value in body.items() if name != key}), key


@every_row("state", LoginState)
def test_every_state_of_the_login(state):
    login = LoginStatus(state=state, since=NOW)
    assert payload_faults("login", login.body("home")) == []
    assert payload_faults("login", replace(login, qr_expires=NOW).body("home")) == []


def test_health_and_info():
    assert payload_faults("health", {**health_body(health_snapshot(), "home"), "media": MEDIA}) == []
    assert (
        payload_faults(
            "response_health",
            json.loads(answer_ok({**health_body(health_snapshot(), "home"), "media": MEDIA}, 1)),
        )
        == []
    )
    capabilities = Capabilities(
        backend="webwx",
        has_contacts=True,
        has_groups=True,
        can_start_chat=True,
        handles_change_at_login=True,
        text_limit=1,
    )
    info = info_body(
        account="home",
        stream="abc",
        capabilities=capabilities,
        broker="5",
        started=NOW,
        settings={},
        warnings=["x"],
    )
    assert payload_faults("info", info) == []


@every_row("matched_by", MatchedBy)
def test_the_directory(matched_by):
    entry = DirectoryEntry(
        user="wife",
        kind=ChatKind.FRIEND,
        name="老婆",
        remark="",
        nickname="",
        matched_by=matched_by,
        trusted=True,
        removed=False,
        closed=False,
    )
    full = replace(entry, remark="x", nickname="y", stranger=True, closed=True, problem="unknown")
    assert (
        payload_faults(
            "directory", json.loads(directory_payload([entry, full], count=2, named=(), max_bytes=10_000))
        )
        == []
    )
    assert (
        payload_faults(
            "directory", json.loads(directory_payload([entry], count=1, named=("wife",), max_bytes=10))
        )
        == []
    )


@every_row("transaction", [None, 7, "x", {"a": [1]}])
def test_an_answer_that_says_no(transaction):
    for later in (None, 1.5):
        body = json.loads(answer_error("unknown_request", "words", transaction, later))
        assert payload_faults("error", body) == []
        assert payload_faults("response_login", body) == []


def test_what_nobody_described_is_no_answer():
    assert payload_faults("response_log_level", json.loads(answer_ok({"level": "loud"}, None)))
    assert payload_faults("error", json.loads(answer_error("no_such_code", "words", None)))
