"""Other people's clients, as they are published, log in, list people, receive and send, without a violation.

They look up WeChat's real names and check certificates: only the resolver and the trusted CA lead them here.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import CLIENTS
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.simulator.speech import Speech, say

HERE = Path(__file__).parents[1] / "clients"
PATIENCE = 30.0

pytestmark = pytest.mark.timeout(300)  # the first run installs them


@pytest.fixture
async def sim(tmp_path: Path) -> AsyncIterator[Simulator]:
    """A simulator with TLS and a person who scans at once."""
    async with Simulator(tls=tmp_path / "tls") as simulator:
        simulator.wechat.settings.autoscan = True
        yield simulator


class Story:
    """A client's program and what it tells, one JSON object a line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def until(self, what: str) -> dict[str, Any]:
        """What it tells next of that kind."""
        assert self._process.stdout is not None
        while True:
            line = (await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)).decode()
            assert line, f"it ended before it told of {what!r}"
            start = line.find("{")
            told: dict[str, Any] = json.loads(line[start:]) if start >= 0 else {}
            assert told.get("what") != "error", told
            if told.get("what") == what:
                return told

    def go_on(self) -> None:
        """Let it come to its end."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")


def installed(name: str) -> Path:
    """The client's folder; skips, by name, when it is not to be had."""
    problem = CLIENTS[name].install()
    if problem:
        pytest.skip(problem)
    return CLIENTS[name].folder


@pytest.fixture
async def start(sim: Simulator, tmp_path: Path) -> AsyncIterator[Any]:
    """Starts a program that is led to the simulator; ends it with the test."""
    started: list[asyncio.subprocess.Process] = []

    async def run(*command: str, **environment: str) -> Story:
        ca = str(tmp_path / "tls" / "ca.pem")
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=tmp_path,
            env={
                **os.environ,
                "SIMULATOR_PORT": str(sim.port),
                "REQUESTS_CA_BUNDLE": ca,
                "NODE_EXTRA_CA_CERTS": ca,
                **environment,
            },
        )
        started.append(process)
        return Story(process)

    yield run
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


def sent(sim: Simulator) -> list[tuple[str, str]]:
    return [(one.to, one.text) for one in sim.wechat.phone.sent]


@pytest.mark.parametrize("name", ["itchat", "itchat-uos"])
async def test_itchat_lives_on_the_simulator(sim: Simulator, start: Any, name: str):
    folder = installed(name)
    story = await start(
        sys.executable,
        str(HERE / "itchat_story.py"),
        PYTHONPATH=str(folder),
        PYTHONWARNINGS="ignore",
    )
    people = await story.until("people")
    assert people["me"] == "王小明"
    assert {"老婆", "妈妈", "李雷"} <= set(people["friends"])
    assert set(people["groups"]) == {"相亲相爱一家人", "项目组"}
    await story.until("running")
    say(sim.wechat, Speech(sender="wife", to="me", text="开灯 ☀ <3\n第二行"))
    assert await story.until("friend") == {
        "what": "friend",
        "name": "晓梅🌸",
        "remark": "老婆",
        "text": "开灯 ☀ <3\n第二行",
    }
    assert (await story.until("answered"))["ret"] == 0
    say(sim.wechat, Speech(sender="mom", to="family", text="吃饭了"))
    assert await story.until("group") == {
        "what": "group",
        "group": "相亲相爱一家人",
        "name": "老妈",
        "text": "吃饭了",
    }
    say(sim.wechat, Speech(sender="wife", to="me", kind="system:red_packet"))
    assert (await story.until("Note"))["text"] == "收到红包，请在手机上查看"
    say(sim.wechat, Speech(sender="wife", to="me", kind="link", text="标题"))
    assert (await story.until("Sharing"))["text"] == "标题"
    story.go_on()
    await story.until("gone")
    assert sent(sim) == [("wife", "好的 ☀"), ("filehelper", "再见")]
    assert sim.wechat.session is None, "it has logged out"
    assert sim.wechat.violations.list() == []


async def test_wechat4u_lives_on_the_simulator(sim: Simulator, start: Any):
    folder = installed("wechat4u")
    story = await start(
        "node",
        "--require",
        str(HERE / "led_here.cjs"),
        str(HERE / "wechat4u_story.cjs"),
        NODE_PATH=str(folder / "node_modules"),
    )
    assert {"老婆", "[群] 相亲相爱一家人", "王小明"} <= set((await story.until("people"))["people"])
    say(sim.wechat, Speech(sender="wife", to="me", text="开灯 ☀ <3\n第二行"))
    assert await story.until("message") == {"what": "message", "name": "老婆", "text": "开灯 ☀ <3\n第二行"}
    assert (await story.until("answered"))["ret"] == 0
    say(sim.wechat, Speech(sender="lilei", to="work", text="开会"))
    assert (await story.until("message"))["name"] == "[群] 项目组"
    assert (await story.until("answered"))["ret"] == 0
    story.go_on()
    await story.until("gone")
    assert {("wife", "好的 ☀"), ("work", "好的 ☀")} <= set(sent(sim))
    assert sim.wechat.violations.list() == []
