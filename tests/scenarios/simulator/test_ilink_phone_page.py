"""The phone page in a real browser: a person connects with a bot, writes to it, quotes it and sees what it says."""

from __future__ import annotations

import json

import pytest

from tests.support.chromium import Chromium, visit
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.ilink_client import ILinkClient, text
from wx2mqtt.simulator.samples import sample
from wx2mqtt.simulator.server import Simulator

pytestmark = pytest.mark.browser

CHATS = "document.querySelectorAll('#chats button')"
BOT = f"[...{CHATS}].find(b => /bot of|的机器人/.test(b.textContent))"
LINE = "document.querySelectorAll('#lines li')"
WRITE = (
    "document.getElementById('text').value = arguments[0]; document.getElementById('compose').requestSubmit()"
)
PRESS = """
document.getElementById('text').value = arguments[1]
document.querySelector(`[data-bot-kind="${arguments[0]}"]`).click()
"""


async def open_page(chromium: Chromium, sim: Simulator, path: str = "/sim") -> None:
    await visit(chromium.open, sim.url + path)
    await visit(
        chromium.until, "document.getElementById('web-text').textContent"
    )  # it has asked the simulator


async def click_button(chromium: Chromium, name: str) -> None:
    await visit(chromium.until, f"document.getElementById('{name}')?.offsetParent")
    await visit(chromium.run, f"document.getElementById('{name}').click()")


async def open_chat_of_bot(chromium: Chromium) -> None:
    await visit(chromium.until, f"!!{BOT}")
    await visit(chromium.run, f"{BOT}.click()")


def state_is(words: str) -> str:
    return f"/{words}/.test(document.getElementById('bot-state').textContent)"


def next_step_is(words: str) -> str:
    """Returns the script that tells whether the page says this of the next step."""
    return f"/{words}/.test(document.getElementById('next').textContent)"


async def test_a_person_connects_enters_a_number_and_writes_with_the_bot(
    sim: Simulator, ilink_client: ILinkClient, chromium: Chromium
):
    sim.wechat.ilink.settings.verify_code = True
    await open_page(chromium, sim)
    handle = (await ilink_client.qrcode())["qrcode"]
    await visit(chromium.until, "document.getElementById('bind-qr').naturalWidth > 0")
    await visit(chromium.run, "document.getElementById('binder').value = 'wife'")
    await click_button(chromium, "bind-scan")
    await visit(chromium.until, "/^[0-9]{6}$/.test(document.getElementById('number').textContent)")
    number = await visit(chromium.run, "return document.getElementById('number').textContent")
    assert (await ilink_client.status(handle, verify_code=number))["status"] == "scaned"
    await click_button(chromium, "bind-confirm")
    assert await sim.wechat.ilink.changes.wait_for(
        lambda: sim.wechat.ilink.active_bot_of("wife") is not None, 10
    )
    result = await ilink_client.status(handle)
    ilink_client.token, ilink_client.user_id = result["bot_token"], result["ilink_user_id"]

    await open_chat_of_bot(chromium)
    await visit(chromium.until, state_is("may not write before|先发一条消息"))
    await visit(chromium.run, WRITE, "开灯 <b>☀</b>")
    await visit(chromium.until, f"{LINE}.length === 1")
    [message] = await ilink_client.new()
    assert message["item_list"] == [text("开灯 <b>☀</b>")]
    await visit(chromium.until, state_is("more|还能发 10"))
    await ilink_client.send(text("好的 <i>"))
    await visit(chromium.until, f"{LINE}.length === 2")
    assert await visit(chromium.run, f"return {LINE}[1].querySelector('.bubble').textContent") == "好的 <i>"
    assert await visit(chromium.run, f"return [{LINE}[0].className, {LINE}[1].className]") == [
        "mine",
        "theirs",
    ]
    await visit(chromium.until, state_is("9"))

    config = await ilink_client.call("getconfig", ilink_user_id=ilink_client.user_id)
    typing = {"ilink_user_id": ilink_client.user_id, "typing_ticket": config["typing_ticket"], "status": 1}
    await ilink_client.call("sendtyping", **typing)
    await visit(chromium.until, state_is("typing|正在输入"))
    await click_button(chromium, "unbind")
    await visit(chromium.until, state_is("not connected|已断开"))
    assert (await ilink_client.call("msg/notifystart"))["errcode"] == -14
    assert await ilink_client.violations() == []


WEB = "document.getElementById('web').textContent"
VISIBLE = """
const box = arguments[0].getBoundingClientRect()
return box.top >= 0 && box.bottom <= innerHeight && arguments[0].checkVisibility()
"""


