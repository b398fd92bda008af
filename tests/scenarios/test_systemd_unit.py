"""The shipped units, examined by systemd's own tools."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from wx2mqtt.limits import MAX_INCOMING_PACKET_BYTES
from wx2mqtt.settings.key_tree import KeyKind, dotted, walk

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
SERVICES = {"wx2mqtt.service": "wx2mqtt.service", "wx2mqtt@.service": "wx2mqtt@home.service"}
"""The bridge as it is shipped, and as what it is started."""
UNITS = {**SERVICES, "wx2mqtt-backup.service": "wx2mqtt-backup.service"}
BACKUP = FOLDER / "wx2mqtt-backup.service"
ANALYZE = shutil.which("systemd-analyze")
MOST_EXPOSED = 1.5

pytestmark = pytest.mark.skipif(
    ANALYZE is None, reason="systemd-analyze is missing (Debian: apt-get install systemd)"
)


@pytest.fixture(params=UNITS)
def text(request):
    """Returns the text of a shipped unit."""
    return (FOLDER / request.param).read_text()


@pytest.fixture
def unit(request, text, tmp_path):
    """Writes the unit with a program that exists on every machine; returns its path."""
    path = tmp_path / UNITS[request.node.callspec.params["text"]]
    path.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text))
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


def test_systemd_finds_a_wrong_line(unit):
    """This shows that the check above can fail."""
    unit.write_text(re.sub("(?m)^Type=.*$", "Type=notifi", unit.read_text()))
    assert "notifi" in analyze("verify", unit).stderr


def test_the_service_is_hardly_exposed(unit):
    done = analyze("security", "--offline=true", "--no-pager", unit)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) < MOST_EXPOSED, done.stdout


def settings_of(text):
    """Returns the lines of a unit without comments and empty lines."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("text", SERVICES, indirect=True)
def test_the_unit_has_the_promised_settings(text):
    assert values(text, "Type") == ["notify"]
    assert values(text, "RestartPreventExitStatus") == ["78"]
    (state,) = values(text, "StateDirectory")
    assert state in {"wx2mqtt", "wx2mqtt-%i"}
    assert f"/var/lib/{state}," in text
    assert values(text, "StateDirectoryMode") == ["0700"]
    assert values(text, "DynamicUser") == ["yes"]
    assert values(text, "ExecReload") == ["/bin/sh -c 'kill -HUP $MAINPID'"]
    assert int(values(text, "WatchdogSec")[0]) >= 30


MEBIBYTES = 1024 * 1024
REST_BYTES = 100 * MEBIBYTES
COPIES_OF_A_PACKET = 3
"""Of a command whose file is in base64: the packet, its text and the bytes. Seen with a file of 74 MB: 358 MB at most."""


@pytest.mark.parametrize("text", SERVICES, indirect=True)
def test_the_memory_limit_suffices_for_the_largest_file(text):
    (limit,) = values(text, "MemoryMax")
    limit_bytes = int(limit.removesuffix("G")) * 1024 * MEBIBYTES
    needed_bytes = REST_BYTES + COPIES_OF_A_PACKET * MAX_INCOMING_PACKET_BYTES
    assert 2 * needed_bytes <= limit_bytes < 4 * needed_bytes


@pytest.mark.parametrize("text", SERVICES, indirect=True)
def test_the_credentials_named_in_the_unit_are_secrets_of_the_schema(text):
    secrets = {
        dotted(path).replace("*", "home")
        for path, key in walk()
        if key.kind in {KeyKind.SECRET, KeyKind.SECRETS}
    }
    named = re.findall(r"(?m)^#LoadCredential\w*=([^:]+):", text)
    assert len(named) >= 3
    assert set(named) - secrets == {"broker.key"}


@pytest.mark.parametrize("text", SERVICES, indirect=True)
def test_systemd_finds_nothing_wrong_with_the_credentials_uncommented(text, unit):
    unit.write_text(re.sub(r"(?m)^#(LoadCredential|Environment)", r"\1", unit.read_text()))
    done = analyze("verify", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert values(unit.read_text(), "LoadCredential")


def test_the_template_is_the_unit_once_for_each_configuration():
    """The template has the same sandbox; only names differ, and each instance has its own of each."""
    unit, template = ((FOLDER / name).read_text() for name in SERVICES)
    differing = [
        pair for pair in zip(settings_of(unit), settings_of(template), strict=True) if pair[0] != pair[1]
    ]
    assert [pair[0].partition("=")[0] for pair in differing] == ["Description", "ExecStart", "StateDirectory"]
    assert all("%i" in pair[1] for pair in differing)
    assert "%i" not in unit
    paths = re.findall(r"(?m)^#LoadCredential\w*=[^:]+:(\S+)", template)
    assert paths
    assert all("%i" in path for path in paths)


def test_the_backup_has_the_user_the_store_and_the_sandbox_of_the_service():
    service, backup = (FOLDER / "wx2mqtt.service").read_text(), BACKUP.read_text()
    assert values(backup, "User") == ["wx2mqtt"], "the name that systemd gives the user of wx2mqtt.service"
    assert values(backup, "StateDirectory")[0].split()[0] == values(service, "StateDirectory")[0]
    (command,) = values(backup, "ExecStart")
    assert command.endswith(f" --keep 7 /var/lib/{values(backup, 'StateDirectory')[0].split()[1]}")
    sandbox = service[service.index("DynamicUser=yes") : service.index("[Install]")].splitlines()
    expected = {line for line in sandbox if line and not line.startswith(("#", "RestrictAddressFamilies"))}
    assert expected <= {*settings_of(backup)}


def test_systemd_finds_nothing_wrong_with_the_timer(tmp_path):
    (tmp_path / BACKUP.name).write_text(
        re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", BACKUP.read_text())
    )
    timer = tmp_path / "wx2mqtt-backup.timer"
    timer.write_text((FOLDER / timer.name).read_text())
    done = analyze("verify", timer)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
