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
async def courteous() -> Any:
    harness = BackendHarness(typing=True)
    await harness.log_in()
    yield harness
    await harness.gateway.close()


async def test_it_is_shown_before_a_message_and_ends_after_it(courteous: BackendHarness) -> None:
    assert await sent(courteous) == [
        ("getconfig", 0),
        ("sendtyping", 1),
        ("sendmessage", 0),
        ("sendtyping", 2),
    ]
    assert courteous.server.bodies("getconfig")[0]["ilink_user_id"] == ME
    assert courteous.server.bodies("sendtyping")[0]["typing_ticket"] == "SECRETticket"


async def test_a_ticket_is_used_for_a_while(courteous: BackendHarness) -> None:
    await sent(courteous, 3)
    assert len(courteous.server.asked("getconfig")) == 1
    courteous.clock.time += 601
    await sent(courteous)
    assert len(courteous.server.asked("getconfig")) == 2


async def test_a_ticket_of_the_login_before_is_not_used(courteous: BackendHarness) -> None:
    await sent(courteous)
    another_bot(courteous)
    await courteous.log_in()
    await sent(courteous)
    assert len(courteous.server.asked("getconfig")) == 2


async def test_in_the_next_login_it_is_not_ended_with_a_ticket_of_the_one_before(
    courteous: BackendHarness,
) -> None:
    async def take(_request: httpx.Request) -> httpx.Response:
        await courteous.log_in()
        return answer(ret=0)

    another_bot(courteous)
    courteous.server.put("sendmessage", take)
    assert [status for call, status in await sent(courteous) if call == "sendtyping"] == [1]


async def test_who_did_not_ask_for_it_does_not_get_it(harness: BackendHarness) -> None:
    await harness.log_in()
    assert await sent(harness) == [("sendmessage", 0)]


@pytest.mark.parametrize(
    "trouble",
    [
        answer(ret=-4, errmsg="GetTypingTicket rpc failed"),
        answer(ret=0),
        httpx.ReadError("x"),
        httpx.ConnectError("x"),
    ],
)
async def test_without_a_ticket_the_message_goes_all_the_same(
    courteous: BackendHarness, trouble: Any
) -> None:
    courteous.server.put("getconfig", trouble)
    assert await sent(courteous, 3) == [("getconfig", 0), *[("sendmessage", 0)] * 3]
    courteous.clock.time += 301
    assert (await sent(courteous))[-2:] == [("getconfig", 0), ("sendmessage", 0)]


async def test_a_ticket_that_is_refused_is_asked_for_anew_later(courteous: BackendHarness) -> None:
    courteous.server.put("sendtyping", answer(ret=-1))
    assert await sent(courteous, 2) == [("getconfig", 0), ("sendtyping", 1), *[("sendmessage", 0)] * 2]


async def test_what_takes_long_shows_it_again_and_again(courteous: BackendHarness) -> None:
    async def slow(_request: httpx.Request) -> httpx.Response:
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            await often.wait()
        return answer(ret=0)

    def shows(_request: httpx.Request) -> httpx.Response:
        if len(courteous.server.asked("sendtyping")) == 3:
            often.set()
        return answer(ret=0)

    often = asyncio.Event()
    courteous.server.put("sendtyping", shows)
    courteous.server.put("sendmessage", slow)
    shown = [status for call, status in await sent(courteous) if call == "sendtyping"]
    assert shown[:3] == [1, 1, 1]
    assert shown[-1] == 2


async def test_the_end_waits_for_nothing(courteous: BackendHarness) -> None:
    async def hang(_request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    courteous.server.put("sendtyping", answer(ret=0), hang)
    await courteous.gateway.send(TEXT, SendKey("1"))
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        await courteous.gateway.close()
