"""`--help` is Chinese for a Chinese terminal or configuration, and nothing of it stays English."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from wx2mqtt.cli.help import chinese_text
from wx2mqtt.cli.main import app, run_command_line
from wx2mqtt.cli.terminal import LANGUAGE_VARIABLE, command_language
from wx2mqtt.i18n.setup import HELP_TEXTS, text_width

LOCALE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG", LANGUAGE_VARIABLE)


def subcommands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    yield name, command
    for key, subcommand in getattr(command, "commands", {}).items():
        yield from subcommands(subcommand, f"{name} {key}")


COMMANDS = dict(subcommands(typer.main.get_command(app), "wx2mqtt"))


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name in LOCALE_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def printed_by(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    assert run_command_line(arguments) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_no_english_left(name, capsys, monkeypatch):
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    text = printed_by(capsys, [*name.split()[1:], "--help"])
    assert text.startswith(f"用法：{name} ")
    english = [
        line for line in text.splitlines() if re.search(r"\b[A-Za-z]?[a-z]+ [a-z]{2,} [a-z]{2,}\b", line)
    ]
    assert [line for line in english if not line.startswith("  -c")] == []
    assert [line for line in text.splitlines() if text_width(line) > 80] == []


def test_every_text_of_the_command_line_has_a_chinese_one_and_no_other():
    texts = {(command.help or "").strip() for command in COMMANDS.values()}
    texts |= {
        parameter.help for command in COMMANDS.values() for parameter in command.params if parameter.help
    }
    assert {text for text in texts if chinese_text(text) == text} == set()
    pieces = {"[OPTIONS]", "COMMAND [ARGS]...", "Show this message and exit."}
    assert set(HELP_TEXTS) <= texts | pieces


def test_the_help_is_english_elsewhere(capsys, monkeypatch):
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    assert "Usage: wx2mqtt" in printed_by(capsys, ["--help"])


@pytest.mark.parametrize(
    ("env", "file", "language"),
    [
        ({}, None, "en"),
        ({"LANG": "zh_TW.UTF-8"}, None, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, None, "en"),
        ({}, "mqtt: {}\nlanguage: zh   # Chinese\n", "zh"),
        ({"LANG": "zh_CN.UTF-8"}, "language: en\n", "en"),
        ({LANGUAGE_VARIABLE: "zh"}, "language: en\n", "zh"),
        ({LANGUAGE_VARIABLE: "fr", "LANG": "zh_CN"}, None, "zh"),
    ],
)
def test_the_variable_counts_most_then_the_file_then_the_locale(env, file, language, tmp_path):
    if file is not None:
        (tmp_path / "wx2mqtt.yaml").write_text(file)
    assert command_language(None, env) == language


def test_a_file_that_cannot_be_read_says_no_language(tmp_path):
    (folder := tmp_path / "folder").mkdir()
    (broken := tmp_path / "broken.yaml").write_bytes(b"\xff\xfelanguage: zh")
    for path in (folder, broken, tmp_path / "absent.yaml"):
        assert command_language(path, {}) == "en"
