"""`make test-changed` finds the tests that belong to a change."""

from __future__ import annotations

import subprocess

import pytest

from tests import changed
from tests.changed import changed_files, find_tests, main

FILES = {
    "wx2mqtt/mqtt/payloads.py": "",
    "wx2mqtt/bridge/inbound.py": "",
    "wx2mqtt/store/sql/0001_first.sql": "",
    "deploy/grafana/alerts.yaml": "",
    "docs/en/faq.md": "",
    "tests/support/clock.py": "",
    "tests/unit/mqtt/test_payloads.py": "",
    "tests/unit/mqtt/test_payloads_cut.py": "",
    "tests/unit/mqtt/test_packets.py": "from wx2mqtt.mqtt.payloads import encode\n",
    "tests/unit/bridge/test_inbound.py": "from wx2mqtt.mqtt import payloads, topics\n",
    "tests/unit/bridge/test_account.py": "import tests.support.clock\n",
    "tests/unit/store/test_outbox.py": "",
    "tests/unit/test_grafana.py": "RULES = 'alerts.yaml'\n",
    "tests/docs/test_pages.py": "",
    "tests/scenarios/test_login.py": "from wx2mqtt.mqtt.payloads import encode\n",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (file := tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(changed, "ROOT", tmp_path)
    changed._test_files.cache_clear()
    changed._imports_of.cache_clear()
    yield tmp_path
    changed._test_files.cache_clear()
    changed._imports_of.cache_clear()


@pytest.mark.parametrize(
    ("path", "tests"),
    [
        (
            "wx2mqtt/mqtt/payloads.py",
            {
                "tests/unit/mqtt/test_payloads.py",
                "tests/unit/mqtt/test_payloads_cut.py",
                "tests/unit/mqtt/test_packets.py",
                "tests/unit/bridge/test_inbound.py",
            },
        ),
        ("wx2mqtt/bridge/inbound.py", {"tests/unit/bridge/test_inbound.py", "tests/bridge"}),
        ("wx2mqtt/store/sql/0001_first.sql", {"tests/unit/store"}),
        ("tests/support/clock.py", {"tests/unit/bridge/test_account.py"}),
        ("tests/scenarios/test_login.py", {"tests/scenarios/test_login.py"}),
        ("tests/scenarios/test_removed.py", set()),
        ("deploy/grafana/alerts.yaml", {"tests/unit/test_grafana.py"}),
        ("docs/en/faq.md", {"tests/docs/test_pages.py"}),
        ("wx2mqtt/aio.py", set()),
    ],
)
def test_each_kind_of_file_has_its_tests(project, path, tests):
    assert find_tests([path]) == tests


def test_what_nearly_all_tests_import_brings_its_mirrors_alone(project, monkeypatch, capsys):
    monkeypatch.setattr(changed, "MAX_IMPORTERS", 1)
    mirrors = {"tests/unit/mqtt/test_payloads.py", "tests/unit/mqtt/test_payloads_cut.py"}
    assert find_tests(["wx2mqtt/mqtt/payloads.py"]) == mirrors
    assert (
        capsys.readouterr().err
        == "wx2mqtt/mqtt/payloads.py: make unit runs the 2 test files that import it\n"
    )


def git(folder, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.invalid", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_changed_is_what_differs_from_where_the_branch_began_and_what_is_new(project, capsys):
    git(project, "init", "-q", "-b", "main")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "first")
    assert changed_files("HEAD") == set()
    (project / "wx2mqtt/mqtt/payloads.py").write_text("A = 1\n")
    (project / "new file.md").touch()
    assert changed_files("HEAD") == {"wx2mqtt/mqtt/payloads.py", "new file.md"}

    git(project, "update-ref", "refs/remotes/origin/main", "HEAD")
    git(project, "commit", "-qam", "of this branch")
    (project / "new file.md").unlink()
    assert changed_files("HEAD") == set()
    assert main(["--list"]) == 0
    assert "tests/unit/mqtt/test_payloads.py" in capsys.readouterr().out.splitlines()


def test_without_a_test_it_says_so_and_starts_nothing(project, capsys):
    git(project, "init", "-q", "-b", "main")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "first")
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("no test of tests/unit, tests/bridge, tests/docs belongs")


def test_pytest_runs_them_and_its_failure_is_that_of_the_command(project, capfd):
    git(project, "init", "-q", "-b", "main")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "first")
    (project / "tests/unit/mqtt/test_payloads.py").write_text("def test_it(): assert False\n")
    assert main(["-q", "-p", "no:cacheprovider"]) == 1
    assert "1 failed" in capfd.readouterr().out
