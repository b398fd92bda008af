"""A lock is complete and fits pyproject.toml, and pip installs it as it is: nothing is resolved, nothing is built."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.axe import AXE
from tests.support.clients import CLIENTS, npm
from tests.support.lock import Closure, Package, Pin, applies, parsed, read_lock
from tests.support.rows import every_row

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
RUNS = PROJECT["dependencies"]
DEVELOPMENT = RUNS + PROJECT["optional-dependencies"]["dev"] + PYPROJECT["build-system"]["requires"]
LOCKS = [
    ("deploy/requirements.lock", RUNS),
    ("deploy/build.lock", PYPROJECT["build-system"]["requires"]),
    ("deploy/fallback.lock", PROJECT["optional-dependencies"]["fallback"]),
    ("deploy/postgresql.lock", PROJECT["optional-dependencies"]["postgresql"]),
    ("tests/requirements.lock", DEVELOPMENT),
]
NPM_LOCKS = sorted((ROOT / "tests").rglob("package-lock.json"))
OPTIONS = {"--no-deps", "--require-hashes", "--only-binary=:all:"}
MACHINES = [
    {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_version": f"{python}.0",
        "sys_platform": system,
        "platform_system": {"linux": "Linux", "darwin": "Darwin"}[system],
        "platform_machine": machine,
    }
    for python, (system, machine) in product(
        ["3.11", "3.12", "3.13", "3.14", "3.15"],
        [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")],
    )
]


def name_of(machine: dict[str, str]) -> str:
    return " ".join(machine[key] for key in ("python_version", "sys_platform", "platform_machine"))


def lock_installs() -> Iterator[tuple[str, str]]:
    """Yields file and command for every `pip install -r` in the repository, except for those in Python."""
    command = ["git", "grep", "-lI", "--no-index", "--exclude-standard", "pip install", "--", ".", ":!*.py"]
    for name in subprocess.check_output(command, cwd=ROOT, text=True).splitlines():
        text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
        for install in re.findall(r"pip install [^|&;\n]*", text):
            if re.search(r" (-r|--requirement)\b", install):
                yield name, install


def project_installs() -> Iterator[tuple[str, str]]:
    """Yields file and command for every installation of the project itself that somebody is told to do."""
    places = [
        *sorted(ROOT.glob("README*.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "deploy").rglob("*.md")),
        *sorted((ROOT / "deploy/systemd").iterdir()),
    ]
    for path in places:
        for install in re.findall(r"pip install [^|&;\n#]*", path.read_text(encoding="utf-8")):
            if re.search(r"(^|[\s'\"])(\.|wx2mqtt)(\[|[\s'\"]|$)", install.rstrip()):
                yield path.name, install


def test_whoever_installs_the_project_gets_what_is_locked_and_nothing_else():
    commands = list(project_installs())
    assert {name for name, _ in commands} >= {
        "README.md",
        "README.zh.md",
        "pip.md",
        "wx2mqtt.service",
        "wx2mqtt@.service",
    }
    assert [(name, c) for name, c in commands if {"--no-deps", "--no-build-isolation"} - set(c.split())] == []
    from_locks = {
        name
        for name, command in lock_installs()
        if "deploy/requirements.lock -r deploy/build.lock" in command
    }
    assert {f"deploy/systemd/{name}" for name in ("wx2mqtt.service", "wx2mqtt@.service")} | {
        "README.md",
        "README.zh.md",
        "docs/en/install/pip.md",
    } <= from_locks


def test_every_install_of_a_lock_takes_it_as_it_is_and_only_wheels_with_their_hashes():
    commands = list(lock_installs())
    assert {name for name, _ in commands} >= {"Makefile", "deploy/docker/Dockerfile"}
    lacking = [(name, command) for name, command in commands if OPTIONS - set(command.split())]
    assert not lacking


@every_row("client", [*CLIENTS.values(), AXE])
def test_clients_of_other_people_are_installed_from_a_lock_in_the_same_way(client):
    command = client.command(client.folder)
    if client.command is npm:
        assert command[:2] == ["npm", "ci"]
        assert [file.name for file in client.locks] == ["package-lock.json", "package.json"]
    else:
        assert set(command) >= OPTIONS
        (lock,) = client.locks
        assert all(pin.hashes for pin in read_lock(lock).values())


@every_row("lock", NPM_LOCKS)
def test_npm_packages_are_pinned_with_their_hashes_and_match_what_is_asked_for(lock):
    content = json.loads(lock.read_text(encoding="utf-8"))
    root, *packages = content["packages"].values()
    assert packages
    assert all("integrity" in package or package.get("inBundle") for package in packages)
    wanted = json.loads((lock.parent / "package.json").read_text(encoding="utf-8"))
    assert root["dependencies"] == wanted["dependencies"]


@pytest.mark.parametrize(("lock", "wanted"), LOCKS)
def test_the_lock_holds_every_dependency_in_a_version_that_fits_with_its_hashes(lock, wanted):
    pins = read_lock(ROOT / lock)
    closure = Closure(pins, parsed(wanted))
    assert not closure.problems, "run make lock, then make venv"
    assert all(pin.hashes for pin in pins.values())


@pytest.mark.parametrize("machine", MACHINES, ids=name_of)
@pytest.mark.parametrize(("lock", "wanted"), LOCKS)
def test_the_lock_is_complete_on_other_machines_too(lock, wanted, machine):
    assert not Closure(read_lock(ROOT / lock), parsed(wanted), machine).problems


@pytest.mark.parametrize(("lock", "wanted"), LOCKS)
def test_nothing_is_locked_that_nothing_needs(lock, wanted):
    pins = read_lock(ROOT / lock)
    here = {name for name, pin in pins.items() if applies(pin.requirement, {})}
    assert here == Closure(pins, parsed(wanted)).reached


def locked_by_make() -> Iterator[tuple[str, str]]:
    """Yields each lock of one program that `make lock` makes, with the requirement that it makes it from."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    yield from re.findall(
        r"^\techo '?([^'|]+?)'? \| \$\(UV\) pip compile .* -o (\S+) -$", makefile, re.MULTILINE
    )


