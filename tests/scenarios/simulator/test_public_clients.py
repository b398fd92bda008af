"""Published clients of web WeChat log in, list people, send, receive, befriend and recall without violations.

They look up WeChat's real names and check certificates: only the resolver and the trusted CA lead them to the
simulator.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.client_program import PROGRAMS, StartProgram, client_programs, installed_client
from wx2mqtt.simulator.message_injection import MessageOrder, inject
from wx2mqtt.simulator.samples import sample
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.simulator.world import PersonKind

pytestmark = pytest.mark.client


@pytest.fixture
async def sim(tmp_path: Path) -> AsyncIterator[Simulator]:
    """Yields a simulator with TLS and a person who scans each code at once."""
    async with Simulator(tls=tmp_path / "tls") as simulator:
        simulator.wechat.settings.autoscan = True
        yield simulator


@pytest.fixture
async def start(sim: Simulator, tmp_path: Path) -> AsyncIterator[StartProgram]:
    """Yields a function that starts a client; the resolver leads the client to the simulator."""
    async with client_programs(sim.port, tmp_path) as run:
        yield run


def sent(sim: Simulator) -> list[tuple[str, str]]:
    return [(message.to, message.text) for message in sim.wechat.phone.sent]


FILES = {
    "图片 1.jpg": sample("image.jpg"),
    "动图.gif": sample("sticker.gif"),
    "视频.mp4": sample("video.mp4"),
    "报告.txt": b"text",
    "大.bin": bytes(range(256)) * 3000,
}
"""What the clients send; the last one in two parts."""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Writes the files into the folder of the clients; returns their names."""
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    return list(FILES)


def files_arrived(sim: Simulator, names: list[str]) -> bool:
    """Checks that these files arrived in this order, and that the message after them was recalled."""
    media = [message for message in sim.wechat.phone.sent if message.media]
    kinds = {"jpg": "image", "gif": "sticker", "mp4": "video"}
    assert [file.kind for file in media] == [kinds.get(name.rpartition(".")[2], "file") for name in names]
    assert [file.sha256 for file in media] == [hashlib.sha256(FILES[name]).hexdigest() for name in names]
    assert [file.text for file in media if file.kind == "file"] == [
        n for n in names if n[-3:] in ("txt", "bin")
    ]
    assert [line.recalled for line in sim.wechat.phone.lines if line.text == "falsch"] == [True]
    return True


def send_media(sim: Simulator, kind: str, name: str = "") -> str:
    """Lets somebody send a file of this kind; returns its SHA-256."""
    [msg_id] = inject(sim.wechat, MessageOrder(sender="wife", to="me", kind=kind, text=name))
    found = sim.wechat.media.find(msg_id)
    assert found is not None
    assert found.content is not None
    return found.content.sha256


def send_friend_request(sim: Simulator) -> None:
    """Lets a person who is no contact ask to become a friend."""
    inject(sim.wechat, MessageOrder(sender="aunt", to="me", kind="friend_request"))


SIGNS = {"jpg": "@img@", "gif": "@img@", "mp4": "@vid@"}
"""How itchat is told what to send a file as."""


