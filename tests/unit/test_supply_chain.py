"""What the bridge installs is listed, licensed as allowed, and built the same each time."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import get_spdx_licensing  # type: ignore[import-untyped]

from tests import supply_chain
from tests.support.lock import read_lock
from tests.support.rows import every_row

ROOT = Path(__file__).parents[2]
REQUIRED = read_lock(supply_chain.LOCK)
PINS = {**supply_chain.optional_pins(), **REQUIRED}
ALL_PINS = {**read_lock(supply_chain.BUILD_LOCK), **PINS}
LICENCES = tomllib.loads(supply_chain.LICENCES.read_text(encoding="utf-8"))
SPDX = get_spdx_licensing()
# What packages from before SPDX expressions write into their metadata.
OLD_NAMES = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def stated_licences(name: str) -> set[str]:
    """Returns the SPDX names that an installed package states; empty if it states none that can be read."""
    facts = metadata.metadata(name)
    if "License-Expression" in facts:
        return set(SPDX.license_keys(facts["License-Expression"]))
    if "License" in facts and not SPDX.validate(facts["License"]).errors:
        return set(SPDX.license_keys(facts["License"]))
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in facts.get_all("Classifier") or ()
        if line.startswith("License ::")
    ]
    return {OLD_NAMES[name] for name in classifiers if name in OLD_NAMES}


def test_each_locked_package_has_a_licence_and_no_other_has():
    assert LICENCES["packages"].keys() == ALL_PINS.keys()


@every_row("name", sorted(ALL_PINS))
def test_the_listed_licence_is_allowed_and_is_the_one_that_the_package_states(name):
    listed = LICENCES["packages"][name]
    assert SPDX.validate(listed).errors == []
    parsed = SPDX.parse(listed)
    alternatives = parsed.args if type(parsed) is SPDX.OR else [parsed]
    assert any(set(SPDX.license_keys(choice)) <= set(LICENCES["allowed"]) for choice in alternatives)
    if ALL_PINS[name].requirement.marker is None:
        stated = stated_licences(name)
        assert stated <= set(SPDX.license_keys(listed))


def test_the_list_of_components_is_valid_and_has_each_locked_package_with_version_files_and_licence():
    text = supply_chain.sbom()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    components = {component["name"]: component for component in json.loads(text)["components"]}
    assert components.keys() == PINS.keys()
    for name, pin in PINS.items():
        component = components[name]
        assert component["version"] == pin.version
        assert component["purl"] == f"pkg:pypi/{name}@{pin.version}"
        (files,) = component["externalReferences"]
        assert {digest["content"] for digest in files["hashes"]} == set(pin.hashes)
        assert component["licenses"]
        assert component["scope"] == ("required" if name in REQUIRED else "optional")


def test_the_list_says_which_component_needs_which():
    dependencies = {entry["ref"]: entry for entry in json.loads(supply_chain.sbom())["dependencies"]}
    httpx, httpcore = (f"{name}=={PINS[name].version}" for name in ("httpx", "httpcore"))
    assert httpcore in dependencies[httpx]["dependsOn"]
    assert httpx in dependencies["wx2mqtt"]["dependsOn"]


def test_equal_locks_give_equal_lists():
    assert supply_chain.sbom() == supply_chain.sbom()


def test_a_package_without_a_licence_is_not_listed_silently():
    with pytest.raises(KeyError, match="httpx"):
        supply_chain.bill_of_materials({"httpx": PINS["httpx"]}, {}, {})


@every_row(
    ("output", "errors", "code", "words"),
    [
        ({"dependencies": [{"name": "a", "version": "1", "vulns": []}]}, "", 0, "no known vulnerability"),
        (
            {
                "dependencies": [
                    {"name": "a", "version": "1", "vulns": [{"id": "X-1", "fix_versions": ["2"]}]}
                ]
            },
            "",
            1,
            "a 1: X-1, mended in 2",
        ),
        (
            {"dependencies": [{"name": "a", "skip_reason": "not found"}]},
            "No known vulnerabilities found",
            75,
            "not audited: 1 of 1",
        ),
        (None, "Traceback\nrequests.exceptions.ConnectionError: api", 75, "not audited: requests.exc"),
    ],
)
def test_an_audit_tells_holes_from_data_that_could_not_be_reached(output, errors, code, words):
    result, lines = supply_chain.audit_result("" if output is None else json.dumps(output), errors)
    assert result == code
    assert words in "\n".join(lines)


def test_two_builds_of_one_commit_are_equal_byte_for_byte(tmp_path):
    digests = []
    for folder, mask, zone in (("a", 0o022, "UTC"), ("longer/b", 0o077, "Asia/Shanghai")):
        checkout = tmp_path / folder
        for name in ("wx2mqtt", "pyproject.toml", "README.md", "LICENSE", ".gitignore", "deploy/man"):
            source, target = ROOT / name, checkout / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(
                    source,
                    target,
                    ignore=shutil.ignore_patterns("__pycache__"),
                    copy_function=shutil.copyfile,
                )
            else:
                shutil.copyfile(source, target)
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(checkout / "dist")],
            cwd=checkout,
            env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "TZ": zone},
            umask=mask,
            check=True,
            capture_output=True,
        )
        (wheel,) = (checkout / "dist").glob("*.whl")
        digests.append(hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert digests[0] == digests[1]


def test_images_are_pinned_by_digest():
    """The images that are built, those of the services beside them, and the containers of the workflows are meant."""
    names = []
    for path in sorted(ROOT.glob("deploy/*/Dockerfile")):
        (base, *stages) = re.findall(r"^FROM (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        names.append(base)
        assert set(stages) == {"base"}
    assert len(names) == 2
    assert len(set(names)) == 1, "image and add-on have one base"
    for path in sorted(ROOT.glob("deploy/*/compose.yaml")):
        services = yaml.safe_load(path.read_text(encoding="utf-8"))["services"].values()
        names += [service["image"] for service in services if service["image"] != "wx2mqtt"]
    for path in WORKFLOWS:
        jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
        names += [job["container"]["image"] for job in jobs if "container" in job]
    assert len({name.partition(":")[0] for name in names}) == 4, "Python, mosquitto, PostgreSQL, RabbitMQ"
    assert [name for name in names if not re.search(r"@sha256:[0-9a-f]{64}$", name)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_no_rights_by_default_and_pins_what_it_uses_by_commit(workflow):
    text = workflow.read_text(encoding="utf-8")
    assert yaml.safe_load(text)["permissions"] == {}
    uses = re.findall(r"uses: (.*)", text)
    assert uses
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", action) for action in uses)


def test_each_week_newer_versions_are_proposed_and_known_holes_asked_for():
    """Dependabot reads base images in FROM only, and no lock of Python: a workflow makes these anew."""
    settings = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text(encoding="utf-8"))
    patterns = {
        entry["package-ecosystem"]: entry.get("directories") or [entry["directory"]]
        for entry in settings["updates"]
    }
    for ecosystem, file in (
        ("docker", "deploy/*/Dockerfile"),
        ("docker-compose", "deploy/*/compose.yaml"),
        ("npm", "tests/**/package-lock.json"),
    ):
        folders = {f"/{path.parent.relative_to(ROOT)}" for path in ROOT.glob(file)}
        assert folders
        assert [
            folder for folder in folders if not any(fnmatchcase(folder, name) for name in patterns[ecosystem])
        ] == []
    workflow = yaml.safe_load((ROOT / ".github/workflows/updates.yml").read_text(encoding="utf-8"))
    commands = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    for command in ("make audit", "make lock", "gh pr create"):
        assert any(command in run for run in commands)


def jobs_of(name):
    return yaml.safe_load((ROOT / ".github/workflows" / name).read_text(encoding="utf-8"))["jobs"]


def commands_of(job):
    return "\n".join(step["run"] for step in job["steps"] if "run" in step)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_nothing_that_a_lock_installs_runs_where_a_job_may_write_or_sign(workflow):
    """The folder of an add-on is copied together; every other word of make installs packages."""
    for name, job in jobs_of(workflow.name).items():
        if "write" in job.get("permissions", {}).values():
            words = re.findall(r"\bmake +(\S+)", commands_of(job))
            assert set(words) <= {"add-on"}, name
            assert not re.search(r"\b(pip|python3?|npm|npx|uv)\b", commands_of(job)), name


def test_a_release_is_built_with_provenance_and_the_list_of_components():
    jobs = jobs_of("release.yml")
    for job in ("attest", "image"):
        actions = " ".join(step.get("uses", "") for step in jobs[job]["steps"])
        assert "actions/attest-build-provenance@" in actions
        assert jobs[job]["permissions"]["id-token"] == "write"
    (push,) = (step for step in jobs["image"]["steps"] if "build-push-action" in step.get("uses", ""))
    assert push["with"]["sbom"] is True
    assert push["with"]["provenance"] == "mode=max"
    assert "make audit" in commands_of(jobs["check"])
    assert commands_of(jobs["build"]) == "make package\nmake add-on"
    # Nothing is published that was not checked, built and signed.
    assert jobs["build"]["needs"] == "check"
    assert jobs["attest"]["needs"] == "build"
    assert {jobs["pypi"]["needs"], jobs["image"]["needs"]} == {"attest"}


def test_a_release_is_built_with_nothing_but_what_the_lock_of_the_build_names():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^package: (.*?)  ##.*\n\t(.*)", makefile, re.MULTILINE)
    assert recipe[0] == ".venv-build/ready"
    assert ".venv-build/bin/python -m hatchling build" in recipe[1]
    (installs,) = re.findall(r"^\.venv-build/ready: (.*)", makefile, re.MULTILINE)
    assert installs == "deploy/build.lock"


@pytest.fixture
def checkout(tmp_path):
    """Returns a repository with a lock, a script that somebody runs, and the script that applies patches."""
    folder = tmp_path / "checkout"
    (folder / "deploy").mkdir(parents=True)
    (folder / "deploy/requirements.lock").write_text("a==1\n")
    (folder / "Makefile").write_text("all:\n")
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def apply_patch(folder):
    """Makes a patch of what was changed in a checkout, takes the changes back, and applies the patch."""
    subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
    patch = subprocess.run(["git", "diff", "--cached"], cwd=folder, check=True, capture_output=True).stdout
    subprocess.run(["git", "reset", "-q", "--hard"], cwd=folder, check=True)
    (folder.parent / "locks.patch").write_bytes(patch)
    command = ["sh", str(ROOT / ".github/apply_locks.sh"), str(folder.parent / "locks.patch")]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)


def test_a_difference_of_locks_is_applied(checkout):
    (checkout / "deploy/requirements.lock").write_text("a==2\n")
    done = apply_patch(checkout)
    assert done.returncode == 0, done.stderr
    assert (checkout / "deploy/requirements.lock").read_text() == "a==2\n"


def change_another_file(folder):
    (folder / "deploy/requirements.lock").write_text("a==2\n")
    (folder / "Makefile").write_text("all:\n\tcurl evil\n")


def add_a_lock(folder):
    (folder / "evil.lock").write_text("a==2\n")


def add_a_workflow(folder):
    (folder / ".github/workflows").mkdir(parents=True)
    (folder / ".github/workflows/x.yml").write_text("on: push\n")


def replace_by_a_link(folder):
    (folder / "deploy/requirements.lock").unlink()
    (folder / "deploy/requirements.lock").symlink_to("../Makefile")


def make_executable(folder):
    (folder / "deploy/requirements.lock").chmod(0o755)


def remove_a_lock(folder):
    (folder / "deploy/requirements.lock").unlink()


def rename_a_lock(folder):
    (folder / "deploy/requirements.lock").rename(folder / "Makefile")


@pytest.mark.parametrize(
    "change",
    [
        change_another_file,
        add_a_lock,
        add_a_workflow,
        replace_by_a_link,
        make_executable,
        remove_a_lock,
        rename_a_lock,
    ],
)
def test_a_patch_that_changes_more_than_locks_is_refused(checkout, change):
    change(checkout)
    done = apply_patch(checkout)
    assert done.returncode == 1
    assert "lock" in done.stderr
    assert (
        subprocess.run(["git", "status", "--porcelain"], cwd=checkout, check=True, capture_output=True).stdout
        == b""
    )
