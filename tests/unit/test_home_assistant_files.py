"""`deploy/home-assistant` without Home Assistant: read by its rules, in both languages, true to what is announced."""

from __future__ import annotations

import ast
import html
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from markdown_it import MarkdownIt

from tests.support.rows import every_row
from wx2mqtt import REPOSITORY
from wx2mqtt.mqtt.homeassistant_entities import Device, NotifyTarget, discovery_config
from wx2mqtt.mqtt.topics import TOPIC_TABLE, Topics

FOLDER = Path(__file__).parents[2] / "deploy/home-assistant"
BLUEPRINTS = sorted((FOLDER / "blueprints").glob("*.yaml"))
CHINESE = re.compile(r"[\u4e00-\u9fff]")
# What waits for the results of its commands, and does something where they did not arrive.
AWAITS_RESULTS = {"doorbell", "water-alarm", "presence-question", "ask-with-buttons"}
# What answers a message with the words of an agent or the picture of a camera.
ANSWERS = {"assist", "picture-on-request"}
ENTITY = re.compile(r"\b(?:image|sensor|binary_sensor|event|button|notify)\.wechat_home_\w+")


class Input(str):
    """The name of an input, as `!input` gives it."""

    __slots__ = ()


class Loader(yaml.SafeLoader):
    """YAML with Home Assistant's `!input`, and no other tag."""


def _input(loader: yaml.SafeLoader, node: yaml.Node) -> Input:
    assert isinstance(node, yaml.ScalarNode)
    return Input(loader.construct_scalar(node))


Loader.add_constructor("!input", _input)


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    return found


def inputs(value: Any) -> set[str]:
    """Yields every input that is used."""
    if isinstance(value, Input):
        return {str(value)}
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*map(inputs, inner))


