"""What `wx2mqtt demo` prints once it runs: the addresses, and commands to copy. Pure.

Each command works as it is printed, at the broker of `--broker` too. A password is typed into a variable of
the shell, and is never printed.
"""

from __future__ import annotations

import shlex

from wx2mqtt.demo.shared_broker import BrokerLogin
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.setup import demo_text
from wx2mqtt.mqtt.options import parse_broker_url
from wx2mqtt.values import frozen

PASSWORD_VARIABLE = "MQTT_PASSWORD"  # noqa: S105 - the name of a variable


@frozen
class DemoAddresses:
    """Where the parts of a demo are.

    `is_shared`: others use the broker, too. `speaks_mqtt_5` is not known of their broker, and true. `user` is
    the topic name to which the printed command sends.
    """

    phone: str
    page: str
    broker: BrokerLogin
    is_shared: bool
    speaks_mqtt_5: bool
    backend: str
    user: str


def explanation(addresses: DemoAddresses, language: Language) -> str:
    """Returns the text for a person at a terminal."""
    broker = addresses.broker
    remarks = []
    if not addresses.speaks_mqtt_5:
        remarks.append(demo_text(language, "mqtt_3"))
    if parse_broker_url(broker.url).websocket:
        remarks.append(demo_text(language, "no_websocket"))
    password = demo_text(language, "password", variable=PASSWORD_VARIABLE) if broker.password else ""
    return demo_text(
        language,
        "explanation",
        scope=demo_text(language, "shared" if addresses.is_shared else "local"),
        phone=addresses.phone,
        action=demo_text(language, f"action_{addresses.backend}"),
        broker=broker.url + "".join(remarks),
        page=addresses.page,
        password=password,
        options=client_options(broker),
        user=addresses.user,
    )


def client_options(broker: BrokerLogin) -> str:
    """Returns the options with which mosquitto_pub and mosquitto_sub reach a broker, quoted for a shell.

    They speak no WebSocket: of a broker with `ws` or `wss` they get the host, and take their default port.
    """
    address = parse_broker_url(broker.url)
    if address.unix:
        options = ["--unix", address.path]
    elif address.websocket:
        options = ["-h", address.host]
    else:
        options = ["-h", address.host, "-p", str(address.port)]
    if address.scheme == "mqtts":
        options.append("--tls-use-os-certs")
    if broker.username is not None:
        options += ["-u", broker.username]
    quoted = shlex.join(options)
    return f'{quoted} -P "${PASSWORD_VARIABLE}"' if broker.password else quoted
