"""Reason codes of MQTT 5, what follows from them, and each as a sentence for the owner. Pure."""

from __future__ import annotations

from wx2mqtt.i18n import Language, translation
from wx2mqtt.i18n.broker import REASON_TEXTS, broker_text
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


# Characters of a reason string that are shown.
MAX_REASON_CHARACTERS = 200


def reason_text(language: Language, code: int, reason_string: str = "") -> str:
    """Returns a sentence for the code, with the broker's reason string (MQTT 5) in brackets."""
    known = REASON_TEXTS.get(code)
    text = (
        translation(known, language) if known else broker_text(language, "unknown_code", code=f"0x{code:02X}")
    )
    shown = "".join(
        sign if sign.isprintable() else " " for sign in reason_string[:MAX_REASON_CHARACTERS]
    ).strip()
    return broker_text(language, "with_reason", text=text, reason=shown) if shown else text


def scrub_reason(sentence: str, *secrets: str | None) -> str:
    """Returns the sentence without these secrets; a broker may repeat them in its reason string."""
    for secret in secrets:
        if secret:
            sentence = sentence.replace(secret, "***")
    return sentence
