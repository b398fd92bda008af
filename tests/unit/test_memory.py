"""What keeps the bridge small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wx2mqtt.memory import block_imports


def test_what_is_hidden_cannot_be_imported_within_and_can_after() -> None:
    sys.modules.pop("colorsys", None)
    with block_imports("colorsys"), pytest.raises(ImportError):
        import colorsys
    import colorsys

    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)


def test_what_is_loaded_already_stays() -> None:
    with block_imports("json"):
        import json

    assert json.dumps([]) == "[]"


@pytest.mark.parametrize(
    "module", ["rich", "PIL", "anyascii", "amqtt", "uvicorn", "wx2mqtt.setup.wizard", "wx2mqtt.diagnostics"]
)
def test_a_bridge_without_a_terminal_does_not_load(module: str, tmp_path: Path) -> None:
    """Each of them costs megabytes; the QR code is drawn in between."""
    program = (
        "import sys; from wx2mqtt.__main__ import main; sys.argv = ['wx2mqtt', 'healthcheck']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert 'wx2mqtt.app.application' in sys.modules\n"
        "from wx2mqtt.bridge.status_topics import qr_picture; qr_picture('https://example.org')\n"
        f"sys.exit(sys.modules.get({module!r}) is not None)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
