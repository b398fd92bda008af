"""Asks a broker that does not answer CONNECT, on a connection of its own, whether it speaks MQTT 5. Blocks.

amqtt reads a CONNECT of MQTT 5 as one of 3.1.1, takes the properties for lengths, and waits for ever for
bytes that do not come. A CONNECT with neither properties nor will it reads far enough to refuse the version.
"""

from __future__ import annotations

import contextlib
from typing import cast

from wx2mqtt.mqtt.options import BrokerAddress, TlsFiles
from wx2mqtt.mqtt.paho_codec import open_websocket
from wx2mqtt.mqtt.sockets import RawSocket, open_socket

VERSION_PROBE_DELAY_SECONDS = 1.0
"""Seconds without an answer to CONNECT after which the version is probed."""
VERSION_PROBE_TIMEOUT_SECONDS = 3.0

MINIMAL_CONNECT = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x00"
"""CONNECT of MQTT 5: clean start, keepalive 10 s, no properties, no client id."""
VERSION_REFUSALS = (b"\x20\x02\x00\x01", b"\x20\x03\x00\x84")
"""CONNACK of 3.1.1 and of MQTT 5 that refuse the version."""


def refuses_mqtt_5(address: BrokerAddress, tls: TlsFiles | None) -> bool:
    """Returns True only for a refusal of the version; silence and errors say nothing."""
    with (
        contextlib.suppress(OSError, ValueError),
        open_socket(address, tls, VERSION_PROBE_TIMEOUT_SECONDS) as connected,
    ):
        connected.settimeout(VERSION_PROBE_TIMEOUT_SECONDS)
        raw = cast("RawSocket", connected)
        channel = open_websocket(raw, address) if address.websocket else raw
        channel.send(bytearray(MINIMAL_CONNECT))
        return channel.recv(4).startswith(VERSION_REFUSALS)
    return False