@pytest.mark.parametrize("path", ["/sim?lang=en", "/sim?lang=zh"])
async def test_after_connecting_the_chat_of_the_bot_is_open_and_says_that_it_is_connected(
    sim: Simulator, ilink_client: ILinkClient, chromium: Chromium, path: str
):
    await open_page(chromium, sim, path)
    await ilink_client.qrcode()
    await click_button(chromium, "bind-scan")
    assert not await visit(chromium.run, f"return /web WeChat|网页/i.test({WEB})"), (
        "nobody uses web WeChat here"
    )
    await click_button(chromium, "bind-confirm")
    await visit(chromium.until, f"/iLink: connected|iLink：已连接/.test({WEB})")
    await visit(chromium.until, f"{BOT}?.hasAttribute('aria-current')")
    assert await visit(chromium.run, f"return {CHATS}[0] === {BOT}")
    assert await visit(chromium.run, f"return {CHATS}.length") == 1, "nobody but the bot"
    await visit(chromium.until, next_step_is("write to the bot|给机器人发一条消息"))
    for element in ("document.getElementById('chat-name')", "document.getElementById('text')"):
        assert await visit(chromium.run, VISIBLE.replace("arguments[0]", element)), element
    await visit(
        chromium.until, "/Write to the bot|先给机器人/.test(document.getElementById('empty').textContent)"
    )
    await visit(chromium.run, WRITE, "开灯")
    await visit(chromium.until, f"{LINE}.length === 1")
    await visit(chromium.until, next_step_is("over MQTT|通过 MQTT"))


@pytest.mark.parametrize(("path", "spoken"), [("/", "zh-CN"), ("/sim?lang=en", "en")])
async def test_the_page_speaks_the_language_of_the_demo_unless_its_address_names_another(
    chromium: Chromium, path: str, spoken: str
):
    async with Simulator(language="zh") as chinese:
        await open_page(chromium, chinese, path)
        assert await visit(chromium.run, "return document.documentElement.lang") == spoken
        await visit(chromium.open, "about:blank")  # the page would ask on where nobody listens


async def test_the_page_says_what_to_do_from_the_beginning_on(
    sim: Simulator, ilink_client: ILinkClient, chromium: Chromium
):
    await open_page(chromium, sim, "/sim?lang=en")
    await visit(chromium.until, next_step_is("start a program"))
    await visit(chromium.until, f"{CHATS}.length > 5")
    await ilink_client.qrcode()
    await visit(chromium.until, next_step_is("press “Scan”"))
    await visit(chromium.until, f"{CHATS}.length === 0")
    await click_button(chromium, "bind-scan")
    await visit(chromium.until, next_step_is("confirm"))


async def test_an_open_chat_stays_open_when_somebody_connects(
    sim: Simulator, ilink_client: ILinkClient, chromium: Chromium
):
    await open_page(chromium, sim)
    await visit(chromium.run, f"[...{CHATS}].find(b => b.textContent.includes('老婆')).click()")
    await ilink_client.qrcode()
    await click_button(chromium, "bind-scan")
    await click_button(chromium, "bind-confirm")
    await visit(chromium.until, f"{CHATS}[0] === {BOT}")
    assert await visit(chromium.run, "return document.getElementById('chat-name').textContent") == "老婆"


async def test_a_code_that_is_opened_by_its_link_is_the_one_that_is_scanned(
    sim: Simulator, ilink_client: ILinkClient, chromium: Chromium
):
    first = await ilink_client.qrcode()
    await ilink_client.qrcode()
    path = first["qrcode_img_content"].removeprefix("https://liteapp.weixin.qq.com")
    await open_page(chromium, sim, path)
    await click_button(chromium, "bind-scan")
    code = sim.wechat.ilink.codes.find(first["qrcode"])
    assert code is not None
    assert await sim.wechat.ilink.changes.wait_for(lambda: code.person == "me", MAX_WAIT_SECONDS)
    await click_button(chromium, "bind-confirm")
    assert (await ilink_client.status(first["qrcode"]))["status"] in ("scaned", "confirmed")


async def test_a_person_lets_a_code_expire(sim: Simulator, ilink_client: ILinkClient, chromium: Chromium):
    handle = (await ilink_client.qrcode())["qrcode"]
    await open_page(chromium, sim)
    await click_button(chromium, "bind-expire")
    await visit(chromium.until, "document.getElementById('bind').hidden")
    assert (await ilink_client.status(handle))["status"] == "expired"


