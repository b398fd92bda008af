"""The two documents that `wx2mqtt schema` prints. The same version prints the same bytes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from wx2mqtt import REPOSITORY, __version__
from wx2mqtt.json_schema import DIALECT, Schema, ref
from wx2mqtt.model import JSON_TYPE, Json
from wx2mqtt.mqtt.topics import QOS, TOPIC_TABLE, Topic
from wx2mqtt.schemas import messages, requests, status
from wx2mqtt.schemas.examples import EXAMPLES, with_examples

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
"""The schema of the payloads of a topic, by the pattern of the topic.

Topics that are missing hold bytes or plain text, or have a schema for each request.
"""

FILE_TOPICS = ("out/<user>/image", "out/<user>/video", "out/<user>/file/<name>")
"""Topics for files, below one of the topic table."""

_REQUEST = "bridge/request/<name>"
_RESPONSE = "bridge/response/<name>"
_PREFIXES = {_REQUEST: "request", _RESPONSE: "response"}
"""Topics with a schema for each request, and the prefix of the schema's name."""


def all_definitions() -> dict[str, Schema]:
    return {
        **messages.message_definitions(),
        **messages.event_definitions(),
        **requests.command_definitions(),
        **status.status_definitions(),
        **requests.request_definitions(),
    }


def payload_names() -> list[str]:
    """Returns the names of the schemas of whole payloads, in the order of the topic table."""
    names: list[str] = []
    for topic in TOPIC_TABLE:
        if topic.pattern in _PREFIXES:
            names += [f"{_PREFIXES[topic.pattern]}_{name}" for name in requests.REQUEST_SCHEMAS]
        elif name := TOPIC_SCHEMAS.get(topic.pattern):
            names.append(name)
    return list(dict.fromkeys(names))


def messages_document() -> Schema:
    """Returns a JSON Schema (2020-12) that matches every payload. `$defs` has the schemas by name."""
    return {
        "$schema": DIALECT,
        "$id": f"{REPOSITORY}/schemas/messages/{__version__}",
        "title": "wx2mqtt: payloads",
        "description": f"What wx2mqtt {__version__} publishes and takes. Ignore keys that are not here.",
        "anyOf": [ref(name) for name in payload_names()],
        "$defs": {**with_examples(all_definitions())},
    }


def topics_document() -> Schema:
    """Returns an AsyncAPI 3.0 document. The application that it describes is the bridge."""
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
        "components": {"messages": _components(), "schemas": _with_component_refs(all_definitions())},
    }


def _topics() -> Iterator[Topic]:
    """Yields the topic table, with the topics for files after the topic that they are below."""
    for topic in TOPIC_TABLE:
        yield topic
        for pattern in FILE_TOPICS:
            if pattern.startswith(f"{topic.pattern}/"):
                kind = pattern.split("/")[2]
                yield replace(
                    topic, pattern=pattern, content_type=BINARY_TYPE, meaning=f"the bytes of a {kind} to send"
                )


def _names(topic: Topic) -> list[str]:
    """Returns the names of the channels of a topic: requests and answers have one for each request."""
    return list(requests.REQUEST_SCHEMAS) if topic.pattern in _PREFIXES else [""]


def _channel_id(topic: Topic, name: str) -> str:
    channel_id = re.sub(r"/<(\w+)>", "", topic.pattern).replace("/", "_")
    return f"{channel_id}_{name}" if name else channel_id


def _channel(topic: Topic, name: str) -> Schema:
    address = topic.pattern.replace("<name>", name) if name else topic.pattern
    meaning = requests.REQUEST_SCHEMAS[name].description if name else topic.meaning
    channel: Schema = {
        "address": f"{EXAMPLE_BASE}/{address.replace('<', '{').replace('>', '}')}",
        "description": meaning,
        "messages": {
            message: {"$ref": f"#/components/messages/{message}"} for message in _messages(topic, name)
        },
    }
    if parameters := re.findall(r"<(\w+)>", address):
        channel["parameters"] = {parameter: _parameter(parameter) for parameter in parameters}
    return channel


def _parameter(name: str) -> Schema:
    if name == "kind":
        return {"description": "the name of the event", "enum": [*messages.EVENT_SCHEMAS]}
    if name == "name":
        return {"description": "the name of the file, as the receiver sees it"}
    return {"description": "the topic name of a person or group, as in contacts"}


def _messages(topic: Topic, name: str) -> list[str]:
    if name:
        return [f"{_PREFIXES[topic.pattern]}_{name}"]
    if topic.pattern == "out/<user>":
        return ["text", "command"]
    if topic.pattern == "in/<user>":
        return [name for name in messages.message_definitions() if name.startswith("message_")]
    if topic.pattern == "event/<kind>":
        return [f"event_{event}" for event in messages.EVENT_SCHEMAS]
    return [TOPIC_SCHEMAS.get(topic.pattern) or _channel_id(topic, "")]


def _operation_id(topic: Topic, name: str) -> str:
    return f"{'publish' if topic.by_bridge else 'take'}_{_channel_id(topic, name)}"


def _operation(topic: Topic, name: str) -> Schema:
    channel = {"$ref": f"#/channels/{_channel_id(topic, name)}"}
    operation: Schema = {
        "action": "send" if topic.by_bridge else "receive",
        "channel": {**channel},
        "summary": topic.meaning,
        "bindings": {"mqtt": {"qos": QOS, "retain": topic.retained, "bindingVersion": "0.2.0"}},
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
    """Returns every payload as a message, with its content type."""
    components: Schema = {}
    for topic in _topics():
        for name in _names(topic):
            for message in _messages(topic, name):
                components.setdefault(message, _message(topic, message))
    return components


def _message(topic: Topic, name: str) -> Schema:
    schemas = all_definitions()
    if name in schemas:
        message: Schema = {
            "name": name,
            "title": str(schemas[name].get("title", name)),
            "contentType": topic.content_type if topic.by_bridge else JSON_TYPE,
            "payload": {"$ref": f"#/components/schemas/{name}"},
        }
        if name in EXAMPLES:
            message["examples"] = [{"payload": example} for example in EXAMPLES[name]]
        return message
    return {
        "name": name,
        "title": topic.meaning,
        "contentType": topic.content_type,
        "payload": {"type": "string"},
    }


def _with_component_refs(schemas: Mapping[str, Schema]) -> Schema:
    """Returns the schemas with references to where AsyncAPI has schemas."""

    def convert(value: Json) -> Json:
        if isinstance(value, list):
            return [convert(item) for item in value]
        if isinstance(value, dict):
            return {key: convert(item) for key, item in value.items()}
        return value.replace("#/$defs/", "#/components/schemas/") if isinstance(value, str) else value

    return {name: convert(schema) for name, schema in schemas.items()}
