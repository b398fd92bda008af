"""Does what the bridge publishes have the form that its schemas promise? Asked of everything that a subscriber hears."""

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

MOST = 200
"""Payloads of one row of the table that are looked at in one test, and people of one directory: the rest is alike."""
PNG = b"\x89PNG\r\n"

_PATTERNS = [  # the longest first: bridge/response/contacts is not contacts
    (topic, re.compile("(?:.+)/" + re.sub("<.+?>", "([^/]+)", topic.pattern)))
    for topic in sorted(TOPIC_TABLE, key=lambda one: -one.pattern.count("/"))
    if topic.by_bridge
]


def faults_since_last_time(subscribers: WeakSet[Subscriber] = SUBSCRIBERS) -> list[str]:
    """What is wrong with what ears heard since this was asked last; at most ten of it."""
    found: list[str] = []
    for subscriber in list(subscribers):
        fresh = subscriber.received[subscriber.looked_at :]
        subscriber.looked_at += len(fresh)
        seen: Counter[str] = Counter()
        asked: dict[str, list[ReceivedMessage]] = {}
        for received in fresh:
            topic = row(received)
            if topic is None:
                _ask(received, asked)
                continue
            seen[topic.pattern] += 1
            if seen[topic.pattern] <= MOST:
                found += [f"{received.topic}: {fault}" for fault in faults(topic, received)]
                found += [f"{received.topic}: {fault}" for fault in _of_request(received, asked)]
    return found[:10]


def _ask(received: ReceivedMessage, asked: dict[str, list[ReceivedMessage]]) -> None:
    base, sign, name = received.topic.rpartition("/bridge/request/")
    if sign:
        asked.setdefault(f"{base}/bridge/response/{name}", []).append(received)


def _of_request(answer: ReceivedMessage, asked: dict[str, list[ReceivedMessage]]) -> list[str]:
    """A request that was carried out is one that its schema allows; of several at once nobody knows whose it is."""
    requests = asked.pop(answer.topic, [])
    if len(requests) != 1 or answer.body.get("status") != "ok":
        return []
    name = f"request_{answer.topic.rpartition('/')[2]}"
    fields = json.loads(requests[0].payload.strip() or b"{}")
    return [f"the request before: {fault}" for fault in of(name, fields)]


def row(received: ReceivedMessage) -> Topic | None:
    """The row of the table to which it belongs; None for what no bridge published: ours says what it is."""
    if "ContentType" not in received.properties:
        return None
    return next((topic for topic, pattern in _PATTERNS if pattern.fullmatch(received.topic)), None)


def faults(topic: Topic, received: ReceivedMessage) -> list[str]:
    """What is wrong with one payload."""
    if received.properties["ContentType"] != topic.content_type:
        return [f"content type {received.properties['ContentType']}, not {topic.content_type}"]
    if not received.payload:
        return []  # a retained one that was taken away
    if topic.content_type == "image/png":
        return [] if received.payload.startswith(PNG) else ["is no PNG"]
    try:
        said = received.payload.decode()
    except UnicodeDecodeError:
        return ["is not UTF-8"]
    if topic.content_type == "text/plain":
        name = TOPIC_SCHEMAS.get(topic.pattern)
        return of(name, said) if name else []
    return of(_name(topic, received.topic, body := json.loads(said)), _less(body))


def _name(topic: Topic, written: str, body: Any) -> str:
    """The schema of this payload: that of its kind, so that what is told of a fault is about that one."""
    match topic.pattern:
        case "in/<user>" | "last":
            return f"message_{body.get('kind')}"
        case "event/<kind>":
            return f"event_{body.get('event')}"
        case "bridge/response/<name>":
            name = f"response_{written.rpartition('/')[2]}"
            return name if name in definitions_now() else "error"
    return TOPIC_SCHEMAS[topic.pattern]


def _less(body: Any) -> Any:
    """A directory of thousands has the same lines over and over."""
    if isinstance(body, dict) and isinstance(people := body.get("contacts"), list):
        return {**body, "contacts": people[:MOST]}
    return body


def of(name: str, body: Any) -> list[str]:
    """What is wrong with this as a payload of that name."""
    if name not in definitions_now():
        return [f"nothing is called {name}; see wx2mqtt/schemas"]
    return [f"{error.json_path}: {_said(error)}" for error in _validator(name).iter_errors(body)]


def _said(error: Any) -> str:
    """The fault itself, where it is one of a choice: that of the choice that fits best."""
    inner = [deep for deep in error.context or () if deep.validator != "const"]
    said = min(inner, key=lambda one: len(one.message), default=error).message
    return f"{said[:300]} (see wx2mqtt/schemas)"


@cache
def definitions_now() -> dict[str, Any]:
    """All schemas, closed: a key that nobody described is a fault of ours."""
    closed = strict({**all_definitions()})
    assert isinstance(closed, dict)
    return closed


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": definitions_now()})
