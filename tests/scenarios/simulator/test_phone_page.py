"""The phone page in a real browser: a person scans, confirms, reads and writes."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.chromium import Chromium, visit
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.web_client import WebClient, client_msg_id
from wx2mqtt.simulator.samples import sample
from wx2mqtt.simulator.server import Simulator

pytestmark = pytest.mark.browser

OPEN_CHAT = (
    "[...document.querySelectorAll('#chats button')].find(b => b.textContent.includes(arguments[0])).click()"
)
BUBBLES = "[...document.querySelectorAll('.bubble')].map(b => b.textContent)"


async def test_a_person_scans_confirms_reads_and_writes(
    sim: Simulator, web_client: WebClient, chromium: Chromium
):
    sim.wechat.settings.language = "zh_CN"
    await visit(chromium.open, f"{sim.url}/sim")
    await visit(chromium.until, "document.querySelectorAll('#chats button').length > 5")
    uuid = await web_client.uuid()
    await visit(
        chromium.until,
        "document.getElementById('qr').naturalWidth > 0 && !document.getElementById('scan').hidden",
    )
    await visit(chromium.run, "document.getElementById('scan').click()")
    assert (await web_client.poll(uuid)).startswith("window.code=201;")
    await visit(chromium.until, "!document.getElementById('confirm').hidden")
    await visit(chromium.run, "document.getElementById('confirm').click()")
    uri = (await web_client.poll(uuid)).split('"')[1]
    await web_client.new_login_page(uri)
    await web_client.init()
    await visit(chromium.until, "document.getElementById('web').classList.contains('on')")

    await visit(chromium.run, OPEN_CHAT, "老婆")
    await visit(
        chromium.run,
        "document.getElementById('text').value = arguments[0]; document.getElementById('compose').requestSubmit()",
        "开灯 <b>☀</b>",
    )
    await visit(chromium.until, f"{BUBBLES}.length === 1")
    assert [message["Content"] for message in await web_client.all_new()] == [
        '开灯 &lt;b&gt;<span class="emoji emoji2600"></span>&lt;/b&gt;'
    ]
    names = await web_client.seen("names")
    await web_client.say(names["wife"], "好的")
    await visit(chromium.until, f"{BUBBLES}.length === 2")
    assert await visit(chromium.run, f"return {BUBBLES}") == ["开灯 <b>☀</b>", "好的"]
    assert await visit(chromium.run, "return document.querySelectorAll('#lines b').length") == 0

    await visit(chromium.run, "document.getElementById('logout').click()")
    assert (await web_client.seen("wait", **{"for": "offline"}))["ready"]
    assert await web_client.violations() == []


async def test_a_code_that_is_opened_by_its_link_counts_as_scanned(
    sim: Simulator, web_client: WebClient, chromium: Chromium
):
    uuid = await web_client.uuid()
    await web_client.uuid()
    await asyncio.to_thread(chromium.open, f"{sim.url}/l/{uuid}")
    assert (await web_client.poll(uuid)).startswith("window.code=201;")
    await asyncio.to_thread(chromium.until, "!document.getElementById('confirm').hidden")
    text = await asyncio.to_thread(chromium.run, "return document.documentElement.lang + document.title")
    assert text in ("zh-CN模拟微信", "enWeChat, simulated")


PICK = """
const data = new DataTransfer()
for (const [name, type, bytes] of arguments[0]) data.items.add(new File([new Uint8Array(bytes)], name, { type }))
document.getElementById('file').files = data.files
document.getElementById('file').dispatchEvent(new Event('change'))
"""
PRESS = """
document.getElementById('text').value = arguments[1]
document.querySelector(`[data-kind="${arguments[0]}"]`).click()
"""
LINE = "document.querySelectorAll('#lines li')"


async def test_a_person_sends_every_kind_with_its_button(
    sim: Simulator, online_client: WebClient, chromium: Chromium
):
    await visit(chromium.open, f"{sim.url}/sim")
    await visit(chromium.until, "document.querySelectorAll('#chats button').length > 5")
    await visit(chromium.run, OPEN_CHAT, "老婆")
    await visit(chromium.run, "document.getElementById('more-kinds').click()")
    await visit(chromium.until, "!document.getElementById('kinds').hidden")
    kinds = await visit(
        chromium.run, "return [...document.querySelectorAll('[data-kind]')].map(b => b.dataset.kind)"
    )
    assert {"image", "voice", "video", "file", "sticker", "location", "link", "card"} <= set(kinds)
    assert {"app_transfer", "system:red_packet", "friend_request", "call"} <= set(kinds)
    for number, kind in enumerate(kinds, 1):
        await visit(chromium.run, PRESS, kind, "88")
        assert await sim.wechat.phone.changes.wait_for(
            lambda n=number: sim.wechat.phone.count == n,  # type: ignore[misc]
            MAX_WAIT_SECONDS,
        )
    assert [line.kind for line in sim.wechat.phone.lines] == kinds
    received = {message["MsgType"]: message for message in await online_client.all_new()}
    assert {1, 3, 34, 37, 42, 43, 47, 49, 50, 10000, 10002} <= set(received)
    assert received[42]["RecommendInfo"]["NickName"] == "88"
    transfer = next(line for line in sim.wechat.phone.lines if line.kind == "app_transfer")
    assert transfer.sender == "wife"
    await visit(
        chromium.until,
        f"[...{LINE}].filter(l => l.querySelector('img')?.naturalWidth > 0).length === 2",
    )
    assert (
        await visit(chromium.run, f"return [...{LINE}].filter(l => l.querySelector('audio, video')).length")
        == 2
    )
    assert (await online_client.seen("people"))[-1]["kind"] == "stranger"


async def test_files_are_picked_and_arrive_as_what_they_are(
    sim: Simulator, online_client: WebClient, chromium: Chromium
):
    await visit(chromium.open, f"{sim.url}/sim")
    await visit(chromium.until, "document.querySelectorAll('#chats button').length > 5")
    await visit(chromium.run, OPEN_CHAT, "老婆")
    files = [
        ["a.png", "image/png", sample("image.png")],
        ["a.gif", "image/gif", sample("sticker.gif")],
        ["a.mp4", "video/mp4", sample("video.mp4")],
        ["a.mp3", "audio/mpeg", sample("voice.mp3")],
        ["<b>a</b>.html", "text/html", b"<script>alert(1)</script>"],
    ]
    await visit(chromium.run, PICK, [[name, kind, list(data)] for name, kind, data in files])
    await visit(chromium.until, f"{LINE}.length === 5")
    assert [line.kind for line in sim.wechat.phone.lines] == ["image", "sticker", "video", "voice", "file"]
    for line, (_, _, data) in zip(sim.wechat.phone.lines, files, strict=True):
        assert (await online_client.http.get(f"/sim/media/{line.msg_id}")).content == data
    link = "document.querySelector('#lines a[download]')"
    assert await visit(chromium.run, f"return [{link}.download, {link}.querySelector('b')]") == [
        "<b>a</b>.html",
        None,
    ]
    await visit(
        chromium.until, f"[...{LINE}].filter(l => l.querySelector('img')?.naturalWidth > 0).length === 2"
    )


async def test_messages_of_a_client_are_shown_and_recalled_ones_are_struck_through(
    sim: Simulator, online_client: WebClient, chromium: Chromium
):
    await visit(chromium.open, f"{sim.url}/sim")
    await visit(chromium.until, "document.querySelectorAll('#chats button').length > 5")
    await visit(chromium.run, OPEN_CHAT, "文件传输助手")
    media_id = (await online_client.upload("a.jpg", sample("image.jpg"), "pic"))["MediaId"]
    sent = await online_client.send_media("webwxsendmsgimg", 3, "filehelper", MediaId=media_id)
    await visit(chromium.until, f"{LINE}[0]?.querySelector('img')?.naturalWidth === 160")
    asked = {"SvrMsgId": sent["MsgID"], "ToUserName": "filehelper", "ClientMsgId": client_msg_id()}
    await online_client.post("webwxrevokemsg", **asked)
    await visit(chromium.until, f"{LINE}[0]?.matches('.recalled') && !{LINE}[0].querySelector('img')")


async def test_a_person_quotes_recalls_and_reads_messages(
    sim: Simulator, online_client: WebClient, chromium: Chromium
):
    [first] = (await online_client.control("say", text="几点?", **{"from": "mom", "to": "family"}))["msg_ids"]
    await visit(chromium.open, f"{sim.url}/sim")
    await visit(chromium.until, "document.querySelector('.unread')")
    await visit(chromium.run, OPEN_CHAT, "相亲相爱一家人")
    assert await sim.wechat.phone.changes.wait_for(lambda: not sim.wechat.phone.unread, MAX_WAIT_SECONDS)
    await visit(chromium.run, f"{LINE}[0].querySelectorAll('.acts button')[0].click()")
    await visit(chromium.until, "!document.getElementById('quoting').hidden")
    await visit(
        chromium.run,
        "document.getElementById('text').value = '8'; document.getElementById('compose').requestSubmit()",
    )
    await visit(chromium.until, f"{LINE}.length === 2 && document.getElementById('quoting').hidden")
    quote = (await online_client.all_new())[-1]
    assert (quote["MsgType"], quote["AppMsgType"]) == (49, 57)
    assert f"&lt;svrid&gt;{first}&lt;/svrid&gt;" in quote["Content"]
    await visit(chromium.run, f"{LINE}[0].querySelectorAll('.acts button')[1].click()")
    await visit(chromium.until, f"{LINE}[0].matches('.recalled') && {LINE}.length === 3")
    recall = (await online_client.all_new())[-1]
    assert recall["MsgType"] == 10002
    assert f"&lt;msgid&gt;{first}&lt;/msgid&gt;" in recall["Content"]
    words = await visit(chromium.run, f"return {LINE}[2].textContent")
    assert words == '"老妈" 撤回了一条消息'
