"""Why a broker refused something, or a connection ended: sentences for the owner, without secrets.

    ConnectionRefusedError   ->   nobody listens on broker:1883

`ConnectionTexts` chooses the sentence, and `i18n/broker.py` has its text in both languages. `refuses_mqtt_5`
asks a broker that does not answer CONNECT whether it speaks MQTT 5.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

from wx2mqtt.i18n import Language, translation
from wx2mqtt.i18n.broker import REASON_TEXTS, broker_text
from wx2mqtt.mqtt.options import BrokerAddress, MqttOptions, TlsFiles
from wx2mqtt.mqtt.reconnect import ConnectTarget
from wx2mqtt.mqtt.sockets import BufferedSocket, open_stream, receive_some, shake_hands
from wx2mqtt.mqtt.websocket import WebSocketError

# A broker that has not answered CONNECT for this time is asked by `refuses_mqtt_5`.
VERSION_PROBE_DELAY_SECONDS = 1.0
VERSION_PROBE_TIMEOUT_SECONDS = 3.0

MAX_REASON_CHARACTERS = 200  # of a reason string that are shown


class ConnectionTexts:
    """The sentences about one attempt to connect, and about the connection, in the language of the owner.

    | what happened | sentence |
    |---|---|
    | no connection could be opened | `why_not_opened` |
    | one is open, and the broker sends nothing at all | `why_timed_out` |
    | the broker answered or ended it with a reason code | `why_refused` |
    | it ended without one | `why_ended` |
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

    def why_not_opened(self, error: OSError) -> str:
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

    def why_timed_out(self, *, answered: bool) -> str:
        text = self.text("silent")
        return text if answered else self._with_hint(text)

    def why_refused(self, code: int, reason_string: str = "") -> str:
        """Returns what a reason code of the broker means; a broker may repeat a password in its reason."""
        return scrub_reason(reason_text(self._language, code, reason_string), *self._secrets)

    def why_ended(self, stream: BufferedSocket, *, answered: bool) -> str:
        if not stream.ended:  # the bridge closed it, since it could not read a packet
            return self.text("no_mqtt")
        text = self._why_broken(stream.error)
        return text if answered else self._with_hint(text)

    def _why_broken(self, error: OSError | None) -> str:
        """Returns why an open connection ended; None: the broker closed it."""
        match error:
            case None:
                return self.text("closed")
            case TimeoutError():
                return self.text("answers_no_more")
            case WebSocketError():
                return self.text(error.message_key, **error.facts)
        return self.text("broke", why=_system_text(error))

    def _with_hint(self, text: str) -> str:
        """Adds what may help to a sentence about a broker that has not answered CONNECT."""
        is_without_tls = not (self._address.tls or self._address.unix)
        key = {
            (True, True): "may_want_both",
            (True, False): "may_want_tls",
            (False, True): "may_want_3_1_1",
            (False, False): "unanswered",
        }[is_without_tls, self._target.is_mqtt_5]
        return self.text(key, text=text)


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


# A CONNECT of MQTT 5: clean start, keepalive 10 s, no properties, no client id.
MINIMAL_CONNECT = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x00"

# The CONNACK of 3.1.1 and that of MQTT 5 which refuse the version.
VERSION_REFUSALS = (b"\x20\x02\x00\x01", b"\x20\x03\x00\x84")


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
