"""deploy/mosquitto/README.md: its commands are run, on a real mosquitto, and the bridge connects through what
they make.
"""

from __future__ import annotations

import grp
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.docs.markdown import blocks
from tests.support.broker import Mosquitto, free_port
from tests.support.broker_user import BrokerUser
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.home import Home, at_home

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "deploy" / "mosquitto" / "README.md"
USERS = ("bridge", "homeassistant", "node-red", "reader", "device")

# The mosquitto.conf of Debian 12 and 13.
DEBIAN = "persistence true\npersistence_location {folder}/\nlog_dest stderr\ninclude_dir {folder}/etc/mosquitto/conf.d\n"

STUBS = {
    "apt-get": "",
    "chown": "",  # the test's mosquitto runs as the user of the test
    "chgrp": "",
    "systemctl": 'echo "$*" >> "$HOME/systemctl"',
    "mosquitto_passwd": 'exec "$REAL_PASSWD" -b "$1" "$2" "${NEW_PASSWORD:-secret of $2}"',  # it asks at a terminal
}


class Machine:
    """A machine with Debian's mosquitto, on which blocks of the page are run; `name` is its host name."""

    name = "localhost"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {"1883": str(free_port()), "8883": str(free_port())}
        (folder / "etc" / "mosquitto" / "conf.d").mkdir(parents=True)
        self._make_programs()
        config = DEBIAN.replace("{folder}", str(folder))
        self.broker = Mosquitto(folder, config, port=int(self.ports["1883"]), listener=False)

    def _make_programs(self) -> None:
        programs = self.folder / "bin"
        programs.mkdir()
        for name, script in STUBS.items():
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)

    def run(self, text: str, **environment: str) -> list[str]:
        """Runs a block in the clone; returns what systemctl was asked for."""
        for usual, own in {
            "/etc/mosquitto": f"{self.folder}/etc/mosquitto",
            "/usr/local/sbin/": f"{self.folder}/bin/",
            "-g mosquitto": f"-g {grp.getgrgid(os.getegid()).gr_name}",
            "broker.lan 192.168.1.10": f"{self.name} 127.0.0.1",
            "1883 127.0.0.1/": f"{self.ports['1883']} 127.0.0.1/",
            "^listener 1883$": f"^listener {self.ports['1883']}$",
        }.items():
            text = text.replace(usual, own)
        asked = self.folder / "systemctl"
        asked.unlink(missing_ok=True)
        path = f"{self.folder}/bin:{os.environ['PATH']}:/usr/sbin"
        passwd = shutil.which("mosquitto_passwd")
        assert passwd is not None
        done = subprocess.run(
            ["sh", "-eu", "-c", text],
            cwd=ROOT,
            env={"PATH": path, "HOME": str(self.folder), "REAL_PASSWD": passwd, **environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        self._use_own_paths()
        return asked.read_text().splitlines() if asked.exists() else []

    def _use_own_paths(self) -> None:
        """Replaces the default paths and ports in the files that were installed."""
        for file in (self.folder / "etc" / "mosquitto" / "conf.d").iterdir():
            text = file.read_text().replace(" /etc/mosquitto/", f" {self.folder}/etc/mosquitto/")
            for usual, own in self.ports.items():
                text = re.sub(rf"(?m)^listener {usual}\b", f"listener {own}", text)
            file.write_text(text)

    @property
    def tls(self) -> Path:
        return self.folder / "etc" / "mosquitto" / "tls"

    def certificate(self) -> str:
        """Returns the certificate that the broker sends, as PEM, after checking its authority."""
        context = ssl.create_default_context(cafile=self.tls / "ca.crt")
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 does by itself
        with (
            socket.create_connection((self.name, int(self.ports["8883"]))) as plain,
            context.wrap_socket(plain, server_hostname=self.name) as secured,
        ):
            received_certificate = secured.getpeercert(binary_form=True)
        assert received_certificate is not None
        return ssl.DER_cert_to_PEM_cert(received_certificate)


def block(beginning: str, number: int = 0) -> str:
    """Returns the shell block number `number` of the page that begins so."""
    return [
        block.text for block in blocks(PAGE) if block.language == "sh" and block.text.startswith(beginning)
    ][number]


INSTALLATION, TLS = "apt-get install", "install -d -m 750"
CLOSING, RENEWAL, NEW_PASSWORD = "sed -i", "(cd /etc/mosquitto/tls", "mosquitto_passwd"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Yields a machine on which the first two blocks of the page were run, with the broker running."""
    made = Machine(tmp_path)
    assert made.run(block(INSTALLATION)) == ["restart mosquitto"]
    assert made.run(block(TLS)) == ["restart mosquitto"]
    made.broker.start()
    try:
        yield made
    finally:
        made.broker.kill()


def test_the_blocks_of_the_page_are_those_that_are_run_here_and_the_chinese_page_has_the_same():
    shell = [block.text for block in blocks(PAGE) if block.language == "sh"]
    beginnings = (INSTALLATION, TLS, CLOSING, RENEWAL, NEW_PASSWORD)
    assert [text for text in shell if not text.startswith(beginnings)] == []
    chinese = [block.text for block in blocks(PAGE.with_name("README.zh.md")) if block.language == "sh"]
    assert chinese == shell


def test_the_key_of_the_authority_is_for_root_alone_and_that_of_the_broker_for_mosquitto(machine: Machine):
    modes = {file.name: oct(file.stat().st_mode & 0o777) for file in machine.tls.iterdir()}
    assert modes == {"ca.crt": "0o644", "ca.key": "0o600", "server.crt": "0o644", "server.key": "0o640"}


def bridge_settings(home: Home, machine: Machine, password: str) -> dict[str, object]:
    """Returns the settings of the page for the bridge, with the paths and the port of the test."""
    password_file = home.folder / "mqtt.password"
    password_file.write_text(password + "\n")
    password_file.chmod(0o600)
    [text] = [block.text for block in blocks(PAGE) if "mqtts://" in block.text]
    for usual, own in {
        "broker.lan:8883": f"{machine.name}:{machine.ports['8883']}",
        "/etc/wx2mqtt/mqtt.password": str(password_file),
        "/etc/wx2mqtt/broker-ca.crt": str(machine.tls / "ca.crt"),
    }.items():
        assert usual in text
        text = text.replace(usual, own)
    settings: dict[str, object] = yaml.safe_load(text)
    return settings


async def check_broker(home: Home) -> str:
    """Returns what `wx2mqtt check --connect` says about the broker."""
    done = await home.in_thread(
        subprocess.run,
        [sys.executable, "-m", "wx2mqtt", "check", "--connect", "-c", str(home.bridge.config)],
        capture_output=True,
        text=True,
        env={**os.environ, "LANG": "C.UTF-8", "COLUMNS": "200"},
    )
    return str(done.stdout + done.stderr)


async def test_the_bridge_connects_by_tls_and_the_port_without_it_can_be_closed(
    machine: Machine, tmp_path: Path
):
    async with at_home(tmp_path / "home") as home:
        home.bridge.configure({**home.settings(), **bridge_settings(home, machine, "secret of bridge")})
        broker_findings = await check_broker(home)
        at = f"{machine.name}:{machine.ports['8883']}"
        assert f"certificate: names {at}: issued for {machine.name}" in broker_findings
        assert f"certificate: authority {at}: is trusted" in broker_findings
        assert "nothing failed" in broker_findings
        assert machine.run(block(CLOSING)) == ["restart mosquitto"]
        machine.broker.restart()
        await home.control.post("settings", autoscan=True)
        home.bridge.start()
        with BrokerUser(int(machine.ports["1883"]), "homeassistant", "secret of homeassistant") as ha:
            ha.subscribe("wx/in/+", "wx/result/+")
            await home.control.wait("polling")
            assert await home.in_thread(ha.publish, "wx/out/wife", "over TLS") in {0, 16}
            [sent] = await home.control.sent(1)
            assert sent["text"] == "over TLS"
        await home.in_thread(home.bridge.stop)
    listeners = (machine.folder / "etc" / "mosquitto" / "conf.d" / "wx2mqtt.conf").read_text()
    assert f"listener {machine.ports['1883']} 127.0.0.1\n" in listeners


def test_a_renewed_certificate_is_shown_after_a_reload_and_connections_stay(machine: Machine):
    before = machine.certificate()
    authority = (machine.tls / "ca.crt").read_text()
    with BrokerUser(int(machine.ports["1883"]), "bridge", "secret of bridge") as connected:
        assert machine.run(block(RENEWAL)) == ["reload mosquitto"]
        machine.broker.reload()
        assert connected.publish("wx/last") in {0, 16}
        assert machine.certificate() != before
        assert connected.publish("wx/last") in {0, 16}
    assert (machine.tls / "ca.crt").read_text() == authority


def wait_for_text(broker_user: BrokerUser, text: str) -> None:
    with broker_user._more:
        found = broker_user._more.wait_for(
            lambda: any(text.encode() in payload for _, payload, _ in broker_user.received), MAX_WAIT_SECONDS
        )
    assert found, f"{text} did not come"


async def test_a_new_password_takes_effect_and_nothing_is_lost_meanwhile(machine: Machine, tmp_path: Path):
    async with at_home(tmp_path / "home") as home:
        home.bridge.configure({**home.settings(), **bridge_settings(home, machine, "secret of bridge")})
        await home.control.post("settings", autoscan=True)
        home.bridge.start()
        await home.control.wait("polling")
        bridge_settings(home, machine, "another secret")  # the file, as the page says, before the broker
        asked = await home.in_thread(machine.run, block(NEW_PASSWORD), NEW_PASSWORD="another secret")
        assert asked == ["restart mosquitto", "restart wx2mqtt"]
        await home.in_thread(machine.broker.restart)
        with BrokerUser(int(machine.ports["1883"]), "homeassistant", "secret of homeassistant") as ha:
            ha.subscribe("wx/in/+")
            await home.control.say("wife", "meanwhile")
            assert await home.in_thread(ha.publish, "wx/out/wife", "waits") in {0, 16}
            await home.in_thread(home.bridge.stop)
            home.bridge.start()
            [sent] = await home.control.sent(1)
            assert sent["text"] == "waits"
            await home.in_thread(wait_for_text, ha, "meanwhile")
        await home.in_thread(home.bridge.stop)
    with BrokerUser(int(machine.ports["1883"]), "bridge", "secret of bridge") as old:
        assert old.refusal


def test_a_failed_renewal_changes_nothing(machine: Machine):
    names = ("server.crt", "server.key")
    before = [(machine.tls / name).read_bytes() for name in names]
    failing = machine.folder / "bin" / "openssl"
    failing.write_text(f'#!/bin/sh\n[ "$1" = req ] && exec {shutil.which("openssl")} "$@"\nexit 1\n')
    failing.chmod(0o755)
    with pytest.raises(AssertionError):
        machine.run(block(RENEWAL))
    assert [(machine.tls / name).read_bytes() for name in names] == before
