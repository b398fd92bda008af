"""What the owner answered, and the configuration that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wx2mqtt.settings.addresses import EMBEDDED
from wx2mqtt.settings.example import composed
from wx2mqtt.settings.schema import FIRST_ACCOUNT
from wx2mqtt.settings.shape import KeyPath
from wx2mqtt.words import Language

PASSWORD = "mqtt.password"  # noqa: S105 - the name of a file
"""The file beside the configuration; systemd knows a credential by this name, too."""

HEAD = """\
# The configuration of wx2mqtt, as `wx2mqtt setup` wrote it: what was answered, and every other key as a
# comment with its default. To set one of those take its # away, and that of the section above it.
#
# Any key can also come from the environment: mqtt.url is WX2MQTT_MQTT__URL. Sizes: 256kB, 25MB, 1GiB.
# Durations: 30s, 10m, 24h, 7d. `wx2mqtt check` finds every problem at once, with --connect the broker's too.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where it is and who we are there. Without a host it is the embedded one."""

    host: str = ""
    port: int = 1883
    tls: bool = False
    ca_file: Path | None = None
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        if not self.host:
            return EMBEDDED
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """All of them. `people` are remarks by topic name. `password_file` is one that exists already."""

    broker: Broker
    language: Language
    home_assistant: bool
    people: Mapping[str, str]
    password_file: Path | None = None


def configuration(answers: Answers) -> str:
    """The text of the file; the password is in another one, beside it."""
    return composed(dict(_chosen(answers)), HEAD)


def _chosen(answers: Answers) -> dict[KeyPath, object]:
    broker, people = answers.broker, answers.people
    chosen: dict[KeyPath, object] = {("mqtt", "url"): broker.url, ("language",): answers.language}
    if broker.username:
        chosen["mqtt", "username"] = broker.username
    if answers.password_file is not None:
        chosen["mqtt", "password_file"] = str(answers.password_file)
    elif broker.password:
        chosen["mqtt", "password_file"] = PASSWORD
    if broker.tls and broker.ca_file is not None:
        chosen["mqtt", "tls", "ca_file"] = str(broker.ca_file)
    for name, remark in people.items():
        chosen["accounts", FIRST_ACCOUNT, "contacts", name, "remark"] = remark
    chosen["homeassistant", "enabled"] = answers.home_assistant
    if answers.home_assistant and people:
        chosen["homeassistant", "expose"] = list(people)
    return chosen
