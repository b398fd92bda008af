"""Modules that the bridge does not load, and memory that it returns."""

from __future__ import annotations

import gc
import os
import ssl
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import certifi
import pytest

from tests.support.rows import every_row
from wx2mqtt.__main__ import _load_command
from wx2mqtt.memory import block_imports, hide_certificates, pause_collection, return_free_memory, tune_malloc


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
    "module",
    [
        "rich",
        "PIL",
        "anyascii",
        "amqtt",
        "uvicorn",
        "httpx",
        "cryptography",
        "wsproto",
        "tarfile",
        "wx2mqtt.setup.wizard",
        "wx2mqtt.diagnostics",
    ],
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


@pytest.mark.parametrize("arguments", [["run"], ["run", "-c", "x.yaml"], ["run", "--config", "x.yaml"]])
def test_the_bridge_runs_without_the_library_of_the_command_line(
    arguments: list[str], tmp_path: Path
) -> None:
    program = (
        f"import sys; from wx2mqtt.__main__ import _load_command; command = _load_command({arguments!r})\n"
        "sys.exit(command.__name__ != 'run_plain' or 'typer' in sys.modules or 'click' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@every_row("arguments", [[], ["run", "--help"], ["run", "-c", "--explain"], ["run", "-c", "x", "--explain"]])
def test_every_other_command_loads_the_library_of_the_command_line(arguments: list[str]) -> None:
    assert _load_command(arguments).__name__ == "run_command_line"


def test_certificates_are_hidden_and_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with hide_certificates():
        assert not ssl.create_default_context().get_ca_certs()
    assert ssl.create_default_context().get_ca_certs()
    assert "SSL_CERT_DIR" not in os.environ


def test_what_was_created_while_the_collection_was_paused_is_never_visited_again() -> None:
    gc.unfreeze()
    with pause_collection():
        assert not gc.isenabled()
        with pause_collection():
            kept: list[list[int]] = [[] for _ in range(1000)]
        assert not gc.isenabled(), "the inner pause ends within the outer one"
    assert gc.isenabled()
    assert gc.get_freeze_count() > len(kept)
    gc.unfreeze()


def test_free_memory_can_be_returned_at_any_time_and_anywhere() -> None:
    return_free_memory()
    with patch("ctypes.CDLL", return_value=object()):  # no glibc
        return_free_memory()
        tune_malloc()
