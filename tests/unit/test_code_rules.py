"""The rules that tests themselves must keep."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

RULES = Path(__file__).parents[1] / "conftest.py"

SKIPPED = "import pytest\n@pytest.mark.skip(reason='no mosquitto')\ndef test_a(): pass\n"
SKIPPED_WITHIN = "import pytest\ndef test_a(): pytest.skip('no mosquitto')\n"
SKIPPED_FILE = "import pytest\npytest.importorskip('nowhere_to_be_found')\ndef test_a(): pass\n"
PASSED = "import pytest\ndef test_a(): pass\n@pytest.mark.xfail\ndef test_b(): assert False\n"


def run(folder, text, *, ci):
    shutil.copy(RULES, folder / "conftest.py")
    (folder / "test_it.py").write_text(text)
    env = {name: value for name, value in os.environ.items() if name != "CI"} | ({"CI": "1"} if ci else {})
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # the rules need none, and they take most of the time
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(folder)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd=folder)


@pytest.mark.parametrize("text", [SKIPPED, SKIPPED_WITHIN, SKIPPED_FILE])
def test_in_ci_a_skip_is_a_failure_that_says_what_is_missing(tmp_path, text):
    done = run(tmp_path, text, ci=True)
    assert done.returncode != 0, done.stdout
    assert "no mosquitto" in done.stdout or "nowhere_to_be_found" in done.stdout


@pytest.mark.parametrize("text", [SKIPPED, SKIPPED_WITHIN, PASSED])
def test_elsewhere_a_skip_is_a_skip(tmp_path, text):
    assert run(tmp_path, text, ci=False).returncode == 0


def test_in_ci_what_passes_passes(tmp_path):
    assert run(tmp_path, PASSED, ci=True).returncode == 0


def test_a_unit_test_can_open_no_socket():
    with socket.socket() as probe, pytest.raises(pytest.fail.Exception, match="make it a scenario"):
        probe.connect(("127.0.0.1", 9))
