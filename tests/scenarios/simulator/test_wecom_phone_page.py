"""The phone page in a real browser: people write to a bot of WeCom, read it, press its buttons, and replace it."""

from __future__ import annotations

import json

import pytest

from tests.support.chromium import Chromium, visit
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.wecom_client import WeComClient, button_card
from wx2mqtt.simulator.samples import sample
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.simulator.wecom.simulated_wecom import HOME_BOT_ID

pytestmark = pytest.mark.browser

ME = "WangXiaoMing"
CHATS = "document.querySelectorAll('#chats button')"
LINE = "document.querySelectorAll('#lines li')"
WRITE = (
    "document.getElementById('text').value = arguments[0]; document.getElementById('compose').requestSubmit()"
)


async def open_page(chromium: Chromium, sim: Simulator, path: str = "/sim") -> None:
    await visit(chromium.open, sim.url + path)
    await visit(
        chromium.until, "document.getElementById('web-text').textContent"
    )  # it has asked the simulator


async def click_button(chromium: Chromium, name: str) -> None:
    await visit(chromium.until, f"document.getElementById('{name}')?.offsetParent")
    await visit(chromium.run, f"document.getElementById('{name}').click()")


async def open_chat(chromium: Chromium, chat: str = "me", bot_id: str = HOME_BOT_ID) -> None:
    """Opens the chat of a person or a group with a bot, whatever the language calls it."""
    found = f"people.has('wecom:{bot_id}:{chat}')"
    await visit(chromium.until, found)
    await visit(chromium.run, f"openChat('wecom:{bot_id}:{chat}')")


def state_is(words: str) -> str:
    return f"/{words}/.test(document.getElementById('bot-state').textContent)"


def shows(text: str) -> str:
    return f"[...{LINE}].some(li => li.textContent.includes({json.dumps(text)}))"


async def test_a_person_scans_and_the_program_gets_its_bot(
    sim: Simulator, wecom_client: WeComClient, chromium: Chromium
):
    answer = await wecom_client.http.get("/ai/qc/generate", params={"source": "wx2mqtt", "plat": 3})
    data = answer.json()["data"]
    await open_page(chromium, sim, data["auth_url"].removeprefix(sim.url))
    await visit(chromium.until, "document.getElementById('wecom-qr').naturalWidth > 0")
    await visit(chromium.run, "document.getElementById('wecom-scanner').value = 'wife'")
    await click_button(chromium, "wecom-scan")
    await click_button(chromium, "wecom-confirm")
    await visit(chromium.until, "document.getElementById('wecom').hidden")
    result = (await wecom_client.http.get("/ai/qc/query_result", params={"scode": data["scode"]})).json()[
        "data"
    ]
    assert result["status"] == "success"
    subscribed_client = result["bot_info"]
    assert (await wecom_client.log_in(subscribed_client["botid"], subscribed_client["secret"]))[
        "errcode"
    ] == 0
    await open_chat(chromium, bot_id=subscribed_client["botid"])


async def test_the_chats_are_the_colleagues_and_the_group_with_the_bot(
    sim: Simulator, subscribed_client: WeComClient, chromium: Chromium
):
    await open_page(chromium, sim, "/sim?lang=en")
    await visit(chromium.until, f"{CHATS}.length === 4")
    await visit(chromium.until, "/WeCom: connected/.test(document.getElementById('web-text').textContent)")
    await visit(chromium.until, f"[...{CHATS}].some(b => b.hasAttribute('aria-current'))")
    await visit(chromium.until, "/write to the bot/.test(document.getElementById('next').textContent)")
    await visit(chromium.run, WRITE, "开灯")
    await visit(chromium.until, "/over MQTT/.test(document.getElementById('next').textContent)")


