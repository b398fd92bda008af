"""Makes the picture of deploy/node-red: `python -m tests.node_red.picture deploy/node-red/camera.png`.

The camera's flow in the editor of a real Node-RED, and the phone of the demo to which it sent.
"""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from PIL import Image

from tests.node_red.house import read
from tests.node_red.red import NodeRed, Nodes
from tests.support.broker import free_port
from tests.support.chromium import Chromium
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.ear import Ear


def main(target: Path) -> None:
    """Ring on the demo, and save what editor and phone show."""
    phone, broker = free_port(), free_port()
    command = [sys.executable, "-m", "wx2mqtt", "demo"]
    ports = ["--simulator-port", str(phone), "--mqtt-port", str(broker), "--web-port", "0"]
    demo = subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, text=True)
    try:
        assert demo.stdout is not None
        next(line for line in demo.stdout if "Stop with" in line)
        with Ear(broker, "wx/#") as ear, tempfile.TemporaryDirectory() as folder:
            ear.wait("wx/login/state", lambda one: one.body["state"] == "waiting_for_scan")
            for act in ("scan", "confirm"):
                _post(f"http://127.0.0.1:{phone}/sim/{act}")
            ear.wait("wx/login/state", lambda one: one.body["state"] == "online")
            nodes = [
                {**one, "port": broker} if one["type"] == "mqtt-broker" else one for one in read("camera")
            ]
            with NodeRed(Path(folder), editor=True) as red:
                flow = _flow(red, nodes)
        shown = _phone(f"http://127.0.0.1:{phone}/sim")
    finally:
        demo.terminate()
        demo.wait(MAX_WAIT_SECONDS)
    whole = Image.new("RGB", (flow.width + shown.width, flow.height), "white")
    whole.paste(flow, (0, 0))
    whole.paste(shown, (flow.width, 0))
    whole.quantize(128).save(target, optimize=True)


def _flow(red: NodeRed, nodes: Nodes) -> Image.Image:
    red.deploy(nodes)
    with Chromium(1380, 560) as editor:
        editor.open(red.url)
        editor.until("window.RED && RED.nodes && RED.nodes.filterNodes({ type: 'inject' }).length", 20)
        editor.run("RED.workspaces.show(arguments[0])", nodes[0]["id"])
        editor.run("RED.actions.invoke('core:toggle-palette'); RED.actions.invoke('core:show-debug-tab')")
        red.push(next(one["id"] for one in nodes if one.get("name", "").startswith("picture without")))
        red.shown("sent")
        editor.until("document.querySelector('.red-ui-debug-msg')")
        return _taken(editor)


def _phone(url: str) -> Image.Image:
    with Chromium(660, 560) as browser:
        browser.open(url)
        browser.until("document.querySelector('#chats button')")
        browser.run("document.querySelector('#chats button').click()")
        browser.until("document.querySelector('main img[src*=media]')?.naturalWidth")
        return _taken(browser)


def _taken(browser: Chromium) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(browser.screenshot())))


def _post(url: str) -> None:
    with urllib.request.urlopen(
        urllib.request.Request(url, json.dumps({}).encode(), method="POST")
    ) as answer:
        answer.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
