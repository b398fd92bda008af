"""The brokers and accounts to check, from the settings; and the status that a running bridge reports."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from wx2mqtt.app import control_socket
from wx2mqtt.app.application import EMBEDDED_PORT
from wx2mqtt.app.configuration import backend_section, mqtt_options
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.model import FILEHELPER
from wx2mqtt.mqtt.options import BrokerAddress, MqttOptions, parse_broker_url
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.settings.addresses import EMBEDDED
from wx2mqtt.settings.schema import Account as AccountConfig
from wx2mqtt.settings.schema import Settings
from wx2mqtt.values import frozen
from wx2mqtt.wechat.registry import backend_entry

# The topic level below which the checks publish; no contact has it as a name.
PROBE_LEVEL = "wx2mqtt-probe"

# The topic name of the owner that setup proposes.
USUAL_OWNER = "me"

# Longer than any pause between two packets of the checks.
KEEPALIVE_SECONDS = 60
EMBEDDED_BROKER_URL = "mqtt://127.0.0.1"


@frozen
class AccountTarget:
    name: str
    topics: Topics
    backend: str
    #: The server of the settings in place of WeChat's; None for WeChat's.
    endpoint: str | None
    #: None where there is none, or it cannot be read.
    saved_login: Mapping[str, object] | None = field(default=None, repr=False)
    #: Patterns of the topic table that this account never publishes to.
    unused_topics: frozenset[str] = frozenset()
    #: The topic name of somebody to whom a message can be sent, to see whether a result comes.
    trial_user: str = FILEHELPER
    #: The version of Tencent's client that its requests name; empty where they name none.
    client_version: str = ""


@frozen
class DiagnosticTarget:
    addresses: tuple[BrokerAddress, ...]
    #: For a separate MQTT client: no will, no subscriptions, a clean session.
    options: MqttOptions
    accounts: tuple[AccountTarget, ...]
    #: A random topic level.
    nonce_level: str
    #: Empty without Home Assistant.
    discovery_prefix: str = ""
    #: The broker is the embedded one, which runs only while the bridge runs.
    embedded: bool = False

    def probe_topic(self, parent_topic: str, *levels: str) -> str:
        """Returns a topic below `parent_topic` that no other client uses."""
        return "/".join((parent_topic, PROBE_LEVEL, self.nonce_level, *levels))


def diagnostic_target(
    settings: Settings, saved_logins: Mapping[str, Mapping[str, object]], port: int = EMBEDDED_PORT
) -> DiagnosticTarget:
    """Makes the target from settings; `saved_logins` are by account, `port` is the embedded broker's."""
    nonce = secrets.token_hex(4)
    bases = settings.base_topics()
    embedded = settings.mqtt.url == (EMBEDDED,)
    first = next(iter(bases))
    embedded_broker = (f"{EMBEDDED_BROKER_URL}:{port}", settings.mqtt.protocol) if embedded else None
    options = mqtt_options(settings, first, Topics(bases[first]), embedded_broker)
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
                unused_topics=_unused_topics(account),
                trial_user=_trial_user(account),
                client_version=_client_version(account),
            )
            for name, account in settings.accounts.items()
        ),
        nonce_level=nonce,
        discovery_prefix=settings.homeassistant.prefix if settings.homeassistant.enabled else "",
        embedded=embedded,
    )


def _client_version(account: AccountConfig) -> str:
    configured = backend_section(account).get("client_version")
    return str(configured or backend_entry(account.backend).client_version)


def _trial_user(account: AccountConfig) -> str:
    """Returns the file helper where the backend has one, else the owner, else the first contact."""
    if backend_entry(account.backend).capabilities.has_filehelper:
        return FILEHELPER
    owners = (name for name, pin in account.contacts.items() if pin.owner)
    return (*owners, *account.contacts, USUAL_OWNER)[0]


def _unused_topics(account: AccountConfig) -> frozenset[str]:
    """Returns patterns that the account does not use: a missing right to publish there is no failure."""
    unused = set()
    if account.plain.max_age is None:
        unused.add("text/<user>")
    if not backend_entry(account.backend).has_reply_window:
        unused.add("window/<user>")
    return frozenset(unused)


@frozen
class RunningBridgeStatus:
    """The report of the running bridge on one account: its broker connection and its commands."""

    connected: bool
    refused_topics: frozenset[str]
    command_count: int


async def running_bridge_status(folder: Path, account: str) -> RunningBridgeStatus | None:
    """Asks the bridge that runs on this store; returns None if none runs or none answers."""
    try:
        health: Any = await control_socket.ask_bridge(folder, "health", {"account": account})
        return RunningBridgeStatus(
            connected=health["broker"]["connected"] is True,
            refused_topics=frozenset(map(str, health["broker"]["refused_topics"])),
            command_count=int(health["commands"]["accepted"]),
        )
    except (Wx2MqttError, OSError, ValueError, LookupError, TypeError):  # also of another version
        return None
