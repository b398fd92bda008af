"""The lock of Home Assistant's own environment is complete: what `.venv-home` holds is asked for what it needs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from packaging.utils import canonicalize_name

from tests.home.conftest import PYTHON
from tests.support.lock import Closure, Package, parsed, read_lock

HERE = Path(__file__).parent
DESCRIBE = """
import json
from importlib.metadata import distributions
from packaging.markers import default_environment
packages = {found.metadata["Name"]: (found.version, found.requires or []) for found in distributions()}
print(json.dumps({"environment": default_environment(), "packages": packages}))
"""


def test_the_lock_holds_every_dependency_in_a_version_that_fits_and_nothing_else():
    described = subprocess.run([PYTHON, "-c", DESCRIBE], capture_output=True, text=True, check=True)
    here = json.loads(described.stdout)
    packages: dict[str, Package] = {
        canonicalize_name(name): Package(version=version, requires=parsed(requires))
        for name, (version, requires) in here["packages"].items()
    }
    lines = (HERE / "requirements.in").read_text(encoding="utf-8").splitlines()
    roots = parsed(line for line in lines if not line.startswith("#"))
    pins = read_lock(HERE / "requirements.lock")
    required = Closure(pins, roots, here["environment"], packages.get)
    assert not required.problems, "run make lock, then make test-home"
    assert required.reached == pins.keys()
    assert all(pin.hashes for pin in pins.values())


def test_what_builds_packages_from_sources_is_pinned_too():
    (setuptools,) = read_lock(HERE / "build.lock").values()
    assert setuptools.requirement.name == "setuptools"
    assert setuptools.hashes


def test_the_frontend_of_the_pictures_is_that_of_the_locked_home_assistant():
    show = "import homeassistant.components as c; print(c.__path__[0])"
    folder = subprocess.run([PYTHON, "-c", show], capture_output=True, text=True, check=True).stdout.strip()
    manifest = json.loads((Path(folder) / "frontend" / "manifest.json").read_text(encoding="utf-8"))
    (name, pin), *others = read_lock(HERE / "frontend.lock").items()
    assert not others
    assert [f"{name}=={pin.version}"] == manifest["requirements"], "run make lock again after make test-home"
