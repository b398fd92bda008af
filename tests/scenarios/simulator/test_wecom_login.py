"""The login by scan: two calls over HTTP, and what each state of the code answers."""

from __future__ import annotations

from typing import Any

from tests.support.wecom_client import WeComClient
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.simulator.wecom.qr_codes import SCANNED_WORDS, WAITING_WORDS

GENERATE, QUERY = "/ai/qc/generate", "/ai/qc/query_result"


async def generated(program: WeComClient) -> str:
    """A new code; its scode."""
    answer = await program.http.get(GENERATE, params={"source": "wx2mqtt", "plat": 3})
    data = answer.json()["data"]
    assert data["auth_url"].startswith(program.url)
    assert data["auth_url"].endswith(f"?s={data['scode']}")
    return str(data["scode"])


async def result(program: WeComClient, scode: str) -> dict[str, Any]:
    data: dict[str, Any] = (await program.http.get(QUERY, params={"scode": scode})).json()["data"]
    return data


async def test_a_scan_makes_a_bot_that_can_subscribe(sim: Simulator, stranger: WeComClient):
    sim.wechat.settings.strict = False
    scode = await generated(stranger)
    waiting = [(await result(stranger, scode))["status"] for _ in range(5)]
    assert waiting == [*WAITING_WORDS]
    scanned = await stranger.control("scan", person="wife")
    assert (scanned["status"], scanned["source"], scanned["person"]) == ("scanned", "wx2mqtt", "wife")
    assert (await result(stranger, scode))["status"] in SCANNED_WORDS
    confirmed = await stranger.control("confirm", scode=scode)
    data = await result(stranger, scode)
    assert data["status"] == "success"
    assert data["bot_info"]["botid"] == confirmed["bot"]
    assert (await result(stranger, scode)) == data, "its answer may have been lost"
    answer = await stranger.log_in(data["bot_info"]["botid"], data["bot_info"]["secret"])
    assert answer["errcode"] == 0
    assert await stranger.violations() == []


async def test_a_second_scan_of_a_person_finds_the_same_bot_or_makes_another(
    sim: Simulator, stranger: WeComClient
):
    bots = []
    for setting in ("same", "same", "new"):
        await stranger.control("settings", scan_makes=setting)
        await generated(stranger)
        await stranger.control("scan")
        bots.append((await stranger.control("confirm"))["bot"])
    assert bots[0] == bots[1] != bots[2]


async def test_a_code_expires_or_fails(stranger: WeComClient):
    for action, status in (("expire", "expired"), ("fail", "failed")):
        scode = await generated(stranger)
        await stranger.control(action)
        assert (await result(stranger, scode)) == {"status": status}
    await stranger.control("settings", qr_lifetime=0.0)
    assert (await result(stranger, await generated(stranger))) == {"status": "expired"}
    answer = await stranger.http.post("/sim/wecom/scan", json={})
    assert (answer.status_code, answer.json()["error"]) == (409, "cannot scan a code that is expired")


async def test_a_code_is_scanned_by_itself_if_the_settings_say_so(sim: Simulator, stranger: WeComClient):
    sim.wechat.settings.strict = False
    await stranger.control("settings", autoscan="me", waiting_words="wait")
    scode = await generated(stranger)
    assert [(await result(stranger, scode))["status"] for _ in range(2)] == ["scanned", "success"]


async def test_wrong_calls_are_counted(stranger: WeComClient):
    await stranger.http.get(GENERATE)
    await stranger.http.get(GENERATE, params={"source": "x", "plat": 9})
    await stranger.http.post(GENERATE, params={"source": "x", "plat": 0})
    await stranger.http.get(QUERY, params={"scode": "none"})
    scode = await generated(stranger)
    await result(stranger, scode)
    await result(stranger, scode)
    assert await stranger.violations() == [
        "qc_generate: source is missing or too long",
        "qc_generate: tolerated, but: plat is not 0, 1, 2 or 3",
        "qc_generate: POST instead of GET",
        "qc_query_result: scode is none that was handed out",
        "qc_query_result: tolerated, but: polls of one code less than a second apart",
    ]


async def test_a_call_can_answer_with_a_code(stranger: WeComClient):
    await stranger.fault("qc_generate", "ret", value=45009)
    answer = await stranger.http.get(GENERATE, params={"source": "x", "plat": 0})
    assert answer.json() == {"errcode": 45009, "errmsg": "api freq out of limit"}


async def test_the_code_is_drawn_for_the_phone(stranger: WeComClient):
    scode = await generated(stranger)
    picture = await stranger.http.get(f"/sim/wecom/qrcode/{scode}")
    assert picture.headers["content-type"] == "image/jpeg"


async def test_a_reset_forgets_all(sim: Simulator, bot: WeComClient):
    await generated(bot)
    await bot.http.post("/sim/reset")
    assert await bot.end() == 1001
    state = await bot.seen("state")
    assert (state["codes"], state["connections"]) == ([], 0)
