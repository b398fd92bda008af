"""The page of the account's device in a real Home Assistant, in both languages.

`make test-home` does not install the frontend: it has 110 MB. `make screenshots` installs it beside.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tests.home.home_assistant import CONFIGURATION, HomeAssistantProcess
from tests.screenshots import image
from tests.screenshots.demo import LANGUAGES, Demo, running
from tests.screenshots.image import fix_changing_texts, save, screenshot
from tests.support.broker import free_port
from tests.support.chromium import Chromium
from tests.support.subscriber import Subscriber

PICTURES = ("home-assistant.png", "home-assistant-zh.png")
PYTHON = os.environ.get("HOME_ASSISTANT_PYTHON", "")
FRONTEND = Path(__file__).parents[2] / ".cache" / "home-assistant-frontend"

# Each visitor from this machine is logged in as the owner; the questions of the first start are answered.
TRUSTED = {"type": "trusted_networks", "trusted_networks": ["127.0.0.1"], "allow_bypass_login": True}
ONBOARDED = {
    "version": 4,
    "minor_version": 1,
    "key": "onboarding",
    "data": {"done": ["user", "core_config", "analytics", "integration"]},
}

# The text of a page of web components, each of which has a tree of its own.
TEXT = (
    "(function text(node) { return node.nodeType === Node.TEXT_NODE ? node.data :"
    " [...(node.shadowRoot?.childNodes ?? []), ...node.childNodes].map(text).join(' ') })(document.body)"
)


# How many icons are not loaded yet.
WITHOUT_ICON = (
    "(function bare(node) { return [...(node.shadowRoot?.childNodes ?? []), ...node.childNodes]"
    ".reduce((count, one) => count + bare(one), node.localName === 'ha-svg-icon' && !node.path ? 1 : 0) })(document.body)"
)


def missing() -> str:
    if not PYTHON or not FRONTEND.is_dir():
        return "Home Assistant and its frontend are not installed: make screenshots does it, with Python 3.13"
    return image.missing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The code of a language in Home Assistant, and the names in its picture."""

    code: str
    owner: str
    device: str
    #: The name of an entity, shown once the page is loaded.
    state: str


WORDS = {
    "en": Words(code="en", owner="Owner", device="WeChat home", state="Login state"),
    "zh": Words(code="zh-Hans", owner="王小明", device="微信 home", state="登录状态"),
}


def make(folder: Path) -> None:
    """Adds the demo's broker to Home Assistant, and saves the page of the device."""
    for picture, language in zip(PICTURES, WORDS, strict=True):
        with running(language) as demo, tempfile.TemporaryDirectory() as temporary_folder:
            save(_device_page(demo, Path(temporary_folder), language), folder / picture)


def _device_page(demo: Demo, temporary_folder: Path, language: str) -> Image.Image:
    words = WORDS[language]
    with Subscriber(demo.broker, "wx/#") as subscriber:
        demo.log_in(subscriber)
        home_assistant = _started(temporary_folder, words)
        try:
            home_assistant.do("owner", name=words.owner)
            home_assistant.do("flow", domain="mqtt", input={"broker": "127.0.0.1", "port": demo.broker})
            home_assistant.until("states('sensor.wechat_home_login_state') == 'online'")
            (device,) = [
                device["id"] for device in home_assistant.do("devices") if device["name"] == words.device
            ]
            demo.converse(subscriber, language)
            home_assistant.until(
                "states('sensor.wechat_home_last_message') not in ['unknown', 'unavailable']"
            )
            with Chromium(1180, 860, LANGUAGES[language]) as browser:
                browser.open(f"{home_assistant.url}/config/devices/device/{device}")
                browser.until(f"{TEXT}.includes({words.state!r})", 60)
                browser.until(f"{WITHOUT_ICON} === 0", 30)
                fix_changing_texts(browser)
                return screenshot(browser)
        finally:
            home_assistant.stop()


def _started(temporary_folder: Path, words: Words) -> HomeAssistantProcess:
    (storage := temporary_folder / ".storage").mkdir()
    (storage / "onboarding").write_text(json.dumps(ONBOARDED))
    core = {**CONFIGURATION["homeassistant"], "language": words.code, "auth_providers": [TRUSTED]}
    os.environ["PYTHONPATH"] = str(FRONTEND)
    try:
        return HomeAssistantProcess(
            PYTHON,
            temporary_folder,
            port=free_port(),
            configuration={"homeassistant": core, "frontend": None},
        ).start()
    finally:
        del os.environ["PYTHONPATH"]
