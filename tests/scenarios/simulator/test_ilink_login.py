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
    """At the end every violation was expected and read."""
    yield
    assert sim.wechat.violations.list() == []


async def test_a_person_scans_and_confirms(sim: Simulator, program: ILinkClient):
    made = await program.qrcode()
    assert made["ret"] == 0
    assert re.fullmatch("[0-9a-f]{32}", made["qrcode"])
    landing = "https://liteapp.weixin.qq.com/q/TEST01"
    assert made["qrcode_img_content"] == f"{landing}?qrcode={made['qrcode']}&bot_type=3"
    assert await program.status(made["qrcode"]) == {"ret": 0, "status": "wait"}
    await program.control("scan", person="wife")
    assert await program.status(made["qrcode"]) == {"ret": 0, "status": "scaned"}
    await program.control("confirm")
    result = await program.status(made["qrcode"])
    assert result["status"] == "confirmed"
    assert re.fullmatch(r"[0-9a-f]{12}@im\.bot", result["ilink_bot_id"])
    assert re.fullmatch(re.escape(result["ilink_bot_id"]) + ":[0-9a-f]{64}", result["bot_token"])
    assert re.fullmatch(r"o9cq80[\w-]{22}@im\.wechat", result["ilink_user_id"])
    assert result["ilink_user_id"] == user_id_of("wife") != user_id_of("me")
    assert result["baseurl"] == sim.url


async def test_a_poll_is_held_until_something_happens(sim: Simulator, program: ILinkClient):
    sim.wechat.ilink.settings.hold_status = 30.0
    handle = (await program.qrcode())["qrcode"]
    poll = asyncio.create_task(program.status(handle))
    await sim.wechat.changes.wait_for(lambda: sim.wechat.calls["get_qrcode_status"] == 1, MAX_WAIT_SECONDS)
    await program.control("scan")
    assert (await asyncio.wait_for(poll, MAX_WAIT_SECONDS))["status"] == "scaned"


async def test_a_lost_confirmation_is_given_again(program: ILinkClient):
    handle = (await program.qrcode())["qrcode"]
    await program.control("scan")
    await program.control("confirm")
    assert await program.status(handle) == await program.status(handle)


async def test_releases_before_2_3_1_get_their_code_by_get(sim: Simulator, program: ILinkClient):
    answer = await program.http.get("/ilink/bot/get_bot_qrcode?bot_type=3", headers=APP)
    assert answer.json()["ret"] == 0
    assert await program.violations() == [
        "get_bot_qrcode: tolerated, but: GET instead of POST (clients before 2.3.1)"
    ]


async def test_a_wrong_bot_type_is_ret_2(program: ILinkClient):
    answer = await program.http.get("/ilink/bot/get_bot_qrcode?bot_type=1", headers=APP)
    assert answer.json() == {"ret": 2}
    assert await program.violations() == ["get_bot_qrcode: bot_type is not 3"]


@pytest.mark.parametrize("tokens", [[""], ["a"] * 11, [1]])
async def test_the_list_of_tokens_has_at_most_ten(program: ILinkClient, tokens: list[str]):
    assert (await program.qrcode(*tokens))["errmsg"] == "invalid arguments"
    assert len(await program.violations()) == 1


async def test_a_code_expires_by_itself_and_by_order(sim: Simulator, program: ILinkClient):
    handle = (await program.qrcode())["qrcode"]
    await program.control("expire")
    assert await program.status(handle) == {"ret": 0, "status": "expired"}
    sim.wechat.ilink.settings.qr_lifetime = 0.0
    assert (await program.status((await program.qrcode())["qrcode"]))["status"] == "expired"


async def test_the_number_on_the_phone_must_be_sent(sim: Simulator, program: ILinkClient):
    sim.wechat.ilink.settings.verify_code = True
    handle = (await program.qrcode())["qrcode"]
    shown = await program.control("scan")
    assert re.fullmatch("[0-9]{6}", shown["number"])
    assert (await program.status(handle))["status"] == "need_verifycode"
    wrong = "000000" if shown["number"] != "000000" else "111111"
    assert (await program.status(handle, verify_code=wrong))["status"] == "need_verifycode"
    assert (await program.http.post("/sim/ilink/confirm")).status_code == 409
    assert (await program.status(handle, verify_code=shown["number"]))["status"] == "scaned"
    await program.control("confirm")
    assert (await program.status(handle))["status"] == "confirmed"


async def test_three_wrong_numbers_block_the_code(sim: Simulator, program: ILinkClient):
    sim.wechat.ilink.settings.verify_code = True
    handle = (await program.qrcode())["qrcode"]
    await program.control("scan")
    result = [(await program.status(handle, verify_code="x"))["status"] for _ in range(3)]
    assert result == ["need_verifycode", "need_verifycode", "verify_code_blocked"]


async def test_another_data_centre_is_told_once_and_polled_on_there(sim: Simulator, program: ILinkClient):
    sim.wechat.ilink.settings.redirect_host = "ilinkai2.weixin.qq.com"
    handle = (await program.qrcode())["qrcode"]
    await program.control("scan")
    redirect = {"ret": 0, "status": "scaned_but_redirect", "redirect_host": "ilinkai2.weixin.qq.com"}
    assert await program.status(handle) == redirect
    assert (await program.status(handle))["status"] == "scaned"


