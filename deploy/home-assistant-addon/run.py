#!/opt/wx2mqtt/bin/python
"""Starts the bridge as an add-on of Home Assistant, and makes its part of Home Assistant's backups.

- `run.py start` writes a configuration from the options of the form, unless the owner has one of their own in
  `/config/wx2mqtt.yaml`, takes the broker from the Supervisor, restores a backup, and becomes the bridge.
- `run.py backup` makes a consistent copy of the store before a backup.
- `run.py backup-done` removes the copy afterwards.

It runs as root, who alone may read the options, and starts the bridge as the user `wx2mqtt`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

BRIDGE = Path("/opt/wx2mqtt/bin/wx2mqtt")
DATA = Path("/data")
OWN_FILE = Path("/config/wx2mqtt.yaml")
SUPERVISOR_URL = "http://supervisor"
SUPERVISOR_TIMEOUT_SECONDS = 10.0
BRIDGE_USER = BRIDGE_GROUP = 10001

REMIND_BEFORE, RENEW_AFTER = "2h", "25d"
# Its name in the Supervisor's network, and the one under which others in the house find it.
HOME_ASSISTANT_HOSTS = ["homeassistant", "homeassistant.local"]

EXIT_UNEXPECTED, EXIT_USAGE, EXIT_CONFIGURATION = 1, 2, 78


class AddonError(Exception):
    """The add-on cannot start; the message says what its owner does about it."""


class Addon:
    """The folders of the add-on and what is done with them. The defaults are those of the container."""

    def __init__(
        self,
        *,
        bridge: Path = BRIDGE,
        data: Path = DATA,
        own_file: Path = OWN_FILE,
        supervisor_url: str = SUPERVISOR_URL,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._bridge = bridge
        self._own_file = own_file
        self._supervisor_url = supervisor_url
        self._environment = environment
        self._options_file = data / "options.json"
        self._written_file = data / "wx2mqtt.yaml"
        self._archive = data / "wx2mqtt.tar.gz"
        self.store = Path(environment.get("WX2MQTT_STORAGE__PATH", data / "store"))

    @property
    def configuration(self) -> Path:
        return self._own_file if self._own_file.exists() else self._written_file

    def prepare(self) -> dict[str, str]:
        """Writes the configuration and restores a backup; returns the environment of the bridge."""
        options = json.loads(self._options_file.read_text(encoding="utf-8"))
        self.store.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._give_to_bridge(self.store)
        if self.configuration == self._written_file:
            text = yaml.safe_dump(configuration_of(options), allow_unicode=True, sort_keys=False)
            self._written_file.write_text(f"# Written at each start from the options of the add-on.\n{text}")
        environment = {**self._environment, **self._broker_settings(options)}
        if self.configuration == self._written_file:
            environment |= secrets_of(options)
        environment.pop("SUPERVISOR_TOKEN", None)  # the bridge has no business with the Supervisor
        self._restore(environment)
        return environment

    def become_bridge(self, environment: Mapping[str, str]) -> None:
        """Replaces this process."""
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(BRIDGE_GROUP)
            os.setuid(BRIDGE_USER)
        os.execve(self._bridge, self._command("run", "--explain"), dict(environment))  # noqa: S606 - no shell is wanted

    def backup(self) -> None:
        """Writes the archive beside the store; the Supervisor puts it into the backup."""
        partial = self._archive.with_suffix(".partial")
        with partial.open("wb") as file:
            partial.chmod(0o600)
            self._run_bridge("backup", "-", stdout=file)
        partial.replace(self._archive)

    def remove_archive(self) -> None:
        self._archive.unlink(missing_ok=True)

    def _restore(self, environment: Mapping[str, str]) -> None:
        """Restores the archive of a backup into an empty store. A store with content is newer."""
        if not self._archive.exists():
            return
        if not any(self.store.iterdir()):
            with self._archive.open("rb") as file:
                self._run_bridge("restore", "-", stdin=file, environment=environment)
        self.remove_archive()

    def _broker_settings(self, options: Mapping[str, Any]) -> dict[str, str]:
        """Returns the broker as variables of the environment; none if the owner's file names one."""
        if self._names_broker():
            return {}
        if options.get("mqtt_url"):
            broker = {key: str(options.get(f"mqtt_{key}") or "") for key in ("url", "username", "password")}
        else:
            broker = self._broker_of_supervisor()
        return {f"WX2MQTT_MQTT__{key.upper()}": value for key, value in broker.items() if value}

    def _names_broker(self) -> bool:
        try:
            content = yaml.safe_load(self._own_file.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):  # the bridge explains what is wrong with the file
            return False
        broker = content.get("mqtt") if isinstance(content, dict) else None
        return isinstance(broker, dict) and bool(broker.get("url"))

    def _broker_of_supervisor(self) -> dict[str, str]:
        """Asks the Supervisor for the broker that an add-on provides."""
        token = self._environment.get("SUPERVISOR_TOKEN", "")
        try:
            response = httpx.get(
                f"{self._supervisor_url}/services/mqtt",
                headers={"authorization": f"Bearer {token}"},
                timeout=SUPERVISOR_TIMEOUT_SECONDS,
                trust_env=False,
            )
            answer = response.json()
            if response.status_code == httpx.codes.BAD_REQUEST:  # the service is not enabled
                raise AddonError(
                    "There is no broker: install the add-on Mosquitto broker, or fill in the option mqtt_url."
                    " 没有 MQTT 服务器：请安装 Mosquitto broker 加载项，或填写选项 mqtt_url。"
                )
            response.raise_for_status()
            service = answer["data"]
            scheme = "mqtts" if service.get("ssl") else "mqtt"
            return {
                "url": f"{scheme}://{service['host']}:{service['port']}",
                "username": service.get("username") or "",
                "password": service.get("password") or "",
            }
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise AddonError(
                f"The Supervisor does not say which broker there is ({type(error).__name__})."
                " Supervisor 没有给出 MQTT 服务器。"
            ) from error

    def _run_bridge(
        self, *arguments: str, environment: Mapping[str, str] | None = None, **streams: Any
    ) -> None:
        identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            identity = {"user": BRIDGE_USER, "group": BRIDGE_GROUP, "extra_groups": []}
        subprocess.run(  # noqa: S603 - our own program, with our own arguments
            self._command(*arguments),
            env=dict(self._environment if environment is None else environment),
            check=True,
            **identity,
            **streams,
        )

    def _command(self, *arguments: str) -> list[str]:
        return [str(self._bridge), *arguments, "--config", str(self.configuration)]

    @staticmethod
    def _give_to_bridge(folder: Path) -> None:
        if os.geteuid() == 0:
            shutil.chown(folder, BRIDGE_USER, BRIDGE_GROUP)


