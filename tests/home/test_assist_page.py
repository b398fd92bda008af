"""The page *Talk to your home* in both languages, as a reader follows it, on the running demo."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.docs.markdown import ROOT, blocks
from tests.home.conftest import BLUEPRINTS, PYTHON
from tests.home.home_assistant import CONFIGURATION, HomeAssistantProcess
from tests.home.test_readme import run_demo
from tests.support.broker import free_port
from tests.support.deadlines import MAX_WAIT_SECONDS

CODES = {"en": "en", "zh": "zh-Hans"}

# What the sentences are about, beside the light of the page: domain, name, area, state, options.
STAND_INS: dict[str, list[tuple[str, str, str, str, dict[str, str]]]] = {
    "en": [
        ("light", "Ceiling light", "Living Room", "", {"brightness_command_topic": "home/brightness"}),
        (
            "sensor",
            "Temperature",
            "Living Room",
            "21",
            {"device_class": "temperature", "unit_of_measurement": "°C"},
        ),
        ("cover", "Garage door", "Garage", "closed", {"device_class": "garage"}),
    ],
    "zh": [
        ("light", "吸顶灯", "客厅", "", {"brightness_command_topic": "home/brightness"}),
        ("sensor", "温度", "客厅", "21", {"device_class": "temperature", "unit_of_measurement": "°C"}),
        ("cover", "窗帘", "书房", "open", {"device_class": "curtain"}),
    ],
}


class Page:
    """What the page tells a reader to do."""

    def __init__(self, language: str) -> None:
        path = ROOT / f"docs/{language}/examples/assist.md"
        self._text = path.read_text(encoding="utf-8")
        shell = [block.text for block in blocks(path) if block.language == "sh"]
        self.light = next(text for text in shell if text.startswith("mosquitto_pub -r -t"))
        self.automations = [yaml.safe_load(block.text) for block in blocks(path) if block.language == "yaml"]

    @property
    def blueprint(self) -> str:
        """Returns the name of the blueprint that step 5 chooses."""
        return self._match(r"\*\*(微信：跟家里说话[^*]*)\*\*")

    @property
    def first_sentence(self) -> str:
        return self._match(r"^6\. .*?`(.*?)`")

    @property
    def sentences(self) -> list[list[str]]:
        """Returns what somebody writes and what is answered, row by row."""
        table = self._text.partition("<!-- sentences:")[2].partition("\n\n|")[2].partition("\n\n")[0]
        return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]

    def _match(self, pattern: str) -> str:
        match = re.search(pattern, self._text, re.MULTILINE)
        assert match is not None
        return match[1]


class Phone:
    """The simulated phone: writes to the bot, and reads what comes back."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._read = 0

    def do(self, step: str, **fields: str) -> None:
        assert self._http.post(f"/sim/ilink/{step}", json=fields).status_code == 200

    def ask(self, text: str, count: int = 1) -> list[str]:
        """Writes a text; returns the texts of the next messages of the bot, of a picture its kind."""
        self.do("say", text=text, **{"from": "me"})
        lines: list[dict[str, Any]] = []
        while len(lines) < count:
            parameters: dict[str, Any] = {"after": self._read + len(lines), "wait": MAX_WAIT_SECONDS}
            newer = self._http.get("/sim/ilink/sent", params=parameters).json()
            assert newer, f"no answer to {text!r}"
            lines += newer
        self._read += len(lines)
        return [line["text"] if line["kind"] == "text" else line["kind"] for line in lines]


def publish(broker: int, *arguments: str) -> None:
    command = ["mosquitto_pub", "-p", str(broker), *arguments]
    subprocess.run(command, cwd=ROOT, check=True, timeout=MAX_WAIT_SECONDS)


