"""Receipts: the finished answer to each message that is published; WeCom waits for one (wecom 4.7, 5.5).

    receipts.send([AnswerableMessage(connection, callback, chat)])      the person sees the text of `receipt`

They go out beside everything else, are never repeated, and their failures do not matter. A chat gets so few
that most of its rate is left to messages.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable

import structlog

from wx2mqtt.clock import Clock
from wx2mqtt.errors import BackendError
from wx2mqtt.model import Handle
from wx2mqtt.values import frozen
from wx2mqtt.wechat.json_reader import read_text
from wx2mqtt.wechat.wecom.connection import WeComConnection
from wx2mqtt.wechat.wecom.protocol import requests
from wx2mqtt.wechat.wecom.protocol.endpoints import (
    MAX_RECEIPTS_PER_HOUR,
    MAX_RECEIPTS_PER_MINUTE,
    RESPOND_SECONDS,
)
from wx2mqtt.wechat.wecom.protocol.frames import Callback, FrameCommand

log = structlog.get_logger(__name__)

# So many answered messages are remembered: one that WeCom sends again gets no second receipt.
MAX_ANSWERED = 1000

_MINUTE, _HOUR = 60.0, 3600.0


@frozen(kw_only=False)
class AnswerableMessage:
    """A received message, and the connection on which it can be answered."""

    connection: WeComConnection
    callback: Callback
    chat: Handle


class Receipts:
    """Sends receipts with this text; with an empty one none."""

    def __init__(self, clock: Clock, text: str) -> None:
        self._clock = clock
        self._text = text
        #: The ids of the messages that got a receipt, the oldest first.
        self._answered: OrderedDict[str, None] = OrderedDict()
        #: When each chat got its last receipts, on the monotonic clock.
        self._times: defaultdict[Handle, deque[float]] = defaultdict(
            lambda: deque(maxlen=MAX_RECEIPTS_PER_HOUR)
        )
        #: The tasks that send receipts.
        self._tasks: set[asyncio.Task[None]] = set()
        #: No receipt goes out before this time of the monotonic clock (`wait_for_rate`).
        self._first_at = float("-inf")

    def wait_for_rate(self) -> None:
        """Sends none for a minute: a process before this one may just have sent as many as a chat takes."""
        self._first_at = self._clock.monotonic() + _MINUTE

    def send(self, messages: Iterable[AnswerableMessage]) -> None:
        """Sends receipts for messages that are stored and published; returns at once."""
        due = [message for message in messages if self._is_due(message)] if self._text else []
        if due:
            task = asyncio.create_task(self._send_all(due))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Gives up what is not sent yet."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _is_due(self, message: AnswerableMessage) -> bool:
        """Returns whether a message gets a receipt, and counts it."""
        message_id = read_text(message.callback.body, "msgid")
        if message_id in self._answered or not self._has_rate(message.chat):
            return False
        self._times[message.chat].append(self._clock.monotonic())
        self._answered[message_id] = None
        if len(self._answered) > MAX_ANSWERED:
            self._answered.popitem(last=False)
        return True

    def _has_rate(self, chat: Handle) -> bool:
        now = self._clock.monotonic()
        if now < self._first_at:
            return False
        times = self._times[chat]
        in_an_hour = sum(now - sent < _HOUR for sent in times)
        in_a_minute = sum(now - sent < _MINUTE for sent in times)
        return in_an_hour < MAX_RECEIPTS_PER_HOUR and in_a_minute < MAX_RECEIPTS_PER_MINUTE

    async def _send_all(self, messages: list[AnswerableMessage]) -> None:
        """Sends one after the other; what is not out after `RESPOND_SECONDS` is given up."""
        try:
            async with asyncio.timeout(RESPOND_SECONDS):
                for message in messages:
                    await self._send(message)
        except TimeoutError:
            log.info("receipts given up", count=len(messages))

    async def _send(self, message: AnswerableMessage) -> None:
        request_id = message.callback.request_id
        body = requests.receipt(f"receipt_{request_id}"[:64], self._text)
        try:
            answer = await message.connection.respond(request_id, FrameCommand.RESPOND, body)
        except BackendError as why:
            log.info("no receipt", reason=str(why))
            return
        if answer.errcode:
            log.info("receipt refused", ret=answer.errcode, errmsg=answer.errmsg)
