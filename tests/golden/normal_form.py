"""Payloads without what differs from run to run: times, ports, random ids and measured numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from tests.support.subscriber import ReceivedMessage

_REPLACED = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"(127\.0\.0\.1|localhost):\d+"), "<host>"),
    (re.compile(r'("stream": ?)"\w+"'), r'\1"<stream>"'),
    (re.compile(r"/media/[\w.~-]+"), "/media/<media>"),
    (re.compile(r"media/\w\w/\w+"), "media/<file>"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"\b(CAIQ)?[0-9a-f]{16,}\b"), "<hex>"),
    (re.compile(r'("python": ?)"[^"]+"'), r'\1"<version>"'),
    (re.compile(r"/[^\" ]*/wx2mqtt\.yaml"), "<file>"),
    (re.compile(r"\d{9,}"), "<digits>"),
)
_NUMBER = re.compile(r"(?<=[:\[, ])-?\d+(\.\d+)?(?=[,}\]])")

# Topics of which only the newest payload counts: how often they are published depends on the speed of the machine.
_NEWEST_ONLY = (
    "/contacts",
    "/bridge/health",
    "/bridge/info",
    "/bridge/state",
    "/last",
    "/window/",
    "homeassistant/",
    "/login/",
)

_DISCOVERY = "homeassistant/"

# Topics whose numbers are measured.
_MEASURED = ("/bridge/health", "/bridge/info", "/response/health")


def normal_form(text: str) -> str:
    for pattern, replacement in _REPLACED:
        text = pattern.sub(replacement, text)
    return text


def recorded_topics(messages: Iterable[ReceivedMessage], metrics: Iterable[str]) -> str:
    """Returns metrics, and the payloads of each topic in normal form: each once, in alphabetical order."""
    topics: dict[str, set[str]] = {}
    for message in messages:
        payloads = topics.setdefault(normal_form(message.topic), set())
        payload = _payload(message)
        if message.topic.startswith(_DISCOVERY):
            payload = max([payload, *payloads], key=len)  # entities come as people become known
        if any(part in message.topic for part in _NEWEST_ONLY):
            payloads.clear()
        payloads.add(payload)
    lines = {topic: sorted(payloads) for topic, payloads in sorted(topics.items())}
    lines["/metrics"] = sorted(set(map(normal_form, metrics)))
    return json.dumps(lines, indent=1, ensure_ascii=False) + "\n"


def _payload(message: ReceivedMessage) -> str:
    properties = {name: value for name, value in message.properties.items() if name == "ContentType"}
    flags = f"{'retained ' if message.retain else ''}{properties.get('ContentType', 'no type')}: "
    try:
        text = message.payload.decode()
    except UnicodeDecodeError:
        return f"{flags}<{message.payload[:4]!r}>"
    text = normal_form(text)
    if any(part in message.topic for part in _MEASURED):
        text = _NUMBER.sub("<number>", text)
    return flags + text
