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
from wx2mqtt.schemas.examples import EXAMPLES
from wx2mqtt.values import frozen

EXAMPLE_BASE = "wx"
BINARY_TYPE = "application/octet-stream"

# The schema of the payloads of a topic, by the pattern of the topic.
# Topics that are missing hold bytes or plain text, or have a schema for each request.
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
    "out/<user>/urgent": "command",
    "out/<user>/high": "command",
}

# Topics for files, below one of the topic table.
FILE_TOPICS = ("out/<user>/image", "out/<user>/video", "out/<user>/file/<name>")

_REQUEST = "bridge/request/<name>"
_RESPONSE = "bridge/response/<name>"

# Topics with a schema for each request, and the prefix of the schema's name.
_PREFIXES = {_REQUEST: "request", _RESPONSE: "response"}


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
    definitions = all_definitions()
    for name, examples in EXAMPLES.items():
        definitions[name] = {**definitions[name], "examples": [*examples]}
    return {
        "$schema": DIALECT,
        "$id": f"{REPOSITORY}/schemas/messages/{__version__}",
        "title": "wx2mqtt: payloads",
        "description": f"What wx2mqtt {__version__} publishes and takes. Ignore keys that are not here.",
        "anyOf": [ref(name) for name in payload_names()],
        "$defs": {**definitions},
    }


def topics_document() -> Schema:
    """Returns an AsyncAPI 3.0 document. The application that it describes is the bridge."""
    schemas = all_definitions()
    channels: dict[str, Json] = {}
    operations: dict[str, Json] = {}
    payloads: dict[str, Json] = {}
    for channel in _channels():
        channels[channel.id] = channel.description()
        operations[f"{'publish' if channel.topic.by_bridge else 'take'}_{channel.id}"] = channel.operation()
        for name in channel.messages():
            payloads.setdefault(name, _message(channel.topic, name, schemas))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "wx2mqtt",
            "version": __version__,
            "description": "A bridge between a personal WeChat account and MQTT. Topics lie below the base "
            f"topic of the account, {EXAMPLE_BASE} for the first one. All are QoS {QOS}.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": JSON_TYPE,
        "servers": {"broker": {"host": "localhost:1883", "protocol": "mqtt", "description": "see mqtt.url"}},
        "channels": channels,
        "operations": operations,
        "components": {"messages": payloads, "schemas": _with_component_refs(schemas)},
    }


@frozen(kw_only=False)
class _Channel:
    """A topic; of requests and their answers one for each request, whose name it has."""

    topic: Topic
    name: str = ""

    @property
    def id(self) -> str:
        topic_id = re.sub(r"/<(\w+)>", "", self.topic.pattern).replace("/", "_")
        return f"{topic_id}_{self.name}" if self.name else topic_id

    def messages(self) -> list[str]:
        """Returns the names of the payloads that it has."""
        pattern = self.topic.pattern
        if self.name:
            return [f"{_PREFIXES[pattern]}_{self.name}"]
        if TOPIC_SCHEMAS.get(pattern) == "command":
            return ["text", "command"]
        if pattern == "in/<user>":
            return [name for name in messages.message_definitions() if name.startswith("message_")]
        if pattern == "event/<kind>":
            return [f"event_{event}" for event in messages.EVENT_SCHEMAS]
        return [TOPIC_SCHEMAS.get(pattern) or self.id]

    def description(self) -> Schema:
        pattern, meaning = self.topic.pattern, self.topic.meaning
        if self.name:
            pattern = pattern.replace("<name>", self.name)
            meaning = requests.REQUEST_SCHEMAS[self.name].description
        description: Schema = {
            "address": f"{EXAMPLE_BASE}/{pattern.replace('<', '{').replace('>', '}')}",
            "description": meaning,
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in self.messages()},
        }
        if parameters := re.findall(r"<(\w+)>", pattern):
            description["parameters"] = {name: _PARAMETERS[name] for name in parameters}
        return description

    def operation(self) -> Schema:
        operation: Schema = {
            "action": "send" if self.topic.by_bridge else "receive",
            "channel": {"$ref": f"#/channels/{self.id}"},
            "summary": self.topic.meaning,
            "bindings": {"mqtt": {"qos": QOS, "retain": self.topic.retained, "bindingVersion": "0.2.0"}},
        }
        if self.topic.pattern == _REQUEST:
            operation["reply"] = {
                "address": {
                    "location": "$message.header#/responseTopic",
                    "description": "the MQTT 5 response topic too",
                },
                "channel": {"$ref": f"#/channels/bridge_response_{self.name}"},
            }
        return operation


_PARAMETERS: Mapping[str, Schema] = {
    "kind": {"description": "the name of the event", "enum": [*messages.EVENT_SCHEMAS]},
    "name": {"description": "the name of the file, as the receiver sees it"},
    "user": {"description": "the topic name of a person or group, as in contacts"},
}


def _channels() -> Iterator[_Channel]:
    """Yields the topic table, with the topics for files after the topic that they are below."""
    for topic in TOPIC_TABLE:
        if topic.pattern in _PREFIXES:
            yield from (_Channel(topic, name) for name in requests.REQUEST_SCHEMAS)
            continue
        yield _Channel(topic)
        for pattern in FILE_TOPICS:
            if pattern.startswith(f"{topic.pattern}/"):
                meaning = f"the bytes of a {pattern.split('/')[2]} to send"
                yield _Channel(replace(topic, pattern=pattern, content_type=BINARY_TYPE, meaning=meaning))


def _message(topic: Topic, name: str, schemas: Mapping[str, Schema]) -> Schema:
    """Returns a payload as a message, with its content type."""
    if name not in schemas:
        return {
            "name": name,
            "title": topic.meaning,
            "contentType": topic.content_type,
            "payload": {"type": "string"},
        }
    message: Schema = {
        "name": name,
        "title": str(schemas[name].get("title", name)),
        "contentType": topic.content_type if topic.by_bridge else JSON_TYPE,
        "payload": {"$ref": f"#/components/schemas/{name}"},
    }
    if name in EXAMPLES:
        message["examples"] = [{"payload": example} for example in EXAMPLES[name]]
    return message


def _with_component_refs(schemas: Mapping[str, Schema]) -> Schema:
    """Returns the schemas with references to where AsyncAPI has schemas."""

    def convert(value: Json) -> Json:
        if isinstance(value, list):
            return [convert(item) for item in value]
        if isinstance(value, dict):
            return {key: convert(item) for key, item in value.items()}
        return value.replace("#/$defs/", "#/components/schemas/") if isinstance(value, str) else value

    return {name: convert(schema) for name, schema in schemas.items()}
