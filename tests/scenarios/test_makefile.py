"""The Makefile on machines where something is missing: one line that says what, and how to get it."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKE = shutil.which("make")

pytestmark = pytest.mark.skipif(MAKE is None, reason="make is missing (Debian: apt-get install make)")


@pytest.fixture
def make(tmp_path):
    """Returns a function that runs `make TARGET PYTHON=…` in a new folder."""
    (tmp_path / "tests").mkdir()
    (tmp_path / ".venv").mkdir()
    for name in ("Makefile", "pyproject.toml", "tests/requirements.lock"):
        shutil.copy(ROOT / name, tmp_path / name)

    def run_make(target, python, *arguments, **locale):
        command = [str(MAKE), *arguments, target, f"PYTHON={python}"]
        # `make test ARGS=…` runs this test, too: its variables must not have an effect here.
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MAKE", "ARGS", "TESTS", "LC_", "LANG"))
        } | locale
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines()

    return run_make


def python_stub(tmp_path, case):
    """Writes a python3 that behaves like ours except in these cases of its arguments."""
    path = tmp_path / "python3"
    path.write_text(f'#!/bin/sh\ncase "$*" in\n{case}\nesac\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("target", ["test", "demo", "run"])
def test_without_python_one_line_says_how_to_get_it(make, target):
    code, lines = make(target, "/nowhere/python3")
    assert code != 0
    assert lines == ["python3 is missing: apt-get install python3 python3-venv"]


def test_without_venv_one_line_says_how_to_get_it(make, tmp_path):
    code, lines = make("demo", python_stub(tmp_path, "*ensurepip*) exit 1;;"))
    assert code != 0
    assert lines == ["python3-venv is missing: apt-get install python3-venv (and then again: make demo)"]


def test_the_command_to_be_repeated_keeps_its_arguments(make, tmp_path):
    code, (line,) = make(
        "demo", python_stub(tmp_path, "*ensurepip*) exit 1;;"), "ARGS=--backend ilink --language zh"
    )
    assert code != 0
    assert line.endswith("(and then again: make demo ARGS='--backend ilink --language zh')")


def test_with_an_old_python_one_line_says_which_is_needed(make, tmp_path):
    code, lines = make("test", python_stub(tmp_path, "*version_info*) exit 1;;"))
    assert code != 0
    (line,) = lines
    assert line.startswith("Python 3.11 or newer is needed, ")
    assert "make PYTHON=python3.11 test" in line


IN_CHINESE = "正在用 Python {version} 建立 .venv（只需一次，一到三分钟）"
IN_ENGLISH = "building .venv with Python {version} (once, one to three minutes)"


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ({"LANG": "zh_CN.UTF-8"}, IN_CHINESE),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "zh_CN.UTF-8"}, IN_CHINESE),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, IN_ENGLISH),
        ({}, IN_ENGLISH),
    ],
)
def test_the_duration_of_the_installation_is_printed_in_the_language_of_the_terminal(
    make, tmp_path, locale, expected
):
    code, (line, *_) = make("demo", python_stub(tmp_path, "*--clear*) exit 1;;"), **locale)
    assert code != 0
    assert line == expected.format(version=platform.python_version())


def test_a_missing_program_is_named_in_chinese_with_the_same_command(make, tmp_path):
    chinese = {"LANG": "zh_CN.UTF-8"}
    assert make("demo", "/nowhere/python3", **chinese)[1] == [
        "缺少 python3：apt-get install python3 python3-venv"
    ]
    assert make("demo", python_stub(tmp_path, "*ensurepip*) exit 1;;"), "ARGS=--once", **chinese)[1] == [
        "缺少 python3-venv：apt-get install python3-venv（然后再执行：make demo ARGS='--once'）"
    ]
    (line,) = make("demo", python_stub(tmp_path, "*version_info*) exit 1;;"), **chinese)[1]
    assert line.startswith("需要 Python 3.11 或更新版本，")
    assert line.endswith(f" Python {platform.python_version()}: make PYTHON=python3.11 demo")


def test_a_bare_make_lists_what_there_is(make):
    code, lines = make("help", sys.executable)
    assert code == 0
    assert {line.split()[1] for line in lines} >= {"demo", "run", "test", "lint", "bench", "check"}


def pytest_commands(make, *arguments):
    """Returns the arguments of each pytest command that `make` would run."""
    code, lines = make(
        arguments[0], sys.executable, "-n", "-o", ".venv/ready", "-o", ".venv-home/ready", *arguments[1:]
    )
    assert code == 0
    return [shlex.split(line) for line in lines if "-m pytest" in line]


def test_slow_tests_have_targets_of_their_own_and_check_runs_all(make):
    (everyday,), (robustness,) = pytest_commands(make, "test"), pytest_commands(make, "test-robustness")
    (commands,) = pytest_commands(make, "test-commands")
    (external,), (node_red,) = pytest_commands(make, "test-external"), pytest_commands(make, "test-node-red")
    elsewhere = {word.removeprefix("--ignore=") for word in everyday if word.startswith("--ignore=")}
    assert elsewhere == {word for word in (*robustness, *commands, *node_red) if word.startswith("tests/")}
    assert elsewhere > {"tests/chaos", "tests/cluster", "tests/crash", "tests/fuzz", "tests/power_cut"}
    assert all((ROOT / path).exists() for path in elsewhere)
    assert "tests" in everyday
    assert everyday[everyday.index("-m", 3) + 1] == f"not ({external[external.index('-m', 3) + 1]})"
    assert pytest_commands(make, "check") == [everyday, commands, robustness, external, node_red]


@pytest.mark.parametrize(
    ("target", "folder"), [("test-home", "tests/home"), ("test-node-red", "tests/node_red")]
)
def test_only_named_tests_of_a_folder_are_run(make, target, folder):
    (everything,), (named,) = (
        pytest_commands(make, target),
        pytest_commands(make, target, f"TESTS={folder}/x.py"),
    )
    assert everything[-1] == folder
    assert named[-1] == f"{folder}/x.py"


def test_named_tests_are_all_run(make):
    (command,) = pytest_commands(make, "test", "TESTS=tests/chaos")
    assert "tests/chaos" in command
    assert [word for word in command[3:] if word.startswith(("--ignore", "-m"))] == []
