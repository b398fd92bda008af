"""The device of the account on the page of a real Home Assistant.

The frontend is none of what `make test-home` installs: it has 110 MB. `make screenshots` puts it beside.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from tests.home.home_assistant import CONFIGURATION, HomeAssistantProcess
from tests.screenshots import image
from tests.screenshots.demo import running
from tests.screenshots.image import save, taken
from tests.support.broker import free_port
from tests.support.chromium import Chromium
from tests.support.subscriber import Subscriber

PICTURES = ("home-assistant.png",)
PYTHON = os.environ.get("HOME_ASSISTANT_PYTHON", "")
FRONTEND = Path(__file__).parents[2] / ".cache" / "home-assistant-frontend"

# Whoever comes from this machine is let in as the owner; the questions of the first start are answered.
TRUSTED = {"type": "trusted_networks", "trusted_networks": ["127.0.0.1"], "allow_bypass_login": True}
WITH_PAGE = {
    "homeassistant": {**CONFIGURATION["homeassistant"], "auth_providers": [TRUSTED]},
    "frontend": None,
}
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


def missing() -> str:
    if not PYTHON or not FRONTEND.is_dir():
        return "Home Assistant and its frontend are not installed: make screenshots does it, with Python 3.13"
    return image.missing()


def make(folder: Path) -> None:
    """Adds the demo's broker to Home Assistant, and saves the page of the device."""
    with (
        running() as demo,
        Subscriber(demo.broker, "wx/#") as subscriber,
        tempfile.TemporaryDirectory() as place,
    ):
        demo.log_in(subscriber)
        (storage := Path(place) / ".storage").mkdir()
        (storage / "onboarding").write_text(json.dumps(ONBOARDED))
        os.environ["PYTHONPATH"] = str(FRONTEND)
        try:
            home_assistant = HomeAssistantProcess(
                PYTHON, Path(place), port=free_port(), configuration=WITH_PAGE
            ).start()
        finally:
            del os.environ["PYTHONPATH"]
        try:
            home_assistant.do("owner", name="Owner")
            home_assistant.do("flow", domain="mqtt", input={"broker": "127.0.0.1", "port": demo.broker})
            home_assistant.until("states('sensor.wechat_home_login_state') == 'online'")
            (device,) = [one["id"] for one in home_assistant.do("devices") if one["name"] == "WeChat home"]
            demo.play(subscriber)
            home_assistant.until(
                "states('sensor.wechat_home_last_message') not in ['unknown', 'unavailable']"
            )
            with Chromium(1180, 860) as browser:
                browser.open(f"{home_assistant.url}/config/devices/device/{device}")
                browser.until(f"{TEXT}.includes('Login state')", 60)
                save(taken(browser), folder / PICTURES[0])
        finally:
            home_assistant.stop()