def announce(broker: int, language: str) -> None:
    """Announces the stand-ins, and a camera with a picture."""
    for domain, name, area, state, options in STAND_INS[language]:
        topics = {"command_topic": f"home/{domain}/set"} | (
            {"state_topic": f"home/{domain}"} if state else {}
        )
        device = {"name": name, "identifiers": [domain], "suggested_area": area}
        config = {"name": None, "unique_id": domain, "device": device, **topics, **options}
        publish(broker, "-r", "-t", f"homeassistant/{domain}/home/config", "-m", json.dumps(config))
        publish(broker, "-r", "-t", f"home/{domain}", "-m", state)
    camera = {"name": "Door", "unique_id": "door", "topic": "home/door"}
    publish(broker, "-r", "-t", "homeassistant/camera/home/config", "-m", json.dumps(camera))
    publish(broker, "-r", "-t", "home/door", "-f", "deploy/home-assistant/door.jpg")


def load_automations(home_assistant: HomeAssistantProcess, own: list[dict[str, Any]]) -> None:
    """Makes an automation of the blueprint as its form does where nothing is changed, and those that the page shows."""
    shutil.copytree(BLUEPRINTS, home_assistant.folder / "blueprints/automation/wx2mqtt")
    assist = {
        "id": "assist",
        "alias": "assist",
        "use_blueprint": {"path": "wx2mqtt/assist.yaml", "input": {}},
    }
    text = json.dumps([{**shown, "id": f"own{number}"} for number, shown in enumerate(own)])
    text = text.replace("http://homeassistant.local:8123", home_assistant.url)
    home_assistant.do("automations", automations=[assist, *json.loads(text)])
    home_assistant.until(
        f"states.automation | selectattr('state', 'eq', 'on') | list | count == {1 + len(own)}"
    )


def command_of(automation: dict[str, Any]) -> str:
    """Returns the first sentence of a trigger, without what may be left out."""
    return " ".join(re.sub(r"\[[^\]]*\]", "", automation["triggers"][0]["command"][0]).split())


@pytest.mark.parametrize("language", CODES)
def test_the_page_leads_to_answers(language: str, tmp_path: Path) -> None:
    page = Page(language)
    broker = free_port()
    core = {**CONFIGURATION["homeassistant"], "language": CODES[language]}
    configuration = {"homeassistant": core, "conversation": None}
    with (
        run_demo("--mqtt-port", str(broker)) as url,
        HomeAssistantProcess(
            PYTHON, tmp_path / "house", port=free_port(), configuration=configuration
        ) as home_assistant,
        httpx.Client(base_url=url, trust_env=False, timeout=2 * MAX_WAIT_SECONDS) as http,
    ):
        phone = Phone(http)
        added = home_assistant.do("flow", domain="mqtt", input={"broker": "127.0.0.1", "port": broker})
        assert added["type"] == "create_entry"
        phone.do("scan")
        phone.do("confirm")
        home_assistant.until("states('sensor.wechat_home_login_state') == 'online'")
        phone.do("say", text="hello", **{"from": "me"})
        home_assistant.until("state_attr('event.wechat_home_message', 'text') == 'hello'")

        load_automations(home_assistant, page.automations)
        assert home_assistant.do("blueprints")["wx2mqtt/assist.yaml"] == page.blueprint
        assert re.search(r"\d", phone.ask(page.first_sentence)[0])

        publish(broker, *shlex.split(page.light)[1:])
        announce(broker, language)
        home_assistant.until("states.light | count == 2 and states.camera | count == 1")
        home_assistant.until(
            "states.sensor | map(attribute='state') | select('eq', '21') | list | count == 1"
        )
        home_assistant.until("states.cover | rejectattr('state', 'eq', 'unknown') | list | count == 1")
        for text, answer in page.sentences:
            assert phone.ask(text) == [answer]
        own, picture = page.automations
        assert phone.ask(command_of(own)) == [own["actions"][-1]["set_conversation_response"]]
        caption, kind = phone.ask(command_of(picture), 2)
        assert (caption in picture["actions"][0]["data"]["payload"], kind) == (True, "image")