def configuration_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the configuration file that says what the options say, but for the broker and secrets."""
    backend = options.get("backend", "ilink")
    people = {"me": {"owner": True}} if backend == "ilink" else _people(options.get("contacts") or [])
    account: dict[str, Any] = {"backend": backend, "contacts": people}
    if backend == "ilink" and options.get("remind"):
        account["ilink"] = {"remind": {"before": REMIND_BEFORE}}
    if backend == "ilink" and options.get("renew"):
        account.setdefault("ilink", {})["renew"] = {"after": RENEW_AFTER}
    account["media"] = {"allow_hosts": options.get("allow_hosts", HOME_ASSISTANT_HOSTS)}
    return {
        "accounts": {"home": account},
        "homeassistant": {"enabled": True, "expose": list(people)},
        "language": options.get("language", "en"),
        "log": {"level": options.get("log_level", "info")},
    }


def secrets_of(options: Mapping[str, Any]) -> dict[str, str]:
    """Returns the secrets of the form as variables of the environment, so that no file holds them."""
    urls = options.get("fallback") or []
    return {"WX2MQTT_ACCOUNTS__HOME__FALLBACK__URLS": json.dumps(urls)} if urls else {}


def _people(contacts: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    """Returns the pins of these people; of several ways in which one is named the surest counts."""
    people = {}
    for contact in contacts:
        pin = next(((key, contact[key]) for key in ("remark", "alias", "group") if contact.get(key)), None)
        if pin is None:
            raise AddonError(
                f"{contact['name']} needs a remark, an alias or a group in the options."
                f" 选项中的 {contact['name']} 需要填写备注、微信号或群名。"
            )
        people[contact["name"]] = dict([pin])
    return people


def main(arguments: list[str], addon: Addon) -> int:
    try:
        match arguments:
            case ["start"]:
                addon.become_bridge(addon.prepare())
            case ["backup"]:
                addon.backup()
            case ["backup-done"]:
                addon.remove_archive()
            case _:
                print(__doc__, file=sys.stderr)
                return EXIT_USAGE
    except AddonError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIGURATION
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return EXIT_UNEXPECTED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Addon()))
