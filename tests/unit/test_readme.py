"""What README says is what the program does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import typer

from wx2mqtt.app.application import Application
from wx2mqtt.bridge.components import AccountComponents
from wx2mqtt.bridge.login import MAX_QR_CODES
from wx2mqtt.bridge.login_state import NEEDS
from wx2mqtt.bridge.requests.actions import ActionRequests
from wx2mqtt.bridge.requests.dispatcher import COMMAND_REQUESTS
from wx2mqtt.cli import operations
from wx2mqtt.cli.main import app
from wx2mqtt.model import ChatKind, Handle, Kind, LoginState, Message, Result, Status
from wx2mqtt.mqtt.payloads import REQUEST_CODES, RESULT_CODES, message_body, result_body
from wx2mqtt.mqtt.topics import TOPIC_TABLE
from wx2mqtt.settings.loader import load
from wx2mqtt.settings.schema import Send
from wx2mqtt.web.media import STATUS_BY_STATE
from wx2mqtt.wechat.registry import BACKENDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

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


def section(title):
    """The text below a heading, up to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def rows(text):
    """The cells of each row of the first table, without its head; backticks taken away."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    parts = (re.split(r"(?<!\\)\|", line)[1:-1] for line in lines[2:])
    return [[cell.strip().replace("`", "").replace("\\|", "|") for cell in cells] for cells in parts]


def words(text):
    """What stands in backticks."""
    return re.findall(r"`([^`\n]+)`", text)


def example(title):
    """The first JSON block of a section."""
    found = re.search(r"```json\n(.*?)```", section(title), re.DOTALL)
    assert found, title
    return json.loads(found[1])


def test_the_table_of_topics_is_the_programs():
    text = re.search(r"<!-- topics: .*? -->\n(.*?)<!-- /topics -->", README, re.DOTALL)
    assert text
    assert rows(text[1]) == [
        [
            f"wx/{topic.pattern}",
            "bridge" if topic.by_bridge else "you",
            "yes" if topic.retained else "no",
            topic.meaning,
        ]
        for topic in TOPIC_TABLE
    ]


def test_every_code_of_a_result_is_told_and_no_other():
    codes = re.search(r"^Codes: (.*?)\n\n", section("Sending"), re.MULTILINE | re.DOTALL)
    assert codes
    assert sorted(words(codes[1])) == sorted(RESULT_CODES)


def test_every_code_of_an_answer_is_told_and_no_other():
    codes = re.search(
        r"^Codes besides those of a result: (.*?)\n\n", section("Requests"), re.MULTILINE | re.DOTALL
    )
    assert codes
    assert sorted(words(codes[1])) == sorted(REQUEST_CODES - RESULT_CODES)


def test_every_request_is_told_and_no_other():
    components = MagicMock()
    components.ctx.shared.process_requests = Application.process_requests(MagicMock())
    components.actions.handlers.return_value = ActionRequests.handlers(MagicMock())
    assert sorted({name for name, *_ in rows(section("Requests"))}) == sorted(
        {*AccountComponents.request_handlers(components), *COMMAND_REQUESTS}
    )


def test_every_state_of_the_login_is_told_with_what_it_needs():
    told = {state: needs for state, needs, _ in rows(section("The login"))}
    assert told == {str(state): str(NEEDS[state]) for state in LoginState}


def test_every_status_and_every_kind_is_told():
    assert [status for status, _ in rows(section("Sending"))] == list(Status)
    assert [row[0] for row in rows(section("Kinds"))] == list(Kind)


def test_the_message_that_is_shown_has_the_keys_of_one():
    body = message_body(MESSAGE, account="", user="", chat_name="", sender={}, trusted=False, media={})
    shown = example("A message")
    assert shown.keys() == {"schema", "stream", "seq", *body}
    assert isinstance(body["chat"], dict)
    assert shown["chat"].keys() == body["chat"].keys()


def test_the_result_that_is_shown_has_the_keys_of_one():
    result = Result(id="", user="", status=Status.SENT, code="ok", time=0)
    assert list(example("Sending")) == list(result_body(result, ""))


def test_every_status_of_media_is_told():
    told = {int(status): says.partition(":")[0] for status, says in rows(section("The web server"))}
    assert told == {404: told[404], **{int(status): str(state) for state, status in STATUS_BY_STATE.items()}}


def test_every_command_is_told():
    told = [line for line, _ in rows(section("Commands"))]
    for name, command in COMMANDS.items():
        (line,) = [line for line in told if line.split()[1] == name]
        for inner in getattr(command, "commands", {}):
            assert inner in line.split()[2].split("|"), line
    assert len(told) == len(COMMANDS)


def test_every_option_that_is_told_exists():
    for line, _ in rows(section("Commands")):
        command = COMMANDS[line.split()[1]]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {*re.findall(r"-{1,2}[a-z][a-z-]*", line)} <= known, line


def test_the_exit_codes_are_the_programs():
    told = re.search(r"Exit codes: (.*?)\. Once", section("Commands"), re.DOTALL)
    assert told
    named = {
        operations.EXIT_OK,
        operations.EXIT_UNEXPECTED,
        operations.EXIT_USAGE,
        operations.EXIT_TEMPORARY,
        operations.EXIT_CONFIGURATION,
    }
    assert {int(code) for code in re.findall(r"\b\d+\b", told[1])} == named


def test_the_numbers_that_are_promised_are_the_defaults():
    assert f"{Send().per_minute} messages a minute" in README
    assert f"{Send().ttl / 60:g} minutes" in section("Sending")
    assert MAX_QR_CODES == 10
    assert "ten times" in section("The login")


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#\s]+)", README))
def test_every_link_leads_somewhere(target):
    if not re.match(r"https?://", target):
        assert (ROOT / target).exists(), target


FILES = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


def test_the_first_file_can_be_used_as_it_stands(tmp_path):
    text = FILES[0]
    (password := tmp_path / "password").write_text("secret")
    password.chmod(0o600)
    file = tmp_path / "wx2mqtt.yaml"
    file.write_text(text.replace("/run/secrets/mqtt", str(password)))
    loaded = load(file, {}, BACKENDS)
    assert loaded.warnings == ()
    assert loaded.settings.mqtt.password is not None
    assert list(loaded.settings.accounts["home"].contacts) == ["wife", "family"]


@pytest.mark.parametrize("text", FILES[1:])
def test_so_can_the_others_which_say_accounts_only(text, tmp_path):
    (file := tmp_path / "wx2mqtt.yaml").write_text(text)
    loaded = load(file, {}, BACKENDS)
    assert loaded.warnings == ()
    assert loaded.settings.base_topics() == {"home": "wx", "office": "wx/office"}


def test_every_target_of_make_that_is_told_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?m)(?:^|`)make ([a-z]+)", README):
        assert re.search(rf"(?m)^{target}:", makefile), target