@pytest.mark.parametrize(("old_host", "status"), [("expired", 200), ("missing", 404)])
async def test_the_old_host_does_not_know_the_code_any_more(
    sim: Simulator, program: ILinkClient, old_host: str, status: int
):
    await program.control("settings", redirect_host="ilinkai2.weixin.qq.com", old_host=old_host)
    handle = (await program.qrcode())["qrcode"]
    await program.control("scan")

    async def at(host: str) -> httpx.Response:
        headers = {**APP, "Host": host}
        path = f"/ilink/bot/get_qrcode_status?qrcode={handle}"
        return await program.http.get(path, headers=headers)

    assert (await at("ilinkai.weixin.qq.com")).json()["status"] == "scaned_but_redirect"
    assert (await at("ilinkai.weixin.qq.com")).status_code == status
    assert (await at("ilinkai2.weixin.qq.com")).json()["status"] == "scaned"
    found = await program.violations()
    assert found == ["get_qrcode_status: polled at the old host after scaned_but_redirect"]


async def test_who_is_bound_still_gets_no_new_credentials(program: ILinkClient):
    await program.log_in()
    handle = (await program.qrcode(program.token))["qrcode"]
    await program.control("scan")
    await program.control("confirm")
    assert await program.status(handle) == {"ret": 0, "status": "binded_redirect"}
    assert await program.call("msg/notifystart") == {"ret": 0}


async def test_a_dead_token_in_the_list_does_not_hold_up_a_new_binding(program: ILinkClient):
    await program.log_in()
    await program.control("kill")
    handle = (await program.qrcode(program.token))["qrcode"]
    await program.control("scan")
    await program.control("confirm")
    assert (await program.status(handle))["status"] == "confirmed"


async def test_a_new_binding_kills_the_older_token_and_keeps_the_person(program: ILinkClient):
    before = await program.log_in()
    async with ILinkClient(str(program.http.base_url)) as other:
        after = await other.log_in()
        assert await program.call("msg/notifystart") == {"errcode": -14, "errmsg": "session timeout"}
        assert await other.call("msg/notifystart") == {"ret": 0}
    assert after["ilink_user_id"] == before["ilink_user_id"]
    assert after["ilink_bot_id"] != before["ilink_bot_id"]


async def test_every_person_has_a_bot_of_their_own(program: ILinkClient):
    await program.log_in("me")
    async with ILinkClient(str(program.http.base_url)) as other:
        await other.log_in("wife")
        await other.control("say", **{"from": "wife", "text": "nur für mich"})
        assert await program.new() == []
        assert len(await other.new()) == 1


async def test_a_phone_that_cannot_bind_leaves_the_code_as_it_was(program: ILinkClient):
    await program.control("settings", refuse_bind=True)
    handle = (await program.qrcode())["qrcode"]
    assert (await program.http.post("/sim/ilink/scan")).status_code == 409
    assert (await program.status(handle))["status"] == "wait"


async def test_somebody_who_scans_and_confirms_by_themselves(program: ILinkClient):
    await program.control("settings", autoscan="mom")
    handle = (await program.qrcode())["qrcode"]
    assert (await program.status(handle))["status"] == "scaned"
    result = await program.status(handle)
    assert result["ilink_user_id"] == user_id_of("mom")


@pytest.mark.parametrize(
    ("wanted", "result"), [("", ""), ("https://x.weixin.qq.com", "https://x.weixin.qq.com")]
)
async def test_the_base_url_can_be_none_or_another(program: ILinkClient, wanted: str, result: str):
    await program.control("settings", baseurl=wanted)
    assert (await program.log_in())["baseurl"] == result


async def test_a_gateway_may_give_up_on_a_poll(program: ILinkClient):
    handle = (await program.qrcode())["qrcode"]
    order = {"endpoint": "get_qrcode_status", "kind": "status", "value": 524}
    await program.http.post("/sim/fault", json=order)
    path = f"/ilink/bot/get_qrcode_status?qrcode={handle}"
    assert (await program.http.get(path, headers=APP)).status_code == 524
    assert (await program.status(handle))["status"] == "wait"


async def test_an_unknown_handle_is_expired_and_a_violation(program: ILinkClient):
    assert (await program.status("0" * 32))["status"] == "expired"
    assert await program.violations() == ["get_qrcode_status: qrcode is none that was handed out"]


async def test_the_status_poll_carries_no_secret(bound: ILinkClient):
    handle = (await bound.qrcode())["qrcode"]
    path = f"/ilink/bot/get_qrcode_status?qrcode={handle}"
    await bound.http.get(path, headers=bound.headers())
    assert len(await bound.violations()) == 2


async def test_after_a_reset_old_tokens_are_dead_also_in_a_held_poll(sim: Simulator, bound: ILinkClient):
    sim.wechat.ilink.settings.hold_updates = 30.0
    poll = asyncio.create_task(bound.poll())
    await sim.wechat.changes.wait_for(lambda: sim.wechat.calls["getupdates"] == 1, MAX_WAIT_SECONDS)
    await bound.http.post("/sim/reset")
    assert (await asyncio.wait_for(poll, MAX_WAIT_SECONDS))["errcode"] == -14
    assert (await bound.call("msg/notifystart"))["errcode"] == -14
