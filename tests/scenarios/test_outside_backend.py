"""A backend of another package: installed by its files alone, and used by the whole bridge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.broker import Mosquitto
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.process import BridgeProcess
from tests.support.subscriber import Subscriber

MODULE = Path(__file__).with_name("echo_backend.py")
# A process of its own, since the fork server of the tests has another path.
PROGRAM = [sys.executable, "-m", "wx2mqtt"]


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """Returns the environment of a Python in which `wx2mqtt-echo` is installed."""
    return install(tmp_path / "site", MODULE.read_text())


def install(folder: Path, module: str, entry_point: str = "echo = wx2mqtt_echo:ENTRY") -> dict[str, str]:
    """Writes what pip would install: the module, and the metadata of a package with an entry point."""
    info = folder / "wx2mqtt_echo-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "wx2mqtt_echo.py").write_text(module)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wx2mqtt-echo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[wx2mqtt.backends]\n{entry_point}\n")
    return {"PYTHONPATH": str(folder)}


def account(**more: Any) -> dict[str, Any]:
    return {"accounts": {"home": {"backend": "echo", "options": ["prefix=You said: "], **more}}}


def run(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=MAX_WAIT_SECONDS,
        check=False,
    )


def check(folder: Path, env: dict[str, str], settings: dict[str, Any]) -> tuple[int, str]:
    (config := folder / "check.yaml").write_text(yaml.safe_dump(settings))
    done = run(env, "check", "-c", str(config))
    return done.returncode, done.stdout + done.stderr


def test_the_whole_bridge_logs_in_receives_and_sends_with_it(
    tmp_path: Path, mosquitto: Mosquitto, installed: dict[str, str]
) -> None:
    contacts = {"echo": {"remark": "Echo"}, "stranger": {"alias": "nobody"}}
    settings = {"mqtt": {"url": mosquitto.url}, **account(contacts=contacts)}
    with (
        Subscriber(mosquitto.port, "wx/#") as subscriber,
        BridgeProcess(tmp_path / "bridge", settings, env=installed, program=[*PROGRAM, "run"]),
    ):
        assert subscriber.wait("wx/login/url").payload == b"echo://scan"
        (tmp_path / "site" / "scanned").touch()
        subscriber.wait_body("wx/login/state", state="online")
        info = subscriber.wait("wx/bridge/info").body
        assert info["backend"] == "echo"
        assert any("Echo tells no alias" in line for line in info["warnings"])

        subscriber.say("wx/out/echo", {"id": "a", "text": "hello"})
        assert subscriber.wait_body("wx/result/echo", id="a")["status"] == "sent"
        message = subscriber.wait("wx/in/echo").body
        assert (message["text"], message["trusted"]) == ("You said: hello", True)


def test_check_and_the_schema_know_the_installed_backend(tmp_path: Path, installed: dict[str, str]) -> None:
    code, output = check(tmp_path, installed, account())
    assert code == 0, output
    schema = json.loads(run(installed, "schema", "config").stdout)
    assert schema["$defs"]["Account"]["properties"]["backend"]["enum"] == ["ilink", "webwx", "wecom", "echo"]


def test_wrong_options_are_named_without_their_values(tmp_path: Path, installed: dict[str, str]) -> None:
    code, output = check(
        tmp_path, installed, account(options=["prefx=geheim", "geheim", "prefix=a", "prefix=b"])
    )
    assert code == 78
    assert "accounts.home.options[0]: is no option of Echo; it has prefix" in output
    assert "accounts.home.options[1]: is no option; write it as name=value" in output
    assert "accounts.home.options[3]: names the same one twice; remove one" in output
    assert "geheim" not in output


def test_a_backend_that_no_package_has_is_named_with_those_that_exist(
    tmp_path: Path, installed: dict[str, str]
) -> None:
    code, output = check(tmp_path, installed, account(backend="ecko"))
    assert code == 78
    expected = "'ecko' must be webwx, ilink, wecom or echo, did you mean 'echo'?"
    assert f"accounts.home.backend: {expected}" in output
    _, output = check(tmp_path, {}, account())
    assert "'echo' must be webwx, ilink or wecom" in output


@pytest.mark.parametrize(
    ("module", "entry_point", "expected"),
    [
        ("import no_such_module", "echo = wx2mqtt_echo:ENTRY", "ModuleNotFoundError: No module named"),
        ("ENTRY = 1", "echo = wx2mqtt_echo:ENTRY", "TypeError: wx2mqtt_echo:ENTRY is no BackendEntry"),
        (MODULE.read_text(), "parrot = wx2mqtt_echo:ENTRY", "ValueError: the entry point, the entry and"),
    ],
    ids=["import", "type", "name"],
)
def test_a_package_that_cannot_be_used_is_named(
    tmp_path: Path, module: str, entry_point: str, expected: str
) -> None:
    env = install(tmp_path / "site", module, entry_point)
    code, output = check(tmp_path, env, account(backend=entry_point.partition(" ")[0]))
    assert code == 78
    assert f"comes from the package wx2mqtt-echo, which cannot be used ({expected}" in output
    assert "Traceback" not in output
