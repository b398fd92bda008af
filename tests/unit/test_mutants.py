"""Mutants are sampled by a seed, tested in a copy of the checkout, and reported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests import call_recorder, mutants
from tests.mutants import (
    BaselineError,
    Checkout,
    Depth,
    MutantResult,
    Outcome,
    RecordedCalls,
    Stage,
    record_calls,
    sample,
    stages,
)
from tests.mutation import Mutant, functions_of, mutants_of

MODULE = "wx2mqtt/limits/limit.py"
FILES = {
    "pyproject.toml": "[tool.pytest.ini_options]\n",
    "wx2mqtt/__init__.py": "",
    "wx2mqtt/limits/__init__.py": "",
    MODULE: "def is_over(count: int, limit: int) -> bool:\n    return count > limit\n",
    "tests/__init__.py": "",
    "tests/call_recorder.py": Path(call_recorder.__file__).read_text(),
    "tests/unit/__init__.py": "",
    "tests/unit/limits/__init__.py": "",
    "tests/unit/limits/test_limit.py": (
        "from wx2mqtt.limits.limit import is_over\n\ndef test_over():\n"
        "    assert is_over(3, 2)\n    assert is_over(1, 2) is False\n"
    ),
    "tests/unit/test_shape.py": "def test_the_tree():\n    assert False\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in FILES.items():
        file = tmp_path / "root" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "root"


def arguments(root: Path, *more: str) -> list[str]:
    return ["--root", str(root), "--packages", "wx2mqtt/limits", *more]


def test_a_sample_follows_from_its_seed_and_grows_with_its_count(root):
    (root / MODULE).write_text("x = 1 + 2 * 3 - 4\n")
    small = sample(root, ["wx2mqtt/limits"], seed=7, count=3)
    large = sample(root, ["wx2mqtt/limits"], seed=7, count=100)
    assert small == large[:3]
    assert len(large) == 7
    assert large != sample(root, ["wx2mqtt/limits"], seed=8, count=100)


def test_a_sample_stays_as_it_is_when_another_file_or_what_is_above_changes(root):
    before = sample(root, ["wx2mqtt/limits"], seed=7, count=2)
    (root / MODULE).write_text(f"# a comment\n\n{FILES[MODULE]}")
    (root / "wx2mqtt/limits/other.py").write_text("")
    after = sample(root, ["wx2mqtt/limits"], seed=7, count=2)
    assert [(mutant.operator, mutant.replacement) for mutant in after] == [
        (mutant.operator, mutant.replacement) for mutant in before
    ]


def stage_targets(root: Path, text: str, calls: dict[str, dict[str, list[str]]], folder: Path) -> list[str]:
    """Returns what tests the first mutant of a module with this text."""
    (root / MODULE).write_text(text)
    folder.mkdir()
    (folder / "main.json").write_text(json.dumps(calls))
    mutant = mutants_of(MODULE, text)[0]
    (stage,) = stages(root, mutant, RecordedCalls(folder), Depth.UNIT)
    return list(stage.targets)


FUNCTION = "def outer(x):\n    def inner():\n        return x + 1\n    return inner\n"


@pytest.mark.parametrize(
    ("text", "calls", "targets"),
    [
        pytest.param(
            FUNCTION,
            {"1": ["tests/unit/test_far.py::test_a"], "2": ["tests/unit/limits/test_limit.py::test_b"]},
            ["tests/unit/limits/test_limit.py::test_b"],
            id="only the tests that call the function inside of another one",
        ),
        pytest.param(
            FUNCTION,
            {"2": ["tests/unit/a_far_folder/test_far.py::test_a", "tests/unit/limits/test_limit.py::test_b"]},
            ["tests/unit/limits/test_limit.py::test_b", "tests/unit/a_far_folder/test_far.py::test_a"],
            id="the nearest folder first",
        ),
        pytest.param(
            "LIMIT = 2 + 3\n",
            {"9": ["tests/unit/test_far.py::test_a"]},
            ["tests/unit/test_far.py::test_a", "tests/unit/limits/test_limit.py"],
            id="in no function: the callers of the file, and the part",
        ),
        pytest.param(
            FUNCTION,
            {"2": [""]},
            ["tests/unit/limits/test_limit.py"],
            id="called by an import",
        ),
    ],
)
def test_a_mutant_is_judged_by_all_tests_that_can_notice_it(root, tmp_path, text, calls, targets):
    assert stage_targets(root, text, {MODULE: calls}, tmp_path / "calls") == targets


def test_a_function_that_no_test_calls_has_no_stage(root, tmp_path):
    (root / MODULE).write_text(FUNCTION)
    mutant = mutants_of(MODULE, FUNCTION)[0]
    assert stages(root, mutant, RecordedCalls(tmp_path), Depth.UNIT) == []


def test_scenarios_come_last_and_only_those_that_exist(root, tmp_path):
    scenarios = root / "tests/scenarios"
    scenarios.mkdir()
    (scenarios / "test_receiving.py").write_text("")
    client = root / "wx2mqtt/mqtt/client.py"
    client.parent.mkdir()
    client.write_text("x = 1 + 2\n")
    mutant = mutants_of("wx2mqtt/mqtt/client.py", client.read_text())[0]
    last = stages(root, mutant, RecordedCalls(tmp_path), Depth.SCENARIOS)[-1]
    assert last == Stage(depth=Depth.SCENARIOS, targets=("tests/scenarios/test_receiving.py",))


def test_the_scenarios_named_for_a_part_exist():
    names = {name for names in mutants.SCENARIOS.values() for name in names}
    assert [
        name for name in sorted(names) if not (mutants.ROOT / mutants.SCENARIO_TESTS / name).is_file()
    ] == []


def test_the_run_reports_the_survivor_stores_verdicts_and_leaves_the_tree_as_it_is(
    root, tmp_path, capsys, monkeypatch
):
    state = str(tmp_path / "state.jsonl")
    mutants.main(arguments(root, "--state", state))
    report = capsys.readouterr().out
    assert "survived: wx2mqtt/limits/limit.py:2 boundary" in report
    assert "-    return count > limit\n+    return count >= limit\n" in report
    assert report.splitlines()[1].split() == ["wx2mqtt/limits", "3", "2", "0", "1", "67", "%"]
    assert {path: (root / path).read_text() for path in FILES} == FILES

    def refuse(*_: object) -> None:
        pytest.fail("a mutant with a result was tested again")

    monkeypatch.setattr(mutants, "_test_all", refuse)
    mutants.main(arguments(root, "--state", state, "--json"))
    outcomes = {
        item["operator"]: (item["outcome"], item["stage"], item["test"])
        for item in json.loads(capsys.readouterr().out)
    }
    killed = ("killed", "unit", "tests/unit/limits/test_limit.py::test_over")
    assert outcomes == {"comparison": killed, "boundary": ("survived", "", ""), "return None": killed}


def test_a_state_file_whose_last_line_is_cut_is_read(tmp_path):
    path = tmp_path / "state.jsonl"
    path.write_text(
        '{"key": "a", "outcome": "timeout", "stage": "unit", "test": "", "depth": "unit", "seconds": 1}\n{"key": "b", "outc'
    )
    assert mutants.State(path).results.keys() == {"a"}
    mutants.State(path).add(replace(mutants.State(path).results["a"], key="c"))
    results = mutants.State(path).results
    assert results.keys() == {"a", "c"}
    assert {(result.outcome, result.stage) for result in results.values()} == {(Outcome.TIMEOUT, "unit")}


@pytest.mark.parametrize(
    ("more", "operators"),
    [
        pytest.param([], set(), id="no result is asked for twice"),
        pytest.param(["--scenarios"], {"boundary"}, id="a survivor, by more stages"),
        pytest.param(["--retest"], {"boundary", "comparison", "return None"}, id="all, on demand"),
    ],
)
def test_what_is_tested_again(root, tmp_path, monkeypatch, more, operators):
    path = tmp_path / "state.jsonl"
    state = mutants.State(path)
    for mutant in sample(root, ["wx2mqtt/limits"], seed=0, count=9):
        outcome = Outcome.SURVIVED if mutant.operator == "boundary" else Outcome.KILLED
        state.add(
            MutantResult(key=mutant.key, outcome=outcome, stage="", test="", depth=Depth.UNIT, seconds=1.0)
        )
    tested: list[Mutant] = []
    monkeypatch.setattr(mutants, "_test_all", lambda _, pending, *__: tested.extend(pending))
    mutants.main(arguments(root, "--state", str(path), *more))
    assert {mutant.operator for mutant in tested} == operators


def test_tests_that_do_not_end_in_time_are_a_timeout(root, tmp_path):
    test = root / "tests/unit/limits/test_limit.py"
    test.write_text("import threading\n\ndef test_waits():\n    threading.Event().wait()\n")
    checkout = Checkout(root, tmp_path / "copy")
    stage = Stage(depth=Depth.UNIT, targets=("tests/unit/limits/test_limit.py",))
    assert checkout.run(stage, timeout=0.5) is Outcome.TIMEOUT


def test_a_test_that_fails_without_a_mutant_is_left_out(root, tmp_path, capsys):
    (root / "tests/unit/limits/test_other.py").write_text("def test_a():\n    assert False\n")
    checkout = Checkout(root, tmp_path / "copy")
    record_calls(checkout)
    assert (
        "left out, it fails without a mutant: tests/unit/limits/test_other.py::test_a"
        in capsys.readouterr().err
    )
    stage = Stage(depth=Depth.UNIT, targets=("tests/unit",))
    assert checkout.run(stage, timeout=60) is Outcome.SURVIVED


def test_many_tests_that_fail_without_a_mutant_end_the_run(root, tmp_path, monkeypatch):
    monkeypatch.setattr(mutants, "MAX_FAILED_TESTS", 0)
    (root / "tests/unit/limits/test_limit.py").write_text("def test_a():\n    assert False\n")
    with pytest.raises(BaselineError, match=r"tests/unit/limits/test_limit\.py::test_a"):
        record_calls(Checkout(root, tmp_path / "copy"))


def test_the_calls_of_each_test_are_recorded(root, tmp_path):
    calls = record_calls(Checkout(root, tmp_path / "copy"))
    (function,) = functions_of(FILES[MODULE])
    assert calls.tests_of(MODULE, function) == {"tests/unit/limits/test_limit.py::test_over"}


def test_a_mutant_is_in_the_copy_only_while_it_is_tested(root, tmp_path):
    checkout = Checkout(root, tmp_path / "copy")
    mutant = sample(root, ["wx2mqtt/limits"], seed=0, count=1)[0]
    copy = tmp_path / "copy" / MODULE
    before = copy.stat().st_mtime
    with checkout.mutated(mutant):
        assert copy.read_text() == mutant.apply(FILES[MODULE])
        during = copy.stat().st_mtime
    assert copy.read_text() == FILES[MODULE]
    assert len({before, during, copy.stat().st_mtime}) == 3


def test_the_list_shows_the_sample_and_folders_that_do_not_exist_are_named(root, capsys):
    mutants.main(arguments(root, "wx2mqtt/absent", "--list"))
    output = capsys.readouterr()
    assert sorted(output.out.splitlines()) == [
        f"{MODULE}:2 boundary",
        f"{MODULE}:2 comparison",
        f"{MODULE}:2 return None",
    ]
    assert "wx2mqtt/absent" in output.err


def test_without_any_folder_there_is_nothing_to_sample(root, capsys):
    with pytest.raises(SystemExit):
        mutants.main(["--root", str(root), "--packages", "wx2mqtt/absent", "--list"])
    assert "no folder to sample from" in capsys.readouterr().err
