"""Each flow of deploy/node-red in the editor of a real Node-RED; the camera's with the picture that it sent."""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image

from tests.node_red.environment import FLOWS, read
from tests.node_red.installed import install
from tests.node_red.red import NodeRed, Nodes
from tests.screenshots import image
from tests.screenshots.demo import phone, running
from tests.screenshots.image import beside, fix_changing_texts, save, screenshot
from tests.support.chromium import Chromium
from tests.support.subscriber import Subscriber

NAMES = tuple(sorted(file.stem for file in FLOWS.glob("*.json")))
PICTURES = tuple(f"node-red-{name}.png" for name in NAMES)
CAMERA = "camera"

# Without animations, so that no picture shows something half moved.
WITHOUT_MOTION = """
jQuery.fx.off = true;
document.head.append(Object.assign(document.createElement('style'), {
  textContent: '* { transition: none !important; animation: none !important; caret-color: transparent !important }',
}));
"""

CONNECTED = (
    "[...document.querySelectorAll('.red-ui-flow-node-status-label')]"
    ".filter(one => one.textContent === 'connected').length"
)


def missing() -> str:
    return image.missing() or install()


def make(folder: Path) -> None:
    """Deploys one flow after the other against the demo's broker."""
    with (
        running() as demo,
        Subscriber(demo.broker, "wx/#") as subscriber,
        tempfile.TemporaryDirectory() as temporary_folder,
    ):
        demo.log_in(subscriber)
        demo.call_simulator("say", text="你好")
        subscriber.wait("wx/in/me")
        with NodeRed(Path(temporary_folder), editor=True) as red:
            for name in NAMES:
                nodes = [
                    {**node, "port": demo.broker} if node["type"] == "mqtt-broker" else node
                    for node in read(name)
                ]
                red.deploy(nodes)
                picture = _flow(red, nodes, with_result=name == CAMERA)
                if name == CAMERA:
                    picture = beside(picture, phone(demo, 660, picture.height))
                save(picture, folder / f"node-red-{name}.png")


def _flow(red: NodeRed, nodes: Nodes, *, with_result: bool) -> Image.Image:
    """Returns the editor with one flow, as large as the flow needs; `with_result` also what was sent."""
    width = max(node["x"] for node in nodes if "x" in node) + 260
    height = max(node["y"] for node in nodes if "y" in node) + (340 if with_result else 200)
    with Chromium(width + 340 if with_result else width, height) as editor:
        editor.open(red.url)
        editor.until(f"window.RED?.nodes?.workspace?.({nodes[0]['id']!r})", 20)
        editor.run(WITHOUT_MOTION)
        editor.run("RED.workspaces.show(arguments[0])", nodes[0]["id"])
        editor.run("RED.actions.invoke('core:toggle-palette', false)")
        if with_result:
            editor.run("RED.actions.invoke('core:show-debug-tab')")
            since = len(red.output)
            red.press(
                next(node["id"] for node in nodes if node.get("name", "").startswith("picture without"))
            )
            red.shown("sent", since=since)
            editor.until("document.querySelector('.red-ui-debug-msg')")
        else:
            editor.run("RED.actions.invoke('core:toggle-sidebar', false)")
        editor.until("document.querySelector('.red-ui-flow-node')")
        editor.until("document.querySelector('#red-ui-workspace').getBoundingClientRect().left < 9")
        connected = sum(node["type"] in {"mqtt in", "mqtt out"} for node in nodes)
        editor.until(f"{CONNECTED} >= {connected}")
        editor.run("document.querySelector('#red-ui-workspace-chart').scrollTo(0, 0)")
        fix_changing_texts(editor)
        return screenshot(editor)
