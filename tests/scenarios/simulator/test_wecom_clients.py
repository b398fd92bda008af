"""Published clients of WeCom's bots work with the simulator without a violation.

They get its address as that of the gateway, and trust its CA; nothing of them is changed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client_program import (
    PROGRAMS,
    ClientProgram,
    StartProgram,
    client_programs,
    installed_client,
)
from tests.support.deadlines import MAX_WAIT_SECONDS
from wx2mqtt.simulator.samples import sample
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.simulator.wecom.bot import Bot
from wx2mqtt.simulator.wecom.message_injection import MessageOrder, Press, enter, inject, press
from wx2mqtt.simulator.wecom.simulated_wecom import HOME_BOT_ID, HOME_BOT_SECRET

pytestmark = pytest.mark.client

ME = "WangXiaoMing"
FILES = {
    "图片 1.jpg": sample("image.jpg"),
    "视频.mp4": sample("video.mp4"),
    "声音.amr": b"#!AMR\n" + bytes(200),
    "大.bin": bytes(range(256)) * 10_000,
}
TYPES = {".jpg": "image", ".mp4": "video", ".amr": "voice", ".bin": "file"}


@pytest.fixture
async def sim(tmp_path: Path) -> AsyncIterator[Simulator]:
    """Yields a simulator with TLS."""
    async with Simulator(tls=tmp_path / "tls") as simulator:
        yield simulator


@pytest.fixture
async def start(sim: Simulator, tmp_path: Path) -> AsyncIterator[StartProgram]:
    """Yields a function that starts a client program which trusts the simulator, until the test ends."""
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    async with client_programs(sim.port, tmp_path) as run:
        yield run


def arguments(sim: Simulator, *files: str) -> tuple[str, ...]:
    url = f"wss://127.0.0.1:{sim.port}/"
    return (url, HOME_BOT_ID, HOME_BOT_SECRET, ME, json.dumps(files))


def send_as_owner(sim: Simulator, **order: Any) -> str:
    """Lets the owner write to the bot; returns the id of the message."""
    wecom = sim.wechat.wecom
    injected = inject(wecom, bot_of(sim), MessageOrder(sender="me", **order))
    assert injected.delivered == 1
    return injected.msg_ids[0]


def bot_of(sim: Simulator) -> Bot:
    return sim.wechat.wecom.bots[HOME_BOT_ID]


async def receive_each_kind(sim: Simulator, client: ClientProgram, *file_kinds: str) -> None:
    """Checks that texts are answered by a stream of two frames and that files of each kind are fetched."""
    for order, text in (
        ({"text": "开灯 ☀"}, "开灯 ☀"),
        ({"kind": "voice", "text": "关灯"}, "关灯"),
        ({"group": "family", "text": "谁在家"}, "@家 谁在家"),
    ):
        msg_id = send_as_owner(sim, **order)
        message = await client.wait_for("message")
        assert (message["id"], message["texts"]) == (msg_id, [text])
        await client.wait_for("answered")
        assert sim.wechat.wecom.chats.sent[-1].shown == f"{text} ✓"
    send_as_owner(sim, kind="quote", text="对")
    assert (await client.wait_for("message"))["quoted"] == "关灯 ✓"
    await client.wait_for("answered")
    for kind in file_kinds:
        msg_id = send_as_owner(sim, kind=kind, bytes_of=100_001)
        message = await client.wait_for("message")
        assert message["hashes"] == [sim.wechat.wecom.files.plain[msg_id].sha256]
    send_as_owner(sim, kind="mixed", detail={"parts": ["看", None, None]})
    message = await client.wait_for("message")
    assert (message["texts"], len({*message["hashes"]})) == (["看"], 2)
    await client.wait_for("answered")


async def greet(sim: Simulator, client: ClientProgram) -> None:
    assert enter(sim.wechat.wecom, bot_of(sim), "me")
    await client.wait_for("welcomed")
    assert sim.wechat.wecom.chats.sent[-1].text == "你好"


async def send(sim: Simulator, client: ClientProgram, *files: str) -> None:
    """Lets the client send a text, a card and files, and checks what reaches the phone."""
    chats = sim.wechat.wecom.chats
    before = len(chats.sent)
    client.send_line()
    await client.wait_for("sent")
    text, card, *media = chats.sent[before:]
    assert (text.chat, text.shown) == ("me", "回家")
    assert card.card is not None
    assert [button.text for button in card.card.buttons] == ["开", "关"]
    assert [file.kind for file in media] == [TYPES[Path(name).suffix] for name in files]
    assert [file.sha256 for file in media] == [hashlib.sha256(FILES[name]).hexdigest() for name in files]


async def press_and_replace(sim: Simulator, client: ClientProgram) -> None:
    """Presses a button, checks that the card is updated, and lets another program take the bot over."""
    wecom = sim.wechat.wecom
    assert press(wecom, bot_of(sim), Press(person="me", key="off"))
    pressed = await client.wait_for("pressed")
    assert (pressed["key"], pressed["task"]) == ("off", "task-1")
    assert wecom.chats.sent[-1].command == "update"
    assert wecom.take_over(bot_of(sim))


async def assert_stays_disconnected(sim: Simulator) -> None:
    """Checks that the client does not come back after it was replaced, and that there was no violation."""
    wecom = sim.wechat.wecom
    assert await wecom.changes.wait_for(lambda: not wecom.connections, MAX_WAIT_SECONDS)
    assert bot_of(sim).subscriptions == 1
    assert sim.wechat.violations.list() == []


async def test_the_official_client_for_node_works_with_the_simulator(sim: Simulator, start: StartProgram):
    folder = installed_client("aibot-node-sdk")
    script = str(PROGRAMS / "wecom_example.cjs")
    module = str(folder / "node_modules" / "@wecom" / "aibot-node-sdk")
    client = await start("node", "--no-warnings", script, module, *arguments(sim, *FILES))
    await client.wait_for("authenticated")
    await receive_each_kind(sim, client, "image", "file", "video")
    await greet(sim, client)
    await send(sim, client, *FILES)
    await press_and_replace(sim, client)
    await client.wait_for("replaced")
    await assert_stays_disconnected(sim)


async def test_wecom_aibot_sdk_works_with_the_simulator(sim: Simulator, start: StartProgram):
    """This client uploads pictures, videos and files; it does not know videos that are received."""
    folder = installed_client("wecom-aibot-sdk")
    files = [name for name in FILES if not name.endswith(".amr")]
    script = str(PROGRAMS / "wecom_example.py")
    client = await start(
        *(sys.executable, script, "wecom_aibot_sdk", *arguments(sim, *files)), PYTHONPATH=str(folder)
    )
    await client.wait_for("authenticated")
    await receive_each_kind(sim, client, "image", "file")
    await greet(sim, client)
    await send(sim, client, *files)
    await press_and_replace(sim, client)
    await client.wait_for("disconnected")
    await assert_stays_disconnected(sim)


async def test_the_official_client_for_python_works_with_the_simulator(sim: Simulator, start: StartProgram):
    """This client has no uploads, requires TLS, and takes a clean close for the end."""
    folder = installed_client("wecom-aibot-python-sdk")
    script = str(PROGRAMS / "wecom_example.py")
    client = await start(*(sys.executable, script, "aibot", *arguments(sim)), PYTHONPATH=str(folder))
    await client.wait_for("authenticated")
    await receive_each_kind(sim, client, "image", "file")
    await greet(sim, client)
    await send(sim, client)
    await press_and_replace(sim, client)
    await client.wait_for("replaced")
    await assert_stays_disconnected(sim)
