"""The project's own files agree with one another."""

from __future__ import annotations

import tomllib
from pathlib import Path

import wx2mqtt

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_changelog_knows_this_version_or_what_comes():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{wx2mqtt.__version__}]" in text or "## [Unreleased]" in text


def test_the_licence_is_the_one_that_the_package_names():
    text = (ROOT / "LICENSE").read_text()
    assert PROJECT["license"] == "MIT"
    assert text.startswith("MIT License")
    assert "the wx2mqtt authors" in text
