"""The login by scan: two calls over HTTP, and what each state of the code answers."""

from __future__ import annotations

from typing import Any

from tests.support.wecom_client import WeComClient
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.simulator.wecom.qr_codes import SCANNED_WORDS, WAITING_WORDS

GENERATE, QUERY = "/ai/qc/generate", "/ai/qc/query_result"


async def generate_code(client: WeComClient) -> str:
    """Asks for a new code; returns its scode."""
    answer = await client.http.get(GENERATE, params={"source": "wx2mqtt", "plat": 3})
    data = answer.json()["data"]
    assert data["auth_url"].startswith(client.url)
    assert data["auth_url"].endswith(f"?s={data['scode']}")
    return str(data["scode"])


async def query_result(client: WeComClient, scode: str) -> dict[str, Any]:
    data: dict[str, Any] = (await client.http.get(QUERY, params={"scode": scode})).json()["data"]
    return data


async def test_a_scan_makes_a_bot_that_can_subscribe(sim: Simulator, wecom_client: WeComClient):
    sim.wechat.settings.strict = False
    scode = await generate_code(wecom_client)
    waiting = [(await query_result(wecom_client, scode))["status"] for _ in range(5)]
    assert waiting == [*WAITING_WORDS]
    scanned = await wecom_client.control("scan", person="wife")
    assert (scanned["status"], scanned["source"], scanned["person"]) == ("scanned", "wx2mqtt", "wife")
    assert (await query_result(wecom_client, scode))["status"] in SCANNED_WORDS
    confirmed = await wecom_client.control("confirm", scode=scode)
    data = await query_result(wecom_client, scode)
    assert data["status"] == "success"
    assert data["bot_info"]["botid"] == confirmed["bot"]
    assert (await query_result(wecom_client, scode)) == data, "its answer may have been lost"
    answer = await wecom_client.log_in(data["bot_info"]["botid"], data["bot_info"]["secret"])
    assert answer["errcode"] == 0
    assert await wecom_client.violations() == []


async def test_a_second_scan_of_a_person_finds_the_same_bot_or_makes_another(
    sim: Simulator, wecom_client: WeComClient
):
    bots = []
    for setting in ("same", "same", "new"):
        await wecom_client.control("settings", scan_makes=setting)
        await generate_code(wecom_client)
        await wecom_client.control("scan")
        bots.append((await wecom_client.control("confirm"))["bot"])
    assert bots[0] == bots[1] != bots[2]


async def test_a_code_expires_or_fails(wecom_client: WeComClient):
    for action, status in (("expire", "expired"), ("fail", "failed")):
        scode = await generate_code(wecom_client)
        await wecom_client.control(action)
        assert (await query_result(wecom_client, scode)) == {"status": status}
    await wecom_client.control("settings", qr_lifetime=0.0)
    assert (await query_result(wecom_client, await generate_code(wecom_client))) == {"status": "expired"}
    answer = await wecom_client.http.post("/sim/wecom/scan", json={})
    assert (answer.status_code, answer.json()["error"]) == (409, "cannot scan a code that is expired")


async def test_a_code_is_scanned_by_itself_if_the_settings_say_so(sim: Simulator, wecom_client: WeComClient):
    sim.wechat.settings.strict = False
    await wecom_client.control("settings", autoscan="me", waiting_words="wait")
    scode = await generate_code(wecom_client)
    assert [(await query_result(wecom_client, scode))["status"] for _ in range(2)] == ["scanned", "success"]


async def test_wrong_calls_are_counted(wecom_client: WeComClient):
    await wecom_client.http.get(GENERATE)
    await wecom_client.http.get(GENERATE, params={"source": "x", "plat": 9})
    await wecom_client.http.post(GENERATE, params={"source": "x", "plat": 0})
    await wecom_client.http.get(QUERY, params={"scode": "none"})
    scode = await generate_code(wecom_client)
    await query_result(wecom_client, scode)
    await query_result(wecom_client, scode)
    assert await wecom_client.violations() == [
        "qc_generate: source is missing or too long",
        "qc_generate: tolerated, but: plat is not 0, 1, 2 or 3",
        "qc_generate: POST instead of GET",
        "qc_query_result: scode is none that was handed out",
        "qc_query_result: tolerated, but: polls of one code less than a second apart",
    ]


async def test_a_call_can_answer_with_a_code(wecom_client: WeComClient):
    await wecom_client.fault("qc_generate", "ret", value=45009)
    answer = await wecom_client.http.get(GENERATE, params={"source": "x", "plat": 0})
    assert answer.json() == {"errcode": 45009, "errmsg": "api freq out of limit"}


async def test_the_phone_gets_a_picture_of_the_code(wecom_client: WeComClient):
    scode = await generate_code(wecom_client)
    picture = await wecom_client.http.get(f"/sim/wecom/qrcode/{scode}")
    assert picture.headers["content-type"] == "image/jpeg"


async def test_a_reset_removes_all_bots_and_codes(sim: Simulator, subscribed_client: WeComClient):
    await generate_code(subscribed_client)
    await subscribed_client.http.post("/sim/reset")
    assert await subscribed_client.end() == 1001
    state = await subscribed_client.seen("state")
    assert (state["codes"], state["connections"]) == ([], 0)
