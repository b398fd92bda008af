"""Every error that ends a command has its Chinese, and so has every command line that is refused."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import wx2mqtt
from tests.support.rows import every_row
from tests.unit.i18n.test_settings import FACT, rendered
from wx2mqtt.app.control_socket import BridgeNotRunning
from wx2mqtt.cli.main import run_command_line
from wx2mqtt.errors import NotConnected, StoreFull, WrongStoreKey
from wx2mqtt.i18n.settings import chinese_sentence

PACKAGE = Path(wx2mqtt.__file__).parent
ERRORS = {
    *("Wx2MqttError", "StoreError", "StoreFull", "StoreLocked", "StoreTooNew", "BridgeNotRunning"),
    *("BrokerNotStarted", "CannotWrite", "NotConnected", "BadParameter"),
}

NEVER_AT_A_TERMINAL = {
    # what a command of MQTT, a file or a sender is told, and the log
    "the store does not take it now",
    "the account is being stopped",
    "nobody waits for this file any more",
}

SHOWN_BELOW = {
    # put together, or with quotes around a fact: they are in the tests below
    "FACT is in use by FACT; stop it first.",
    "--owner FACT: FACT",
    "FACT: FACT FACTFACT",
    "FACT: FACT is given twice; keep one of the two",
    "FACT: write NAME=REMARK, such as --person wife=老婆",
}


def raised_sentences() -> Iterator[str]:
    """Yields the texts with which the errors of a command are made, with a word for each fact."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ERRORS and node.args:
                yield from _texts(node.args[0])


def _texts(node: ast.AST) -> Iterator[str]:
    if text := rendered(node):
        yield text
    elif not isinstance(node, ast.JoinedStr):
        for child in ast.iter_child_nodes(node):
            yield from _texts(child)


def test_every_error_of_a_command_has_its_chinese():
    raised = {text for text in raised_sentences() if text.replace(FACT, "").count(" ") >= 2}
    assert len(raised) > 55
    missing = {text for text in raised if chinese_sentence(text) == text}
    assert missing == NEVER_AT_A_TERMINAL | SHOWN_BELOW


def test_an_error_without_a_text_of_its_own_has_its_chinese():
    """Only the errors that are raised without a text and reach a terminal are meant."""
    for error in (BridgeNotRunning, NotConnected, StoreFull, WrongStoreKey):
        assert chinese_sentence(str(error())) != str(error())


@every_row(
    ("english", "chinese"),
    [
        ("There is no store at /a yet; start the bridge once.", "/a 还没有存储；请先启动一次桥接程序"),
        ("/s cannot be created: Permission denied.", "无法创建 /s：没有权限"),
        (
            "/s is in use by process 7 (wx2mqtt run); stop it first.",
            "进程 7（wx2mqtt run）正在使用 /s；请先停止它",
        ),
        (
            "web.listen: port 80 on ::1 is in use: choose another, or set web.enabled to false",
            "web.listen：::1 的端口 80 已被占用；请换一个，或者把 web.enabled 设为 false",
        ),
        (
            "Invalid value for '--port': Input should be a valid integer, unable to parse string as an integer",
            "--port 的值不对：必须是整数",
        ),
    ],
)
def test_a_sentence_keeps_its_facts(english, chinese):
    assert chinese_sentence(english) == chinese


@pytest.mark.parametrize(
    "arguments",
    [
        "nonsense",
        "healthchek",
        "check --json",
        "check --nonsense",
        "check -c",
        "demo --mqtt-port 99999",
        "demo --mqtt-port abc",
        "demo --backend abc",
        "demo --broker abc",
        "demo --once --broker mqtt://a:1",
        "ask me",
        "backup",
        "journal nonsense",
        "journal show a b c",
        "setup --yes --person x",
        "setup --yes --person a=x --person a=y",
        "setup --yes --person a+b=x",
        "setup --yes --owner a+b",
        "setup --yes --host http://a",
        "setup --yes --embedded --ca-file /nonsense",
        "setup --yes --bot-id x",
    ],
)
def test_a_command_line_that_is_refused_is_answered_in_chinese(
    arguments: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WX2MQTT_LANGUAGE", "zh")
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert run_command_line(arguments.split()) == 2
    lines = capsys.readouterr().err.splitlines()
    begins = [line.partition(" ")[0].partition("：")[0] for line in lines if line]
    assert begins in (["用法", "用", "错误"], ["错误"])  # typer knows the command of most
    assert not {"Invalid", "Missing", "No", "such", "Usage", "Error", "must", "the"} & set(lines[-1].split())


def test_in_english_it_is_answered_as_typer_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WX2MQTT_LANGUAGE", "en")
    assert run_command_line(["check", "--zzz"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("Usage: wx2mqtt check")
    assert shown.endswith("Error: No such option: --zzz\n")


def test_a_group_without_a_command_shows_its_help_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WX2MQTT_LANGUAGE", "zh")
    assert run_command_line(["journal"]) == 2
    shown = capsys.readouterr()
    assert (shown.out + shown.err).count("用法：") == 1


def test_an_error_has_the_language_of_the_file_that_is_named(tmp_path: Path) -> None:
    (config := tmp_path / "a.yaml").write_text(
        f"language: zh\naccounts: {{home: {{backend: ilink}}}}\nstorage: {{path: {tmp_path}/store}}\n"
    )
    command = [sys.executable, "-m", "wx2mqtt", "journal", "list", "-c", str(config)]
    env = {**os.environ, "LC_ALL": "C"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert ended.returncode == 1
    assert ended.stderr == f"{tmp_path}/store 还没有存储；请先启动一次桥接程序\n"
