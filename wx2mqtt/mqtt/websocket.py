"""MQTT inside a WebSocket (MQTT 5, 6.0; RFC 6455), as bytes: `BufferedSocket` has the socket. Pure.

    in   bytes of the socket -> `receive` -> bytes of MQTT, also of a frame that has only come in part
    out  bytes of MQTT -> `send` -> `take_frame` -> one masked frame

The first bytes out are an HTTP request; MQTT may begin when the server has accepted it (`is_open`). Nothing
grows with the size of a frame, which is handed on as it comes, nor with the number of pings.
"""

from __future__ import annotations

from urllib.parse import quote

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import RemoteProtocolError

from wx2mqtt.errors import WebSocketError
from wx2mqtt.h11_patterns import replace_h11_patterns
from wx2mqtt.mqtt.options import DEFAULT_PORTS, BrokerAddress

SUBPROTOCOL = "mqtt"

FRAME_BYTES = 64 * 1024  # of MQTT in one frame that is sent: so many are masked and copied at once

# Characters that a request target may hold besides letters and digits. With `%` an encoded character stays.
TARGET_CHARACTERS = "%/?:@!$&'()*+,;=-._~"

# These codes of a close frame say no more than the end of a TCP connection does.
PLAIN_CLOSE_CODES = {CloseReason.NORMAL_CLOSURE, CloseReason.GOING_AWAY, CloseReason.NO_STATUS_RCVD}

# wsproto makes events of bytes and bytes of events. It reads the answer to the request with h11.
replace_h11_patterns()


class WebSocket:
    """The client's side of one connection."""

    def __init__(self, address: BrokerAddress) -> None:
        """Raises ValueError for a host name that cannot be written in a request."""
        #: The server has accepted the request; before that, `receive` returns nothing.
        self.is_open = False
        #: Nothing more is received or sent, apart from the answer to a close frame.
        self.is_closed = False
        #: Why it is closed; None for a plain close frame.
        self.error: WebSocketError | None = None
        self._connection = WSConnection(ConnectionType.CLIENT)
        #: Is sent before all MQTT: the request, a close frame, or the answer to the newest ping. Else empty.
        self.control_frame = self._connection.send(_request(address))
        #: Bytes of MQTT that are to be sent.
        self._unframed = bytearray()

    @property
    def has_output(self) -> bool:
        """Whether `take_frame` returns something."""
        may_send = self.is_open and not self.is_closed
        return bool(self.control_frame or (may_send and self._unframed))

    def receive(self, data: bytes) -> bytes:
        """Returns the bytes of MQTT in what has come; `is_open` and `is_closed` may change."""
        payloads: list[bytes | bytearray] = []
        try:
            self._connection.receive_data(data)
            for event in self._connection.events():
                if isinstance(event, BytesMessage):
                    payloads.append(event.data)
                else:
                    self._on_event(event)
                if self.is_closed:
                    break
        except (RemoteProtocolError, ValueError):  # ValueError: a header that is no ASCII
            self._close(WebSocketError("bad_websocket"))
        return b"".join(payloads)

    def send(self, data: bytes | bytearray) -> None:
        """Stores bytes of MQTT for `take_frame`."""
        self._unframed += data

    def take_frame(self) -> bytes:
        """Returns the request or the next frame; b"" where nothing is to be sent."""
        if self.control_frame:
            control, self.control_frame = self.control_frame, b""
            return control
        if not self.has_output:
            return b""
        payload = bytes(self._unframed[:FRAME_BYTES])
        del self._unframed[:FRAME_BYTES]
        return self._connection.send(BytesMessage(data=payload))

    def _on_event(self, event: Event) -> None:
        match event:
            case AcceptConnection(subprotocol=str()):  # wsproto accepts only the subprotocol of the request
                self.is_open = True
            case AcceptConnection():  # the server must accept the subprotocol (MQTT 5, 6.0)
                self._close(WebSocketError("websocket_without_mqtt"))
            case RejectConnection(status_code=status):  # a redirect counts as a rejection
                self._close(WebSocketError("no_websocket", status=status))
            case Ping():  # only the newest ping needs an answer (RFC 6455, 5.5.3)
                self.control_frame = self._connection.send(event.response())
            case TextMessage():
                self.control_frame = self._connection.send(CloseConnection(CloseReason.UNSUPPORTED_DATA))
                self._close(WebSocketError("bad_websocket"))
            case CloseConnection(code=code):
                # wsproto also reports with this event that it could not read a frame.
                is_sent_by_server = self._connection.state is ConnectionState.REMOTE_CLOSING
                self.control_frame = self._connection.send(CloseConnection(code))
                if not is_sent_by_server:
                    self._close(WebSocketError("bad_websocket"))
                elif code in PLAIN_CLOSE_CODES:
                    self._close(None)
                else:
                    self._close(WebSocketError("websocket_closed", code=code))

    def _close(self, error: WebSocketError | None) -> None:
        self.is_closed = True
        self.error = error


def _request(address: BrokerAddress) -> Request:
    host = address.host.encode("idna").decode("ascii")
    host = f"[{host}]" if ":" in host else host
    if address.port != DEFAULT_PORTS[address.scheme]:
        host += f":{address.port}"
    # Some servers ask for the origin, although only browsers must send it.
    origin = f"{'https' if address.tls else 'http'}://{host}"
    return Request(
        host=host,
        target=quote(address.path, safe=TARGET_CHARACTERS),
        subprotocols=[SUBPROTOCOL],
        extra_headers=[(b"Origin", origin.encode("ascii"))],
    )
