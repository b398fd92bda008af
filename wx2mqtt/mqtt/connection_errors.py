"""Why a connection could not be opened or broke, as a sentence for the owner, without secrets.

`refuses_mqtt_5` asks a broker that does not answer CONNECT whether it speaks MQTT 5.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.broker import broker_text
from wx2mqtt.mqtt.options import BrokerAddress, TlsFiles
from wx2mqtt.mqtt.reconnect import ConnectTarget
from wx2mqtt.mqtt.sockets import BufferedSocket, open_stream, receive_some, shake_hands
from wx2mqtt.mqtt.websocket import WebSocketClosed, WebSocketError, WebSocketRefused, WebSocketWithoutMqtt

# Seconds without an answer to CONNECT after which the version is probed.
VERSION_PROBE_DELAY_SECONDS = 1.0

VERSION_PROBE_TIMEOUT_SECONDS = 3.0

# CONNECT of MQTT 5: clean start, keepalive 10 s, no properties, no client id.
MINIMAL_CONNECT = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x00"

# CONNACK of 3.1.1 and of MQTT 5 that refuse the version.
VERSION_REFUSALS = (b"\x20\x02\x00\x01", b"\x20\x03\x00\x84")


def unreachable_text(language: Language, error: BaseException, address: BrokerAddress) -> str:
    """Returns why no connection could be opened."""
    endpoint = address.endpoint
    match error:
        case ssl.SSLError():
            return _tls_text(language, error, endpoint)
        case socket.gaierror():
            return broker_text(language, "no_name", host=address.host)
        case ConnectionRefusedError():
            return broker_text(language, "nobody", endpoint=endpoint)
        case TimeoutError():
            return broker_text(language, "no_answer", endpoint=endpoint)
        case WebSocketError():
            return _websocket_text(language, error, endpoint)
    return _system_error_text(language, error, address)


def _system_error_text(language: Language, error: BaseException, address: BrokerAddress) -> str:
    endpoint = address.endpoint
    if isinstance(error, OSError) and isinstance(error.filename, str):
        return broker_text(language, "no_file", file=error.filename, why=_system_text(error))
    is_no_tls_port = address.tls and isinstance(error, ConnectionResetError)
    key = "no_tls_port" if is_no_tls_port else "no_connection"
    return broker_text(language, key, endpoint=endpoint, why=_system_text(error))


def silent_text(language: Language, target: ConnectTarget, *, answered: bool) -> str:
    """Returns that the broker sends nothing. `answered`: it has answered CONNECT before."""
    text = broker_text(language, "silent", endpoint=target.address.endpoint)
    return text if answered else _unanswered_text(language, text, target)


def closed_text(language: Language, stream: BufferedSocket, target: ConnectTarget, *, answered: bool) -> str:
    """Returns why a connection ended without a reason code. `answered`: the broker has answered CONNECT."""
    if not stream.ended:  # the bridge closed it, since it could not read a packet
        return broker_text(language, "no_mqtt", endpoint=target.address.endpoint)
    text = broken_text(language, stream.error, target.address)
    return text if answered else _unanswered_text(language, text, target)


def _unanswered_text(language: Language, text: str, target: ConnectTarget) -> str:
    """Adds what may help to a sentence about a broker that has not answered CONNECT."""
    is_without_tls = not (target.address.tls or target.address.unix)
    key = {
        (True, True): "may_want_both",
        (True, False): "may_want_tls",
        (False, True): "may_want_3_1_1",
        (False, False): "unanswered",
    }[is_without_tls, target.is_mqtt_5]
    return broker_text(language, key, text=text)


def broken_text(language: Language, error: OSError | None, address: BrokerAddress) -> str:
    """Returns why an established connection ended without a reason code. None: the broker closed it."""
    if error is None:
        return broker_text(language, "closed", endpoint=address.endpoint)
    if isinstance(error, TimeoutError):
        return broker_text(language, "answers_no_more", endpoint=address.endpoint)
    if isinstance(error, WebSocketError):
        return _websocket_text(language, error, address.endpoint)
    return broker_text(language, "broke", endpoint=address.endpoint, why=_system_text(error))


async def refuses_mqtt_5(address: BrokerAddress, tls: TlsFiles | None) -> bool:
    """Returns True only if a CONNECT on another connection is refused for its version.

    amqtt reads a CONNECT of MQTT 5 as one of 3.1.1, takes the properties for lengths, and waits for ever for
    bytes that do not come. A CONNECT with neither properties nor will it reads far enough to refuse the
    version. Silence and errors say nothing.
    """
    with contextlib.suppress(OSError, ValueError):  # TimeoutError is an OSError
        stream = await open_stream(address, tls, VERSION_PROBE_TIMEOUT_SECONDS)
        try:
            async with asyncio.timeout(VERSION_PROBE_TIMEOUT_SECONDS):
                await shake_hands(stream)
                stream.send(MINIMAL_CONNECT)
                return (await receive_some(stream)).startswith(VERSION_REFUSALS)
        finally:
            stream.close()
    return False


def _websocket_text(language: Language, error: WebSocketError, endpoint: str) -> str:
    match error:
        case WebSocketRefused(status=status):
            return broker_text(language, "no_websocket", endpoint=endpoint, status=status)
        case WebSocketWithoutMqtt():
            return broker_text(language, "websocket_without_mqtt", endpoint=endpoint)
        case WebSocketClosed(code=code):
            return broker_text(language, "websocket_closed", endpoint=endpoint, code=code)
    return broker_text(language, "bad_websocket", endpoint=endpoint)


def _tls_text(language: Language, error: ssl.SSLError, endpoint: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return broker_text(language, "bad_certificate", endpoint=endpoint, why=error.verify_message)
    reason = (getattr(error, "reason", None) or "no TLS there").replace("_", " ").lower()
    return broker_text(language, "no_tls", endpoint=endpoint, why=reason)


def _system_text(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return (text or type(error).__name__).lower()
