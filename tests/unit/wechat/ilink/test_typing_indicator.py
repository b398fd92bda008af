"""The typing indicator: shown where it is enabled, and its failures do not affect sending (ilink 7)."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.wechat.ilink.entries import ME
from tests.unit.wechat.ilink.server import ILinkRig, another_bot, answer
from wx2mqtt.model import Draft, Handle, Kind, SendKey

TEXT = Draft(chat=Handle(ME), kind=Kind.TEXT, text="ok")


async def sent(rig: ILinkRig, times: int = 1) -> list[tuple[str, int]]:
    for number in range(times):
        await rig.send(TEXT, SendKey(str(number)))
        await asyncio.sleep(0)
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        await asyncio.gather(*rig.backend._typing_indicator._stop_tasks)
    calls = rig.calls()
    shown = iter(body["status"] for body in rig.bodies("sendtyping"))
    return [(call, next(shown) if call == "sendtyping" else 0) for call in calls if call != "get_bot_qrcode"][
        2:
    ]


@pytest.fixture
async def typing_rig() -> Any:
    rig = ILinkRig(typing=True)
    await rig.log_in()
    yield rig
    await rig.backend.close()


async def test_it_is_shown_before_a_message_and_ends_after_it(typing_rig: ILinkRig) -> None:
    assert await sent(typing_rig) == [
        ("getconfig", 0),
        ("sendtyping", 1),
        ("sendmessage", 0),
        ("sendtyping", 2),
    ]
    assert typing_rig.bodies("getconfig")[0]["ilink_user_id"] == ME
    assert typing_rig.bodies("sendtyping")[0]["typing_ticket"] == "SECRETticket"


async def test_a_ticket_is_used_for_a_while(typing_rig: ILinkRig) -> None:
    await sent(typing_rig, 3)
    assert len(typing_rig.asked("getconfig")) == 1
    typing_rig.clock.time += 601
    await sent(typing_rig)
    assert len(typing_rig.asked("getconfig")) == 2


async def test_a_ticket_of_the_login_before_is_not_used(typing_rig: ILinkRig) -> None:
    await sent(typing_rig)
    typing_rig.put("get_qrcode_status", another_bot())
    await typing_rig.log_in()
    await sent(typing_rig)
    assert len(typing_rig.asked("getconfig")) == 2


async def test_in_the_next_login_it_is_not_ended_with_a_ticket_of_the_one_before(
    typing_rig: ILinkRig,
) -> None:
    async def take(_request: httpx.Request) -> httpx.Response:
        await typing_rig.log_in()
        return answer(ret=0)

    typing_rig.put("get_qrcode_status", another_bot())
    typing_rig.put("sendmessage", take)
    assert [status for call, status in await sent(typing_rig) if call == "sendtyping"] == [1]


async def test_it_is_not_shown_where_it_is_not_enabled(rig: ILinkRig) -> None:
    await rig.log_in()
    assert await sent(rig) == [("sendmessage", 0)]


@pytest.mark.parametrize(
    "failure",
    [
        answer(ret=-4, errmsg="GetTypingTicket rpc failed"),
        answer(ret=0),
        httpx.ReadError("x"),
        httpx.ConnectError("x"),
    ],
)
async def test_without_a_ticket_the_message_goes_all_the_same(typing_rig: ILinkRig, failure: Any) -> None:
    typing_rig.put("getconfig", failure)
    assert await sent(typing_rig, 3) == [("getconfig", 0), *[("sendmessage", 0)] * 3]
    typing_rig.clock.time += 301
    assert (await sent(typing_rig))[-2:] == [("getconfig", 0), ("sendmessage", 0)]


async def test_a_ticket_that_is_refused_is_asked_for_anew_later(typing_rig: ILinkRig) -> None:
    typing_rig.put("sendtyping", answer(ret=-1))
    assert await sent(typing_rig, 2) == [("getconfig", 0), ("sendtyping", 1), *[("sendmessage", 0)] * 2]


async def test_what_takes_long_shows_it_again_and_again(typing_rig: ILinkRig) -> None:
    async def slow(_request: httpx.Request) -> httpx.Response:
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            await shown_often.wait()
        return answer(ret=0)

    def count_shown(_request: httpx.Request) -> httpx.Response:
        if len(typing_rig.asked("sendtyping")) == 3:
            shown_often.set()
        return answer(ret=0)

    shown_often = asyncio.Event()
    typing_rig.put("sendtyping", count_shown)
    typing_rig.put("sendmessage", slow)
    shown = [status for call, status in await sent(typing_rig) if call == "sendtyping"]
    assert shown[:3] == [1, 1, 1]
    assert shown[-1] == 2


async def test_closing_does_not_wait_for_the_end_of_the_indicator(typing_rig: ILinkRig) -> None:
    async def hang(_request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    typing_rig.put("sendtyping", answer(ret=0), hang)
    await typing_rig.send(TEXT, SendKey("1"))
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        await typing_rig.backend.close()
