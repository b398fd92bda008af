"""The page with the QR code: alive, in both languages, and never an old code."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pytest
import zxingcpp
from PIL import Image

from tests.node_red.environment import NodeRedEnvironment
from tests.support.chromium import MISSING, Chromium
from tests.support.deadlines import MAX_WAIT_SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_CODE = 404


async def get(environment: NodeRedEnvironment, path: str, language: str = "en") -> httpx.Response:
    async with httpx.AsyncClient(
        base_url=environment.red.url, trust_env=False, timeout=MAX_WAIT_SECONDS
    ) as http:
        return await http.get(path, headers={"Accept-Language": language})


async def page_state(environment: NodeRedEnvironment, **expected: Any) -> dict[str, Any]:
    """Waits until `/wechat/state` has these values; returns them all."""
    for _ in range(2000):
        found: dict[str, Any] = (await get(environment, "/wechat/state")).json()
        if expected.items() <= found.items():
            return found
    raise AssertionError(found)


async def scan_code(environment: NodeRedEnvironment) -> str:
    """Returns the content of the QR code in the picture."""
    answer = await get(environment, "/wechat/qr.png")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["cache-control"] == "no-store"
    (found,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(answer.content)).convert("L"))
    return str(found.text)


async def test_during_a_login_there_is_no_code_and_the_page_says_so_in_the_readers_language(
    environment: NodeRedEnvironment,
):
    await environment.load("qr-page")
    assert await page_state(environment, say="Logged in. Nothing to do.") == {
        "code": False,
        "version": 1,
        "say": "Logged in. Nothing to do.",
        "ask": False,
    }
    for language in ("zh-CN,zh;q=0.9,en;q=0.8", "fr,zh", "zh-TW"):
        assert (await get(environment, "/wechat/state", language)).json()["say"] == "已登录，不用扫码。"
    for language in ("en-GB,zh;q=0.5", "fr", ""):
        assert (await get(environment, "/wechat/state", language)).json()[
            "say"
        ] == "Logged in. Nothing to do."
    assert (await get(environment, "/wechat/qr.png")).status_code == NO_CODE


async def test_another_site_cannot_ask_for_a_login_through_somebodys_browser(environment: NodeRedEnvironment):
    home, since = environment.home, environment.home.subscriber.count
    await environment.load("qr-page")
    async with httpx.AsyncClient(
        base_url=environment.red.url, trust_env=False, timeout=MAX_WAIT_SECONDS
    ) as http:
        assert (await http.post("/wechat/login")).status_code == 403
        assert (await http.post("/wechat/login", headers={"X-Wechat-Page": "1"})).status_code == 204
    await home.body("wx/bridge/response/login", since=since)
    assert len(home.subscriber.on("wx/bridge/request/login")) == 1


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
async def test_a_person_logs_in_with_the_page_alone(environment: NodeRedEnvironment):
    """A person logs out on the phone, scans a new code, and is online, by what the page shows."""
    home = environment.home
    await environment.load("qr-page")
    with Chromium(400, 800, "en") as page:

        async def until(expression: str) -> Any:
            return await home.in_thread(page.until, expression, 15)

        await home.in_thread(page.open, f"{environment.red.url}/wechat")
        await until("document.querySelector('#say').textContent === 'Logged in. Nothing to do.'")
        await home.send_request("logout")
        await until("!document.querySelector('#ask').hidden")
        assert await until("document.querySelector('#code').hidden")
        await home.in_thread(page.run, "document.querySelector('#ask').click()")
        await until(
            "!document.querySelector('#code').hidden && document.querySelector('#code').naturalWidth > 100"
        )
        url = home.subscriber.on("wx/login/url")[-1].payload.decode()
        assert await scan_code(environment) == url
        since = home.subscriber.count
        await home.control.post("expire")
        newer = (
            await home.in_thread(
                home.subscriber.wait, "wx/login/url", lambda message: bool(message.payload), since=since
            )
        ).payload.decode()
        version = (await page_state(environment, code=True))["version"]
        await until(f"document.querySelector('#code').src.endsWith('?{version}')")
        assert await scan_code(environment) == newer != url
        await home.control.post("scan")
        await until("document.querySelector('#say').textContent === 'Confirm on the phone.'")
        assert await until("document.querySelector('#code').hidden")
        assert (await get(environment, "/wechat/qr.png")).status_code == NO_CODE
        await home.control.post("confirm")
        await until("document.querySelector('#say').textContent === 'Logged in. Nothing to do.'")
        await home.control.wait("polling")
        await home.in_thread(environment.red.stop)
        await until("document.querySelector('#say').textContent.startsWith('Node-RED does not answer.')")
        await environment.start()
        await until("document.querySelector('#say').textContent === 'Logged in. Nothing to do.'")
        complaints = [
            line for line in await home.in_thread(page.console) if "ERR_CONNECTION_REFUSED" not in line
        ]
        assert [line for line in complaints if "404" not in line] == []


async def show_code(environment: NodeRedEnvironment) -> None:
    await environment.home.send_request("logout")
    await environment.home.send_request("login")
    await page_state(environment, code=True)
    assert await scan_code(environment)


async def log_in_again(environment: NodeRedEnvironment) -> None:
    since = environment.home.subscriber.count
    await environment.home.control.post("scan")
    await environment.home.control.post("confirm")
    await environment.home.body("wx/login/state", state="online", since=since)
    await environment.home.control.wait("polling")


async def test_when_the_bridge_dies_its_code_is_not_shown_any_more(environment: NodeRedEnvironment):
    home = environment.home
    await environment.load("qr-page")
    await show_code(environment)
    await home.in_thread(home.bridge.kill)
    assert await page_state(environment, say="The bridge is offline.", code=False)
    assert (await get(environment, "/wechat/qr.png")).status_code == NO_CODE
    home.bridge.start()
    await home.control.wait("code")
    await page_state(environment, code=True)
    await log_in_again(environment)


async def test_without_the_broker_no_code_is_shown_since_it_may_be_another_by_now(
    environment: NodeRedEnvironment,
):
    home, since = environment.home, environment.home.subscriber.count
    await environment.load("qr-page")
    await show_code(environment)
    await home.in_thread(home.broker.kill)
    assert await page_state(environment, say="Node-RED does not hear the broker or the bridge.", code=False)
    assert (await get(environment, "/wechat/qr.png")).status_code == NO_CODE
    await home.in_thread(environment.red.stop)
    await home.in_thread(environment.red.start)
    assert await page_state(environment, say="Node-RED does not hear the broker or the bridge.", code=False)
    await home.in_thread(home.broker.start)
    await home.in_thread(home.subscriber.wait, "wx/bridge/state", since=since)
    await page_state(environment, code=True)
    await log_in_again(environment)


async def test_an_expired_code_is_not_shown_although_its_topic_was_not_cleared(
    environment: NodeRedEnvironment,
):
    home = environment.home
    await environment.load("qr-page")
    await show_code(environment)
    fresh = home.subscriber.on("wx/login/state")[-1].body
    await home.publish("wx/login/state", {**fresh, "state": "waiting_for_confirm"})
    assert await page_state(environment, code=False, say="Confirm on the phone.")
    await home.publish("wx/login/state", {**fresh, "qr_expires": "2026-01-01T00:00:00.000Z"})
    assert await page_state(environment, code=False, say="A code is on its way.")
    assert (await get(environment, "/wechat/qr.png")).status_code == NO_CODE
    await log_in_again(environment)
