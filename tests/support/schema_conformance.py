"""Checks all that subscribers of the tests received from a bridge against the schemas of the payloads."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from typing import Any
from weakref import WeakSet

from jsonschema import Draft202012Validator

from tests.support.subscriber import SUBSCRIBERS, ReceivedMessage, Subscriber
from wx2mqtt.json_schema import strict
from wx2mqtt.mqtt.topics import TOPIC_TABLE, Topic
from wx2mqtt.schemas.documents import TOPIC_SCHEMAS, all_definitions

MAX_CHECKED = 200
"""Payloads of one topic that are checked in one test, and people of one directory; the others are alike."""
PNG = b"\x89PNG\r\n"

_PATTERNS = [  # the longest first: bridge/response/contacts is not contacts
    (topic, re.compile("(?:.+)/" + re.sub("<.+?>", "([^/]+)", topic.pattern)))
    for topic in sorted(TOPIC_TABLE, key=lambda topic: -topic.pattern.count("/"))
    if topic.by_bridge
]


def faults_since_last_time(subscribers: WeakSet[Subscriber] = SUBSCRIBERS) -> list[str]:
    """Returns the faults of all messages that came since the last call, ten at most."""
    found: list[str] = []
    for subscriber in list(subscribers):
        new = subscriber.received[subscriber.checked_count :]
        subscriber.checked_count += len(new)
        counts: Counter[str] = Counter()
        requests: dict[str, list[ReceivedMessage]] = {}
        for received in new:
            topic = topic_of(received)
            if topic is None:
                _remember_request(received, requests)
                continue
            counts[topic.pattern] += 1
            if counts[topic.pattern] <= MAX_CHECKED:
                found += [f"{received.topic}: {fault}" for fault in message_faults(topic, received)]
                found += [f"{received.topic}: {fault}" for fault in _request_faults(received, requests)]
    return found[:10]


def _remember_request(received: ReceivedMessage, requests: dict[str, list[ReceivedMessage]]) -> None:
    base, sign, name = received.topic.rpartition("/bridge/request/")
    if sign:
        requests.setdefault(f"{base}/bridge/response/{name}", []).append(received)


def _request_faults(answer: ReceivedMessage, requests: dict[str, list[ReceivedMessage]]) -> list[str]:
    """Returns the faults of a request that was answered with ok.

    Of several requests at the same time nobody knows which one the answer belongs to: these are not checked.
    """
    sent = requests.pop(answer.topic, [])
    if len(sent) != 1 or answer.body.get("status") != "ok":
        return []
    name = f"request_{answer.topic.rpartition('/')[2]}"
    fields = json.loads(sent[0].payload.strip() or b"{}")
    return [f"the request before: {fault}" for fault in payload_faults(name, fields)]


def topic_of(received: ReceivedMessage) -> Topic | None:
    """Returns the row of the table of topics; None for a message without content type, which no bridge published."""
    if "ContentType" not in received.properties:
        return None
    return next((topic for topic, pattern in _PATTERNS if pattern.fullmatch(received.topic)), None)


def message_faults(topic: Topic, received: ReceivedMessage) -> list[str]:
    """Returns the faults of one message."""
    if received.properties["ContentType"] != topic.content_type:
        return [f"content type {received.properties['ContentType']}, not {topic.content_type}"]
    if not received.payload:
        return []  # removes a retained message
    if topic.content_type == "image/png":
        return [] if received.payload.startswith(PNG) else ["is no PNG"]
    try:
        text = received.payload.decode()
    except UnicodeDecodeError:
        return ["is not UTF-8"]
    if topic.content_type == "text/plain":
        name = TOPIC_SCHEMAS.get(topic.pattern)
        return payload_faults(name, text) if name else []
    return payload_faults(_name(topic, received.topic, body := json.loads(text)), _shortened(body))


def _name(topic: Topic, topic_name: str, body: Any) -> str:
    """Returns the name of the schema of this payload: that of its kind, so that the error names the key."""
    match topic.pattern:
        case "in/<user>" | "last":
            return f"message_{body.get('kind')}"
        case "event/<kind>":
            return f"event_{body.get('event')}"
        case "bridge/response/<name>":
            name = f"response_{topic_name.rpartition('/')[2]}"
            return name if name in definitions_now() else "error"
    return TOPIC_SCHEMAS[topic.pattern]


def _shortened(body: Any) -> Any:
    """Returns the body with the first people of its directory only."""
    if isinstance(body, dict) and isinstance(people := body.get("contacts"), list):
        return {**body, "contacts": people[:MAX_CHECKED]}
    return body


def payload_faults(name: str, body: Any) -> list[str]:
    """Returns the faults of a body as a payload of that schema."""
    if name not in definitions_now():
        return [f"nothing is called {name}; see wx2mqtt/schemas"]
    return [f"{error.json_path}: {_error_text(error)}" for error in _validator(name).iter_errors(body)]


def _error_text(error: Any) -> str:
    """Returns the error text; of several alternatives that of the one that fits best."""
    inner = [cause for cause in error.context or () if cause.validator != "const"]
    text = min(inner, key=lambda cause: len(cause.message), default=error).message
    return f"{text[:300]} (see wx2mqtt/schemas)"


@cache
def definitions_now() -> dict[str, Any]:
    """Returns all schemas, which allow no undescribed key."""
    closed = strict({**all_definitions()})
    assert isinstance(closed, dict)
    return closed


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": definitions_now()})
