"""iLink: the headers and values that every call of a bot must have (ilink 2)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.ilink_client import BASE_INFO, ILinkClient
from wx2mqtt.simulator.server import Simulator

STALE = {"errcode": -14, "errmsg": "session timeout"}
INVALID = {"ret": -2, "errmsg": "invalid arguments"}


async def send_notifystart(client: ILinkClient, headers: dict[str, str | None], body: Any = None) -> Any:
    """Sends a notifystart with some headers changed or, where they are None, left out; returns the answer."""
    sent = {name: value for name, value in {**client.headers(), **headers}.items() if value is not None}
    fields = {"base_info": BASE_INFO} if body is None else body
    return (await client.http.post("/ilink/bot/msg/notifystart", json=fields, headers=sent)).json()


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({"iLink-App-Id": None}, STALE),
        ({"iLink-App-Id": "cat"}, STALE),
        ({"iLink-App-ClientVersion": None}, STALE),
        ({"iLink-App-ClientVersion": "2.4.9"}, STALE),
        ({"Authorization": None}, STALE),
        ({"Authorization": "Basic x"}, STALE),
        ({"AuthorizationType": None}, INVALID),
        ({"X-WECHAT-UIN": None}, INVALID),
        ({"X-WECHAT-UIN": "MTIzNDU2Nzg5MDEyMzQ1"}, INVALID),
        ({"X-WECHAT-UIN": "eHl6"}, INVALID),
        ({"Content-Type": "text/plain"}, INVALID),
    ],
)
async def test_a_header_that_is_missing_or_wrong_is_refused_and_recorded(
    bound_client: ILinkClient, headers: dict[str, str | None], answer: Any
):
    assert await send_notifystart(bound_client, headers) == answer
    assert len(await bound_client.violations()) == 1


@pytest.mark.parametrize(
    "info",
    [
        None,
        {},
        {"channel_version": ""},
        {"channel_version": 2},
    ],
)
async def test_base_info_says_who_it_is(bound_client: ILinkClient, info: Any):
    assert (
        await send_notifystart(bound_client, {}, {"base_info": info} if info is not None else {}) == INVALID
    )
    assert len(await bound_client.violations()) == 1


@pytest.mark.parametrize(
    "agent", ["", "spaces in it", "Name/1.0 (a) (b)", "ä/1", "x" * 33 + "/1", "A/1  B/2"]
)
async def test_a_bot_agent_of_another_form_is_a_violation(bound_client: ILinkClient, agent: str):
    info = {**BASE_INFO, "bot_agent": agent}
    assert await send_notifystart(bound_client, {}, {"base_info": info}) == {"ret": 0}
    assert await bound_client.violations() == [
        "notifystart: base_info.bot_agent is not Name/Version (comment)"
    ]


async def test_the_version_of_the_header_is_that_of_the_body(bound_client: ILinkClient):
    info = {**BASE_INFO, "channel_version": "2.4.6"}
    assert await send_notifystart(bound_client, {}, {"base_info": info}) == {"ret": 0}
    assert len(await bound_client.violations()) == 1


async def test_the_random_number_is_new_for_each_call(bound_client: ILinkClient):
    for _ in range(2):
        assert await send_notifystart(bound_client, {"X-WECHAT-UIN": "MzA1NDE5ODk2"}) == {"ret": 0}
    assert await bound_client.violations() == [
        "notifystart: tolerated, but: X-WECHAT-UIN is that of the call before"
    ]


async def test_a_token_that_nobody_gave_is_stale_and_no_violation(bound_client: ILinkClient):
    bound_client.token = "0123456789ab@im.bot:06aa"
    assert await bound_client.call("msg/notifystart") == STALE
    assert await bound_client.violations() == []


async def test_tolerated_calls_are_no_violation_outside_of_strict_mode(
    sim: Simulator, bound_client: ILinkClient
):
    sim.wechat.settings.strict = False
    for _ in range(2):
        assert await send_notifystart(bound_client, {"X-WECHAT-UIN": "MzA1NDE5ODk2"}) == {"ret": 0}
    assert await bound_client.violations() == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
async def test_a_body_that_is_no_object_is_refused(bound_client: ILinkClient, body: bytes):
    headers = {**bound_client.headers(), "Content-Type": "application/json"}
    answer = await bound_client.http.post("/ilink/bot/msg/notifystart", content=body, headers=headers)
    assert answer.json() == INVALID
    assert len(await bound_client.violations()) == 1


@pytest.mark.parametrize(
    ("host", "path"), [("wx.qq.com", "/ilink/bot/getupdates"), ("ilinkai.weixin.qq.com", "/c2c/upload")]
)
async def test_a_host_of_tencent_serves_only_what_it_is_for(bound_client: ILinkClient, host: str, path: str):
    answer = await bound_client.http.post(path, json={}, headers={**bound_client.headers(), "Host": host})
    assert answer.status_code == 404
    assert len(await bound_client.violations()) == 1


async def test_get_where_post_is_wanted_is_not_found(bound_client: ILinkClient):
    assert (
        await bound_client.http.get("/ilink/bot/getupdates", headers=bound_client.headers())
    ).status_code == 404
    assert await bound_client.violations() == ["getupdates: GET instead of POST"]
