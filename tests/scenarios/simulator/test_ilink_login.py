"""iLink: from a QR code to a token (ilink 3)."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.ilink_client import APP, ILinkClient
from wx2mqtt.simulator.ilink.simulated_ilink import user_id_of
from wx2mqtt.simulator.server import Simulator


@pytest.fixture(autouse=True)
async def no_violations(sim: Simulator):
    """Checks after each test that no violation is left that the test did not expect."""
    yield
    assert sim.wechat.violations.list() == []


async def test_a_person_scans_and_confirms(sim: Simulator, ilink_client: ILinkClient):
    made = await ilink_client.qrcode()
    assert made["ret"] == 0
    assert re.fullmatch("[0-9a-f]{32}", made["qrcode"])
    landing = "https://liteapp.weixin.qq.com/q/TEST01"
    assert made["qrcode_img_content"] == f"{landing}?qrcode={made['qrcode']}&bot_type=3"
    assert await ilink_client.status(made["qrcode"]) == {"ret": 0, "status": "wait"}
    await ilink_client.control("scan", person="wife")
    assert await ilink_client.status(made["qrcode"]) == {"ret": 0, "status": "scaned"}
    await ilink_client.control("confirm")
    result = await ilink_client.status(made["qrcode"])
    assert result["status"] == "confirmed"
    assert re.fullmatch(r"[0-9a-f]{12}@im\.bot", result["ilink_bot_id"])
    assert re.fullmatch(re.escape(result["ilink_bot_id"]) + ":[0-9a-f]{64}", result["bot_token"])
    assert re.fullmatch(r"o9cq80[\w-]{22}@im\.wechat", result["ilink_user_id"])
    assert result["ilink_user_id"] == user_id_of("wife") != user_id_of("me")
    assert result["baseurl"] == sim.url


async def test_a_poll_is_held_until_something_happens(sim: Simulator, ilink_client: ILinkClient):
    sim.wechat.ilink.settings.hold_status = 30.0
    handle = (await ilink_client.qrcode())["qrcode"]
    poll = asyncio.create_task(ilink_client.status(handle))
    await sim.wechat.changes.wait_for(lambda: sim.wechat.calls["get_qrcode_status"] == 1, MAX_WAIT_SECONDS)
    await ilink_client.control("scan")
    assert (await asyncio.wait_for(poll, MAX_WAIT_SECONDS))["status"] == "scaned"


async def test_a_lost_confirmation_is_given_again(ilink_client: ILinkClient):
    handle = (await ilink_client.qrcode())["qrcode"]
    await ilink_client.control("scan")
    await ilink_client.control("confirm")
    assert await ilink_client.status(handle) == await ilink_client.status(handle)


async def test_releases_before_2_3_1_get_their_code_by_get(sim: Simulator, ilink_client: ILinkClient):
    answer = await ilink_client.http.get("/ilink/bot/get_bot_qrcode?bot_type=3", headers=APP)
    assert answer.json()["ret"] == 0
    assert await ilink_client.violations() == [
        "get_bot_qrcode: tolerated, but: GET instead of POST (clients before 2.3.1)"
    ]


async def test_a_wrong_bot_type_is_ret_2(ilink_client: ILinkClient):
    answer = await ilink_client.http.get("/ilink/bot/get_bot_qrcode?bot_type=1", headers=APP)
    assert answer.json() == {"ret": 2}
    assert await ilink_client.violations() == ["get_bot_qrcode: bot_type is not 3"]


@pytest.mark.parametrize("tokens", [[""], ["a"] * 11, [1]])
async def test_the_list_of_tokens_has_at_most_ten(ilink_client: ILinkClient, tokens: list[str]):
    assert (await ilink_client.qrcode(*tokens))["errmsg"] == "invalid arguments"
    assert len(await ilink_client.violations()) == 1


async def test_a_code_expires_by_itself_and_by_order(sim: Simulator, ilink_client: ILinkClient):
    handle = (await ilink_client.qrcode())["qrcode"]
    await ilink_client.control("expire")
    assert await ilink_client.status(handle) == {"ret": 0, "status": "expired"}
    sim.wechat.ilink.settings.qr_lifetime = 0.0
    assert (await ilink_client.status((await ilink_client.qrcode())["qrcode"]))["status"] == "expired"


async def test_the_number_on_the_phone_must_be_sent(sim: Simulator, ilink_client: ILinkClient):
    sim.wechat.ilink.settings.verify_code = True
    handle = (await ilink_client.qrcode())["qrcode"]
    scan_answer = await ilink_client.control("scan")
    assert re.fullmatch("[0-9]{6}", scan_answer["number"])
    assert (await ilink_client.status(handle))["status"] == "need_verifycode"
    wrong = "000000" if scan_answer["number"] != "000000" else "111111"
    assert (await ilink_client.status(handle, verify_code=wrong))["status"] == "need_verifycode"
    assert (await ilink_client.http.post("/sim/ilink/confirm")).status_code == 409
    assert (await ilink_client.status(handle, verify_code=scan_answer["number"]))["status"] == "scaned"
    await ilink_client.control("confirm")
    assert (await ilink_client.status(handle))["status"] == "confirmed"


async def test_three_wrong_numbers_block_the_code(sim: Simulator, ilink_client: ILinkClient):
    sim.wechat.ilink.settings.verify_code = True
    handle = (await ilink_client.qrcode())["qrcode"]
    await ilink_client.control("scan")
    result = [(await ilink_client.status(handle, verify_code="x"))["status"] for _ in range(3)]
    assert result == ["need_verifycode", "need_verifycode", "verify_code_blocked"]


async def test_another_data_centre_is_named_once_and_polled_from_then_on(
    sim: Simulator, ilink_client: ILinkClient
):
    sim.wechat.ilink.settings.redirect_host = "ilinkai2.weixin.qq.com"
    handle = (await ilink_client.qrcode())["qrcode"]
    await ilink_client.control("scan")
    redirect = {"ret": 0, "status": "scaned_but_redirect", "redirect_host": "ilinkai2.weixin.qq.com"}
    assert await ilink_client.status(handle) == redirect
    assert (await ilink_client.status(handle))["status"] == "scaned"


@pytest.mark.parametrize(("old_host", "status"), [("expired", 200), ("missing", 404)])
async def test_the_old_host_does_not_know_the_code_any_more(
    sim: Simulator, ilink_client: ILinkClient, old_host: str, status: int
):
    await ilink_client.control("settings", redirect_host="ilinkai2.weixin.qq.com", old_host=old_host)
    handle = (await ilink_client.qrcode())["qrcode"]
    await ilink_client.control("scan")

    async def at(host: str) -> httpx.Response:
        headers = {**APP, "Host": host}
        path = f"/ilink/bot/get_qrcode_status?qrcode={handle}"
        return await ilink_client.http.get(path, headers=headers)

    assert (await at("ilinkai.weixin.qq.com")).json()["status"] == "scaned_but_redirect"
    assert (await at("ilinkai.weixin.qq.com")).status_code == status
    assert (await at("ilinkai2.weixin.qq.com")).json()["status"] == "scaned"
    found = await ilink_client.violations()
    assert found == ["get_qrcode_status: polled at the old host after scaned_but_redirect"]


async def test_a_person_whose_bot_is_still_bound_gets_no_new_credentials(ilink_client: ILinkClient):
    await ilink_client.log_in()
    handle = (await ilink_client.qrcode(ilink_client.token))["qrcode"]
    await ilink_client.control("scan")
    await ilink_client.control("confirm")
    assert await ilink_client.status(handle) == {"ret": 0, "status": "binded_redirect"}
    assert await ilink_client.call("msg/notifystart") == {"ret": 0}


async def test_a_dead_token_in_the_list_does_not_prevent_a_new_binding(ilink_client: ILinkClient):
    await ilink_client.log_in()
    await ilink_client.control("kill")
    handle = (await ilink_client.qrcode(ilink_client.token))["qrcode"]
    await ilink_client.control("scan")
    await ilink_client.control("confirm")
    assert (await ilink_client.status(handle))["status"] == "confirmed"


async def test_a_new_binding_kills_the_older_token_and_keeps_the_person(ilink_client: ILinkClient):
    before = await ilink_client.log_in()
    async with ILinkClient(str(ilink_client.http.base_url)) as other:
        after = await other.log_in()
        assert await ilink_client.call("msg/notifystart") == {"errcode": -14, "errmsg": "session timeout"}
        assert await other.call("msg/notifystart") == {"ret": 0}
    assert after["ilink_user_id"] == before["ilink_user_id"]
    assert after["ilink_bot_id"] != before["ilink_bot_id"]


async def test_every_person_has_a_bot_of_their_own(ilink_client: ILinkClient):
    await ilink_client.log_in("me")
    async with ILinkClient(str(ilink_client.http.base_url)) as other:
        await other.log_in("wife")
        await other.control("say", **{"from": "wife", "text": "nur für mich"})
        assert await ilink_client.new() == []
        assert len(await other.new()) == 1


async def test_a_phone_that_cannot_bind_leaves_the_code_as_it_was(ilink_client: ILinkClient):
    await ilink_client.control("settings", refuse_bind=True)
    handle = (await ilink_client.qrcode())["qrcode"]
    assert (await ilink_client.http.post("/sim/ilink/scan")).status_code == 409
    assert (await ilink_client.status(handle))["status"] == "wait"


async def test_a_code_can_be_scanned_and_confirmed_automatically(ilink_client: ILinkClient):
    await ilink_client.control("settings", autoscan="mom")
    handle = (await ilink_client.qrcode())["qrcode"]
    assert (await ilink_client.status(handle))["status"] == "scaned"
    result = await ilink_client.status(handle)
    assert result["ilink_user_id"] == user_id_of("mom")


@pytest.mark.parametrize(
    ("wanted", "result"), [("", ""), ("https://x.weixin.qq.com", "https://x.weixin.qq.com")]
)
async def test_the_base_url_can_be_none_or_another(ilink_client: ILinkClient, wanted: str, result: str):
    await ilink_client.control("settings", baseurl=wanted)
    assert (await ilink_client.log_in())["baseurl"] == result


async def test_a_gateway_may_give_up_on_a_poll(ilink_client: ILinkClient):
    handle = (await ilink_client.qrcode())["qrcode"]
    order = {"endpoint": "get_qrcode_status", "kind": "status", "value": 524}
    await ilink_client.http.post("/sim/fault", json=order)
    path = f"/ilink/bot/get_qrcode_status?qrcode={handle}"
    assert (await ilink_client.http.get(path, headers=APP)).status_code == 524
    assert (await ilink_client.status(handle))["status"] == "wait"


async def test_an_unknown_handle_is_expired_and_a_violation(ilink_client: ILinkClient):
    assert (await ilink_client.status("0" * 32))["status"] == "expired"
    assert await ilink_client.violations() == ["get_qrcode_status: qrcode is none that was handed out"]


async def test_the_status_poll_carries_no_secret(bound_client: ILinkClient):
    handle = (await bound_client.qrcode())["qrcode"]
    path = f"/ilink/bot/get_qrcode_status?qrcode={handle}"
    await bound_client.http.get(path, headers=bound_client.headers())
    assert len(await bound_client.violations()) == 2


async def test_after_a_reset_old_tokens_are_dead_also_in_a_held_poll(
    sim: Simulator, bound_client: ILinkClient
):
    sim.wechat.ilink.settings.hold_updates = 30.0
    poll = asyncio.create_task(bound_client.poll())
    await sim.wechat.changes.wait_for(lambda: sim.wechat.calls["getupdates"] == 1, MAX_WAIT_SECONDS)
    await bound_client.http.post("/sim/reset")
    assert (await asyncio.wait_for(poll, MAX_WAIT_SECONDS))["errcode"] == -14
    assert (await bound_client.call("msg/notifystart"))["errcode"] == -14
