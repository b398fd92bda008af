"""Makes README's picture from the running demo: `python -m tests.support.picture deploy/phone.png`."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.support.broker import free_port
from tests.support.chromium import Chromium
from tests.support.ear import Ear

STORY = (
    ("say", {"from": "wife", "text": "我快到家了,开灯 ☀"}),
    ("pub", ("wx/out/wife", "灯已打开,暖气 21 °C。欢迎回家!")),
    ("say", {"from": "wife", "text": "门锁了吗?"}),
    ("pub", ("wx/out/wife", "锁好了 🔒")),
)


def main(target: Path) -> None:
    """Play the story on the demo and save what the phone shows."""
    phone, broker = free_port(), free_port()
    command = [sys.executable, "-m", "wx2mqtt", "demo"]
    ports = ["--simulator-port", str(phone), "--mqtt-port", str(broker), "--web-port", "0"]
    demo = subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, text=True)
    try:
        assert demo.stdout is not None
        next(line for line in demo.stdout if "Stop with" in line)
        with Ear(broker, "wx/#") as ear, Chromium(960, 600) as browser:
            _play(f"http://127.0.0.1:{phone}", ear)
            browser.open(f"http://127.0.0.1:{phone}/sim")
            browser.until("document.querySelector('#chats button')")
            browser.run("document.querySelector('#chats button').click()")
            browser.until("document.querySelector('main').innerText.includes('锁好了')")
            target.write_bytes(base64.b64decode(browser.screenshot()))
    finally:
        demo.terminate()
        demo.wait(10)


def _play(url: str, ear: Ear) -> None:
    _post(f"{url}/sim/scan", {})
    _post(f"{url}/sim/confirm", {})
    ear.wait("wx/login/state", lambda one: one.body["state"] == "online")
    for act, what in STORY:
        since = ear.count
        if act == "say":
            _post(f"{url}/sim/say", what)
            ear.wait("wx/in/wife", since=since)
        else:
            ear.publish(*what)
            ear.wait("wx/result/wife", since=since)


def _post(url: str, body: object) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request) as answer:
        answer.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
