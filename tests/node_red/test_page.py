"""The page with the QR code: alive, in both languages, and never an old code."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pytest
import zxingcpp
from PIL import Image

from tests.node_red.house import House
from tests.support.chromium import MISSING, Chromium
from tests.support.deadlines import MAX_WAIT_SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_CODE = 404


async def get(house: House, path: str, language: str = "en") -> httpx.Response:
    async with httpx.AsyncClient(base_url=house.red.url, trust_env=False, timeout=MAX_WAIT_SECONDS) as http:
        return await http.get(path, headers={"Accept-Language": language})


async def state(house: House, **wanted: Any) -> dict[str, Any]:
    """What `/wechat/state` says, once it says what is wanted."""
    for _ in range(2000):
        found: dict[str, Any] = (await get(house, "/wechat/state")).json()
        if wanted.items() <= found.items():
            return found
    raise AssertionError(found)


async def code(house: House) -> str:
    """What a phone reads from the picture."""
    answer = await get(house, "/wechat/qr.png")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["cache-control"] == "no-store"
    (found,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(answer.content)).convert("L"))
    return str(found.text)


async def test_logged_in_there_is_no_code_and_the_page_says_so_in_the_readers_language(house: House):
    await house.load("qr-page")
    assert await state(house, say="Logged in. Nothing to do.") == {
        "code": False,
        "version": 1,
        "say": "Logged in. Nothing to do.",
        "ask": False,
    }
    for language in ("zh-CN,zh;q=0.9,en;q=0.8", "fr,zh", "zh-TW"):
        assert (await get(house, "/wechat/state", language)).json()["say"] == "已登录，不用扫码。"
    for language in ("en-GB,zh;q=0.5", "fr", ""):
        assert (await get(house, "/wechat/state", language)).json()["say"] == "Logged in. Nothing to do."
    assert (await get(house, "/wechat/qr.png")).status_code == NO_CODE


async def test_another_site_cannot_ask_for_a_login_through_somebodys_browser(house: House):
    home, since = house.home, house.home.ear.count
    await house.load("qr-page")
    async with httpx.AsyncClient(base_url=house.red.url, trust_env=False, timeout=MAX_WAIT_SECONDS) as http:
        assert (await http.post("/wechat/login")).status_code == 403
        assert (await http.post("/wechat/login", headers={"X-Wechat-Page": "1"})).status_code == 204
    await home.body("wx/bridge/response/login", since=since)
    assert len(home.ear.on("wx/bridge/request/login")) == 1


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
async def test_a_person_logs_in_with_the_page_alone(house: House):
    """From the logout on the phone over a new code to being online, by what the page shows."""
    home = house.home
    await house.load("qr-page")
    with Chromium(400, 800, "en") as page:

        async def until(expression: str) -> Any:
            return await home.hear(page.until, expression, 15)

        await home.hear(page.open, f"{house.red.url}/wechat")
        await until("document.querySelector('#say').textContent === 'Logged in. Nothing to do.'")
        await home.ask("logout")
        await until("!document.querySelector('#ask').hidden")
        assert await until("document.querySelector('#code').hidden")
        await home.hear(page.run, "document.querySelector('#ask').click()")
        await until(
            "!document.querySelector('#code').hidden && document.querySelector('#code').naturalWidth > 100"
        )
        url = home.ear.on("wx/login/url")[-1].payload.decode()
        assert await code(house) == url
        since = home.ear.count
        await home.phone.post("expire")
        newer = (
            await home.hear(home.ear.wait, "wx/login/url", lambda one: bool(one.payload), since=since)
        ).payload.decode()
        version = (await state(house, code=True))["version"]
        await until(f"document.querySelector('#code').src.endsWith('?{version}')")
        assert await code(house) == newer != url
        await home.phone.post("scan")
        await until("document.querySelector('#say').textContent === 'Confirm on the phone.'")
        assert await until("document.querySelector('#code').hidden")
        assert (await get(house, "/wechat/qr.png")).status_code == NO_CODE
        await home.phone.post("confirm")
        await until("document.querySelector('#say').textContent === 'Logged in. Nothing to do.'")
        await home.phone.wait("polling")
        await home.hear(house.red.stop)
        await until("document.querySelector('#say').textContent.startsWith('Node-RED does not answer.')")
        await house.start()
        await until("document.querySelector('#say').textContent === 'Logged in. Nothing to do.'")
        complaints = [one for one in await home.hear(page.console) if "ERR_CONNECTION_REFUSED" not in one]
        assert [one for one in complaints if "404" not in one] == []


async def with_a_code(house: House) -> None:
    await house.home.ask("logout")
    await house.home.ask("login")
    await state(house, code=True)
    assert await code(house)


async def back_online(house: House) -> None:
    since = house.home.ear.count
    await house.home.phone.post("scan")
    await house.home.phone.post("confirm")
    await house.home.body("wx/login/state", state="online", since=since)
    await house.home.phone.wait("polling")


async def test_when_the_bridge_dies_its_code_is_not_shown_any_more(house: House):
    home = house.home
    await house.load("qr-page")
    await with_a_code(house)
    await home.hear(home.bridge.kill)
    assert await state(house, say="The bridge is offline.", code=False)
    assert (await get(house, "/wechat/qr.png")).status_code == NO_CODE
    home.bridge.start()
    await home.phone.wait("code")
    await state(house, code=True)
    await back_online(house)


async def test_without_the_broker_no_code_is_shown_since_it_may_be_another_by_now(house: House):
    home, since = house.home, house.home.ear.count
    await house.load("qr-page")
    await with_a_code(house)
    await home.hear(home.broker.kill)
    assert await state(house, say="Node-RED does not hear the broker or the bridge.", code=False)
    assert (await get(house, "/wechat/qr.png")).status_code == NO_CODE
    await home.hear(house.red.stop)
    await home.hear(house.red.start)
    assert await state(house, say="Node-RED does not hear the broker or the bridge.", code=False)
    await home.hear(home.broker.start)
    await home.hear(home.ear.wait, "wx/bridge/state", since=since)
    await state(house, code=True)
    await back_online(house)


async def test_a_code_that_has_expired_is_not_shown_though_nobody_took_it_away(house: House):
    home = house.home
    await house.load("qr-page")
    await with_a_code(house)
    fresh = home.ear.on("wx/login/state")[-1].body
    await home.publish("wx/login/state", {**fresh, "state": "waiting_for_confirm"})
    assert await state(house, code=False, say="Confirm on the phone.")
    await home.publish("wx/login/state", {**fresh, "qr_expires": "2026-01-01T00:00:00.000Z"})
    assert await state(house, code=False, say="A code is on its way.")
    assert (await get(house, "/wechat/qr.png")).status_code == NO_CODE
    await back_online(house)
