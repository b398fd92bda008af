"""MQTT inside a WebSocket (MQTT 5, 6.0; RFC 6455), without a socket; the only file that knows wsproto.

    in   bytes of the socket -> `receive` -> bytes of MQTT, also of a frame that has only come in part
    out  bytes of MQTT -> `send` -> `take_frame` -> one masked frame; before them the HTTP request, then pongs

`BufferedSocket` uses it. Nothing grows with the size of a frame or with the number of pings: a frame is
handed on as it comes, and only the newest ping is answered (RFC 6455, 5.5.3).
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

from wx2mqtt.h11_patterns import replace_h11_patterns
from wx2mqtt.mqtt.options import DEFAULT_PORTS, BrokerAddress

SUBPROTOCOL = "mqtt"

# Bytes of MQTT in one frame that is sent: they are masked and copied at once.
FRAME_BYTES = 64 * 1024

# Characters that a request target may hold besides letters and digits; `%`: what is encoded already stays.
TARGET_CHARACTERS = "%/?:@!$&'()*+,;=-._~"

# Codes of a close frame that say nothing more than the end of a TCP connection does.
PLAIN_CLOSE_CODES = {
    CloseReason.NORMAL_CLOSURE,
    CloseReason.GOING_AWAY,
    CloseReason.NO_STATUS_RCVD,
}

replace_h11_patterns()  # wsproto reads the answer to the request with h11


class WebSocketError(ConnectionError):
    """The WebSocket was not opened, or has ended."""


class WebSocketRefused(WebSocketError):
    """The server answered the request with an HTTP status; a redirect is one, too."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


class WebSocketWithoutMqtt(WebSocketError):
    """The server speaks WebSocket, but did not accept the subprotocol `mqtt`, as it must (MQTT 5, 6.0)."""


class WebSocketViolation(WebSocketError):
    """The server sent what the protocol does not allow, or no answer of HTTP to the request."""


class WebSocketClosed(WebSocketError):
    """The server sent a close frame with the code of a failure."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


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
        self._control_bytes = self._connection.send(_request(address))
        self._unframed = bytearray()

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
            self._close(WebSocketViolation())
        return b"".join(payloads)

    def send(self, data: bytes | bytearray) -> None:
        """Stores bytes of MQTT for `take_frame`."""
        self._unframed += data

    @property
    def has_control(self) -> bool:
        """Whether the next frame is no MQTT: the request, a pong or a close frame."""
        return bool(self._control_bytes)

    @property
    def has_output(self) -> bool:
        """Whether `take_frame` returns something."""
        return self.has_control or (self.is_open and not self.is_closed and bool(self._unframed))

    def take_frame(self) -> bytes:
        """Returns the request or the next frame, b"" if nothing is to be sent."""
        if self.has_control:
            control, self._control_bytes = self._control_bytes, b""
            return control
        if not self.has_output:
            return b""
        payload = bytes(self._unframed[:FRAME_BYTES])
        del self._unframed[:FRAME_BYTES]
        return self._connection.send(BytesMessage(data=payload))

    def _on_event(self, event: Event) -> None:
        match event:
            case AcceptConnection(subprotocol=str()):  # wsproto lets none pass but the one that was asked for
                self.is_open = True
            case AcceptConnection():
                self._close(WebSocketWithoutMqtt())
            case RejectConnection(status_code=status):
                self._close(WebSocketRefused(status))
            case Ping():
                self._control_bytes = self._connection.send(event.response())
            case CloseConnection():
                self._on_close(event)
            case TextMessage():
                self._answer_close(CloseReason.UNSUPPORTED_DATA)
                self._close(WebSocketViolation())

    def _on_close(self, event: CloseConnection) -> None:
        """Answers a close frame. wsproto reports with the same event that it could not read a frame."""
        is_sent_by_server = self._connection.state is ConnectionState.REMOTE_CLOSING
        self._answer_close(event.code)
        if not is_sent_by_server:
            self._close(WebSocketViolation())
        elif event.code in PLAIN_CLOSE_CODES:
            self._close(None)
        else:
            self._close(WebSocketClosed(event.code))

    def _answer_close(self, code: int) -> None:
        self._control_bytes = self._connection.send(CloseConnection(code=code))

    def _close(self, error: WebSocketError | None) -> None:
        self.is_closed = True
        self.error = error


def _request(address: BrokerAddress) -> Request:
    host = address.host.encode("idna").decode("ascii")
    host = f"[{host}]" if ":" in host else host
    if address.port != DEFAULT_PORTS[address.scheme]:
        host += f":{address.port}"
    origin = f"{'https' if address.tls else 'http'}://{host}"
    return Request(
        host=host,
        target=quote(address.path, safe=TARGET_CHARACTERS),
        subprotocols=[SUBPROTOCOL],
        extra_headers=[
            (b"Origin", origin.encode("ascii"))
        ],  # some servers ask for it, although only browsers must send it
    )
