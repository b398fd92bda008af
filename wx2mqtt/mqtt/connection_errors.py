"""Why a broker refused something, or a connection ended: sentences for the owner, without secrets.

    ConnectionRefusedError   ->   nobody listens on broker:1883

`ConnectionTexts` chooses the sentence, and `i18n/broker.py` has its text in both languages.
"""

from __future__ import annotations

import socket
import ssl

from wx2mqtt.errors import WebSocketError
from wx2mqtt.i18n import Language, translation
from wx2mqtt.i18n.broker import REASON_TEXTS, broker_text
from wx2mqtt.mqtt.options import MqttOptions
from wx2mqtt.mqtt.reconnect import ConnectTarget
from wx2mqtt.mqtt.sockets import BufferedSocket

MAX_REASON_CHARACTERS = 200  # of a reason string that are shown


class ConnectionTexts:
    """The sentences about one attempt to connect, and about the connection, in the language of the owner.

    | what happened | sentence |
    |---|---|
    | no connection could be opened | `not_opened` |
    | one is open, and the broker sends nothing at all | `silent` |
    | the broker refused something with a reason code, or ended the connection with one | `refused` |
    | the connection ended without one | `ended` |
    | anything else | `text`, with the key of its sentence in `i18n/broker.py` |

    `answered` says whether the broker has answered CONNECT; where it has not, the sentence has a hint.
    """

    def __init__(self, options: MqttOptions, target: ConnectTarget) -> None:
        self._language = options.language
        self._secrets = (options.password, target.address.password)
        self._address = target.address
        self._target = target

    def text(self, message_key: str, /, **facts: object) -> str:
        """Returns a sentence of `i18n/broker.py`; it may name the `endpoint`."""
        return broker_text(self._language, message_key, endpoint=self._address.endpoint, **facts)

    def not_opened(self, error: OSError) -> str:
        match error:
            case ssl.SSLError():
                return self._tls_failed(error)
            case socket.gaierror():
                return self.text("no_name", host=self._address.host)
            case ConnectionRefusedError():
                return self.text("nobody")
            case TimeoutError():
                return self.text("no_answer")
            case WebSocketError():
                return self.text(error.message_key, **error.facts)
        return self._system_failed(error)

    def _tls_failed(self, error: ssl.SSLError) -> str:
        if isinstance(error, ssl.SSLCertVerificationError):
            return self.text("bad_certificate", why=error.verify_message)
        reason = getattr(error, "reason", None) or "no TLS there"
        return self.text("no_tls", why=reason.replace("_", " ").lower())

    def _system_failed(self, error: OSError) -> str:
        if isinstance(error.filename, str):
            return self.text("no_file", file=error.filename, why=_system_text(error))
        if self._address.tls and isinstance(error, ConnectionResetError):  # the port may speak no TLS
            return self.text("no_tls_port", why=_system_text(error))
        return self.text("no_connection", why=_system_text(error))

    def silent(self, *, answered: bool) -> str:
        text = self.text("silent")
        return text if answered else self._with_hint(text)

    def refused(self, code: int, reason_string: str = "") -> str:
        """Returns what a reason code of the broker means, with the reason that it states."""
        return scrub_reason(reason_text(self._language, code, reason_string), *self._secrets)

    def ended(self, stream: BufferedSocket, *, answered: bool) -> str:
        if not stream.ended:  # the bridge closed it, since it could not read a packet
            return self.text("no_mqtt")
        match error := stream.error:
            case None:
                text = self.text("closed")
            case TimeoutError():
                text = self.text("answers_no_more")
            case WebSocketError():
                text = self.text(error.message_key, **error.facts)
            case _:
                text = self.text("broke", why=_system_text(error))
        return text if answered else self._with_hint(text)

    def _with_hint(self, text: str) -> str:
        """Adds what may help to a sentence about a broker that has not answered CONNECT."""
        may_want_tls = not (self._address.tls or self._address.unix)
        may_want_3_1_1 = self._target.is_mqtt_5
        if may_want_tls and may_want_3_1_1:
            return self.text("may_want_both", text=text)
        if may_want_tls:
            return self.text("may_want_tls", text=text)
        if may_want_3_1_1:
            return self.text("may_want_3_1_1", text=text)
        return self.text("unanswered", text=text)


def _system_text(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def reason_text(language: Language, code: int, reason_string: str = "") -> str:
    """Returns a sentence for the code, with the broker's reason string (MQTT 5) in brackets."""
    if code in REASON_TEXTS:
        text = translation(REASON_TEXTS[code], language)
    else:
        text = broker_text(language, "unknown_code", code=f"0x{code:02X}")
    signs = (sign if sign.isprintable() else " " for sign in reason_string[:MAX_REASON_CHARACTERS])
    shown = "".join(signs).strip()
    return broker_text(language, "with_reason", text=text, reason=shown) if shown else text


def scrub_reason(sentence: str, *secrets: str | None) -> str:
    """Returns the sentence without these secrets; a broker may repeat them in its reason string."""
    for secret in secrets:
        if secret:
            sentence = sentence.replace(secret, "***")
    return sentence
