"""Who is examined: the broker and the accounts as values, made from the settings.

What the running bridge knows already of its broker, asked beside MQTT; without one there is nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from wx2mqtt.app import control_socket
from wx2mqtt.app.application import EMBEDDED_PORT
from wx2mqtt.app.settings_mapping import mqtt_options
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.model import Json
from wx2mqtt.mqtt.options import BrokerAddress, MqttOptions, parse_broker_url
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.settings.addresses import EMBEDDED
from wx2mqtt.settings.schema import Account as AccountConfig
from wx2mqtt.settings.schema import Settings
from wx2mqtt.wechat.registry import backend_entry

PROBE_LEVEL = "wx2mqtt-probe"
"""The level below which the doctor publishes; nobody is called so and nobody subscribes to it."""


KEEPALIVE_SECONDS = 60
"""Seconds; the doctor is never silent for that long."""


EMBEDDED_BROKER_URL = "mqtt://127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTarget:
    """One account: its topics, where its WeChat is, and the saved login, if we may read one.

    `unused` are rows of the table of topics to which nothing of it ever goes.
    """

    name: str
    topics: Topics
    backend: str
    endpoint: str | None
    saved_login: Mapping[str, object] | None = field(default=None, repr=False)
    unused_topics: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosticTarget:
    """`options` are those of a client of the doctor's own: no will, no subscriptions, a clean session.

    `discovery` is the prefix of Home Assistant's discovery, empty without it. `embedded` says that the broker
    runs only while the bridge does.
    """

    addresses: tuple[BrokerAddress, ...]
    options: MqttOptions
    accounts: tuple[AccountTarget, ...]
    nonce_level: str
    discovery_prefix: str = ""
    embedded: bool = False

    def probe_topic(self, parent_topic: str, *levels: str) -> str:
        """A topic of the doctor's own below `above`, which matches nobody's."""
        return "/".join((parent_topic, PROBE_LEVEL, self.nonce_level, *levels))


def diagnostic_target(
    settings: Settings, saved_logins: Mapping[str, Mapping[str, object]], port: int = EMBEDDED_PORT
) -> DiagnosticTarget:
    """The patient that these settings are; `saved` are logins by account."""
    nonce = secrets.token_hex(4)
    bases = settings.base_topics()
    embedded = settings.mqtt.url == (EMBEDDED,)
    first = next(iter(bases))
    ours = (f"{EMBEDDED_BROKER_URL}:{port}", settings.mqtt.protocol) if embedded else None
    options = mqtt_options(settings, first, Topics(bases[first]), ours)
    return DiagnosticTarget(
        addresses=tuple(map(parse_broker_url, options.urls)),
        options=replace(
            options,
            client_id=f"{options.client_id}-doctor-{nonce}",
            keepalive=KEEPALIVE_SECONDS,
            will=None,
            subscriptions=(),
            clean=True,
            session_expiry=0,
        ),
        accounts=tuple(
            AccountTarget(
                name=name,
                topics=Topics(bases[name]),
                backend=account.backend,
                endpoint=account.endpoint,
                saved_login=saved_logins.get(name),
                unused_topics=_unused(account),
            )
            for name, account in settings.accounts.items()
        ),
        nonce_level=nonce,
        discovery_prefix=settings.homeassistant.prefix if settings.homeassistant.enabled else "",
        embedded=embedded,
    )


def _unused(account: AccountConfig) -> frozenset[str]:
    """A right that is missing and not needed is no failure."""
    return frozenset(
        [
            *([] if account.plain else ["text/<user>"]),
            *([] if backend_entry(account.backend).has_reply_window else ["window/<user>"]),
        ]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningBridgeStatus:
    """Of one account: whether its broker is there, which topics it refused, how many commands came."""

    connected: bool
    refused_topics: frozenset[str]
    command_count: int


async def running_bridge_status(folder: Path, account: str) -> RunningBridgeStatus | None:
    """Of the bridge that runs on this store; None where none does, or none answers."""
    try:
        health = await control_socket.ask_bridge(folder, "health", {"account": account})
    except (Wx2MqttError, OSError, ValueError):
        return None
    if not isinstance(health, dict):
        return None
    broker, commands = _part(health, "broker"), _part(health, "commands")
    refused, accepted = broker.get("refused_topics"), commands.get("accepted")
    return RunningBridgeStatus(
        connected=broker.get("connected") is True,
        refused_topics=frozenset(map(str, refused)) if isinstance(refused, list) else frozenset(),
        command_count=accepted if isinstance(accepted, int) else 0,
    )


def _part(health: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    part = health.get(name)
    return part if isinstance(part, dict) else {}
