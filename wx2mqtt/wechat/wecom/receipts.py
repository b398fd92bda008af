"""Receipts: the finished answer to each message that is published; WeCom waits for one (wecom 4.7, 5.5).

    receipts.send([AnswerableMessage(connection, callback, chat)])      the person sees the text of `receipt`

They go out beside everything else, are never repeated, and their failures do not matter. `chat_rates.py` says
how many a chat gets.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable

import structlog

from wx2mqtt.clock import Clock
from wx2mqtt.errors import BackendError
from wx2mqtt.model import Handle
from wx2mqtt.values import frozen
from wx2mqtt.wechat.json_reader import read_text
from wx2mqtt.wechat.wecom.chat_rates import ChatRates
from wx2mqtt.wechat.wecom.connection import WeComConnection
from wx2mqtt.wechat.wecom.protocol import requests
from wx2mqtt.wechat.wecom.protocol.endpoints import RESPOND_SECONDS
from wx2mqtt.wechat.wecom.protocol.frames import Callback, FrameCommand

log = structlog.get_logger(__name__)

# So many answered messages are remembered: one that WeCom sends again gets no second receipt.
MAX_ANSWERED = 1000


@frozen(kw_only=False)
class AnswerableMessage:
    """A received message, and the connection on which it can be answered."""

    connection: WeComConnection
    callback: Callback
    chat: Handle


class Receipts:
    """Sends receipts with this text; with an empty one none."""

    def __init__(self, rates: ChatRates, clock: Clock, text: str) -> None:
        self._rates = rates
        self._clock = clock
        self._text = text
        #: The ids of the messages that got a receipt, the oldest first.
        self._answered: OrderedDict[str, None] = OrderedDict()
        #: The tasks that send receipts.
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, messages: Iterable[AnswerableMessage]) -> None:
        """Sends receipts for messages that are stored and published; returns at once."""
        for message in messages if self._text else ():
            if self._is_first(message):
                task = asyncio.create_task(self._answer(message))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Gives up what is not sent yet."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _is_first(self, message: AnswerableMessage) -> bool:
        """Returns whether a message comes for the first time, and remembers it."""
        message_id = read_text(message.callback.body, "msgid")
        if message_id in self._answered:
            return False
        self._answered[message_id] = None
        if len(self._answered) > MAX_ANSWERED:
            self._answered.popitem(last=False)
        return True

    async def _answer(self, message: AnswerableMessage) -> None:
        """Sends a receipt as soon as its chat takes one. After `RESPOND_SECONDS` it is given up."""
        try:
            async with asyncio.timeout(RESPOND_SECONDS):
                if await self._wait_for_place(message.chat):
                    with self._rates.answering(message.chat):
                        await self._respond(message)
                    return
        except TimeoutError:
            pass
        except BackendError as why:
            log.info("no receipt", reason=str(why))
            return
        log.info("receipt given up")

    async def _wait_for_place(self, chat: Handle) -> bool:
        """Waits until a chat takes a receipt; returns False where that is too late for this one.

        Messages to the chat, which have taken all places, leave one of the next minute for a receipt.
        """
        seconds = self._rates.seconds_until_receipt(chat)
        if seconds > 0:
            self._rates.keep_place(chat)
        while 0 < seconds <= RESPOND_SECONDS:
            await self._clock.sleep(seconds)
            seconds = self._rates.seconds_until_receipt(chat)
        return seconds == 0

    async def _respond(self, message: AnswerableMessage) -> None:
        request_id = message.callback.request_id
        body = requests.receipt(f"receipt_{request_id}"[:64], self._text)
        answer = await message.connection.respond(request_id, FrameCommand.RESPOND, body)
        if answer.errcode:
            log.info("receipt refused", ret=answer.errcode, errmsg=answer.errmsg)
