"""Somebody at the broker with a name and a password: what they may do is found by doing it."""

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
_HUNG_UP = 0  # in the place of the number of a packet


class Guest:
    """An MQTT 5 client. Use as a context manager; `refusal` is why it was not let in, else empty.

    With `stays` the broker keeps its session; `session_present` tells whether it had one.
    """

    def __init__(
        self, port: int, username: str = "", password: str = "", *, client_id: str = "", stays: bool = False
    ) -> None:
        self.refusal = ""
        self.session_present = False
        self.received: list[tuple[str, bytes, bool]] = []  # topic, payload, retained
        self._more = threading.Condition()
        self._port = port
        self._stays = stays
        self._codes: dict[int, int] = {}
        self._in = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        if username:
            self._client.username_pw_set(username, password)
        self._client.on_connect = self._connected
        self._client.on_message = self._came
        self._client.on_publish = self._answered
        self._client.on_subscribe = self._granted
        self._client.on_disconnect = self._hung_up

    def __enter__(self) -> Self:
        wanted = Properties(PacketTypes.CONNECT)
        wanted.SessionExpiryInterval = DAY if self._stays else 0
        self._client.connect("127.0.0.1", self._port, 30, clean_start=not self._stays, properties=wanted)
        self._client.loop_start()
        assert self._in.wait(MAX_WAIT_SECONDS), "the broker says nothing"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes | str = b"x", *, retain: bool = False) -> int:
        """The reason code of the PUBACK, or of the DISCONNECT in its place: 0 or 16 for yes, 135 for not authorized."""
        return self._code(self._client.publish(topic, payload, 1, retain).mid)

    def subscribe(self, *filters: str) -> int:
        """The worst reason code of the SUBACK. Mosquitto grants what may not be read, and delivers nothing of it."""
        _, mid = self._client.subscribe([(one, 1) for one in filters])
        assert mid is not None
        return self._code(mid)

    def wait(self, topic: str, payload: bytes) -> None:
        """Wait until this has come; all that was delivered before it has come by then, too."""
        with self._more:
            found = self._more.wait_for(
                lambda: any(one[:2] == (topic, payload) for one in self.received), MAX_WAIT_SECONDS
            )
        assert found, f"{payload!r} did not come on {topic}"

    def _code(self, mid: int) -> int:
        with self._more:
            answers = (mid, _HUNG_UP)
            found = self._more.wait_for(lambda: any(one in self._codes for one in answers), MAX_WAIT_SECONDS)
            assert found, "no answer"
            return next(self._codes[one] for one in answers if one in self._codes)

    def _connected(
        self, _c: object, _d: object, flags: paho.ConnectFlags, code: ReasonCode, _p: object
    ) -> None:
        self.refusal = str(code) if code.is_failure else ""
        self.session_present = flags.session_present
        self._in.set()

    def _came(self, _c: object, _d: object, message: paho.MQTTMessage) -> None:
        with self._more:
            self.received.append((message.topic, bytes(message.payload), message.retain))
            self._more.notify_all()

    def _answered(self, _c: object, _d: object, mid: int, code: ReasonCode, _p: object) -> None:
        self._note(mid, code.value)

    def _granted(self, _c: object, _d: object, mid: int, codes: list[ReasonCode], _p: object) -> None:
        self._note(mid, max(code.value for code in codes))

    def _hung_up(self, _c: object, _d: object, _f: object, code: ReasonCode, _p: object) -> None:
        self._note(_HUNG_UP, code.value)

    def _note(self, mid: int, code: int) -> None:
        with self._more:
            self._codes[mid] = code
            self._more.notify_all()


def session_present(port: int, client_id: str) -> bool:
    """Whether the broker kept a session for this client; looking does not end it."""
    with Guest(port, client_id=client_id, stays=True) as guest:
        return guest.session_present
