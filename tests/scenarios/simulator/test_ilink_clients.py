"""Other people's clients of iLink, as they are published, log in, receive, answer, fetch and send files.

The official one runs as its host runs it. They look up Tencent's real names and check certificates: only the
resolver and the trusted CA lead them here.
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
    """A simulator with TLS."""
    async with Simulator(tls=tmp_path / "tls") as simulator:
        yield simulator


@pytest.fixture
async def start(sim: Simulator, tmp_path: Path) -> AsyncIterator[StartProgram]:
    """Starts a program that is led to the simulator; ends it with the test."""
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    async with client_programs(sim.port, tmp_path) as run:
        yield run


async def scan(sim: Simulator, status: CodeStatus) -> None:
    """The owner scans the code that a program shows; ends at that status."""
    ilink = sim.wechat.ilink
    assert await ilink.changes.wait_for(lambda: ilink.codes.newest() is not None, MAX_WAIT_SECONDS)
    code = ilink.codes.newest()
    assert code is not None
    ilink.scan(code, "me")
    assert await ilink.changes.wait_for(lambda: code.last_answered is status, MAX_WAIT_SECONDS)


async def give_number(sim: Simulator, program: ClientProgram) -> None:
    """The number that stands on the phone goes to the program, after a wrong one."""
    ilink = sim.wechat.ilink
    code = ilink.codes.newest()
    assert code is not None
    program.send_line("12345678")
    assert await ilink.changes.wait_for(lambda: code.wrong_numbers == 1, MAX_WAIT_SECONDS)
    program.send_line(code.number)
    assert await ilink.changes.wait_for(lambda: code.last_answered is CodeStatus.SCANED, MAX_WAIT_SECONDS)
    ilink.confirm(code)


def say_file(sim: Simulator, kind: str, text: str = "") -> str:
    """The owner sends a file of that kind; its SHA-256."""
    ilink = sim.wechat.ilink
    [msg_id] = inject(ilink, MessageOrder(person="me", kind=kind, text=text))
    return ilink.attachments.plain[msg_id].sha256


def arrived(sim: Simulator) -> None:
    """The files are on the phone, byte by byte, and in their order."""
    sent = [one for one in sim.wechat.ilink.chats.sent if one.media]
    assert [one.kind for one in sent] == ["image", "video", "file"]
    assert [one.sha256 for one in sent] == [hashlib.sha256(data).hexdigest() for data in FILES.values()]
    assert all(one.delivered and one.token == "newest" for one in sent)


async def test_the_official_client_lives_on_the_simulator(
    sim: Simulator, start: StartProgram, tmp_path: Path
):
    folder = installed_client("openclaw-weixin")
    ilink = sim.wechat.ilink
    sim.wechat.settings.strict = True
    ilink.settings.verify_code, ilink.settings.redirect_host = True, "ilinkai2.weixin.qq.com"
    program = await start(
        "node",
        *("--no-warnings", "--require", str(PROGRAMS / "redirect_to_simulator.cjs")),
        *("--import", (PROGRAMS / "openclaw_hooks.mjs").as_uri(), str(PROGRAMS / "openclaw_example.mjs")),
        str(folder / "node_modules" / "@tencent-weixin" / "openclaw-weixin"),
        json.dumps([*FILES]),
        OPENCLAW_STATE_DIR=str(tmp_path / "state"),
        OPENCLAW_TMP=str(tmp_path / "tmp"),
    )
    await scan(sim, CodeStatus.NEED_VERIFYCODE)
    await give_number(sim, program)
    result = await program.wait_for("logged in")
    bot = ilink.active_bot_of("me")
    assert bot is not None
    assert (result["account"], result["base"]) == (bot.bot_id.replace("@", "-").replace(".", "-"), BASE)
    await program.wait_for("running")
    inject(ilink, MessageOrder(person="me", text=GREETING))
    message = await program.wait_for("message")
    assert (message["from"], message["text"]) == (user_id_of("me"), GREETING)
    await program.wait_for("answered")
    for kind in ("image", "image_24", "image_plain", "file", "video"):
        sha256 = say_file(sim, kind, "说明书.pdf" if kind == "file" else "")
        assert (await program.wait_for("media"))["sha256"] == sha256
    say_file(sim, "voice")
    voice = await program.wait_for("media")
    assert (voice["type"], voice["head"]) == ("audio/wav", "RIFF"), "it can decode the SILK"
    inject(ilink, MessageOrder(person="me", kind="voice", text="关灯"))
    assert [(await program.wait_for("message"))["text"] for _ in range(2)] == ["[语音]", "关灯"]
    program.send_line()
    assert all([(await program.wait_for("sent"))["id"] for _ in FILES])
    last = await program.wait_for("done")
    arrived(sim)
    assert last["id"] == ilink.chats.sent[-1].client_id
    inject(ilink, MessageOrder(person="me", kind="quote", text="danke"))
    message = await program.wait_for("message")
    assert (message["text"], message["quoted"]) == ("danke", "完成 one two one | 完成 one two one")
    program.send_line()
    await program.wait_for("gone")
    # The client sends both lines of progress beside the text, in whatever order they get through.
    assert sorted(one.kind for one in ilink.chats.sent[:3]) == ["progress", "progress", "text"]
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


async def test_weixin_ilink_client_lives_on_the_simulator(sim: Simulator, start: StartProgram):
    folder = installed_client("weixin-ilink-client")
    ilink = sim.wechat.ilink
    sim.wechat.settings.strict = True
    ilink.settings.verify_code, ilink.settings.redirect_host = True, "ilinkai2.weixin.qq.com"
    program = await start(
        sys.executable,
        str(PROGRAMS / "weixin_ilink_client_example.py"),
        json.dumps([*FILES]),
        PYTHONPATH=str(folder),
    )
    await scan(sim, CodeStatus.NEED_VERIFYCODE)
    await give_number(sim, program)
    result = await program.wait_for("logged in")
    assert (result["user"], result["base"]) == (user_id_of("me"), BASE)
    await program.wait_for("running")
    [msg_id] = inject(ilink, MessageOrder(person="me", text=GREETING))
    message = await program.wait_for("message")
    assert (message["id"], message["text"]) == (msg_id, GREETING)
    await program.wait_for("answered")
    for kind in ("image", "image_24", "image_plain", "file", "video", "voice"):
        sha256 = say_file(sim, kind)
        assert (await program.wait_for("media"))["sha256"] == sha256
    program.send_line()
    for _ in FILES:
        await program.wait_for("sent")
    arrived(sim)
    program.send_line()
    await program.wait_for("gone")
    assert ilink.chats.sent[0].text == "好的 ☀"
    assert sim.wechat.violations.list() == []


async def test_weixin_ilink_lives_on_the_simulator(sim: Simulator, start: StartProgram):
    """An older one: it gets its code by GET and knows no number; outside of strict mode nothing is wrong with it."""
    folder = installed_client("weixin-ilink")
    ilink = sim.wechat.ilink
    program = await start(
        sys.executable,
        str(PROGRAMS / "weixin_ilink_example.py"),
        json.dumps([*FILES]),
        PYTHONPATH=str(folder),
    )
    code = await program.wait_for("code")
    assert code["content"].startswith("https://liteapp.weixin.qq.com/q/TEST01?qrcode=")
    await scan(sim, CodeStatus.SCANED)
    newest = ilink.codes.newest()
    assert newest is not None
    ilink.confirm(newest)
    assert (await program.wait_for("logged in"))["user"] == user_id_of("me")
    await program.wait_for("running")
    inject(ilink, MessageOrder(person="me", text=GREETING))
    assert (await program.wait_for("message"))["text"] == GREETING
    await program.wait_for("answered")
    for kind in ("image", "file", "video", "voice"):
        sha256 = say_file(sim, kind)
        assert (await program.wait_for("media"))["sha256"] == sha256
    program.send_line()
    await program.wait_for("done")
    arrived(sim)
    assert sim.wechat.violations.list() == []
