"""Makes README's pictures from the running demo: `python -m tests.support.picture deploy`."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.broker import free_port
from tests.support.chromium import Chromium
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.ear import Ear

STORY = (
    ("say", {"from": "wife", "text": "我快到家了，开灯 ☀"}),
    ("pub", ("wx/out/wife", "灯已打开，暖气 21 °C。欢迎回家！")),
    ("say", {"from": "wife", "text": "门锁了吗?"}),
    ("pub", ("wx/out/wife", "锁好了 🔒")),
)
WIDE, NARROW = 1000, 390
STATE = "document.querySelector('[data-part=\"home.state\"]').textContent"


class Demo:
    """The demo's addresses."""

    def __init__(self, phone: int, broker: int, page: int) -> None:
        self.phone = f"http://127.0.0.1:{phone}"
        self.page = f"http://127.0.0.1:{page}"
        self.broker = broker

    def order(self, act: str, **what: str) -> None:
        """`POST /sim/<act>`."""
        request = urllib.request.Request(f"{self.phone}/sim/{act}", json.dumps(what).encode(), method="POST")
        with urllib.request.urlopen(request) as answer:
            answer.read()


@contextmanager
def running() -> Iterator[Demo]:
    """A demo on free ports."""
    phone, broker, page = free_port(), free_port(), free_port()
    command = [sys.executable, "-m", "wx2mqtt", "demo"]
    ports = ["--simulator-port", str(phone), "--mqtt-port", str(broker), "--web-port", str(page)]
    process = subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        next(line for line in process.stdout if "Stop with" in line)
        yield Demo(phone, broker, page)
    finally:
        process.terminate()
        process.wait(MAX_WAIT_SECONDS)


def main(folder: Path) -> None:
    """Play the story and save what the page and the phone show."""
    with running() as demo, Ear(demo.broker, "wx/#") as ear:
        with Chromium(NARROW, 800, "zh-CN") as browser:
            browser.open(demo.page)
            browser.until("document.querySelector('.login img')?.naturalWidth > 0")
            browser.run("document.getElementById('home-problems').scrollIntoView(false)")
            save(browser, folder / "page-scan.png")
        _play(demo, ear)
        with Chromium(WIDE, 760) as browser:
            for scheme in ("light", "dark"):
                browser.prefer(scheme)
                browser.open(f"{demo.page}/?texts=1")
                browser.until(f"{STATE}.includes('Online')")
                browser.until("document.querySelector('time')?.textContent.includes(':')")
                save(browser, folder / f"page-{scheme}.png")
        with Chromium(960, 600) as browser:
            browser.open(f"{demo.phone}/sim")
            browser.until("document.querySelector('#chats button')")
            browser.run("document.querySelector('#chats button').click()")
            browser.until("document.querySelector('main').innerText.includes('锁好了')")
            save(browser, folder / "phone.png")


def save(browser: Chromium, file: Path) -> None:
    """What the window shows."""
    file.write_bytes(base64.b64decode(browser.screenshot()))


def _play(demo: Demo, ear: Ear) -> None:
    demo.order("scan")
    demo.order("confirm")
    ear.wait("wx/login/state", lambda one: one.body["state"] == "online")
    for act, what in STORY:
        since = ear.count
        if isinstance(what, dict):
            demo.order(act, **what)
            ear.wait("wx/in/wife", since=since)
        else:
            ear.publish(*what)
            ear.wait("wx/result/wife", since=since)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