async def test_people_write_and_read_what_the_bot_says(
    sim: Simulator, subscribed_client: WeComClient, chromium: Chromium
):
    await open_page(chromium, sim)
    await open_chat(chromium)
    await visit(chromium.until, state_is("a program is connected|有程序已连接"))
    await visit(chromium.run, WRITE, "开灯 <b>")
    callback = await subscribed_client.next()
    assert callback["body"]["text"] == {"content": "开灯 <b>"}
    assert await subscribed_client.answer(callback, "wait", finish=False) == 0
    await visit(chromium.until, shows("wait"))
    assert await subscribed_client.answer(callback, "**on** \\*") == 0
    await visit(chromium.until, f"{shows('on *')} && !({shows('wait')})")
    quote = f"{LINE}[{LINE}.length - 1].querySelector('.acts button').click()"
    await visit(chromium.run, quote)
    await visit(chromium.run, WRITE, "off")
    assert (await subscribed_client.next())["body"]["quote"] == {
        "msgtype": "text",
        "text": {"content": "on *"},
    }
    await visit(chromium.run, "document.querySelector('[data-wecom-kind=\"mixed\"]').click()")
    assert (await subscribed_client.next())["body"]["msgtype"] == "mixed"


async def test_a_group_is_written_to_by_its_members(
    sim: Simulator, subscribed_client: WeComClient, chromium: Chromium
):
    await open_page(chromium, sim)
    await open_chat(chromium, "family")
    await visit(chromium.run, "document.getElementById('author').value = 'mom'")
    await visit(chromium.run, WRITE, "who?")
    body = (await subscribed_client.next())["body"]
    assert (body["from"]["userid"], body["text"]["content"]) == ("MaMa", "@家 who?")
    assert body["chattype"] == "group"
    hidden = "document.querySelector('[data-wecom-kind=\"voice\"]').hidden"
    assert await visit(chromium.run, f"return {hidden}")


async def test_a_button_is_pressed_and_the_card_changes(
    sim: Simulator, subscribed_client: WeComClient, chromium: Chromium
):
    await subscribed_client.control("say", text="hi")
    await subscribed_client.next()
    assert await subscribed_client.send_card(ME, button_card("q1", "Yes", "No")) == 0
    await open_page(chromium, sim)
    await open_chat(chromium)
    buttons = "document.querySelectorAll('.card-buttons button')"
    await visit(chromium.until, f"{buttons}.length === 2")
    await visit(chromium.run, f"{buttons}[1].click()")
    event = await subscribed_client.next()
    assert event["body"]["event"]["template_card_event"]["event_key"] == "no"
    card = button_card("q1", "No", card_action={"type": 1, "url": "https://example.org"})
    body = {"response_type": "update_template_card", "template_card": card}
    assert await subscribed_client.code("aibot_respond_update_msg", event["headers"]["req_id"], **body) == 0
    await visit(chromium.until, f"{buttons}.length === 1")
    assert await subscribed_client.violations() == []


async def test_pictures_are_seen(sim: Simulator, subscribed_client: WeComClient, chromium: Chromium):
    await subscribed_client.control("say", text="hi")
    media_id = await subscribed_client.upload(sample("image.png"), "image", "a.png")
    body = {"chatid": ME, "chat_type": 1, "msgtype": "image", "image": {"media_id": media_id}}
    assert await subscribed_client.code("aibot_send_msg", "", **body) == 0
    await open_page(chromium, sim)
    await open_chat(chromium)
    await visit(chromium.until, "[...document.querySelectorAll('#lines img')].some(i => i.naturalWidth > 0)")


async def test_another_program_takes_the_bot_over(
    sim: Simulator, subscribed_client: WeComClient, chromium: Chromium
):
    await open_page(chromium, sim)
    await open_chat(chromium)
    await click_button(chromium, "take-over")
    assert (await subscribed_client.next())["body"]["event"] == {"eventtype": "disconnected_event"}
    await subscribed_client.end()
    await visit(chromium.until, state_is("another program|另一个程序"))
    await visit(chromium.run, WRITE, "hello?")
    await visit(chromium.until, f"/lost|已丢失/.test({LINE}[{LINE}.length - 1].textContent)")
    assert await subscribed_client.seen("wait", **{"for": "offline", "seconds": MAX_WAIT_SECONDS}) == {
        "ready": True
    }
