"""Receipts: one for each message, few for each chat, and their failures do not matter."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.wechat.rig import ManualClock
from wx2mqtt.errors import Unreachable
from wx2mqtt.model import Handle
from wx2mqtt.wechat.wecom.chat_rates import ChatRates
from wx2mqtt.wechat.wecom.protocol.endpoints import MAX_PER_MINUTE, MAX_RECEIPTS_PER_MINUTE
from wx2mqtt.wechat.wecom.protocol.frames import Answer, Callback, CallbackKind
from wx2mqtt.wechat.wecom.receipts import AnswerableMessage, Receipts

LI = Handle("user:li")


class ReceiptsHarness:
    """Receipts on a connection that records them; `error` is raised in place of an answer."""

    def __init__(self, text: str = "stored") -> None:
        self.clock = ManualClock()
        self.rates = ChatRates(self.clock.as_clock(), lambda key, **_facts: key)
        self.receipts = Receipts(self.rates, self.clock.as_clock(), text)
        self.sent: list[str] = []
        self.error: Exception | None = None

    async def respond(self, request_id: str, _command: object, _body: object) -> Answer:
        if self.error is not None:
            raise self.error
        self.sent.append(request_id)
        return Answer(request_id=request_id, errcode=0)

    def send_texts(self, count: int) -> None:
        for _ in range(count):
            with self.rates.sending(LI):
                pass

    async def receive(self, *message_ids: str, chat: Handle = LI) -> list[str]:
        """Returns the messages that got a receipt by now, after these were stored."""
        connection: Any = self
        self.receipts.send(
            AnswerableMessage(
                connection,
                Callback(command=CallbackKind.MESSAGE, request_id=message_id, body={"msgid": message_id}),
                chat,
            )
            for message_id in message_ids
        )
        await asyncio.gather(*self.receipts._tasks)
        return self.sent


async def test_each_message_gets_one_receipt_also_when_wecom_sends_it_again() -> None:
    harness = ReceiptsHarness()
    assert await harness.receive("1", "2") == ["1", "2"]
    assert await harness.receive("2", "3") == ["1", "2", "3"]


async def test_without_a_text_there_are_none() -> None:
    assert await ReceiptsHarness("").receive("1") == []


async def test_a_chat_gets_few_in_a_minute_and_another_one_its_own() -> None:
    harness = ReceiptsHarness()
    ids = [str(number) for number in range(MAX_RECEIPTS_PER_MINUTE + 5)]
    assert await harness.receive(*ids) == ids[:MAX_RECEIPTS_PER_MINUTE]
    assert "other" in await harness.receive("other", chat=Handle("user:wang"))
    harness.clock.time += 60
    assert "later" in await harness.receive("later")


@pytest.mark.parametrize(("seconds", "sent"), [(54, []), (56, ["1"])])
async def test_a_receipt_waits_for_a_place_for_as_long_as_it_may(seconds: float, sent: list[str]) -> None:
    harness = ReceiptsHarness()
    harness.send_texts(MAX_PER_MINUTE)
    harness.clock.time += seconds
    assert await harness.receive("1") == sent
    harness.clock.time = 1060
    harness.send_texts(MAX_PER_MINUTE - 1)
    assert harness.rates.seconds_until_sendable(LI) > 0
    assert await harness.receive("2") == (sent or ["2"])


async def test_a_receipt_that_fails_is_not_repeated_and_stops_no_other_one() -> None:
    harness = ReceiptsHarness()
    harness.error = Unreachable("no connection")
    assert await harness.receive("1") == []
    harness.error = None
    assert await harness.receive("1", "2") == ["2"]


async def test_what_is_not_sent_yet_is_given_up_at_the_end() -> None:
    harness = ReceiptsHarness()
    never_set = asyncio.Event()

    async def hang(*_: object) -> Answer:
        await never_set.wait()
        raise AssertionError

    connection: Any = type("HangingConnection", (), {"respond": staticmethod(hang)})()
    callback = Callback(command=CallbackKind.MESSAGE, request_id="1", body={"msgid": "1"})
    harness.receipts.send([AnswerableMessage(connection, callback, LI)])
    await asyncio.sleep(0)
    await harness.receipts.close()
    assert not harness.receipts._tasks
