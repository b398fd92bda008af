"""The two documents: whole, right by their own rules, made of the program's tables, the same each time."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from jsonschema import Draft202012Validator

from tests.support.rows import every_row
from wx2mqtt.app import logs
from wx2mqtt.app.application import Application
from wx2mqtt.bridge.account_components import AccountComponents
from wx2mqtt.bridge.requests.action_requests import ActionRequests
from wx2mqtt.bridge.requests.dispatcher import COMMAND_REQUESTS
from wx2mqtt.json_schema import strict
from wx2mqtt.message_kinds import MESSAGE_KINDS
from wx2mqtt.model import JSON_TYPE, Kind
from wx2mqtt.mqtt.topics import KEYS_OF_LEVELS, TOPIC_TABLE, FileTopic, Topics
from wx2mqtt.schemas.documents import (
    FILE_TOPICS,
    TOPIC_SCHEMAS,
    all_definitions,
    messages_document,
    payload_names,
    topics_document,
)
from wx2mqtt.schemas.examples import EVENT_EXAMPLES, EXAMPLES
from wx2mqtt.schemas.messages import EVENT_SCHEMAS
from wx2mqtt.schemas.requests import LOG_LEVELS, REQUEST_SCHEMAS

EVENTS = (Path(__file__).parents[3] / "docs/en/reference/events.md").read_text(encoding="utf-8")


def references(value):
    """Every `$ref` in a document."""
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from references(one)


def followed(document, reference):
    """What stands where a reference leads."""
    for step in reference.removeprefix("#/").split("/"):
        document = document[step]
    return document


@pytest.mark.parametrize("document", [messages_document, topics_document])
def test_every_reference_leads_somewhere_and_the_same_bytes_are_made_each_time(document):
    made = document()
    found = set(references(made))
    assert len(found) > 50
    for reference in found:
        assert followed(made, reference)
    assert json.dumps(made) == json.dumps(document())


def test_the_schemas_are_json_schema_2020_12():
    Draft202012Validator.check_schema(messages_document())
    closed: Any = strict(messages_document())
    Draft202012Validator.check_schema(closed)
    assert messages_document()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_row_of_the_table_of_topics_has_its_payload():
    for topic in TOPIC_TABLE:
        by_name = topic.pattern.endswith("/<name>")
        if topic.content_type == JSON_TYPE:
            assert by_name or topic.pattern in TOPIC_SCHEMAS, topic.pattern
        if topic.pattern in TOPIC_SCHEMAS:
            assert TOPIC_SCHEMAS[topic.pattern] in payload_names()
    assert set(payload_names()) <= all_definitions().keys()


def test_the_topics_are_those_of_the_table():
    document: Any = topics_document()
    addresses = {channel["address"]: key for key, channel in document["channels"].items()}
    for topic in TOPIC_TABLE:
        pattern = topic.pattern.replace("<", "{").replace(">", "}")
        names = list(REQUEST_SCHEMAS) if "{name}" in pattern else [""]
        for name in names:
            key = addresses[f"wx/{pattern.replace('{name}', name)}"]
            (operation,) = [
                one
                for one in document["operations"].values()
                if one["channel"]["$ref"] == f"#/channels/{key}"
            ]
            assert operation["action"] == ("send" if topic.by_bridge else "receive")
            assert operation["bindings"]["mqtt"]["retain"] is topic.retained
    assert len(addresses) == len(TOPIC_TABLE) + 2 * (len(REQUEST_SCHEMAS) - 1) + len(FILE_TOPICS)


def test_a_channel_names_its_parameters_and_a_request_its_answer():
    document: Any = topics_document()
    for channel in document["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel.get("parameters", {}))
        assert channel["messages"]
    reply = document["operations"]["take_bridge_request_history"]["reply"]
    assert reply["channel"]["$ref"] == "#/channels/bridge_response_history"


def test_the_topics_for_bytes_are_those_that_the_program_reads():
    for pattern in FILE_TOPICS:
        topic = f"wx/{pattern}".replace("<user>", "wife").replace("<name>", "a.pdf")
        assert isinstance(Topics("wx").parse(topic), FileTopic)


def test_the_topics_that_set_a_key_are_described_and_read():
    levels = {pattern.rpartition("/")[2] for pattern in TOPIC_SCHEMAS if pattern.startswith("out/<user>/")}
    assert levels == set(filter(None, KEYS_OF_LEVELS))


def test_every_kind_and_every_request_is_described():
    assert list(MESSAGE_KINDS) == list(Kind)
    components = MagicMock()
    components.ctx.shared.process_requests = Application.process_requests(MagicMock())
    components.actions.handlers.return_value = ActionRequests.handlers(MagicMock())
    assert set(REQUEST_SCHEMAS) == {*AccountComponents.request_handlers(components), *COMMAND_REQUESTS}


def test_every_event_of_the_documentation_is_described():
    table = re.search(r"^\| event \|.*?\n\n", EVENTS, re.MULTILINE | re.DOTALL)
    assert table
    told = {
        name
        for cell in re.findall(r"^\| (`.+?`) \|", table[0], re.MULTILINE)
        for name in re.findall(r"`(\w+)`", cell)
    }
    assert len(told) > 10
    assert told <= set(EVENT_SCHEMAS)


def test_the_levels_are_those_of_the_log():
    assert set(LOG_LEVELS) == set(logs.LEVEL_NUMBERS)


def test_no_text_of_a_schema_is_left_empty():
    def descriptions(value):
        if isinstance(value, dict):
            yield from ([value["description"]] if isinstance(value.get("description"), str) else [])
            value = list(value.values())
        if isinstance(value, list):
            for one in value:
                yield from descriptions(one)

    assert all(descriptions(messages_document()))


@every_row("name", EXAMPLES)
def test_each_example_is_a_payload_of_its_schema_to_the_last_key(name):
    document: dict[str, Any] = messages_document()
    assert document["$defs"][name]["examples"] == EXAMPLES[name]
    exact: Any = strict({**document, "anyOf": [{"$ref": f"#/$defs/{name}"}]})
    for example in EXAMPLES[name]:
        Draft202012Validator(exact).validate(example)


def test_what_people_write_and_read_most_has_an_example():
    """Not `info` and `health`, which are long and are read by programs, nor the answers to requests."""
    without = {name for name in payload_names() if name not in EXAMPLES}
    assert {name for name in without if not name.startswith("response_")} == {"info", "health"}
    assert set(EVENT_EXAMPLES) == set(EVENT_SCHEMAS)


def test_the_topics_have_the_examples_of_the_payloads():
    messages: Any = topics_document()["components"]["messages"]  # type: ignore[index, call-overload]
    shown = {name: message["examples"] for name, message in messages.items() if "examples" in message}
    assert shown == {
        name: [{"payload": example} for example in EXAMPLES[name]]
        for name in messages.keys() & EXAMPLES.keys()
    }
    assert len(shown) > len(EVENT_SCHEMAS)
