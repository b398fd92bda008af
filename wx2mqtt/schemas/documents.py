"""The two documents that `wx2mqtt schema` prints. The same program prints the same bytes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from wx2mqtt import __version__
from wx2mqtt.json_schema import DIALECT, Schema, ref
from wx2mqtt.model import Json
from wx2mqtt.mqtt.topics import JSON_TYPE, TOPIC_TABLE, Topic
from wx2mqtt.schemas import messages, requests, status

EXAMPLE_BASE = "wx"
BINARY_TYPE = "application/octet-stream"
TOPIC_SCHEMAS: Mapping[str, str] = {
    "in/<user>": "message",
    "result/<user>": "result",
    "event/<kind>": "event",
    "login/state": "login",
    "contacts": "directory",
    "window/<user>": "window",
    "last": "message",
    "bridge/state": "state",
    "bridge/info": "info",
    "bridge/health": "health",
    "out/<user>": "command",
}
"""Which schema the payloads of a topic have, by its row in the table of topics.

Those that are missing here are bytes or plain text, or come by name: requests and their answers.
"""

FILE_TOPICS = ("out/<user>/image", "out/<user>/video", "out/<user>/file/<name>")
"""Topics below one of the table, for bytes."""

_REQUEST, _RESPONSE = "bridge/request/<name>", "bridge/response/<name>"
_BY_NAME = {_REQUEST: "request", _RESPONSE: "response"}


def all_definitions() -> dict[str, Schema]:
    """Every schema by its name."""
    return {
        **messages.message_definitions(),
        **messages.event_definitions(),
        **requests.command_definitions(),
        **status.status_definitions(),
        **requests.request_definitions(),
    }


def payload_names() -> list[str]:
    """The schemas of whole payloads, in the order of the table of topics."""
    names: list[str] = []
    for topic in TOPIC_TABLE:
        if topic.pattern in _BY_NAME:
            names += [f"{_BY_NAME[topic.pattern]}_{name}" for name in requests.REQUEST_SCHEMAS]
        elif name := TOPIC_SCHEMAS.get(topic.pattern):
            names.append(name)
    return list(dict.fromkeys(names))


def messages_document() -> Schema:
    """JSON Schema 2020-12; each payload stands in `$defs` by its name."""
    return {
        "$schema": DIALECT,
        "title": "wx2mqtt: payloads",
        "description": f"What wx2mqtt {__version__} publishes and takes. Ignore keys that are not here.",
        "anyOf": [ref(name) for name in payload_names()],
        "$defs": {**all_definitions()},
    }


def topics_document() -> Schema:
    """AsyncAPI 3.0; the bridge is the application that is described."""
    channels: dict[str, Json] = {}
    operations: dict[str, Json] = {}
    for topic in _topics():
        for name in _names(topic):
            channels[_channel_id(topic, name)] = _channel(topic, name)
            operations[_operation_id(topic, name)] = _operation(topic, name)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "wx2mqtt",
            "version": __version__,
            "description": "A bridge between a personal WeChat account and MQTT. Topics lie below the base "
            f"topic of the account, {EXAMPLE_BASE} for the first one. All are QoS 1.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": JSON_TYPE,
        "servers": {"broker": {"host": "localhost:1883", "protocol": "mqtt", "description": "see mqtt.url"}},
        "channels": channels,
        "operations": operations,
        "components": {"messages": _components(), "schemas": _moved(all_definitions())},
    }


def _topics() -> Iterator[Topic]:
    """The table, and below what is sent as text the topics for bytes."""
    for topic in TOPIC_TABLE:
        yield topic
        for pattern in FILE_TOPICS:
            if pattern.startswith(f"{topic.pattern}/"):
                kind = pattern.split("/")[2]
                yield replace(
                    topic, pattern=pattern, content_type=BINARY_TYPE, meaning=f"the bytes of a {kind} to send"
                )


def _names(topic: Topic) -> list[str]:
    """A channel for each request and answer, since each has a payload of its own; else one."""
    return list(requests.REQUEST_SCHEMAS) if topic.pattern in _BY_NAME else [""]


def _channel_id(topic: Topic, name: str) -> str:
    words = re.sub(r"/<(\w+)>", "", topic.pattern).replace("/", "_")
    return f"{words}_{name}" if name else words


def _channel(topic: Topic, name: str) -> Schema:
    address = topic.pattern.replace("<name>", name) if name else topic.pattern
    meaning = requests.REQUEST_SCHEMAS[name].description if name else topic.meaning
    channel: Schema = {
        "address": f"{EXAMPLE_BASE}/{address.replace('<', '{').replace('>', '}')}",
        "description": meaning,
        "messages": {one: {"$ref": f"#/components/messages/{one}"} for one in _messages(topic, name)},
    }
    if parameters := re.findall(r"<(\w+)>", address):
        channel["parameters"] = {one: _parameter(one) for one in parameters}
    return channel


def _parameter(name: str) -> Schema:
    if name == "kind":
        return {"description": "the name of the event", "enum": [*messages.EVENT_SCHEMAS]}
    if name == "name":
        return {"description": "the name of the file, as the receiver sees it"}
    return {"description": "the topic name of a person or group, as in contacts"}


def _messages(topic: Topic, name: str) -> list[str]:
    if name:
        return [f"{_BY_NAME[topic.pattern]}_{name}"]
    known = TOPIC_SCHEMAS.get(topic.pattern)
    if topic.pattern == "out/<user>":
        return ["text", "command"]
    if topic.pattern == "in/<user>":
        return [name for name in messages.message_definitions() if name.startswith("message_")]
    if topic.pattern == "event/<kind>":
        return [f"event_{event}" for event in messages.EVENT_SCHEMAS]
    return [known] if known else [_channel_id(topic, "")]


def _operation_id(topic: Topic, name: str) -> str:
    return f"{'publish' if topic.by_bridge else 'take'}_{_channel_id(topic, name)}"


def _operation(topic: Topic, name: str) -> Schema:
    channel = {"$ref": f"#/channels/{_channel_id(topic, name)}"}
    operation: Schema = {
        "action": "send" if topic.by_bridge else "receive",
        "channel": {**channel},
        "summary": topic.meaning,
        "bindings": {"mqtt": {"qos": 1, "retain": topic.retained, "bindingVersion": "0.2.0"}},
    }
    if topic.pattern == _REQUEST:
        operation["reply"] = {
            "address": {
                "location": "$message.header#/responseTopic",
                "description": "the MQTT 5 response topic too",
            },
            "channel": {"$ref": f"#/channels/bridge_response_{name}"},
        }
    return operation


def _components() -> Schema:
    """Every payload as a message, with its content type."""
    found: Schema = {}
    for topic in _topics():
        for name in _names(topic):
            for message in _messages(topic, name):
                found.setdefault(message, _message(topic, message))
    return found


def _message(topic: Topic, name: str) -> Schema:
    schemas = all_definitions()
    if name in schemas:
        content_type = topic.content_type if topic.by_bridge else JSON_TYPE
        return {
            "name": name,
            "title": str(schemas[name].get("title", name)),
            "contentType": content_type,
            "payload": {"$ref": f"#/components/schemas/{name}"},
        }
    title, kind = topic.meaning, topic.content_type
    return {"name": name, "title": title, "contentType": kind, "payload": {"type": "string"}}


def _moved(schemas: Mapping[str, Schema]) -> Schema:
    """The same references at their place in the document."""

    def moved(value: Json) -> Json:
        if isinstance(value, list):
            return [moved(one) for one in value]
        if isinstance(value, dict):
            return {key: moved(one) for key, one in value.items()}
        return value.replace("#/$defs/", "#/components/schemas/") if isinstance(value, str) else value

    return {name: moved(schema) for name, schema in schemas.items()}
