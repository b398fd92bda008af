"""An MQTT client with a username and a password, which reports the reason code of each action."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tests.support.deadlines import MAX_WAIT_SECONDS

DAY = 86_400
_DISCONNECT = 0  # in the place of the number of a packet


class BrokerUser:
    """An MQTT 5 client. Use as a context manager; `refusal` is why the broker refused it, else empty.

    With `keeps_session` the broker keeps its session; `session_present` says whether it had one.
    """

    def __init__(
        self,
        port: int,
        username: str = "",
        password: str = "",
        *,
        client_id: str = "",
        keeps_session: bool = False,
    ) -> None:
        self.refusal = ""
        self.session_present = False
        self.received: list[tuple[str, bytes, bool]] = []  # topic, payload, retained
        self._more = threading.Condition()
        self._port = port
        self._keeps_session = keeps_session
        self._codes: dict[int, int] = {}
        self._ready = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        if username:
            self._client.username_pw_set(username, password)
        self._client.on_connect = self._connected
        self._client.on_message = self._message_received
        self._client.on_publish = self._answered
        self._client.on_subscribe = self._subscribed
        self._client.on_disconnect = self._disconnected

    def __enter__(self) -> Self:
        wanted = Properties(PacketTypes.CONNECT)
        wanted.SessionExpiryInterval = DAY if self._keeps_session else 0
        self._client.connect(
            "127.0.0.1", self._port, 30, clean_start=not self._keeps_session, properties=wanted
        )
        self._client.loop_start()
        assert self._ready.wait(MAX_WAIT_SECONDS), "the broker does not answer"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes | str = b"x", *, retain: bool = False) -> int:
        """Returns the reason code of the PUBACK, or of the DISCONNECT in its place: 0 or 16, or 135 (not authorized)."""
        return self._code(self._client.publish(topic, payload, 1, retain).mid)

    def subscribe(self, *filters: str) -> int:
        """Returns the worst reason code of the SUBACK. Mosquitto grants a forbidden filter, and delivers nothing on it."""
        _, mid = self._client.subscribe([(entry, 1) for entry in filters])
        assert mid is not None
        return self._code(mid)

    def wait(self, topic: str, payload: bytes) -> None:
        """Waits until this message has come; then all that was delivered before it has come, too."""
        with self._more:
            found = self._more.wait_for(
                lambda: any(entry[:2] == (topic, payload) for entry in self.received), MAX_WAIT_SECONDS
            )
        assert found, f"{payload!r} did not come on {topic}"

    def _code(self, mid: int) -> int:
        with self._more:
            answers = (mid, _DISCONNECT)
            found = self._more.wait_for(
                lambda: any(entry in self._codes for entry in answers), MAX_WAIT_SECONDS
            )
            assert found, "no answer"
            return next(self._codes[entry] for entry in answers if entry in self._codes)

    def _connected(
        self, _c: object, _d: object, flags: paho.ConnectFlags, code: ReasonCode, _p: object
    ) -> None:
        self.refusal = str(code) if code.is_failure else ""
        self.session_present = flags.session_present
        self._ready.set()

    def _message_received(self, _c: object, _d: object, message: paho.MQTTMessage) -> None:
        with self._more:
            self.received.append((message.topic, bytes(message.payload), message.retain))
            self._more.notify_all()

    def _answered(self, _c: object, _d: object, mid: int, code: ReasonCode, _p: object) -> None:
        self._record(mid, code.value)

    def _subscribed(self, _c: object, _d: object, mid: int, codes: list[ReasonCode], _p: object) -> None:
        self._record(mid, max(code.value for code in codes))

    def _disconnected(self, _c: object, _d: object, _f: object, code: ReasonCode, _p: object) -> None:
        self._record(_DISCONNECT, code.value)

    def _record(self, mid: int, code: int) -> None:
        with self._more:
            self._codes[mid] = code
            self._more.notify_all()


def session_present(port: int, client_id: str) -> bool:
    """Returns whether the broker keeps a session for this client, which is not changed."""
    with BrokerUser(port, client_id=client_id, keeps_session=True) as user:
        return user.session_present
