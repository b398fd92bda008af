"""The shipped unit, examined by systemd's own tools."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from wx2mqtt.settings.shape import Kind, dotted, walk

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "wx2mqtt.service"
ANALYZE = shutil.which("systemd-analyze")
MOST_EXPOSED = 1.5

pytestmark = pytest.mark.skipif(
    ANALYZE is None, reason="systemd-analyze is missing (Debian: apt-get install systemd)"
)


@pytest.fixture
def unit(tmp_path):
    """The unit with a program that exists on every machine."""
    path = tmp_path / UNIT.name
    path.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text()))
    return path


def analyze(*arguments):
    assert ANALYZE is not None
    env = os.environ | {"SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        [ANALYZE, *map(str, arguments)], env=env, capture_output=True, text=True, check=False
    )


def values(text, name):
    return re.findall(rf"(?m)^{name}=(.*)$", text)


def test_systemd_finds_nothing_wrong(unit):
    done = analyze("verify", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_systemd_would_find_something_wrong(unit):
    """The check above can fail."""
    unit.write_text(unit.read_text().replace("Type=notify", "Type=notifi"))
    assert "notifi" in analyze("verify", unit).stderr


def test_the_service_is_hardly_exposed(unit):
    done = analyze("security", "--offline=true", "--no-pager", unit)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) < MOST_EXPOSED, done.stdout


def test_the_unit_keeps_the_contract():
    text = UNIT.read_text()
    assert values(text, "Type") == ["notify"]
    assert values(text, "RestartPreventExitStatus") == ["78"]
    assert values(text, "StateDirectory") == ["wx2mqtt"]
    assert values(text, "StateDirectoryMode") == ["0700"]
    assert values(text, "ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert int(values(text, "WatchdogSec")[0]) >= 30


def test_the_credentials_named_in_the_unit_are_secrets_of_the_schema():
    secrets = {
        dotted(path).replace("*", "home") for path, key in walk() if key.kind in {Kind.SECRET, Kind.SECRETS}
    }
    named = re.findall(r"(?m)^#LoadCredential\w*=([^:]+):", UNIT.read_text())
    assert len(named) >= 3
    assert set(named) - secrets == {"broker.key"}
