"""The phone page in a real browser: a person scans, confirms, reads and writes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.chromium import MISSING, Chromium
from tests.support.web_client import WebClient
from wx2mqtt.simulator.server import Simulator

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

OPEN_CHAT = (
    "[...document.querySelectorAll('#chats button')].find(b => b.textContent.includes(arguments[0])).click()"
)
BUBBLES = "[...document.querySelectorAll('.bubble')].map(b => b.textContent)"


@pytest.fixture(params=[(360, "zh"), (1000, "en")], ids=["phone-zh", "desk-en"])
def chromium(request: pytest.FixtureRequest) -> Iterator[Chromium]:
    """A browser of either size and language; at its end nothing stuck out and nothing was complained of."""
    width, language = request.param
    with Chromium(width, 740, language) as browser:
        yield browser
        assert browser.run("return document.documentElement.scrollWidth") <= width
        assert browser.console() == []


async def test_a_person_scans_confirms_reads_and_writes(
    sim: Simulator, browser: WebClient, chromium: Chromium
):
    def visit(call, *arguments):
        return asyncio.to_thread(call, *arguments)

    sim.wechat.settings.language = "zh_CN"
    await visit(chromium.open, f"{sim.url}/sim")
    await visit(chromium.until, "document.querySelectorAll('#chats button').length > 5")
    uuid = await browser.uuid()
    await visit(
        chromium.until,
        "document.getElementById('qr').naturalWidth > 0 && !document.getElementById('scan').hidden",
    )
    await visit(chromium.run, "document.getElementById('scan').click()")
    assert (await browser.poll(uuid)).startswith("window.code=201;")
    await visit(chromium.until, "!document.getElementById('confirm').hidden")
    await visit(chromium.run, "document.getElementById('confirm').click()")
    uri = (await browser.poll(uuid)).split('"')[1]
    await browser.new_login_page(uri)
    await browser.init()
    await visit(chromium.until, "document.getElementById('web').classList.contains('on')")

    await visit(chromium.run, OPEN_CHAT, "老婆")
    await visit(
        chromium.run,
        "document.getElementById('text').value = arguments[0]; document.getElementById('compose').requestSubmit()",
        "开灯 <b>☀</b>",
    )
    await visit(chromium.until, f"{BUBBLES}.length === 1")
    assert [one["Content"] for one in await browser.all_new()] == [
        '开灯 &lt;b&gt;<span class="emoji emoji2600"></span>&lt;/b&gt;'
    ]
    names = await browser.seen("names")
    await browser.say(names["wife"], "好的")
    await visit(chromium.until, f"{BUBBLES}.length === 2")
    assert await visit(chromium.run, f"return {BUBBLES}") == ["开灯 <b>☀</b>", "好的"]
    assert await visit(chromium.run, "return document.querySelectorAll('#lines b').length") == 0

    await visit(chromium.run, "document.getElementById('logout').click()")
    assert (await browser.seen("wait", **{"for": "offline"}))["ready"]
    assert await browser.violations() == []


async def test_a_code_that_is_opened_by_its_link_counts_as_scanned(
    sim: Simulator, browser: WebClient, chromium: Chromium
):
    uuid = await browser.uuid()
    await browser.uuid()
    await asyncio.to_thread(chromium.open, f"{sim.url}/l/{uuid}")
    assert (await browser.poll(uuid)).startswith("window.code=201;")
    await asyncio.to_thread(chromium.until, "!document.getElementById('confirm').hidden")
    text = await asyncio.to_thread(chromium.run, "return document.documentElement.lang + document.title")
    assert text in ("zh-CN模拟微信", "enWeChat, simulated")