@pytest.mark.parametrize(("wanted", "lock"), list(locked_by_make()))
def test_a_program_of_its_own_environment_is_pinned_with_its_hashes(wanted, lock):
    pins = read_lock(ROOT / lock)
    requirement = Requirement(wanted)
    assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)].version)
    assert all(pin.hashes for pin in pins.values())


def test_every_environment_of_make_is_installed_from_a_lock_that_make_lock_makes():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    needed = set(re.findall(r"^\.venv[\w-]*/ready: (\S+\.lock)", makefile, re.MULTILINE))
    assert "tests/docs/site.lock" in needed
    made = set(re.findall(r"-o (\S+\.lock)", makefile))
    assert needed - made == set()


def test_both_locks_name_the_same_versions():
    tests = read_lock(ROOT / "tests/requirements.lock")
    for lock, _ in LOCKS:
        for name, pin in read_lock(ROOT / lock).items():
            assert (tests[name].version, tests[name].hashes) == (pin.version, pin.hashes)


def test_what_runs_needs_nothing_that_is_only_for_developers():
    assert not {"pytest", "mypy", "ruff"} & read_lock(ROOT / "deploy/requirements.lock").keys()


# the check itself


def pinned(*lines: str) -> dict[str, Pin]:
    pins = {}
    for line in lines:
        requirement = Requirement(line)
        (specifier,) = requirement.specifier
        pins[requirement.name] = Pin(requirement=requirement, version=specifier.version, hashes=("0" * 64,))
    return pins


PACKAGES = {
    "cov": Package(version="7.1", requires=parsed(["coverage[toml]>=7.10"])),
    "coverage": Package(
        version="7.17", requires=parsed(["tomli>=1; extra=='toml' and python_version<'3.12'"])
    ),
    "tomli": Package(version="2.0", requires=()),
}


@every_row(
    ("pins", "python", "problems"),
    [
        (["cov==7.1", "coverage==7.17", "tomli==2.0"], "3.11", []),
        (["cov==7.1", "coverage==7.17"], "3.13", []),
        (["cov==7.1", "coverage==7.17"], "3.11", ["tomli is not locked"]),
        (
            ["cov==7.1", "coverage==7.17", "tomli==2.0 ; python_version >= '3.12'"],
            "3.11",
            ["tomli is not locked"],
        ),
        (["cov==7.1"], "3.13", ["coverage is not locked"]),
        (["cov==7.1", "coverage==7.9"], "3.13", ["coverage 7.9 is locked", "coverage 7.17 is installed"]),
        (["cov==7.1", "coverage==7.17", "tomli==1.0"], "3.11", ["tomli 2.0 is installed"]),
    ],
)
def test_a_lock_that_lacks_something_or_has_the_wrong_version_is_recognized(pins, python, problems):
    closure = Closure(pinned(*pins), parsed(["cov"]), {"python_version": python}, PACKAGES.get)
    assert len(closure.problems) == len(problems)
    assert all(found.startswith(expected) for found, expected in zip(closure.problems, problems, strict=True))


def test_a_requirement_without_an_exact_version_is_no_pin(tmp_path):
    (lock := tmp_path / "lock").write_text(
        "one==1 \\\n    --hash=sha256:00\ntwo>=2 \\\n    --hash=sha256:00\n"
    )
    with pytest.raises(ValueError, match="two>=2 is not pinned"):
        read_lock(lock)
