"""The answers of the owner, and the configuration file that is written from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wx2mqtt.i18n import Language
from wx2mqtt.settings.addresses import EMBEDDED
from wx2mqtt.settings.example import compose
from wx2mqtt.settings.key_tree import KeyPath
from wx2mqtt.settings.schema import DEFAULT_ACCOUNT, BackendName
from wx2mqtt.wechat.registry import BACKENDS, SetupContacts

DEFAULT_OWNER_LEVEL = "owner"
"""The topic name of an owner who chose none."""

PASSWORD_FILE_NAME = "mqtt.password"  # noqa: S105 - the name of a file
"""The file beside the configuration; it is also the name of the systemd credential."""

CONFIG_HEADER = """\
# The configuration of wx2mqtt, written by `wx2mqtt setup`: the answers, and every other key as a comment
# with its default. To set one of those, remove its # and that of the section above it.
#
# Any key can also come from the environment: mqtt.url is WX2MQTT_MQTT__URL. Sizes: 256kB, 25MB, 1GiB.
# Durations: 30s, 10m, 24h, 7d. `wx2mqtt check` finds every problem at once, with --connect the broker's too.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAnswers:
    """Address and login of the broker. An empty host means the embedded broker."""

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
class SetupAnswers:
    """All answers. `password_file` is a file that exists already.

    For web WeChat there are `people`, remarks by topic name; for iLink an `owner`, a topic name or empty.
    """

    broker: BrokerAnswers
    language: Language
    home_assistant: bool
    backend: BackendName = "webwx"
    people: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    password_file: Path | None = None

    @property
    def known_names(self) -> list[str]:
        """The topic names of contacts that are known before the first login."""
        if BACKENDS[self.backend].setup_contacts is SetupContacts.OWNER:
            return [self.owner or DEFAULT_OWNER_LEVEL]
        return [*self.people]


def config_text(answers: SetupAnswers) -> str:
    """Returns the text of the configuration file; the password goes into a file beside it."""
    return compose(_chosen_values(answers), CONFIG_HEADER)


def _chosen_values(answers: SetupAnswers) -> dict[KeyPath, object]:
    broker = answers.broker
    chosen: dict[KeyPath, object] = {("mqtt", "url"): broker.url, ("language",): answers.language}
    if broker.username:
        chosen["mqtt", "username"] = broker.username
    if answers.password_file is not None:
        chosen["mqtt", "password_file"] = str(answers.password_file)
    elif broker.password:
        chosen["mqtt", "password_file"] = PASSWORD_FILE_NAME
    if broker.tls and broker.ca_file is not None:
        chosen["mqtt", "tls", "ca_file"] = str(broker.ca_file)
    chosen["accounts", DEFAULT_ACCOUNT, "backend"] = answers.backend
    for name, remark in answers.people.items():
        chosen["accounts", DEFAULT_ACCOUNT, "contacts", name, "remark"] = remark
    if answers.owner:
        chosen["accounts", DEFAULT_ACCOUNT, "contacts", answers.owner, "owner"] = True
    chosen["homeassistant", "enabled"] = answers.home_assistant
    if answers.home_assistant and answers.known_names:
        chosen["homeassistant", "expose"] = answers.known_names
    return chosen
