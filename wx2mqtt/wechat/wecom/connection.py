"""One WebSocket to WeCom: requests and their answers, callbacks, heartbeats (wecom 2).

    connection = await WeComConnection.open(options)
    answer = await connection.request(FrameCommand.SUBSCRIBE, body)
    callbacks = await connection.next_callbacks(limit)
    await connection.close()

The socket is read all the time, since answers and heartbeats come over it, too. Callbacks that nobody has
taken yet wait here up to `MAX_WAITING_CALLBACKS` and `MAX_WAITING_BYTES`; beyond these the connection ends,
because WeCom keeps nothing for a bridge that does not read.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.protocol import State

from wx2mqtt import __version__
from wx2mqtt.clock import Clock
from wx2mqtt.errors import OutcomeUnknown, Unreachable
from wx2mqtt.limits import HTTP_CONNECT_SECONDS, KIB, MIB
from wx2mqtt.model import Json
from wx2mqtt.values import frozen
from wx2mqtt.wechat.aiohttp_transport import proxy_for, tls_context
from wx2mqtt.wechat.backend_options import CallObserver
from wx2mqtt.wechat.json_reader import UnreadableJson
from wx2mqtt.wechat.wecom.protocol.codes import Reaction, reaction_to
from wx2mqtt.wechat.wecom.protocol.endpoints import SOCKET_HOST, socket_url
from wx2mqtt.wechat.wecom.protocol.frames import (
    Answer,
    Callback,
    EventType,
    FrameCommand,
    new_request_id,
    read_frame,
    request_frame,
)

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 30.0
MAX_UNANSWERED_HEARTBEATS = 2

# WeCom must answer a request so soon after its last byte has left; else its outcome is unknown.
ANSWER_SECONDS = 5.0

# A larger frame ends the connection. A callback is a few kilobytes: files come over HTTP.
MAX_FRAME_BYTES = 1 * MIB

# More callbacks that wait to be taken, or larger ones, end the connection.
MAX_WAITING_CALLBACKS = 1000
MAX_WAITING_BYTES = 8 * MIB

# How long the closing handshake may take.
CLOSE_SECONDS = 2.0

# What the library logs at the level debug quotes frames, and with them the secret of the bot.
logging.getLogger("websockets").setLevel(logging.CRITICAL)


class SocketEnd(StrEnum):
    """Why a connection has ended; the value is the key of the sentence about it."""

    CLOSED = "closed"
    CLOSED_BY_WECOM = "closed_by_wecom"
    #: WeCom answers no heartbeat any more.
    NO_HEARTBEAT = "no_heartbeat"
    #: The subscription is lost, although the socket is open (wecom 2.8).
    NOT_SUBSCRIBED = "not_subscribed"
    #: Another program uses the bot now (wecom 2.6).
    TAKEN_OVER = "taken_over"
    #: The bridge takes callbacks more slowly than they come.
    TOO_MANY_WAITING = "too_many_waiting"


class WeComConnection:
    """An open connection. After its end every method raises `Unreachable` with the reason."""

    def __init__(self, socket: ClientConnection, options: ConnectionOptions) -> None:
        self._socket = socket
        self._options = options
        self._clock = options.clock
        #: The requests without an answer, by their id.
        self._pending: dict[str, asyncio.Future[Answer]] = {}
        #: The callbacks that nobody has taken yet, in the order of their arrival.
        self._waiting: deque[_WaitingCallback] = deque()
        #: The sum of the sizes of `_waiting`.
        self._waiting_bytes = 0
        #: When the oldest callback came that was taken and is not stored; None where all are stored.
        self._unstored_since: int | None = None
        #: Set when there is something for `next_callbacks`: a callback, a heartbeat, or the end.
        self._news = asyncio.Event()
        #: A random name: only this connection may update the card of a press (`ButtonPress.private`).
        self.id = os.urandom(8).hex()
        #: Why the connection has ended; None while it is open.
        self.end: SocketEnd | None = None
        #: The sentence about `end`.
        self.end_reason: str | None = None
        #: When the last frame came, in milliseconds since 1970.
        self.last_heard = options.clock.now
        #: How many frames could not be read; the receiver adds them to its batch and sets this to 0.
        self.unreadable_count = 0
        #: Whether WeCom has said that another program uses the bot now (wecom 2.6).
        self.is_taken_over = False
        self._tasks = (asyncio.create_task(self._read()), asyncio.create_task(self._send_heartbeats()))

    @classmethod
    async def open(cls, options: ConnectionOptions) -> WeComConnection:
        """Connects. Raises `Unreachable`."""
        url = socket_url(options.endpoint)
        if not options.clock.lease.is_valid:  # another instance may have the account
            raise Unreachable(options.text("no_connection"))
        try:
            socket = await connect(
                url,
                ssl=tls_context(options.endpoint) if url.startswith("wss:") else None,
                proxy=proxy_for("https", SOCKET_HOST) if options.endpoint is None else None,
                open_timeout=HTTP_CONNECT_SECONDS,
                close_timeout=CLOSE_SECONDS,
                ping_interval=None,  # WeCom has heartbeats of its own
                max_size=MAX_FRAME_BYTES,
                compression=None,  # of a piece of a file it would hold the event loop for too long
                write_limit=0,  # so `send` returns when the last byte has left
                user_agent_header=f"wx2mqtt/{__version__}",
            )
        # A SOCKS proxy needs a library, and what the environment names as a proxy may be no address.
        except (OSError, WebSocketException, ImportError, ValueError) as why:
            log.info("no connection to WeCom", reason=type(why).__name__)
            raise Unreachable(options.text("no_connection")) from None
        _bound_unsent_bytes(socket)
        return cls(socket, options)

    async def request(self, command: FrameCommand, body: Mapping[str, Json] | None = None) -> Answer:
        """Sends a request and returns WeCom's answer, whatever its code.

        Raises `Unreachable` where nothing of it was written, and `OutcomeUnknown` where no answer came within
        `ANSWER_SECONDS` after its last byte left.
        """
        request_id = new_request_id(command, self._clock.now, os.urandom(4))
        return await self._exchange(command, request_id, request_frame(command, request_id, body))

    async def respond(self, request_id: str, command: FrameCommand, body: Mapping[str, Json]) -> Answer:
        """Answers a callback with its own id, and returns WeCom's answer to that. Raises as `request`."""
        return await self._exchange(command, request_id, request_frame(command, request_id, body))

    async def next_callbacks(self, limit: int) -> list[Callback]:
        """Waits for callbacks, and takes those that are there, at most so many.

        Returns none after a heartbeat was answered: the connection is alive and there is no news. Raises
        `Unreachable` after the end of the connection, when all are taken.
        """
        if not self._waiting:
            self._require_open()
            self._news.clear()
            await self._news.wait()
        taken: list[Callback] = []
        while self._waiting and len(taken) < limit:
            oldest = self._waiting.popleft()
            self._waiting_bytes -= oldest.size
            if self._unstored_since is None:
                self._unstored_since = oldest.came_at
            taken.append(oldest.callback)
        if not taken:
            self._require_open()
        return taken

    def confirm_stored(self) -> None:
        """Says that all that was taken is stored."""
        self._unstored_since = None

    @property
    def stored_until(self) -> int:
        """The time (milliseconds since 1970) up to which all that came is stored; an end loses the rest."""
        if self._unstored_since is not None:
            return self._unstored_since
        return self._waiting[0].came_at if self._waiting else self._clock.now

    async def close(self, end: SocketEnd = SocketEnd.CLOSED) -> None:
        """Ends the connection with the closing handshake; a second call does nothing more."""
        if self.end is None:
            self._record_end(end)
        await self._socket.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _exchange(self, command: FrameCommand, request_id: str, frame: str) -> Answer:
        """Sends a frame and waits for the answer with its id; tells `observe` how that ended."""
        self._require_open()
        if request_id in self._pending:
            raise Unreachable(self._options.text("answered_already"))
        started_at = self._clock.monotonic()
        outcome = "cancelled"
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._pending[request_id] = answer
        try:
            await self._send(frame)
            async with asyncio.timeout(ANSWER_SECONDS):
                received = await answer
            outcome = str(received.errcode)
        except TimeoutError:
            outcome = "no_answer"
            raise OutcomeUnknown(self._options.text("no_answer", call=command)) from None
        except OutcomeUnknown:
            outcome = "broken_answer"
            raise
        finally:
            del self._pending[request_id]
            self._options.observe(command, outcome, self._clock.monotonic() - started_at)
        return received

    async def _send(self, frame: str) -> None:
        """Writes a frame. Once that began, nobody knows how much of it has arrived."""
        if self._socket.state is not State.OPEN or not self._clock.lease.is_valid:
            raise Unreachable(self._options.text("no_connection"))
        try:
            await self._socket.send(frame)
        except ConnectionClosed:
            self._abort(SocketEnd.CLOSED_BY_WECOM)
            raise OutcomeUnknown(self.end_reason) from None

    async def _read(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                self._take(await self._socket.recv(decode=False))
        self._abort(SocketEnd.CLOSED_BY_WECOM)

    def _take(self, data: bytes) -> None:
        """Gives an answer to the request that waits for it, and keeps a callback for `next_callbacks`."""
        self.last_heard = self._clock.now
        try:
            frame = read_frame(data)
        except UnreadableJson:
            self.unreadable_count += 1
            self._news.set()
            return
        if isinstance(frame, Answer):
            answer = self._pending.get(frame.request_id)
            if answer is not None and not answer.done():
                answer.set_result(frame)
            return
        self._waiting.append(_WaitingCallback(frame, len(data), self.last_heard))
        self._waiting_bytes += len(data)
        self._news.set()
        if len(self._waiting) > MAX_WAITING_CALLBACKS or self._waiting_bytes > MAX_WAITING_BYTES:
            self._abort(SocketEnd.TOO_MANY_WAITING)
        if frame.event_type == EventType.DISCONNECTED:
            self.is_taken_over = True
            self._abort(SocketEnd.TAKEN_OVER)

    async def _send_heartbeats(self) -> None:
        """Sends one every `HEARTBEAT_SECONDS`; two in a row without an answer end the connection."""
        unanswered = 0
        while unanswered < MAX_UNANSWERED_HEARTBEATS:
            started_at = self._clock.monotonic()
            await self._clock.sleep(HEARTBEAT_SECONDS)
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):  # it may wait behind a piece of a file
                    answer = await self.request(FrameCommand.PING)
            except (OutcomeUnknown, TimeoutError):
                unanswered += 1
            except Unreachable:
                return
            else:
                if reaction_to(answer.errcode) is Reaction.SUBSCRIBE_AGAIN:
                    self._abort(SocketEnd.NOT_SUBSCRIBED)
                unanswered = 0
                self._news.set()
            log.debug("heartbeat", unanswered=unanswered, seconds=self._clock.monotonic() - started_at)
        self._abort(SocketEnd.NO_HEARTBEAT)

    def _require_open(self) -> None:
        if self.end_reason is not None:
            raise Unreachable(self.end_reason)

    def _abort(self, end: SocketEnd) -> None:
        """Ends the connection at once, without the closing handshake, unless it has ended already."""
        if self.end is None:
            self._record_end(end)
            self._socket.transport.abort()

    def _record_end(self, end: SocketEnd) -> None:
        """Tells everybody who waits that the connection ends; what was written has an unknown outcome."""
        self.end = end
        self.end_reason = self._options.text(end)
        self._news.set()
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(OutcomeUnknown(self.end_reason))


@frozen
class ConnectionOptions:
    """How to connect."""

    clock: Clock
    #: Returns a sentence for people: `wecom_text` in the language of the account.
    text: Callable[..., str]
    #: Called after each exchange.
    observe: CallObserver
    #: One base URL that replaces WeCom's hosts. None: these, through the proxy of the environment.
    endpoint: str | None = None


@frozen(kw_only=False)
class _WaitingCallback:
    """A callback that nobody has taken yet."""

    callback: Callback
    size: int
    #: In milliseconds since 1970.
    came_at: int


# How many bytes of a connection the kernel may hold that have not left the machine.
MAX_UNSENT_BYTES = 32 * KIB


def _bound_unsent_bytes(connection: ClientConnection) -> None:
    """Lets the kernel take little more than the line does, so that what was written has nearly left.

    Otherwise it holds a whole piece of a file, and the answer to what is written next seems to be late.
    """
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None:
        connection.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, option, MAX_UNSENT_BYTES)