def texts(value: Any) -> list[str]:
    """Returns every text in a tree."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [found for part in inner for found in texts(part)]


def announced() -> set[str]:
    """Returns the entity ids of the account `home` on iLink, which has a login that ends and a window of `me`."""
    device = Device(
        account="home",
        topics=Topics("wx"),
        model="Tencent iLink",
        version="1",
        language="en",
        has_login_age=True,
        windows=[NotifyTarget(user="me", id="me", name="me")],
    )
    components = json.loads(discovery_config(device).payload)["components"]
    return {component["default_entity_id"] for component in components.values()}


def test_there_are_the_ten_of_which_the_readme_speaks() -> None:
    names = {path.stem for path in BLUEPRINTS}
    assert names == {
        "doorbell",
        "water-alarm",
        "presence-question",
        "ask-with-buttons",
        "login-qr",
        "login-ended",
        "window-closes",
        "trusted-command",
        "assist",
        "picture-on-request",
    }
    for readme in ("README.md", "README.zh.md"):
        text = (FOLDER / readme).read_text(encoding="utf-8")
        assert [name for name in names if f"blueprints/{name}.yaml" not in text] == []


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
class TestBlueprint:
    def test_it_is_a_blueprint_for_home_assistant_from_2024_11_or_2025_4(self, path: Path) -> None:
        """Since 2025.4 a variable that an inner step sets is seen outside of it."""
        whole = load(path)
        head = whole.pop("blueprint")
        needed = "2025.4.0" if path.stem in AWAITS_RESULTS | ANSWERS else "2024.11.0"
        assert (head["domain"], head["homeassistant"]) == ("automation", {"min_version": needed})
        more = {"conditions", "variables", "trigger_variables", "max", "max_exceeded"}
        assert {"triggers", "actions", "mode"} <= whole.keys() <= {"triggers", "actions", "mode"} | more
        assert "description" in head

    def test_every_input_is_used_and_every_used_one_is_asked_for(self, path: Path) -> None:
        whole = load(path)
        asked = whole.pop("blueprint")["input"]
        assert inputs(whole) == asked.keys()
        assert [key for key, field in asked.items() if "selector" not in field] == []

    def test_whoever_fills_it_in_reads_english_or_chinese(self, path: Path) -> None:
        head = load(path)["blueprint"]
        descriptions = [head["name"], head["description"]]
        descriptions += [
            field[key] for field in head["input"].values() for key in ("name", "description") if key in field
        ]
        assert [
            text for text in descriptions if not re.search(r"[a-z]{2}", text) or not CHINESE.search(text)
        ] == []

    def test_it_is_sent_to_oneself_on_ilink_and_can_be_imported_again(self, path: Path) -> None:
        head = load(path)["blueprint"]
        assert head["source_url"] == f"{REPOSITORY}/blob/main/deploy/home-assistant/blueprints/{path.name}"
        asked = head["input"].get("people")
        assert asked is None or asked["default"] in (["me"], [])

    def test_the_guides_have_a_button_that_imports_it(self, path: Path) -> None:
        source = quote(load(path)["blueprint"]["source_url"], safe="")
        button = f"(https://my.home-assistant.io/redirect/blueprint_import/?blueprint_url={source})"
        assert all(button in (FOLDER / name).read_text() for name in ("README.md", "README.zh.md"))

    def test_what_must_arrive_hears_its_results_within_a_minute_and_says_where_it_failed(
        self, path: Path
    ) -> None:
        asked = load(path)["blueprint"]["input"]
        text = path.read_text(encoding="utf-8")
        assert ("undelivered" in asked) == (path.stem in AWAITS_RESULTS)
        assert ("deadline" in asked) == (path.stem in {"doorbell", "water-alarm"})
        if "undelivered" in asked:
            assert "'id': ids[" in text or "'id': texts[" in text or "{'id': id," in text
            assert asked["undelivered"]["default"][0]["action"] == "persistent_notification.create"
        if "deadline" in asked:
            longest = asked["deadline"]["selector"]["number"]["max"]
            assert asked["deadline"]["default"] <= longest
            assert 10 + longest + 8 < 60
            assert "seconds: 10" in text
            assert "deadline + 8" in text

    def test_what_acts_on_a_word_asks_who_wrote_it_and_when(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        if "message" in load(path)["blueprint"]["input"]:
            assert re.search(r"'trusted'\)+ == true", text)
            assert "'time'" in text

    def test_braces_are_closed(self, path: Path) -> None:
        for text in texts(load(path)):
            assert text.count("{{") == text.count("}}")
            assert text.count("{%") == text.count("%}")

    def test_it_speaks_only_on_the_topics_of_the_contract(self, path: Path) -> None:
        topics = [topic for topic in texts(load(path)) if re.fullmatch(r"\{\{ base \}\}/\S.*", topic)]
        assert set(topics) <= {
            "{{ base }}/out/{{ repeat.item }}",
            "{{ base }}/out/{{ trigger.to_state.attributes.user }}",
            "{{ base }}/out/{{ person }}",
        }
        assert any(row.pattern == "out/<user>" and not row.by_bridge for row in TOPIC_TABLE)


@pytest.mark.parametrize("name", ["dashboard.yaml", "README.md", "README.zh.md"])
def test_only_entities_that_are_announced_are_named(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    named = {entity for entity in ENTITY.findall(text) if not entity.startswith("notify.")}
    assert named
    assert named <= announced()


def test_the_card_is_yaml_that_shows_the_code_only_while_one_is_wanted() -> None:
    card = yaml.safe_load((FOLDER / "dashboard.yaml").read_text(encoding="utf-8"))
    conditional = card["cards"][0]
    assert conditional["card"]["entity"] == "image.wechat_home_login_qr"
    assert conditional["conditions"][0]["state"] == ["waiting_for_scan", "waiting_for_confirm"]


@pytest.mark.parametrize(("language", "readme"), [("en", "README.md"), ("zh", "README.zh.md")])
def test_card_and_table_have_the_words_of_the_window_and_of_the_login(language: str, readme: str) -> None:
    words = {
        "en": ("May send", "Left", "Until", "Login ends in", "Failed today"),
        "zh": ("现在可发送", "剩余条数", "可发送至", "登录剩余", "今日失败"),
    }[language]
    card = (FOLDER / "dashboard.yaml").read_text(encoding="utf-8")
    names = re.findall(r"^ +name: (\S.*)$", card, re.MULTILINE)
    assert [word for word in words if not any(word in name for name in names)] == []
    table = (FOLDER / readme).read_text(encoding="utf-8")
    assert [word for word in words if f"*{word.lower()}*" not in table] == []


HOSTILE = [
    "*a* _b_ **c** ~~d~~ `e`",
    "[x](http://evil.example) ![y](http://evil.example/seen.png)",
    "<img src=x onerror=alert(1)> <script>x</script> <ha-icon icon='mdi:x'></ha-icon>",
    "https://evil.example www.evil.example a@evil.example <https://evil.example>",
    "# a\n\n- b\n\n    c\n1. d\n> e\n|f|g|\n|-|-|\n===\n---\n[h]: http://evil.example\n[h]",
    "&lt;b&gt; \\<i> \\\\*a* {{ states }} {% set x = 1 %}",
    "a\r\r<script>b",
]
EXPRESSION = re.compile(r"\{\{ (state_attr\([^)]*\)[^}]*(?:\}(?!\})[^}]*)*) \}\}")
REPLACED = re.compile(r"regex_replace\(('[^']*'), ('[^']*')\)")


def markdown(card: Any) -> list[str]:
    """Yields the content of each Markdown card."""
    if isinstance(card, list):
        return [text for part in card for text in markdown(part)]
    if not isinstance(card, dict):
        return []
    own = [card["content"]] if card.get("type") == "markdown" else []
    return own + [text for part in card.values() for text in markdown(part)]


def shown(expression: str, text: str) -> str:
    """Returns what the filters of a template make of a text."""
    for find, replace in REPLACED.findall(expression):
        text = re.sub(ast.literal_eval(find), ast.literal_eval(replace), text)
    return text


@every_row("text", HOSTILE)
def test_what_people_write_is_shown_in_the_card_as_they_wrote_it(text: str) -> None:
    contents = markdown(yaml.safe_load((FOLDER / "dashboard.yaml").read_text(encoding="utf-8")))
    expressions = [expression for content in contents for expression in EXPRESSION.findall(content)]
    assert len(expressions) == sum(content.count("state_attr(") for content in contents) == 3
    for expression in expressions:
        page = (
            MarkdownIt("commonmark", {"breaks": True})
            .enable(["table", "strikethrough"])
            .render(f"**WeChat** {shown(expression, text)}")
        )
        assert set(re.findall(r"</?([a-z-]+)", page)) <= {"p", "strong", "br"}
        visible = html.unescape(re.sub(r"</?(?:p|strong)>", "", page)).strip().removeprefix("WeChat ")
        assert visible.replace("<br>", "\n").split() == re.sub(r"[\r\n]+", "\n", text).split()
        assert "://" not in shown(expression, text)  # Home Assistant makes links of bare addresses
