"""The typing indicator: shown where it is enabled, and its failures do not affect sending (ilink 7)."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.wechat.ilink.entries import ME
from tests.unit.wechat.ilink.server import BackendHarness, another_bot, answer
from wx2mqtt.model import Draft, Handle, Kind, SendKey

TEXT = Draft(chat=Handle(ME), kind=Kind.TEXT, text="ok")


async def sent(harness: BackendHarness, times: int = 1) -> list[tuple[str, int]]:
    for number in range(times):
        await harness.gateway.send(TEXT, SendKey(str(number)))
        await asyncio.sleep(0)
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        await asyncio.gather(*harness.gateway._typing_indicator._stop_tasks)
    calls = harness.server.calls()
    shown = iter(body["status"] for body in harness.server.bodies("sendtyping"))
    return [(call, next(shown) if call == "sendtyping" else 0) for call in calls if call != "get_bot_qrcode"][
        2:
    ]


@pytest.fixture
async def typing_harness() -> Any:
    harness = BackendHarness(typing=True)
    await harness.log_in()
    yield harness
    await harness.gateway.close()


async def test_it_is_shown_before_a_message_and_ends_after_it(typing_harness: BackendHarness) -> None:
    assert await sent(typing_harness) == [
        ("getconfig", 0),
        ("sendtyping", 1),
        ("sendmessage", 0),
        ("sendtyping", 2),
    ]
    assert typing_harness.server.bodies("getconfig")[0]["ilink_user_id"] == ME
    assert typing_harness.server.bodies("sendtyping")[0]["typing_ticket"] == "SECRETticket"


async def test_a_ticket_is_used_for_a_while(typing_harness: BackendHarness) -> None:
    await sent(typing_harness, 3)
    assert len(typing_harness.server.asked("getconfig")) == 1
    typing_harness.clock.time += 601
    await sent(typing_harness)
    assert len(typing_harness.server.asked("getconfig")) == 2


async def test_a_ticket_of_the_login_before_is_not_used(typing_harness: BackendHarness) -> None:
    await sent(typing_harness)
    another_bot(typing_harness)
    await typing_harness.log_in()
    await sent(typing_harness)
    assert len(typing_harness.server.asked("getconfig")) == 2


async def test_in_the_next_login_it_is_not_ended_with_a_ticket_of_the_one_before(
    typing_harness: BackendHarness,
) -> None:
    async def take(_request: httpx.Request) -> httpx.Response:
        await typing_harness.log_in()
        return answer(ret=0)

    another_bot(typing_harness)
    typing_harness.server.put("sendmessage", take)
    assert [status for call, status in await sent(typing_harness) if call == "sendtyping"] == [1]


async def test_it_is_not_shown_where_it_is_not_enabled(harness: BackendHarness) -> None:
    await harness.log_in()
    assert await sent(harness) == [("sendmessage", 0)]


@pytest.mark.parametrize(
    "failure",
    [
        answer(ret=-4, errmsg="GetTypingTicket rpc failed"),
        answer(ret=0),
        httpx.ReadError("x"),
        httpx.ConnectError("x"),
    ],
)
async def test_without_a_ticket_the_message_goes_all_the_same(
    typing_harness: BackendHarness, failure: Any
) -> None:
    typing_harness.server.put("getconfig", failure)
    assert await sent(typing_harness, 3) == [("getconfig", 0), *[("sendmessage", 0)] * 3]
    typing_harness.clock.time += 301
    assert (await sent(typing_harness))[-2:] == [("getconfig", 0), ("sendmessage", 0)]


async def test_a_ticket_that_is_refused_is_asked_for_anew_later(typing_harness: BackendHarness) -> None:
    typing_harness.server.put("sendtyping", answer(ret=-1))
    assert await sent(typing_harness, 2) == [("getconfig", 0), ("sendtyping", 1), *[("sendmessage", 0)] * 2]


async def test_what_takes_long_shows_it_again_and_again(typing_harness: BackendHarness) -> None:
    async def slow(_request: httpx.Request) -> httpx.Response:
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            await shown_often.wait()
        return answer(ret=0)

    def count_shown(_request: httpx.Request) -> httpx.Response:
        if len(typing_harness.server.asked("sendtyping")) == 3:
            shown_often.set()
        return answer(ret=0)

    shown_often = asyncio.Event()
    typing_harness.server.put("sendtyping", count_shown)
    typing_harness.server.put("sendmessage", slow)
    shown = [status for call, status in await sent(typing_harness) if call == "sendtyping"]
    assert shown[:3] == [1, 1, 1]
    assert shown[-1] == 2


async def test_closing_does_not_wait_for_the_end_of_the_indicator(typing_harness: BackendHarness) -> None:
    async def hang(_request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    typing_harness.server.put("sendtyping", answer(ret=0), hang)
    await typing_harness.gateway.send(TEXT, SendKey("1"))
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        await typing_harness.gateway.close()
