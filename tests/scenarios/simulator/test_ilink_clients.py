"""Published clients of iLink log in, receive, answer, and transfer files.

The official one runs as in its host program. All look up Tencent's real names and check certificates:
only the resolver and the trusted CA lead them to the simulator.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.client_program import (
    PROGRAMS,
    ClientProgram,
    StartProgram,
    client_programs,
    installed_client,
)
from tests.support.deadlines import MAX_WAIT_SECONDS
from wx2mqtt.simulator.ilink.message_injection import MessageOrder, inject
from wx2mqtt.simulator.ilink.message_kinds import partial_text
from wx2mqtt.simulator.ilink.qr_codes import CodeStatus
from wx2mqtt.simulator.ilink.simulated_ilink import user_id_of
from wx2mqtt.simulator.samples import sample
from wx2mqtt.simulator.server import Simulator

pytestmark = pytest.mark.client

FILES = {
    "图片 1.jpg": sample("image.jpg"),
    "视频.mp4": sample("video.mp4"),
    "大.bin": bytes(range(256)) * 3000,
}
BASE = "https://ilinkai.weixin.qq.com"
GREETING = "开灯 ☀ <3\n第二行"


@pytest.fixture
async def sim(tmp_path: Path) -> AsyncIterator[Simulator]:
    """Yields a simulator with TLS."""
    async with Simulator(tls=tmp_path / "tls") as simulator:
        yield simulator


@pytest.fixture
async def start(sim: Simulator, tmp_path: Path) -> AsyncIterator[StartProgram]:
    """Yields a function that starts a client; the resolver leads the client to the simulator."""
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    async with client_programs(sim.port, tmp_path) as run:
        yield run


async def scan(sim: Simulator, status: CodeStatus) -> None:
    """Lets the owner scan the code that a client shows, and waits for this status."""
    ilink = sim.wechat.ilink
    assert await ilink.changes.wait_for(lambda: ilink.codes.newest() is not None, MAX_WAIT_SECONDS)
    code = ilink.codes.newest()
    assert code is not None
    ilink.scan(code, "me")
    assert await ilink.changes.wait_for(lambda: code.last_answered is status, MAX_WAIT_SECONDS)


async def enter_numbers(sim: Simulator, client: ClientProgram) -> None:
    """Types a wrong number and then the one on the phone into the client, and confirms."""
    ilink = sim.wechat.ilink
    code = ilink.codes.newest()
    assert code is not None
    client.send_line("12345678")
    assert await ilink.changes.wait_for(lambda: code.wrong_numbers == 1, MAX_WAIT_SECONDS)
    client.send_line(code.number)
    assert await ilink.changes.wait_for(lambda: code.last_answered is CodeStatus.SCANED, MAX_WAIT_SECONDS)
    ilink.confirm(code)


def send_file(sim: Simulator, kind: str, text: str = "") -> str:
    """Lets the owner send a file of this kind; returns its SHA-256."""
    ilink = sim.wechat.ilink
    [msg_id] = inject(ilink, MessageOrder(person="me", kind=kind, text=text))
    return ilink.attachments.plain[msg_id].sha256


def assert_files_arrived(sim: Simulator) -> None:
    """Checks that the phone has the files byte for byte and in their order."""
    sent = [message for message in sim.wechat.ilink.chats.sent if message.media]
    assert [message.kind for message in sent] == ["image", "video", "file"]
    assert [message.sha256 for message in sent] == [
        hashlib.sha256(data).hexdigest() for data in FILES.values()
    ]
    assert all(message.delivered and message.token == "newest" for message in sent)


async def test_the_official_client_works_with_the_simulator(
    sim: Simulator, start: StartProgram, tmp_path: Path
):
    folder = installed_client("openclaw-weixin")
    ilink = sim.wechat.ilink
    sim.wechat.settings.strict = True
    ilink.settings.verify_code, ilink.settings.redirect_host = True, "ilinkai2.weixin.qq.com"
    client = await start(
        "node",
        *("--no-warnings", "--require", str(PROGRAMS / "redirect_to_simulator.cjs")),
        *("--import", (PROGRAMS / "openclaw_hooks.mjs").as_uri(), str(PROGRAMS / "openclaw_example.mjs")),
        str(folder / "node_modules" / "@tencent-weixin" / "openclaw-weixin"),
        json.dumps([*FILES]),
        OPENCLAW_STATE_DIR=str(tmp_path / "state"),
        OPENCLAW_TMP=str(tmp_path / "tmp"),
    )
    await scan(sim, CodeStatus.NEED_VERIFYCODE)
    await enter_numbers(sim, client)
    result = await client.wait_for("logged in")
    bot = ilink.active_bot_of("me")
    assert bot is not None
    assert (result["account"], result["base"]) == (bot.bot_id.replace("@", "-").replace(".", "-"), BASE)
    await client.wait_for("running")
    inject(ilink, MessageOrder(person="me", text=GREETING))
    message = await client.wait_for("message")
    assert (message["from"], message["text"]) == (user_id_of("me"), GREETING)
    await client.wait_for("answered")
    for kind in ("image", "image_24", "image_plain", "file", "video"):
        sha256 = send_file(sim, kind, "说明书.pdf" if kind == "file" else "")
        assert (await client.wait_for("media"))["sha256"] == sha256
    send_file(sim, "voice")
    voice = await client.wait_for("media")
    assert (voice["type"], voice["head"]) == ("audio/wav", "RIFF"), "it can decode the SILK"
    inject(ilink, MessageOrder(person="me", kind="voice", text="关灯"))
    assert [(await client.wait_for("message"))["text"] for _ in range(2)] == ["[语音]", "关灯"]
    client.send_line()
    assert all([(await client.wait_for("sent"))["id"] for _ in FILES])
    last = await client.wait_for("done")
    assert_files_arrived(sim)
    assert last["id"] == ilink.chats.sent[-1].client_id
    inject(ilink, MessageOrder(person="me", kind="quote", text="danke"))
    message = await client.wait_for("message")
    assert (message["text"], message["quoted"]) == ("danke", "完成 one two one | 完成 one two one")
    client.send_line()
    await client.wait_for("gone")
    # The client sends both lines of progress beside the text, in any order.
    assert sorted(message.kind for message in ilink.chats.sent[:3]) == ["progress", "progress", "text"]
    assert not bot.started
    assert sim.wechat.violations.list() == []


async def test_the_official_client_finds_every_part_that_a_phone_quotes():
    folder = installed_client("openclaw-weixin")
    whole = "Fenster offen, Tür offen, 灯开着, ☀ a aa a"
    cases = [
        (part, occurrence, relative)
        for part, count in (("offen", 2), (whole, 1), ("Tür offen", 1), ("灯开着", 1), ("en", 3), ("☀ a", 1))
        for occurrence in range(count)
        for relative in (False, True)
    ]
    asked = [partial_text(whole, part, occurrence, relative=relative) for part, occurrence, relative in cases]
    file = folder / "node_modules/@tencent-weixin/openclaw-weixin/dist/src/messaging/partial-quote.js"
    script = (
        f"import {{resolvePartialQuote as find}} from {json.dumps(file.as_uri())};"
        "const [whole, asked] = JSON.parse(process.argv[1]);"
        "console.log(JSON.stringify(asked.map(one => find(whole, one).resolved)))"
    )
    process = await asyncio.create_subprocess_exec(
        *("node", "--input-type=module", "-e", script, json.dumps([whole, asked])),
        stdout=asyncio.subprocess.PIPE,
    )
    result, _ = await process.communicate()
    assert json.loads(result) == [part for part, _, _ in cases]


async def test_weixin_ilink_client_works_with_the_simulator(sim: Simulator, start: StartProgram):
    folder = installed_client("weixin-ilink-client")
    ilink = sim.wechat.ilink
    sim.wechat.settings.strict = True
    ilink.settings.verify_code, ilink.settings.redirect_host = True, "ilinkai2.weixin.qq.com"
    client = await start(
        sys.executable,
        str(PROGRAMS / "weixin_ilink_client_example.py"),
        json.dumps([*FILES]),
        PYTHONPATH=str(folder),
    )
    await scan(sim, CodeStatus.NEED_VERIFYCODE)
    await enter_numbers(sim, client)
    result = await client.wait_for("logged in")
    assert (result["user"], result["base"]) == (user_id_of("me"), BASE)
    await client.wait_for("running")
    [msg_id] = inject(ilink, MessageOrder(person="me", text=GREETING))
    message = await client.wait_for("message")
    assert (message["id"], message["text"]) == (msg_id, GREETING)
    await client.wait_for("answered")
    for kind in ("image", "image_24", "image_plain", "file", "video", "voice"):
        sha256 = send_file(sim, kind)
        assert (await client.wait_for("media"))["sha256"] == sha256
    client.send_line()
    for _ in FILES:
        await client.wait_for("sent")
    assert_files_arrived(sim)
    client.send_line()
    await client.wait_for("gone")
    assert ilink.chats.sent[0].text == "好的 ☀"
    assert sim.wechat.violations.list() == []


async def test_weixin_ilink_works_with_the_simulator(sim: Simulator, start: StartProgram):
    """An older client: it gets its code by GET and knows no number; outside of strict mode no violation."""
    folder = installed_client("weixin-ilink")
    ilink = sim.wechat.ilink
    client = await start(
        sys.executable,
        str(PROGRAMS / "weixin_ilink_example.py"),
        json.dumps([*FILES]),
        PYTHONPATH=str(folder),
    )
    code = await client.wait_for("code")
    assert code["content"].startswith("https://liteapp.weixin.qq.com/q/TEST01?qrcode=")
    await scan(sim, CodeStatus.SCANED)
    newest = ilink.codes.newest()
    assert newest is not None
    ilink.confirm(newest)
    assert (await client.wait_for("logged in"))["user"] == user_id_of("me")
    await client.wait_for("running")
    inject(ilink, MessageOrder(person="me", text=GREETING))
    assert (await client.wait_for("message"))["text"] == GREETING
    await client.wait_for("answered")
    for kind in ("image", "file", "video", "voice"):
        sha256 = send_file(sim, kind)
        assert (await client.wait_for("media"))["sha256"] == sha256
    client.send_line()
    await client.wait_for("done")
    assert_files_arrived(sim)
    assert sim.wechat.violations.list() == []
