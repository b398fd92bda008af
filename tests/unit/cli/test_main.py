"""`wx2mqtt` on the command line: its exit codes, and errors in the language of the terminal or the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from wx2mqtt import __version__
from wx2mqtt.cli import main
from wx2mqtt.cli.main import run_command_line
from wx2mqtt.cli.operations import EXIT_CONFIGURATION, EXIT_OK
from wx2mqtt.cli.terminal import LANGUAGE_VARIABLE

# `check` configures the log.
pytestmark = pytest.mark.usefixtures("restored_logging")

EXIT_USAGE = 2


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration and no language of this machine."""
    monkeypatch.chdir(tmp_path)
    for name in ("LC_ALL", "LC_MESSAGES", "LANG", LANGUAGE_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["--version"]) == EXIT_OK
    assert capsys.readouterr().out == f"wx2mqtt {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["chekc"], ["run", "--fast"], ["check", "--json"], ["check", "--take-over"], ["ask", "me"], ["-c"]],
    ids=" ".join,
)
def test_a_wrong_command_line_is_an_error_of_usage(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run_command_line(arguments) == EXIT_USAGE
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err


def test_a_file_with_problems_ends_the_check_with_each_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wx2mqtt.yaml").write_text("langauge: zh\nmqtt: {port: 1883}\n")
    assert run_command_line(["check"]) == EXIT_CONFIGURATION
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        [f"{tmp_path}/wx2mqtt.yaml:1", "langauge"],
        [f"{tmp_path}/wx2mqtt.yaml:2", "mqtt.port"],
    ]


def test_a_good_file_passes_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("mqtt: {url: 'mqtt://broker'}\n")
    assert run_command_line(["check", "-c", str(file)]) == EXIT_OK
    assert str(file) in capsys.readouterr().out


def test_the_backends_are_compared_without_any_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["check", "--backends"]) == EXIT_OK
    assert capsys.readouterr().out.splitlines()[0].split() == ["ilink", "wecom", "webwx"]


@pytest.mark.parametrize(
    ("arguments", "language"),
    [
        (["run"], "zh"),  # the file in the folder
        (["run", "-c", "english.yaml"], "en"),
        (["run", "--config", "english.yaml"], "en"),
        (["setup", "--language", "en"], "en"),
        (["setup", "--language", "zh", "-c", "english.yaml"], "zh"),
        (["setup", "--language", "fr"], "zh"),
    ],
)
def test_errors_are_in_the_language_of_the_option_or_else_of_the_file(
    tmp_path: Path, arguments: list[str], language: str
) -> None:
    (tmp_path / "wx2mqtt.yaml").write_text("language: zh\n")
    (tmp_path / "english.yaml").write_text("language: en\n")
    assert main._language_of(arguments) == language
