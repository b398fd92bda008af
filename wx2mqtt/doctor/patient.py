"""Who is examined: the broker and the accounts as values, made from the settings."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from wx2mqtt.app.running import EMBEDDED_PORT
from wx2mqtt.app.wiring import options_of
from wx2mqtt.mqtt.addresses import Address, read_url
from wx2mqtt.mqtt.options import Options
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.settings.addresses import EMBEDDED
from wx2mqtt.settings.schema import Account as AccountSettings
from wx2mqtt.settings.schema import Settings

PROBE = "wx2mqtt-probe"
"""The level below which the doctor publishes; nobody is called so and nobody subscribes to it."""
KEEPALIVE = 60
"""Seconds; the doctor is never silent for that long."""
OUR_OWN = "mqtt://127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account: its topics, where its WeChat is, and the saved login, if we may read one.

    `unused` are rows of the table of topics to which nothing of it ever goes.
    """

    name: str
    topics: Topics
    backend: str
    endpoint: str | None
    saved: Mapping[str, object] | None = field(default=None, repr=False)
    unused: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """`options` are those of a client of the doctor's own: no will, no subscriptions, a clean session.

    `discovery` is the prefix of Home Assistant's discovery, empty without it. `embedded` says that the broker
    runs only while the bridge does.
    """

    addresses: tuple[Address, ...]
    options: Options
    accounts: tuple[Account, ...]
    nonce: str
    discovery: str = ""
    embedded: bool = False

    def probe(self, above: str, *below: str) -> str:
        """A topic of the doctor's own below `above`, which matches nobody's."""
        return "/".join((above, PROBE, self.nonce, *below))


def patient_of(
    settings: Settings, saved: Mapping[str, Mapping[str, object]], port: int = EMBEDDED_PORT
) -> Patient:
    """The patient that these settings are; `saved` are logins by account."""
    nonce = secrets.token_hex(4)
    bases = settings.base_topics()
    embedded = settings.mqtt.url == (EMBEDDED,)
    first = next(iter(bases))
    ours = (f"{OUR_OWN}:{port}", settings.mqtt.protocol) if embedded else None
    options = options_of(settings, first, Topics(bases[first]), ours)
    return Patient(
        addresses=tuple(map(read_url, options.urls)),
        options=replace(
            options,
            client_id=f"{options.client_id}-doctor-{nonce}",
            keepalive=KEEPALIVE,
            will=None,
            subscriptions=(),
            clean=True,
            session_expiry=0,
        ),
        accounts=tuple(
            Account(
                name=name,
                topics=Topics(bases[name]),
                backend=account.backend,
                endpoint=account.endpoint,
                saved=saved.get(name),
                unused=_unused(account),
            )
            for name, account in settings.accounts.items()
        ),
        nonce=nonce,
        discovery=settings.homeassistant.prefix if settings.homeassistant.enabled else "",
        embedded=embedded,
    )


def _unused(account: AccountSettings) -> frozenset[str]:
    """A right that is missing and not needed is no failure."""
    return frozenset(
        [
            *([] if account.plain else ["text/<user>"]),
            *([] if account.backend == "ilink" else ["window/<user>"]),
        ]
    )
