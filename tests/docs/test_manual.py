"""The man page has the texts of the command line, and groff and the wheel accept it; completion knows the commands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
import typer

from tests.docs.manual import MANUAL, manual_text, roff
from tests.docs.markdown import ROOT
from tests.docs.tables import leaf_commands
from tests.support.rows import every_row
from wx2mqtt.cli.main import app


def test_the_man_page_is_the_one_of_the_command_line():
    assert MANUAL.read_text() == manual_text(), "run make docs"


def test_every_command_and_option_is_in_it():
    text = manual_text().replace("\\-", "-").replace("\\&", "")
    for name, command in leaf_commands(typer.main.get_command(app), "wx2mqtt"):
        assert f".SS {name}" in text
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                assert option in text or option == "--help", option


@every_row(("text", "written"), [("a-b", "a\\-b"), (".x", "\\&.x"), ("'x", "\\&'x"), ("\\", "\\e")])
def test_no_text_is_a_command_of_groff(text, written):
    assert roff(text) == written


@pytest.mark.skipif(
    shutil.which("groff") is None, reason="groff is missing (Debian: apt-get install groff-base)"
)
def test_groff_finds_nothing_wrong():
    done = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8", MANUAL], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_wheel_installs_it(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if re.search(r"\.data/data/share/man/man1/wx2mqtt\.1$", name)]


def bash_completions(words: str) -> list[str]:
    """Returns what the completion of bash proposes at the end of these words."""
    line = f"wx2mqtt {words}"
    env = {
        **os.environ,
        "_WX2MQTT_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    }
    done = subprocess.run(
        [sys.executable, "-m", "wx2mqtt"], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_the_shell_completes_commands_and_options():
    assert bash_completions("jour") == ["journal"]
    assert bash_completions("journal re") == ["retry"]
    assert "--connect" in bash_completions("check --")
