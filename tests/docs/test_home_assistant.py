"""The pages of Home Assistant: what the command of setup writes is the file that they show."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.docs.markdown import ROOT, Block, blocks
from tests.support.deadlines import MAX_WAIT_SECONDS


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_command_of_setup_writes_the_file_that_the_page_shows(language: str, tmp_path: Path) -> None:
    page = list(blocks(ROOT / f"docs/{language}/start/home-assistant.md"))
    readme = "README.md" if language == "en" else "README.zh.md"
    account = list(blocks(ROOT / "deploy/home-assistant" / readme))
    program, *arguments = shlex.split(_block(page, "sh", "setup").text)
    assert program == "wx2mqtt"
    file = tmp_path / "wx2mqtt.yaml"
    # There is no broker of this address here; whether it lets the user in is tried by tests/scenarios/test_setup.py.
    answers = ["--password-file", "-", "--language", language, "--no-try", "--yes", "--no-unit"]
    subprocess.run(
        [sys.executable, "-m", "wx2mqtt", *arguments, *answers, "-c", file],
        input="of the bridge",
        text=True,
        check=True,
        timeout=MAX_WAIT_SECONDS,
    )
    settings_of_page = yaml.safe_load(_block(account, "yaml", "mqtt:").text)
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == {"language": language, **settings_of_page}


def _block(page: list[Block], language: str, text: str) -> Block:
    return next(block for block in page if block.language == language and text in block.text)
