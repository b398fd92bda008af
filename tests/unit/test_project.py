"""The project's own files agree with one another."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from configparser import ConfigParser
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

import wx2mqtt
from tests.release import (
    UNPUBLISHED,
    image_of,
    main,
    release_problems,
    renamed,
    store_link,
    tracked_files,
)
from tests.support.rows import every_row

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_changelog_has_an_entry_for_the_version_of_the_package():
    sections = re.findall(r"^## (.*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert re.fullmatch(
        rf"\[{re.escape(wx2mqtt.__version__)}\] - (Unreleased|\d{{4}}-\d\d-\d\d)", sections[0]
    )


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


@every_row("page", ["README.md", "README.zh.md", "docs/en/install/pip.md", "docs/zh/install/pip.md"])
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


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("page", ["start/home-assistant.md", "install/add-on.md"])
def test_the_store_of_home_assistant_is_one_click_away(language, page):
    text = (ROOT / "docs" / language / page).read_text(encoding="utf-8")
    assert f"]({store_link(wx2mqtt.REPOSITORY)})" in text
    assert renamed(store_link(UNPUBLISHED), UNPUBLISHED, "https://github.com/a/b").endswith(
        "=https%3A%2F%2Fgithub.com%2Fa%2Fb"
    )


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_zip_of_the_add_on_is_where_a_release_puts_it(language):
    text = (ROOT / "docs" / language / "install/add-on.md").read_text(encoding="utf-8")
    assert f"({wx2mqtt.REPOSITORY}/releases/latest/download/wx2mqtt-addon.zip)" in text


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


@every_row(
    ("change", "word"),
    [
        ({"version": "1.2.4"}, "tag"),
        ({"changelog": "## [Unreleased]\n"}, "CHANGELOG.md"),
        ({"changelog": "## [1.2.3] - Unreleased\n"}, "CHANGELOG.md"),
        ({"addon_version": "1.2.2"}, "add-on"),
        ({"address": UNPUBLISHED}, "make address"),
    ],
)
def test_a_release_whose_files_do_not_agree_is_refused(change, word):
    assert any(word in problem for problem in release_problems("v1.2.3", **{**READY, **change}))


# What a contributor's editor, git and container use

EDITOR = ROOT / ".editorconfig"


def editor_rules(name: str) -> dict[str, str]:
    """Returns what .editorconfig says of a file; a later section wins. Only the forms of patterns that stand there."""
    parser = ConfigParser()
    parser.read_string(f"[top]\n{EDITOR.read_text(encoding='utf-8')}")
    rules: dict[str, str] = {}
    for pattern in parser.sections()[1:]:
        braces = re.fullmatch(r"(.*)\{(.*)\}", pattern)
        patterns = [braces[1] + word for word in braces[2].split(",")] if braces else [pattern]
        if any(
            fnmatchcase(name if "/" in pattern else name.rpartition("/")[2], pattern) for pattern in patterns
        ):
            rules |= parser[pattern]
    return rules


def editor_faults(text: str, rules: dict[str, str]) -> list[str]:
    """Returns the rules that a text breaks."""
    lines = text.split("\n")
    broken = {
        "end_of_line": rules["end_of_line"] == "lf" and "\r" in text,
        "insert_final_newline": rules["insert_final_newline"] == "true" and text[-1:] not in {"", "\n"},
        "trim_trailing_whitespace": rules["trim_trailing_whitespace"] == "true"
        and any(line != line.rstrip(" \t") for line in lines),
        "indent_style": {"tab": " ", "space": "\t"}.get(rules["indent_style"], "\n")
        in {line[:1] for line in lines},
    }
    return [rule for rule, is_broken in broken.items() if is_broken]


def test_every_file_is_as_an_editor_would_leave_it():
    faults = {}
    for file in tracked_files():
        name = str(file.relative_to(ROOT))
        if found := editor_faults(file.read_bytes().decode(), editor_rules(name)):
            faults[name] = found
    assert faults == {}


def test_an_editor_would_not_leave_these():
    rules = editor_rules("wx2mqtt/model.py")
    assert (rules["max_line_length"], rules["indent_size"]) == ("110", "4")
    assert editor_faults("a\r\nb \n\tc", rules) == [
        "end_of_line",
        "insert_final_newline",
        "trim_trailing_whitespace",
        "indent_style",
    ]
    assert editor_rules("deploy/docker/compose.yaml")["indent_size"] == "2"
    assert editor_faults("    a\n", editor_rules("Makefile")) == ["indent_style"]
    assert editor_faults("\ta \r", editor_rules("tests/fuzz/corpus/commands/050d14dfc360")) == []


def test_an_editor_breaks_lines_where_the_formatter_does():
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    assert editor_rules("a.py")["max_line_length"] == str(ruff["line-length"])


def test_the_hooks_of_git_are_the_four_programs_of_make_lint():
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    programs = re.findall(r"\$\(BIN\)/(.*?) \|\| bad=1", recipe[1])
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    assert [hook["entry"].removeprefix(".venv/bin/") for hook in repository["hooks"]] == programs
    assert len(programs) == 4
    for hook in repository["hooks"]:
        assert (hook["language"], hook["pass_filenames"]) == ("system", False), "nothing is fetched"


def test_the_container_for_development_is_that_of_the_checks():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["checks"]["container"]
    assert container["image"] == job["image"]
    assert re.search(r"@sha256:[0-9a-f]{64}$", container["image"])
    assert " ".join(container["runArgs"]) == job["options"]


def test_the_container_and_the_checks_install_the_same():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert "&& .ci/install && make venv" in container["postCreateCommand"]
    assert ".ci/install\n" in (ROOT / ".ci/run").read_text()
    assert "apt-get" not in (ROOT / ".ci/run").read_text()
    assert os.access(ROOT / ".ci/install", os.X_OK)


def test_what_is_missing_is_installed_and_nothing_else(tmp_path):
    """Programs that record how they are called take the place of dpkg, apt-get and sudo."""
    record = tmp_path / "record"
    for name, script in {
        "dpkg": 'case "$2" in strace|promtool) exit 1;; esac; echo "Status: install ok installed"',
        "apt-get": f'echo "$*" >>{record}',
        "sudo": '"$@"',
    }.items():
        (program := tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHON": str(python),
        "HOME_PYTHON": str(python),
    }
    subprocess.run([ROOT / ".ci/install"], env=environment, check=True, capture_output=True)
    assert record.read_text().splitlines() == [
        "-q update",
        "-q install -y --no-install-recommends promtool strace",
    ]


def test_who_proposes_a_change_is_asked_for_what_the_checks_want():
    text = (ROOT / ".github/pull_request_template.md").read_text(encoding="utf-8")
    for word in ("make lint", "make test", "make docs", "CHANGELOG.md"):
        assert word in text
