"""Pictures of the page and the phone of a demo on iLink: the first steps, then a conversation."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from tests.screenshots.image import fix_changing_texts, replace_code, save, screenshot
from tests.support.broker import free_port
from tests.support.chromium import Chromium
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.subscriber import Subscriber

PICTURES = (
    "steps-en.png",
    "steps-zh.png",
    "page-light.png",
    "page-dark.png",
    "page-zh.png",
    "phone.png",
    "phone-zh.png",
)
LANGUAGES = {"en": "en", "zh": "zh-CN"}
CONVERSATIONS = {
    "en": (
        ("say", {"text": "Almost home, lights on ☀"}),
        ("pub", ("wx/out/me", "The lights are on, 21 °C. Welcome home!")),
        ("say", {"kind": "image"}),
        ("pub", ("wx/out/me", "The picture of the door is stored")),
        ("say", {"text": "Is the door locked?"}),
        ("pub", ("wx/out/me", "It is locked")),
    ),
    "zh": (
        ("say", {"text": "我快到家了，开灯 ☀"}),
        ("pub", ("wx/out/me", "灯已打开，暖气 21 °C。欢迎回家！")),
        ("say", {"kind": "image"}),
        ("pub", ("wx/out/me", "门口的照片已保存")),
        ("say", {"text": "门锁了吗？"}),
        ("pub", ("wx/out/me", "锁好了")),
    ),
}
WIDE, NARROW = 1000, 390

# The last card in the picture of the page; figures and contacts are left out.
LAST_CARD = "home-last_commands"


class Demo:
    """A running demo: its URLs, and the actions of the person with the phone."""

    def __init__(self, phone: int, broker: int, page: int) -> None:
        self.phone = f"http://127.0.0.1:{phone}"
        self.page = f"http://127.0.0.1:{page}"
        self.broker = broker

    def call_simulator(self, action: str, **values: str) -> None:
        """Calls `POST /sim/ilink/<action>` of the simulator."""
        address = f"{self.phone}/sim/ilink/{action}"
        request = urllib.request.Request(address, json.dumps(values).encode(), method="POST")
        with urllib.request.urlopen(request) as answer:
            answer.read()

    def log_in(self, subscriber: Subscriber) -> None:
        subscriber.wait("wx/login/state", lambda message: message.body["state"] == "waiting_for_scan")
        self.call_simulator("scan")
        self.call_simulator("confirm")
        subscriber.wait("wx/login/state", lambda message: message.body["state"] == "online")

    def converse(self, subscriber: Subscriber, name: str = "zh") -> None:
        """Writes as the owner, and sends to them, what the conversation of this language says."""
        for action, values in CONVERSATIONS[name]:
            since = subscriber.count
            if isinstance(values, dict):
                self.call_simulator(action, **values)
                subscriber.wait("wx/in/me", since=since)
            else:
                subscriber.publish(*values)
                subscriber.wait("wx/result/me", since=since)
        subscriber.wait("wx/event/media", lambda message: message.body["state"] == "ready")


@contextmanager
def running(language: str = "en") -> Iterator[Demo]:
    """Runs a demo on free ports."""
    phone, broker, page = free_port(), free_port(), free_port()
    command = [sys.executable, "-m", "wx2mqtt", "demo", "--language", language]
    ports = ["--simulator-port", str(phone), "--mqtt-port", str(broker), "--web-port", str(page)]
    process = subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        next(line for line in process.stdout if "Ctrl" in line)
        yield Demo(phone, broker, page)
    finally:
        process.terminate()
        process.wait(MAX_WAIT_SECONDS)


def make(folder: Path) -> None:
    """Holds the conversation in each language, and saves what page and phone show."""
    for name in LANGUAGES:
        with running(name) as demo, Subscriber(demo.broker, "wx/#") as subscriber:
            _make_in(name, demo, subscriber, folder)


def _make_in(name: str, demo: Demo, subscriber: Subscriber, folder: Path) -> None:
    language = LANGUAGES[name]
    with Chromium(NARROW, 900, language) as browser:
        browser.devtools("Page.setBypassCSP", enabled=True)
        browser.open(demo.page)
        browser.until("document.querySelector('.login img')?.naturalWidth > 0")
        replace_code(browser)
        fix_changing_texts(browser)
        save(screenshot(browser), folder / f"steps-{name}.png")
    demo.log_in(subscriber)
    demo.converse(subscriber, name)
    schemes = {"en": {"page-light": "light", "page-dark": "dark"}, "zh": {"page-zh": "light"}}
    for picture, scheme in schemes[name].items():
        with Chromium(WIDE, 1180, language) as browser:
            browser.prefer(scheme)
            browser.open(f"{demo.page}/?texts=1")
            browser.until("document.querySelector('.thumbnail')?.naturalWidth > 0")
            browser.until("document.querySelector('time')?.textContent.includes(':')")
            fix_changing_texts(browser)
            end = browser.run(f"return document.getElementById({LAST_CARD!r}).getBoundingClientRect().bottom")
            size = {"width": WIDE, "height": round(end) + 10}
            browser.devtools("Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=1, mobile=False)
            save(screenshot(browser), folder / f"{picture}.png")
    save(phone(demo, language=language), folder / ("phone.png" if name == "en" else "phone-zh.png"))


def phone(demo: Demo, width: int = 860, height: int = 560, language: str = "en") -> Image.Image:
    """Returns the chat of the owner with the bot, as the simulated phone shows it."""
    with Chromium(width, height, language) as browser:
        browser.open(f"{demo.phone}/sim")
        browser.until("document.querySelector('#chats button')")
        browser.run("document.querySelector('#chats button').click()")
        browser.until("document.querySelector('main img[src*=media]')?.naturalWidth > 0")
        fix_changing_texts(browser)
        # The picture may have come after the page went to the end of the chat.
        browser.run(
            "for (const one of document.querySelectorAll('main, main *')) one.scrollTop = one.scrollHeight"
        )
        return screenshot(browser)
