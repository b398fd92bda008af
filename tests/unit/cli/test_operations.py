"""Each error has an exit code, and a sentence for the terminal."""

from __future__ import annotations

from tests.support.rows import every_row
from wx2mqtt.cli.operations import exit_code
from wx2mqtt.demo.environment import DemoPortsInUse
from wx2mqtt.errors import (
    LoginRefused,
    Problem,
    SettingsError,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreTooNew,
    Wx2MqttError,
)
from wx2mqtt.mqtt.embedded import PortInUse


@every_row(
    ("error", "code"),
    [
        (SettingsError((Problem("a.yaml", 3, "key", "is wrong"),)), 78),
        (StoreTooNew(), 78),
        (StoreError(), 75),
        (StoreFull(), 75),
        (StoreLocked(), 75),
        (PortInUse("127.0.0.1", 1883), 75),
        (DemoPortsInUse({"--mqtt-port": 1883}, "en"), 75),
        (LoginRefused(), 1),
        (Wx2MqttError("something"), 1),
    ],
)
def test_each_error_has_its_exit_code_and_one_sentence(error, code):
    lines: list[str] = []
    assert exit_code(error, lines.append, "en") == code
    assert lines == [str(error)]
    assert lines[0]


def test_every_problem_of_a_file_is_a_line():
    lines: list[str] = []
    problems = tuple(Problem("a.yaml", line, "key", "is wrong") for line in (1, 2, 0))
    exit_code(SettingsError(problems), lines.append, "en")
    assert lines == ["a.yaml:1: key: is wrong", "a.yaml:2: key: is wrong", "a.yaml: key: is wrong"]
