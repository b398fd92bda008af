"""Reason codes of MQTT 5, and each as a sentence for the owner. Pure."""

from __future__ import annotations

from wx2mqtt.values import frozen

# The first code that means failure.
FIRST_FAILURE_CODE = 0x80

UNSUPPORTED_VERSION = 0x84
CLIENT_ID_NOT_VALID = 0x85
BAD_CREDENTIALS = 0x86
NOT_AUTHORIZED = 0x87
BANNED = 0x8A
SERVER_SHUTTING_DOWN = 0x8B
BAD_AUTHENTICATION_METHOD = 0x8C
TAKEN_OVER = 0x8E
TOPIC_NAME_INVALID = 0x90
PACKET_TOO_LARGE = 0x95
ADMINISTRATIVE_ACTION = 0x98
RETAIN_UNSUPPORTED = 0x9A
QOS_UNSUPPORTED = 0x9B
USE_ANOTHER_SERVER = 0x9C
SERVER_MOVED = 0x9D

# This server goes away: another one of the list is the better choice.
SERVER_LEAVING_CODES = frozenset({SERVER_SHUTTING_DOWN, ADMINISTRATIVE_ACTION})

# Refusals that another attempt cannot change.
NEEDS_OWNER_CODES = frozenset(
    {CLIENT_ID_NOT_VALID, BAD_CREDENTIALS, NOT_AUTHORIZED, BANNED, BAD_AUTHENTICATION_METHOD}
)


@frozen(kw_only=False)
class BrokerReason:
    """Why the broker refused a connection or ended it: from a CONNACK or a DISCONNECT.

    `reference` is the Server Reference: the servers that the broker names instead.
    """

    code: int
    reason_string: str = ""
    reference: str = ""


REASON_TEXTS: dict[int, str] = {
    0x00: "closed the connection",
    0x04: "closed the connection and published the will",
    FIRST_FAILURE_CODE: "gave no reason",
    0x81: "could not read what was sent",
    0x82: "saw a breach of the protocol",
    0x83: "has a reason of its own",
    UNSUPPORTED_VERSION: "does not speak this version of MQTT; see mqtt.protocol",
    CLIENT_ID_NOT_VALID: "does not accept this client id; see mqtt.client_id",
    BAD_CREDENTIALS: "does not accept the user name or password; see mqtt.username and mqtt.password_file",
    NOT_AUTHORIZED: "does not allow it: the user lacks the right",
    0x88: "is not available",
    0x89: "is busy",
    BANNED: "has banned this client",
    SERVER_SHUTTING_DOWN: "is shutting down",
    BAD_AUTHENTICATION_METHOD: "asks for another kind of authentication",
    0x8D: "heard nothing from us for too long",
    TAKEN_OVER: "gave the session to another client with the same client id; is the bridge running twice?",
    0x8F: "does not take this topic filter",
    TOPIC_NAME_INVALID: "does not take this topic",
    0x91: "says that the packet id is in use",
    0x93: "got more messages at once than it takes",
    0x94: "does not know the topic alias",
    PACKET_TOO_LARGE: "does not take packets of this size",
    0x96: "gets messages too fast",
    0x97: "has reached a quota",
    ADMINISTRATIVE_ACTION: "closed the connection at its administrator's wish",
    0x99: "says that the payload does not have its stated format",
    RETAIN_UNSUPPORTED: "keeps no retained messages",
    QOS_UNSUPPORTED: "takes only QoS 0, so nothing could be delivered for certain",
    USE_ANOTHER_SERVER: "sends us to another server",
    SERVER_MOVED: "has moved to another server",
    0x9E: "knows no shared subscriptions",
    0x9F: "gets connections too often",
    0xA0: "allows connections of this length only",
    0xA1: "knows no subscription identifiers",
    0xA2: "knows no wildcard subscriptions",
}

# Characters of a reason string that are shown.
MAX_REASON_CHARACTERS = 200


def reason_text(code: int, reason_string: str = "") -> str:
    """Returns a sentence for the code, with the broker's reason string (MQTT 5) in brackets."""
    text = REASON_TEXTS.get(code, f"answered with code 0x{code:02X}")
    shown = "".join(
        sign if sign.isprintable() else " " for sign in reason_string[:MAX_REASON_CHARACTERS]
    ).strip()
    return f"the broker {text} ({shown})" if shown else f"the broker {text}"


def scrub_reason(sentence: str, *secrets: str | None) -> str:
    """Returns the sentence without these secrets; a broker may repeat them in its reason string."""
    for secret in secrets:
        if secret:
            sentence = sentence.replace(secret, "***")
    return sentence
