"""Why a broker says no or a connection fails, in words for the owner. Pure, and without secrets."""

from __future__ import annotations

import socket
import ssl

from wx2mqtt.mqtt.options import BrokerAddress

FAILURE = 0x80
"""Codes from here on say no."""
UNSUPPORTED_VERSION = 0x84
TAKEN_OVER = 0x8E
TOPIC_NAME = 0x90
PACKET_TOO_LARGE = 0x95
RETAIN_UNSUPPORTED = 0x9A
QOS_UNSUPPORTED = 0x9B
USE_ANOTHER_SERVER, SERVER_MOVED = 0x9C, 0x9D

SERVER_LEAVING_CODES = frozenset({0x8B, 0x98})
"""This server goes away: another one of the list is the better choice."""
NEEDS_OWNER_CODES = frozenset({0x85, 0x86, 0x87, 0x8A, 0x8C})
"""Refusals that no repeat will change."""

REASON_TEXTS: dict[int, str] = {
    0x00: "closed the connection",
    0x04: "closed the connection and published the will",
    0x80: "gave no reason",
    0x81: "could not read what was sent",
    0x82: "saw a breach of the protocol",
    0x83: "has a reason of its own",
    0x84: "does not speak this version of MQTT; see mqtt.protocol",
    0x85: "does not accept this client id; see mqtt.client_id",
    0x86: "does not accept the user name or password; see mqtt.username and mqtt.password_file",
    0x87: "does not allow it: the user lacks the right",
    0x88: "is not available",
    0x89: "is busy",
    0x8A: "has banned this client",
    0x8B: "is shutting down",
    0x8C: "asks for another kind of authentication",
    0x8D: "heard nothing from us for too long",
    0x8E: "gave the session to another client with the same client id; is the bridge running twice?",
    0x8F: "does not take this topic filter",
    0x90: "does not take this topic",
    0x91: "says that the packet id is in use",
    0x93: "got more messages at once than it takes",
    0x94: "does not know the topic alias",
    0x95: "does not take packets of this size",
    0x96: "gets messages too fast",
    0x97: "has reached a quota",
    0x98: "closed the connection at its administrator's wish",
    0x99: "says that the payload does not have its stated format",
    0x9A: "keeps no retained messages",
    0x9B: "takes only QoS 0, so nothing could be delivered for certain",
    0x9C: "sends us to another server",
    0x9D: "has moved to another server",
    0x9E: "knows no shared subscriptions",
    0x9F: "gets connections too often",
    0xA0: "allows connections of this length only",
    0xA1: "knows no subscription identifiers",
    0xA2: "knows no wildcard subscriptions",
}

MAX_REASON_CHARACTERS = 200


def reason_text(code: int, reason_string: str = "") -> str:
    """What the broker says with this code, and its own words (MQTT 5's reason string) behind."""
    text = REASON_TEXTS.get(code, f"answered with code 0x{code:02X}")
    own = "".join(c if c.isprintable() else " " for c in reason_string[:MAX_REASON_CHARACTERS]).strip()
    return f"the broker {text} ({own})" if own else f"the broker {text}"


def unreachable_text(error: BaseException, address: BrokerAddress) -> str:
    """Why no connection could be opened."""
    where = address.endpoint
    match error:
        case ssl.SSLError():
            return _no_tls(error, where)
        case socket.gaierror():
            return f"the name {address.host} cannot be resolved"
        case ConnectionRefusedError():
            return f"nobody listens on {where}"
        case TimeoutError():
            return f"no answer from {where}"
        case OSError(filename=str(file)):
            return f"cannot read {file}: {_system(error)}"
    hint = "; it may be no TLS port" if address.tls and isinstance(error, ConnectionResetError) else ""
    return f"no connection to {where}: {_system(error)}{hint}"


def _no_tls(error: ssl.SSLError, where: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {where} is not accepted: {error.verify_message}; see mqtt.tls.ca_file"
    reason = (getattr(error, "reason", None) or "no TLS there").replace("_", " ").lower()
    return f"no TLS connection to {where}: {reason}"


def not_mqtt_text(address: BrokerAddress) -> str:
    """Why we hung up."""
    return f"{address.endpoint} sent something that is not MQTT"


def unanswered_text(sentence: str, address: BrokerAddress, protocol: str) -> str:
    """The sentence and what may mend it, where a broker closed on our CONNECT without a word."""
    hints = [] if address.tls or address.unix else ["TLS (mqtts or wss)"]
    hints += ["MQTT 3.1.1 (mqtt.protocol: '3.1.1')"] if protocol == "5" else []
    return f"{sentence} without an answer" + (f"; it may want {' or '.join(hints)}" if hints else "")


def _system(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return (text or type(error).__name__).lower()


def broken_text(error: OSError | None, address: BrokerAddress) -> str:
    """Why a connection that stood is gone, where the broker said nothing."""
    if error is None:
        return f"{address.endpoint} closed the connection"
    if isinstance(error, TimeoutError):
        return f"{address.endpoint} does not answer any more"
    return f"the connection to {address.endpoint} broke: {_system(error)}"


def scrub_reason(sentence: str, *secrets: str | None) -> str:
    """The sentence without these words; a broker may repeat in its own words what it got."""
    for secret in secrets:
        if secret:
            sentence = sentence.replace(secret, "***")
    return sentence
