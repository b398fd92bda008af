"""Why a connection could not be opened or broke, as a sentence for the owner, without secrets."""

from __future__ import annotations

import socket
import ssl

from wx2mqtt.mqtt.options import BrokerAddress


def unreachable_text(error: BaseException, address: BrokerAddress) -> str:
    """Why no connection could be opened."""
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


def _tls_text(error: ssl.SSLError, endpoint: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {endpoint} is not accepted: {error.verify_message}; see mqtt.tls.ca_file"
    reason = (getattr(error, "reason", None) or "no TLS there").replace("_", " ").lower()
    return f"no TLS connection to {endpoint}: {reason}"


def not_mqtt_text(address: BrokerAddress) -> str:
    """Why the bridge closed a connection on which it could not read a packet."""
    return f"{address.endpoint} sent something that is not MQTT"


def unanswered_text(sentence: str, address: BrokerAddress, protocol: str) -> str:
    """Adds what may help to a sentence, where a broker closed the connection without an answer to CONNECT."""
    hints = [] if address.tls or address.unix else ["TLS (mqtts or wss)"]
    hints += ["MQTT 3.1.1 (mqtt.protocol: '3.1.1')"] if protocol == "5" else []
    return f"{sentence} without an answer" + (f"; it may want {' or '.join(hints)}" if hints else "")


def _system_text(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return (text or type(error).__name__).lower()


def broken_text(error: OSError | None, address: BrokerAddress) -> str:
    """Why an established connection ended without a reason code. None means that the broker closed it."""
    if error is None:
        return f"{address.endpoint} closed the connection"
    if isinstance(error, TimeoutError):
        return f"{address.endpoint} does not answer any more"
    return f"the connection to {address.endpoint} broke: {_system_text(error)}"
