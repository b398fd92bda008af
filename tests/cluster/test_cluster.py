"""A part of `make test-cluster` for the suite: one run of few accounts with the most important disruptions."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import pytest

from tests.cluster import judge
from tests.cluster.brokers import missing_program
from tests.cluster.disruptions import DISRUPTIONS
from tests.cluster.environment import RunSize
from tests.cluster.report import BEGIN, END
from tests.cluster.run import Plan, plan_of, run
from tests.support.repetitions import chaos
from tests.support.seed import SEED

SMALL = RunSize(ilink=8, webwx=1, wecom=2, pace=10.0)
SHARE = (
    "kill",
    "another key",
    "primary killed",
    "refused reload",
    "SIGSTOP 20 s",
    "broker node killed",
    "database away",
)


@chaos
@pytest.mark.timeout(600)
def test_a_run_of_several_instances_breaks_no_promise(tmp_path: Path):
    if missing := missing_program():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    outcome = run(Plan(seed=SEED, size=SMALL, disruptions=SHARE), tmp_path)
    assert [f"{finding.kind}: {finding.text}" for finding in outcome.findings] == []
    assert [disruption.kind for disruption in outcome.disruptions] == [*SHARE]
    assert outcome.messages > 50
    assert outcome.commands > 50


def test_a_seed_always_gives_the_same_plan():
    assert plan_of(7, SMALL, 6) == plan_of(7, SMALL, 6)
    assert len({plan_of(seed, SMALL, 6).disruptions for seed in range(20)}) > 15
    assert {kind for seed in range(100) for kind in plan_of(seed, SMALL, 6).disruptions} == set(DISRUPTIONS)


def test_the_judge_imports_nothing_of_the_bridge():
    assert "wx2mqtt" not in inspect.getsource(judge)


def test_the_page_names_every_disruption():
    page = (Path(__file__).parents[2] / "docs/en/development/cluster.md").read_text()
    assert [kind for kind in DISRUPTIONS if f"`{kind}`" not in page] == []
    assert BEGIN in page
    assert END in page
