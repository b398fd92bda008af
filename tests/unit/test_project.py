"""The project's own files agree with one another."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

import wx2mqtt
from tests.release import UNPUBLISHED, image_of, main, release_problems, renamed, tracked_files

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


# The address of the project (`make address`)

NAMED = {
    "pyproject.toml",
    "repository.yaml",
    "deploy/home-assistant-addon/config.yaml",
    "deploy/grafana/alerts.yaml",
    "deploy/home-assistant/blueprints/doorbell.yaml",
    "config/wx2mqtt.schema.json",
}
"""Some of the files that state where the project is."""


def test_the_files_that_name_the_project_name_one_address():
    named = {
        str(file.relative_to(ROOT)) for file in tracked_files() if wx2mqtt.REPOSITORY in file.read_text()
    }
    assert named >= NAMED


@pytest.mark.parametrize(
    "page", ["README.md", "README.zh.md", "docs/en/install/pip.md", "docs/zh/install/pip.md"]
)
def test_a_newcomer_is_told_what_to_clone(page):
    assert f"git clone {wx2mqtt.REPOSITORY}" in (ROOT / page).read_text()


def test_no_file_names_another_address_of_this_project():
    other = re.compile(r"https://(?:github\.com/[\w-]+|[\w-]+\.invalid)/wx2mqtt\b")
    for file in tracked_files():
        if file.parent.name != "unit":
            assert {*other.findall(file.read_text())} <= {wx2mqtt.REPOSITORY}, file


def test_an_unpublished_project_has_an_address_that_nobody_can_take():
    assert wx2mqtt.REPOSITORY == UNPUBLISHED or wx2mqtt.REPOSITORY.startswith("https://github.com/")
    assert image_of(UNPUBLISHED) == "registry.invalid/wx2mqtt"


def test_a_new_address_is_written_in_all_its_forms():
    new = "https://github.com/Some-Body/wx2mqtt"
    old = f"url: {UNPUBLISHED}/blob/main/x\nb={quote(UNPUBLISHED, safe='')}%2Fy\nimage: registry.invalid/wx2mqtt:1"
    assert renamed(old, UNPUBLISHED, new) == (
        f"url: {new}/blob/main/x\nb={quote(new, safe='')}%2Fy\nimage: ghcr.io/some-body/wx2mqtt:1"
    )


def test_what_only_begins_like_the_address_stays():
    assert renamed(f"{UNPUBLISHED}-docs", UNPUBLISHED, "https://github.com/a/b") == f"{UNPUBLISHED}-docs"


@pytest.mark.parametrize(
    "wrong", [[], ["github.com/a/b"], ["https://github.com/a"], ["https://example.org/a/b"]]
)
def test_only_the_address_of_a_repository_is_written(wrong, capsys):
    assert main(["address", *wrong]) == 2
    assert "URL=" in capsys.readouterr().err


def test_the_images_are_those_of_the_address():
    addon = yaml.safe_load((ROOT / "deploy/home-assistant-addon/config.yaml").read_text())
    assert addon["image"] == f"{image_of(wx2mqtt.REPOSITORY)}/addon"


def test_the_add_on_and_the_package_have_one_version():
    addon = yaml.safe_load((ROOT / "deploy/home-assistant-addon/config.yaml").read_text())
    assert addon["version"] == wx2mqtt.__version__


READY = {
    "version": "1.2.3",
    "changelog": "# Changelog\n\n## [1.2.3] - 2027-01-01\n",
    "addon_version": "1.2.3",
    "address": "https://github.com/a/b",
}


def test_a_release_whose_files_agree_lacks_nothing():
    assert release_problems("v1.2.3", **READY) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"version": "1.2.4"}, "tag"),
        ({"changelog": "## [Unreleased]\n"}, "CHANGELOG.md"),
        ({"addon_version": "1.2.2"}, "add-on"),
        ({"address": UNPUBLISHED}, "make address"),
    ],
)
def test_a_release_whose_files_do_not_agree_is_refused(change, word):
    assert any(word in problem for problem in release_problems("v1.2.3", **{**READY, **change}))
