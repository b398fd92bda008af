"""The project's own files agree with one another."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import wx2mqtt

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked(path):
    text = (ROOT / path).read_text()
    blocks = re.split(r"(?m)^(?=\S)", text)
    return {
        canonicalize_name(found[1]): (found[2], block.count("--hash=sha256:"))
        for block in blocks
        if (found := re.match(r"([\w.-]+)==(\S+)", block))
    }


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("deploy/requirements.lock", PROJECT["dependencies"]),
        ("tests/requirements.lock", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]),
    ],
)
def test_the_lock_holds_every_dependency_in_a_version_that_fits_with_its_hashes(lock, wanted):
    have = locked(lock)
    for line in wanted:
        requirement = Requirement(line)
        version, _ = have[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{line}: {version} is locked; run make lock"
    assert all(hashes for _, hashes in have.values())


def test_both_locks_name_the_same_versions():
    tests = locked("tests/requirements.lock")
    for name, (version, _) in locked("deploy/requirements.lock").items():
        assert tests[name][0] == version


def test_what_runs_needs_nothing_that_is_only_for_developers():
    assert not {"pytest", "mypy", "ruff"} & locked("deploy/requirements.lock").keys()


def test_the_changelog_knows_this_version_or_what_comes():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{wx2mqtt.__version__}]" in text or "## [Unreleased]" in text


def test_the_licence_is_the_one_that_the_package_names():
    text = (ROOT / "LICENSE").read_text()
    assert PROJECT["license"] == "MIT"
    assert text.startswith("MIT License")
    assert "the wx2mqtt authors" in text
