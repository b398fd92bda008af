"""The shipped example, and the JSON Schema."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.docs.derived import EXAMPLE, example_text
from wx2mqtt.settings.key_tree import walk
from wx2mqtt.settings.loader import load
from wx2mqtt.settings.schema import Settings, json_schema
from wx2mqtt.settings.writer import LINE_WIDTH
from wx2mqtt.wechat.registry import BACKENDS

SHIPPED = EXAMPLE


def test_the_shipped_example_is_made_from_the_schema():
    assert SHIPPED.read_text() == example_text(), "run make docs"


def test_an_editor_finds_the_schema_by_the_first_line_of_the_example():
    schema = json_schema()
    assert SHIPPED.read_text().startswith(f"# yaml-language-server: $schema={schema['$id']}\n")
    assert str(schema["$id"]).endswith("/config/wx2mqtt.schema.json")
    published = json.loads(SHIPPED.with_name("wx2mqtt.schema.json").read_text())
    assert published == schema, "run make docs"


def test_loading_the_example_gives_exactly_the_defaults_and_ilink():
    loaded = load(SHIPPED, {}, BACKENDS)
    assert loaded.settings == Settings.model_validate({"accounts": {"home": {"backend": "ilink"}}})
    assert loaded.warnings == ()


def test_the_example_holds_every_key_with_a_line_that_explains_it():
    tree = yaml.safe_load(example_text())
    for path, key in walk():
        assert key.description, path
        if "contacts" in path:
            assert re.search(rf"# \S+: {{{key.name}: .+}} +# ", example_text()) or key.name == "contacts"
            continue
        if "senders" in path:  # a comment, since nothing is open without one
            assert re.search(rf"^  # +(- )?{key.name}: .+ # ", example_text(), re.MULTILINE), key.name
            continue
        here = tree
        for part in path:
            here = here["home" if part == "*" else part]


def test_no_line_of_the_example_is_too_long():
    assert all(len(line) <= LINE_WIDTH for line in example_text().splitlines())


def test_the_commented_contacts_work_when_the_mark_is_taken_away(tmp_path):
    text = re.sub(r"^( +)# (\w+: \{.+\})", r"\1\2", example_text(), flags=re.MULTILINE)
    path = tmp_path / "c.yaml"
    path.write_text(text)
    contacts = load(path, {}, BACKENDS).settings.accounts["home"].contacts
    assert {name: pin.facts[0][0] for name, pin in contacts.items()} == {
        "wife": "remark",
        "neighbour": "alias",
        "anna": "nickname",
        "family": "group",
        "friend": "ilink",
        "colleague": "wecom",
        "me": "owner",
    }


def test_the_json_schema_is_valid_and_accepts_the_example():
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    data = yaml.safe_load(example_text())
    Draft202012Validator(schema).validate(data)
    data["accounts"]["home"]["contacts"] = {"wife": {"remark": "老婆"}}
    data["mqtt"]["protocol"] = 5
    Draft202012Validator(schema).validate(data)


@pytest.mark.parametrize(
    "data",
    [{"mqtt": None}, {"accounts": {"home": None}}, {"accounts": {"home": {"contacts": None, "send": None}}}],
)
def test_the_json_schema_accepts_empty_sections(data):
    Draft202012Validator(json_schema()).validate(data)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mqtt": {"pasword": "x"}},
        {"mqtt": {"protocol": 4}},
        {"accounts": {"Home": {}}},
        {"accounts": {}},
        {"accounts": {"home": {"contacts": {"a": {"remark": "x", "alias": "y"}}}}},
        {"accounts": {"home": {"media": {"max_size": "much"}}}},
        {"log": {"level": "loud"}},
        {"log": {"level": None}},
        {"accounts": {"home": {"contacts": {"a": None}}}},
    ],
)
def test_the_json_schema_refuses_what_the_bridge_refuses(wrong):
    assert not Draft202012Validator(json_schema()).is_valid(wrong)


def test_the_example_in_the_schema_is_a_configuration_that_works(tmp_path):
    schema: dict[str, Any] = json_schema()
    for number, example in enumerate(schema["examples"]):
        Draft202012Validator(schema).validate(example)
        (file := tmp_path / f"{number}.yaml").write_text(yaml.safe_dump(example))
        assert load(file, {}, BACKENDS).settings.accounts["home"].backend == "ilink"
