"""`wx2mqtt demo --backend ilink`: the owner and their bot, on one machine with no account."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import httpx
import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.ilink_client import APP
from tests.support.terminal import Terminal

FREE = ("--simulator-port", "0", "--mqtt-port", "0", "--web-port", "0")

CONVERSATION = [
    ("bridge", "wx/login/state", "waiting_for_scan"),
    ("bridge", "wx/login/state", "waiting_for_confirm"),
    ("bridge", "wx/login/state", "online"),
    ("WeChat", "wx/in/me", "开灯"),
    ("you", "wx/out/me", "灯已打开"),
    ("bridge", "wx/result/me", '"sent"'),
    ("phone", "from the bot", "灯已打开"),
]


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_once_shows_a_conversation_of_the_owner_with_the_bot(terminal: Terminal):
    began = time.monotonic()
    done = terminal.run("demo", "--once", "--backend", "ilink")
    assert (done.code, done.err) == (0, "")
    assert time.monotonic() - began < allowed(10)
    lines = done.out.splitlines()
    assert len(lines) == len(CONVERSATION)
    for line, (who, where, what) in zip(lines, CONVERSATION, strict=True):
        assert line.startswith(who), line
        assert where in line, line
        assert what in line, line
    assert list(terminal.temporary.iterdir()) == []


def test_it_shows_the_code_on_the_phone_page_and_says_how_to_go_on(terminal: Terminal):
    with terminal.running("demo", *FREE, "--backend", "ilink") as demo:
        phone = re.search(r"http://[\d.:]+", demo.until("http://"))
        assert phone
        demo.until("Ctrl-C")
        assert any("write to the bot" in line for line in demo.said)
        assert any("wx/out/me" in line for line in demo.said)
        with httpx.Client(base_url=phone[0], trust_env=False, timeout=MAX_WAIT_SECONDS) as page:
            assert page.get("/sim/ilink/wait?for=code&seconds=60").json() == {"ready": True}
            assert json.loads(page.get("/sim/ilink/state").text)["bots"] == {}


def test_a_backend_that_is_none_ends_with_2(terminal: Terminal):
    assert terminal.run("demo", "--backend", "telex").code == 2


def test_a_simulator_that_scans_by_itself_binds_the_owner(terminal: Terminal):
    with terminal.running("simulate", "--port", "0", "--autoscan") as simulator:
        url = re.search(r"http://[\d.:]+", simulator.until("/sim is the phone"))
        assert url
        with httpx.Client(
            base_url=f"{url[0]}/ilink/bot/", headers=APP, trust_env=False, timeout=MAX_WAIT_SECONDS
        ) as program:
            code = program.get("get_bot_qrcode", params={"bot_type": "3"}).json()["qrcode"]
            told = [program.get("get_qrcode_status", params={"qrcode": code}).json() for _ in range(2)]
    assert [one["status"] for one in told] == ["scaned", "confirmed"]
