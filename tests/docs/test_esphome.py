"""ESPHome accepts the device of its page, and the rights of the broker's user `device` suffice for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.markdown import ROOT, blocks
from tests.support.clients import ESPHOME
from tests.support.deadlines import MAX_REQUEST_SECONDS

pytestmark = pytest.mark.client

PAGES = [ROOT / "docs" / language / "examples" / "esphome.md" for language in ("en", "zh")]


class _Loader(yaml.SafeLoader):
    """Loads the output of `esphome config`, which has tags for secrets and lambdas."""


_Loader.add_multi_constructor("!", lambda loader, _tag, node: loader.construct_scalar(node))


@pytest.fixture(scope="module", autouse=True)
def esphome() -> None:
    problem = ESPHOME.install()
    assert not problem, problem


def run_config(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Returns what `esphome config` says of a device."""
    (folder / "device.yaml").write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "esphome", "config", "device.yaml"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ESPHOME.folder)},
        capture_output=True,
        text=True,
        timeout=MAX_REQUEST_SECONDS,
    )


def device(page: Path) -> str:
    """Returns the file of the device that a page shows."""
    (block,) = (block for block in blocks(page) if block.check == "tested")
    return block.text


@pytest.mark.parametrize("page", PAGES, ids=["en", "zh"])
def test_esphome_accepts_the_device(page, tmp_path):
    done = run_config(device(page), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    accepted: dict[str, Any] = yaml.load(done.stdout, _Loader)
    mqtt = accepted["mqtt"]
    assert [mqtt[name] for name in ("birth_message", "will_message", "shutdown_message", "log_topic")] == [
        {}
    ] * 4
    assert mqtt["clean_session"]
    assert {received["topic"] for received in mqtt["on_message"]} == {"wx/text/me"}
    commands = []
    for sensor in accepted["binary_sensor"]:
        (action,) = sensor["on_press"][0]["then"]
        published = action["mqtt.publish"]
        assert (published["topic"], published["qos"], published["retain"]) == ("wx/out/me", 1, False)
        commands.append(json.loads(published["payload"]))
    assert [(action["priority"], action["ttl"], action.get("urgent", False)) for action in commands] == [
        ("high", 60, False),
        ("high", 3600, True),
    ]


def test_esphome_refuses_what_is_wrong(tmp_path):
    wrong = device(PAGES[0]).replace("    id: bell\n", "")
    done = run_config(wrong, tmp_path)
    assert done.returncode != 0
    assert "'id:' or 'name:' is required" in done.stdout
