"""Does a broker that says nothing to our CONNECT know MQTT 5? Asked on a connection of its own. Blocks.

amqtt reads a CONNECT of MQTT 5 as one of 3.1.1, takes its properties for lengths, and waits for ever for
bytes that do not come. Of a CONNECT with neither properties nor will it reads enough to refuse the version.
"""

from __future__ import annotations

import contextlib
from typing import cast

from wx2mqtt.mqtt.addresses import Address
from wx2mqtt.mqtt.opening import open_socket
from wx2mqtt.mqtt.options import TlsFiles
from wx2mqtt.mqtt.stream import Raw
from wx2mqtt.mqtt.wire import web_socket

PATIENCE = 3.0
QUESTION = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x00"
"""CONNECT of MQTT 5: clean start, keepalive 10 s, no properties, no client id."""
REFUSALS = (b"\x20\x02\x00\x01", b"\x20\x03\x00\x84")
"""CONNACK of 3.1.1 and of MQTT 5 that refuse the version."""


def refuses_mqtt_5(address: Address, tls: TlsFiles | None) -> bool:
    """True only if it says so; silence and errors are no answer."""
    with contextlib.suppress(OSError, ValueError), open_socket(address, tls, PATIENCE) as plain:
        plain.settimeout(PATIENCE)
        raw = web_socket(cast("Raw", plain), address) if address.websocket else cast("Raw", plain)
        raw.send(bytearray(QUESTION))
        return raw.recv(4).startswith(REFUSALS)
    return False
