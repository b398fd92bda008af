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
import re
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
DEFAULT_LANGUAGE = "en"

# The ports of config.yaml, closed at first: for programs that send over HTTP, and for clients of ntfy.
SENDERS_LISTEN, NTFY_LISTEN = "0.0.0.0:8098", "0.0.0.0:8097"

# The first account, and the other one if the form has one.
FIRST, SECOND = "home", "second"

# How a backend finds people, the surest way first; iLink has its owner only.
PINS: dict[str, tuple[str, ...]] = {"ilink": (), "webwx": ("remark", "alias", "group"), "wecom": ("wecom",)}
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
            written = configuration_of(options, self._language(options))
            text = yaml.safe_dump(written, allow_unicode=True, sort_keys=False)
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

    def _language(self, options: Mapping[str, Any]) -> str:
        """Returns the language of the form; `auto` is that of Home Assistant, else the last one it had."""
        chosen = str(options.get("language", "auto"))
        if chosen != "auto":
            return chosen
        try:
            response = self._ask_supervisor("core/api/config")
            response.raise_for_status()
            found = str(response.json()["language"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return self._last_language()
        return "zh" if found.startswith("zh") else DEFAULT_LANGUAGE

    def _last_language(self) -> str:
        try:
            return str(yaml.safe_load(self._written_file.read_text(encoding="utf-8"))["language"])
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):  # it is the first start
            return DEFAULT_LANGUAGE

    def _ask_supervisor(self, path: str) -> httpx.Response:
        token = self._environment.get("SUPERVISOR_TOKEN", "")
        return httpx.get(
            f"{self._supervisor_url}/{path}",
            headers={"authorization": f"Bearer {token}"},
            timeout=SUPERVISOR_TIMEOUT_SECONDS,
            trust_env=False,
        )

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
        try:
            response = self._ask_supervisor("services/mqtt")
            answer = response.json()
            if response.status_code == httpx.codes.BAD_REQUEST:  # the service is not enabled
                raise AddonError(
                    "There is no broker: install the app (add-on) Mosquitto broker, or fill in mqtt_url."
                    " 没有 MQTT 服务器：请安装应用（加载项）Mosquitto broker，或填写 mqtt_url。"
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


def configuration_of(options: Mapping[str, Any], language: str = DEFAULT_LANGUAGE) -> dict[str, Any]:
    """Returns the configuration file that says what the options say, but for the broker and secrets."""
    backends = backends_of(options)
    people = _people(options.get("contacts") or [], backends)
    accounts = {name: _account(backend, people[name], options) for name, backend in backends.items()}
    others = _fallback_accounts(options, people)
    if others:
        accounts[FIRST]["fallback"] = {"accounts": others}
    exposed = [f"{account}/{name}" for account, named in people.items() for name in named]
    return {
        "accounts": accounts,
        "homeassistant": {"enabled": True, "expose": exposed if SECOND in backends else list(people[FIRST])},
        "language": language,
        "log": {"level": options.get("log_level", "info")},
    }


def backends_of(options: Mapping[str, Any]) -> dict[str, str]:
    """Returns the backend of each account, the first one first."""
    backends = {FIRST: options.get("backend", "ilink")}
    if options.get("second", "none") != "none":
        backends[SECOND] = options["second"]
    return backends


def secrets_of(options: Mapping[str, Any]) -> dict[str, str]:
    """Returns what holds secrets of the form as variables of the environment, so that no file holds them."""
    found = {}
    if urls := options.get("fallback"):
        found[f"WX2MQTT_ACCOUNTS__{FIRST.upper()}__FALLBACK__URLS"] = json.dumps(urls)
    wecom = next((name for name, backend in backends_of(options).items() if backend == "wecom"), None)
    if wecom is not None:  # id and secret together: a backup reads the file without these variables
        bot = {key: options.get(f"wecom_{key}") for key in ("bot_id", "secret")}
        prefix = f"WX2MQTT_ACCOUNTS__{wecom.upper()}__WECOM__"
        found |= {f"{prefix}{key.upper()}": value for key, value in bot.items() if value}
    if senders := options.get("senders"):
        found["WX2MQTT_WEB__SENDERS"] = json.dumps([_sender(one) for one in senders])
        found["WX2MQTT_WEB__SENDERS_LISTEN"] = SENDERS_LISTEN
        found["WX2MQTT_WEB__NTFY_LISTEN"] = NTFY_LISTEN
    return found


def _account(backend: str, people: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    account: dict[str, Any] = {"backend": backend, "contacts": people}
    ilink: dict[str, Any] = {}
    if options.get("remind"):
        ilink["remind"] = {"before": REMIND_BEFORE}
    if options.get("renew"):
        ilink["renew"] = {"after": RENEW_AFTER}
    if backend == "ilink" and ilink:
        account["ilink"] = ilink
    account["media"] = {"allow_hosts": options.get("allow_hosts", HOME_ASSISTANT_HOSTS)}
    return account


def _people(contacts: list[dict[str, str]], backends: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Returns the pins of each account: the owner of a bot as `me`, and whom its backend finds by the form.

    A contact belongs to the first account whose backend knows one of the ways in which it is named.
    """
    people: dict[str, dict[str, Any]] = {
        account: {} if backend == "webwx" else {"me": {"owner": True}}
        for account, backend in backends.items()
    }
    for contact in contacts:
        if not any(contact.get(key) for keys in PINS.values() for key in keys):
            raise AddonError(
                f"{contact['name']} needs a remark, an alias, a group or a WeCom id in the options."
                f" 选项中的 {contact['name']} 需要填写备注、微信号、群名或企业微信 ID。"
            )
        for account, backend in backends.items():
            pin = next(((key, contact[key]) for key in PINS[backend] if contact.get(key)), None)
            if pin is not None:
                people[account][contact["name"]] = dict([pin])
                break
    return people


def _fallback_accounts(options: Mapping[str, Any], people: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns who takes urgent alarms of the first account; by default the first person of the second."""
    chosen = list(options.get("fallback_accounts") or [])
    if chosen or SECOND not in people:
        return chosen
    return [f"{SECOND}/{name}" for name in people[SECOND]][:1]


def _sender(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns one entry of `web.senders`; the form has its users in one line."""
    users = re.split(r"[\s,，、]+", (fields.get("users") or "").strip())
    sender = {
        key: fields[key] for key in ("name", "token", "to", "rate") if fields.get(key) not in {None, ""}
    }
    return {**sender, "users": [user for user in users if user]}


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
