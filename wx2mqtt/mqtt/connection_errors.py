"""Why a connection could not be opened or broke, as a sentence for the owner, without secrets.

`refuses_mqtt_5` asks a broker that does not answer CONNECT whether it speaks MQTT 5.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import cast

from wx2mqtt.mqtt.options import BrokerAddress, TlsFiles
from wx2mqtt.mqtt.paho_codec import open_websocket
from wx2mqtt.mqtt.reconnect import ConnectTarget
from wx2mqtt.mqtt.sockets import BufferedSocket, RawSocket, open_socket

# Seconds without an answer to CONNECT after which the version is probed.
VERSION_PROBE_DELAY_SECONDS = 1.0

VERSION_PROBE_TIMEOUT_SECONDS = 3.0

# CONNECT of MQTT 5: clean start, keepalive 10 s, no properties, no client id.
MINIMAL_CONNECT = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x00"

# CONNACK of 3.1.1 and of MQTT 5 that refuse the version.
VERSION_REFUSALS = (b"\x20\x02\x00\x01", b"\x20\x03\x00\x84")


def unreachable_text(error: BaseException, address: BrokerAddress) -> str:
    """Returns why no connection could be opened."""
    endpoint = address.endpoint
    match error:
        case ssl.SSLError():
            return _tls_text(error, endpoint)
        case socket.gaierror():
            return f"the name {address.host} cannot be resolved"
        case ConnectionRefusedError():
            return f"nobody listens on {endpoint}"
        case TimeoutError():
            return f"no answer from {endpoint}"
        case OSError(filename=str(file)):
            return f"cannot read {file}: {_system_text(error)}"
    tls_hint = "; it may be no TLS port" if address.tls and isinstance(error, ConnectionResetError) else ""
    return f"no connection to {endpoint}: {_system_text(error)}{tls_hint}"


def silent_text(target: ConnectTarget, *, answered: bool) -> str:
    """Returns that the broker sends nothing. `answered`: it has answered CONNECT before."""
    text = f"{target.address.endpoint} took the connection and said nothing"
    return text if answered else _unanswered_text(text, target)


def closed_text(stream: BufferedSocket, target: ConnectTarget, *, answered: bool) -> str:
    """Returns why a connection ended without a reason code. `answered`: the broker has answered CONNECT."""
    if not stream.ended:  # the bridge closed it, since it could not read a packet
        return f"{target.address.endpoint} sent something that is not MQTT"
    text = broken_text(stream.error, target.address)
    return text if answered else _unanswered_text(text, target)


def _unanswered_text(text: str, target: ConnectTarget) -> str:
    """Adds what may help to a sentence about a broker that has not answered CONNECT."""
    hints = [] if target.address.tls or target.address.unix else ["TLS (mqtts or wss)"]
    if target.is_mqtt_5:
        hints.append("MQTT 3.1.1 (mqtt.protocol: '3.1.1')")
    return f"{text} without an answer" + (f"; it may want {' or '.join(hints)}" if hints else "")


def broken_text(error: OSError | None, address: BrokerAddress) -> str:
    """Returns why an established connection ended without a reason code. None: the broker closed it."""
    if error is None:
        return f"{address.endpoint} closed the connection"
    if isinstance(error, TimeoutError):
        return f"{address.endpoint} does not answer any more"
    return f"the connection to {address.endpoint} broke: {_system_text(error)}"


def refuses_mqtt_5(address: BrokerAddress, tls: TlsFiles | None) -> bool:
    """Returns True only if a CONNECT on another connection is refused for its version. Blocks.

    amqtt reads a CONNECT of MQTT 5 as one of 3.1.1, takes the properties for lengths, and waits for ever for
    bytes that do not come. A CONNECT with neither properties nor will it reads far enough to refuse the
    version. Silence and errors say nothing.
    """
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


def _tls_text(error: ssl.SSLError, endpoint: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {endpoint} is not accepted: {error.verify_message}; see mqtt.tls.ca_file"
    reason = (getattr(error, "reason", None) or "no TLS there").replace("_", " ").lower()
    return f"no TLS connection to {endpoint}: {reason}"


def _system_text(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return (text or type(error).__name__).lower()