async def test_a_person_lets_the_window_shut_and_opens_it_by_writing(
    sim: Simulator, greeted_client: ILinkClient, chromium: Chromium
):
    await open_page(chromium, sim)
    await open_chat_of_bot(chromium)
    await visit(chromium.until, state_is("^window open|^窗口开着"))
    await click_button(chromium, "pass-time")
    await visit(chromium.until, state_is("^window shut|^窗口已关闭"))
    await visit(chromium.until, "document.getElementById('pass-time').hidden")
    await visit(chromium.until, next_step_is("write to the bot|给机器人发一条消息"))
    assert (await greeted_client.send(text("too late")))["ret"] == -2
    await visit(chromium.run, WRITE, "1")
    await visit(chromium.until, state_is("^window open|^窗口开着"))
    await visit(chromium.until, "!document.getElementById('pass-time').hidden")


async def test_a_person_sends_every_kind_and_picks_files(
    sim: Simulator, greeted_client: ILinkClient, chromium: Chromium
):
    await open_page(chromium, sim)
    await open_chat_of_bot(chromium)
    await click_button(chromium, "more-kinds")
    visible_buttons = (
        "[...document.querySelectorAll('#kinds [data-kind], [data-bot-kind]')].filter(b => !b.hidden)"
    )
    kinds = await visit(chromium.run, f"return {visible_buttons}.map(b => b.dataset.botKind)")
    assert kinds == ["image", "voice", "video", "file"]
    for kind in kinds:
        await visit(chromium.run, PRESS, kind, "关灯")
    await visit(chromium.until, f"{LINE}.length === 5")
    picture, voice, video, file = [message["item_list"][0] for message in await greeted_client.new()]
    assert voice["voice_item"]["text"] == "关灯"
    assert file["file_item"]["file_name"] == "关灯.pdf"
    assert (picture["type"], video["type"]) == (2, 5)
    await visit(chromium.until, f"{LINE}[1].querySelector('img')?.naturalWidth > 0")
    assert await visit(chromium.run, f"return !!{LINE}[2].querySelector('a[download]')"), (
        "no browser plays SILK"
    )
    data = {"image/gif": sample("sticker.gif"), "application/pdf": sample("file.pdf")}
    pick = f"""
        const data = new DataTransfer()
        for (const [type, bytes] of Object.entries({json.dumps({k: [*v] for k, v in data.items()})}))
          data.items.add(new File([new Uint8Array(bytes)], 'a <b>.x', {{ type }}))
        document.getElementById('file').files = data.files
        document.getElementById('file').dispatchEvent(new Event('change'))
    """
    await visit(chromium.run, pick)
    await visit(chromium.until, f"{LINE}.length === 7")
    picture, file = [message["item_list"][0] for message in await greeted_client.new()]
    assert file["file_item"]["file_name"] == "a <b>.x"
    assert await greeted_client.download(file["file_item"]["media"]) == sample("file.pdf")


async def test_a_person_quotes_the_bot_whole_and_in_part(
    sim: Simulator, greeted_client: ILinkClient, chromium: Chromium
):
    result = await greeted_client.send(text("Fenster offen, Tür offen"))
    await open_page(chromium, sim)
    await open_chat_of_bot(chromium)
    await visit(chromium.until, f"{LINE}.length === 2")
    quote = f"{LINE}[1].querySelector('.acts button').click()"
    await visit(chromium.run, quote)
    await visit(chromium.run, WRITE, "schließen")
    await visit(chromium.until, f"{LINE}[2]?.querySelector('.quote')")
    mark = f"""
        const range = document.createRange(), words = {LINE}[1].querySelector('.bubble').firstChild
        range.setStart(words, 15)
        range.setEnd(words, 18)
        getSelection().removeAllRanges()
        getSelection().addRange(range)
    """
    await visit(chromium.run, mark + quote)
    await visit(chromium.run, WRITE, "die")
    await visit(chromium.until, f"{LINE}[3]?.querySelector('.quote')?.textContent.endsWith('Tür')")
    whole, part = [message["item_list"][0]["ref_msg"] for message in await greeted_client.new()]
    assert whole == {"svr_id": result["message_id"]}
    assert part["partial_text"]["start"] == "T"
    assert await greeted_client.violations() == []


async def test_messages_of_the_bot_are_shown(sim: Simulator, greeted_client: ILinkClient, chromium: Chromium):
    await open_page(chromium, sim)
    await open_chat_of_bot(chromium)
    data = sample("image.jpg")
    media = await greeted_client.upload(data, "image")
    item = {"type": 2, "image_item": {"media": media, "mid_size": len(data) // 16 * 16 + 16}}
    await greeted_client.send(item)
    await visit(chromium.until, f"{LINE}[1]?.querySelector('img')?.naturalWidth === 160")
