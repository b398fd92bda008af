"""What the pages of the reference say is what the program does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import typer

from wx2mqtt.app.application import Application
from wx2mqtt.bridge.account_components import AccountComponents
from wx2mqtt.bridge.login import MAX_QR_CODES
from wx2mqtt.bridge.login_state import NEEDS
from wx2mqtt.bridge.requests.action_requests import ActionRequests
from wx2mqtt.bridge.requests.dispatcher import COMMAND_REQUESTS
from wx2mqtt.cli.main import app
from wx2mqtt.model import ChatKind, Handle, Kind, LoginState, Message, Result, Status
from wx2mqtt.mqtt.payloads import message_body, result_body
from wx2mqtt.settings.schema import Send
from wx2mqtt.web.media_endpoint import STATUS_BY_STATE

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "en"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

COMMANDS = getattr(typer.main.get_command(app), "commands", {})

MESSAGE = Message(
    key="1",
    id="1",
    chat=Handle("@1"),
    chat_kind=ChatKind.FRIEND,
    sender=None,
    kind=Kind.TEXT,
    text="",
    time=0,
)


def page(name: str) -> str:
    """Returns the text of the one page with this name."""
    (path,) = DOCS.rglob(f"{name}.md")
    return path.read_text(encoding="utf-8")


def section(name: str, title: str) -> str:
    """Returns the text below a heading of a page, up to the next heading of any level."""
    text = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", page(name), re.MULTILINE | re.DOTALL)
    assert text, title
    return text[1]


def rows(text):
    """Returns the cells of each row of the first table, without its head and without backticks."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    parts = (re.split(r"(?<!\\)\|", line)[1:-1] for line in lines[2:])
    return [[cell.strip().replace("`", "").replace("\\|", "|") for cell in cells] for cells in parts]


def example(name: str, title: str) -> dict[str, Any]:
    """Returns the first JSON block of a section."""
    block = re.search(r"```json\n(.*?)```", section(name, title), re.DOTALL)
    assert block, title
    body = json.loads(block[1])
    assert isinstance(body, dict)
    return body


def test_every_request_is_documented_and_no_other():
    components = MagicMock()
    components.ctx.shared.process_requests = Application.process_requests(MagicMock())
    components.actions.handlers.return_value = ActionRequests.handlers(MagicMock())
    assert sorted({name for name, *_ in rows(section("requests", "Requests"))}) == sorted(
        {*AccountComponents.request_handlers(components), *COMMAND_REQUESTS}
    )


def test_every_state_of_the_login_is_documented_with_its_needs():
    documented = {state: needs for state, needs, _ in rows(section("login", "The login"))}
    assert documented == {str(state): str(NEEDS[state]) for state in LoginState}


def test_every_status_and_every_kind_is_documented():
    assert [status for status, _ in rows(section("results", "Results"))] == list(Status)
    assert [row[0] for row in rows(section("kinds", "Kinds of messages"))] == list(Kind)


def test_the_example_of_a_message_has_all_keys():
    body = message_body(MESSAGE, account="", user="", chat_name="", sender={}, trusted=False, media={})
    documented_keys = example("messages", "Messages")
    assert documented_keys.keys() == {"schema", "stream", "seq", *body}
    assert isinstance(body["chat"], dict)
    assert documented_keys["chat"].keys() == body["chat"].keys()


def test_the_example_of_a_result_has_all_keys():
    result = Result(id="", user="", status=Status.SENT, code="ok", time=0)
    assert list(example("results", "Results")) == list(result_body(result, ""))


def test_every_status_of_media_is_documented():
    documented = {
        int(status): meaning.partition(":")[0] for status, meaning in rows(section("web", "The web server"))
    }
    assert documented == {
        404: documented[404],
        **{int(status): str(state) for state, status in STATUS_BY_STATE.items()},
    }


def test_the_documented_numbers_are_the_defaults():
    for text in (README, page("backends")):
        assert f"{Send().per_minute} messages a minute" in text
    assert f"{Send().ttl / 60:g} minutes" in section("sending", "Sending")
    assert MAX_QR_CODES == 10
    assert "ten times" in section("login", "The login")


def test_every_target_of_make_that_is_named_exists():
    makefile = (ROOT / "Makefile").read_text()
    for path in PAGES:
        for target in re.findall(r"(?m)(?:^|`)make ([a-z-]+)", path.read_text(encoding="utf-8")):
            assert re.search(rf"(?m)^{target}:", makefile), (path, target)