@pytest.mark.parametrize("name", ["itchat", "itchat-uos"])
async def test_itchat_works_with_the_simulator(
    sim: Simulator, start: StartProgram, files: list[str], name: str
):
    folder = installed_client(name)
    client_program = await start(
        sys.executable,
        str(PROGRAMS / "itchat_example.py"),
        json.dumps([SIGNS.get(file[-3:], "@fil@") + file for file in files]),
        PYTHONPATH=str(folder),
        PYTHONWARNINGS="ignore",
    )
    people = await client_program.wait_for("people")
    assert people["me"] == "王小明"
    assert {"老婆", "妈妈", "李雷"} <= set(people["friends"])
    assert set(people["groups"]) == {"相亲相爱一家人", "项目组"}
    await client_program.wait_for("running")
    inject(sim.wechat, MessageOrder(sender="wife", to="me", text="开灯 ☀ <3\n第二行"))
    assert await client_program.wait_for("friend") == {
        "what": "friend",
        "name": "晓梅🌸",
        "remark": "老婆",
        "text": "开灯 ☀ <3\n第二行",
    }
    assert (await client_program.wait_for("answered"))["ret"] == 0
    inject(sim.wechat, MessageOrder(sender="mom", to="family", text="吃饭了"))
    assert await client_program.wait_for("group") == {
        "what": "group",
        "group": "相亲相爱一家人",
        "name": "老妈",
        "text": "吃饭了",
    }
    inject(sim.wechat, MessageOrder(sender="wife", to="me", kind="system:red_packet"))
    assert (await client_program.wait_for("Note"))["text"] == "收到红包，请在手机上查看"
    inject(sim.wechat, MessageOrder(sender="wife", to="me", kind="link", text="标题"))
    assert (await client_program.wait_for("Sharing"))["text"] == "标题"
    for kind, result in (
        ("image", "Picture"),
        ("sticker", "Picture"),
        ("voice", "Recording"),
        ("video", "Video"),
    ):
        sha256 = send_media(sim, kind)
        assert (await client_program.wait_for(result))["sha256"] == sha256
    sha256 = send_media(sim, "file", "说明书.pdf")
    assert await client_program.wait_for("Attachment") == {
        "what": "Attachment",
        "name": "说明书.pdf",
        "sha256": sha256,
    }
    send_friend_request(sim)
    await client_program.wait_for("befriended")
    assert sim.wechat.world.person("aunt").kind is PersonKind.FRIEND
    client_program.send_line()
    assert [(await client_program.wait_for("media"))["ret"] for _ in files] == [0] * len(files)
    assert await client_program.wait_for("done") == {"what": "done", "ret": 0, "picture": "ffd8ff"}
    assert files_arrived(sim, files)
    client_program.send_line()
    await client_program.wait_for("gone")
    texts = [(to, text) for to, text in sent(sim) if text and text not in files]
    assert texts == [("wife", "好的 ☀"), ("wife", "falsch"), ("filehelper", "再见")]
    assert sim.wechat.session is None, "it has logged out"
    assert sim.wechat.violations.list() == []


async def test_wechat4u_works_with_the_simulator(sim: Simulator, start: StartProgram, files: list[str]):
    folder = installed_client("wechat4u")
    client_program = await start(
        "node",
        "--require",
        str(PROGRAMS / "redirect_to_simulator.cjs"),
        str(PROGRAMS / "wechat4u_example.cjs"),
        json.dumps(files),
        NODE_PATH=str(folder / "node_modules"),
    )
    assert {"老婆", "[群] 相亲相爱一家人", "王小明"} <= set(
        (await client_program.wait_for("people"))["people"]
    )
    inject(sim.wechat, MessageOrder(sender="wife", to="me", text="开灯 ☀ <3\n第二行"))
    assert await client_program.wait_for("message") == {
        "what": "message",
        "name": "老婆",
        "text": "开灯 ☀ <3\n第二行",
    }
    assert (await client_program.wait_for("answered"))["ret"] == 0
    inject(sim.wechat, MessageOrder(sender="lilei", to="work", text="开会"))
    assert (await client_program.wait_for("message"))["name"] == "[群] 项目组"
    assert (await client_program.wait_for("answered"))["ret"] == 0
    for kind in ("image", "sticker", "voice", "video", "file"):
        sha256 = send_media(sim, kind)
        assert (await client_program.wait_for("media"))["sha256"] == sha256
    send_friend_request(sim)
    await client_program.wait_for("befriended")
    client_program.send_line()
    assert [(await client_program.wait_for("sent"))["ret"] for _ in files] == [0] * len(files)
    assert (await client_program.wait_for("done"))["picture"] == "ffd8ff"
    assert files_arrived(sim, files)
    client_program.send_line()
    await client_program.wait_for("gone")
    assert {("wife", "好的 ☀"), ("work", "好的 ☀")} <= set(sent(sim))
    assert sim.wechat.violations.list() == []
