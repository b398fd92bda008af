"""A part of `make chaos` for the suite: a run without findings, and planted faults that the judge finds."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos import judge
from tests.chaos.disruptions import (
    DISRUPTIONS,
    LOGIN_ENDPOINTS,
    LOGOUT_ENDPOINTS,
    SCAN_ENDPOINTS,
    STOP_ENDPOINTS,
)
from tests.chaos.disruptions import ENDPOINTS as WORK_ENDPOINTS
from tests.chaos.faults import FAULTS, plant
from tests.chaos.report import BEGIN, END, HEADS, Figures, Machine, markdown
from tests.chaos.run import ACCOUNT_SETS, MIN_COMMANDS, MIN_MESSAGES, find_fault, plan_of, run
from tests.support.broker import PROGRAM
from tests.support.forks import CONTEXT
from tests.support.repetitions import chaos
from tests.support.seed import SEED
from wx2mqtt.simulator.routes import ENDPOINTS
from wx2mqtt.simulator.wecom.gateway import NAMES as WECOM_NAMES

DOCS = Path(__file__).parents[2] / "docs"

needs_mosquitto = pytest.mark.skipif(
    PROGRAM is None, reason="mosquitto is not installed (apt-get install mosquitto)"
)


@chaos
@needs_mosquitto
@pytest.mark.timeout(300)
def test_a_run_with_a_random_seed_breaks_no_promise():
    outcome = run(plan_of(SEED))
    assert [f"{finding.kind}: {finding.text}" for finding in outcome.findings] == []
    assert outcome.messages >= MIN_MESSAGES
    assert outcome.commands >= MIN_COMMANDS


@chaos
@needs_mosquitto
@pytest.mark.timeout(300)
def test_a_run_with_a_bot_of_wecom_breaks_no_promise():
    plan = plan_of(SEED)
    outcome = run(replace(plan, accounts=("team",), disruptions=(*plan.disruptions[:2], ("logout",))))
    assert [f"{finding.kind}: {finding.text}" for finding in outcome.findings] == []
    assert outcome.messages >= MIN_MESSAGES
    assert outcome.commands >= MIN_COMMANDS


@chaos
@needs_mosquitto
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "name",
    [
        "early_puback",
        "published_before_puback",
        "repeat_after_answer",
        "gap_not_reported",
        "answer_of_another",
    ],
)
def test_the_judge_finds_a_planted_fault(name: str):
    assert find_fault(1, name) is not None


def test_a_seed_always_gives_the_same_plan():
    assert plan_of(7) == plan_of(7)
    assert len({plan_of(seed) for seed in range(50)}) == 50
    assert {plan_of(seed).accounts for seed in range(50)} == set(ACCOUNT_SETS)
    assert {kind for seed in range(500) for kinds in plan_of(seed).disruptions for kind in kinds} == set(
        DISRUPTIONS
    )


def test_the_judge_shares_no_code_with_the_bridge():
    """Neither does what it imports."""
    program = f"import sys, {judge.__name__}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=DOCS.parent, check=True, capture_output=True, text=True
    ).stdout.split()
    assert judge.__name__ in loaded
    assert [name for name in loaded if name.partition(".")[0] == "wx2mqtt"] == []


def test_all_calls_of_the_bridge_fail_in_some_run():
    failing = {
        *(*STOP_ENDPOINTS, *LOGOUT_ENDPOINTS),
        *(
            name
            for calls in (WORK_ENDPOINTS, LOGIN_ENDPOINTS, SCAN_ENDPOINTS)
            for names in calls.values()
            for name in names
        ),
    }
    # The bridge draws the code itself, sends no statistics and no greeting; a heartbeat comes once
    # in 30 s, which is longer than most runs.
    known = ENDPOINTS.keys() | WECOM_NAMES
    assert known - failing == {"qrcode", "webwxstatreport", "ping", "aibot_respond_welcome_msg"}
    assert failing <= known


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_can_be_planted(name: str):
    """The replaced method still exists; the bridge of this process is not changed."""
    process = CONTEXT.Process(target=plant, args=(name,))
    process.start()
    process.join(30)
    assert process.exitcode == 0


def test_the_page_names_every_blow_and_every_planted_fault():
    page = (DOCS / "en/development/chaos.md").read_text()
    assert [kind for kind in DISRUPTIONS if f"`{kind}`" not in page] == []
    assert [
        fault.text for fault in FAULTS.values() if f"| {fault.text} | `{fault.finding}` |" not in page
    ] == []


@pytest.mark.parametrize("language", HEADS)
def test_the_page_has_marks_around_figures_of_this_form(language):
    page = (DOCS / language / "development/chaos.md").read_text()
    block = page.split(BEGIN)[1].split(END)[0]
    assert HEADS[language] in block
    figures = Figures(runs=3, messages=1200)
    figures.disruptions["kill"] = 2
    figures.findings["lost"] = 1
    figures.recoveries["kill"].update({"message": [0.5, 1.5], "command": [2.0, 4.0]})
    written = markdown(figures, Machine(cores=2, load=22.0, jobs=5), language)
    numbers = re.findall(r"\d+(?:[,.]\d+)?", written.splitlines()[0])
    assert numbers == ["3", "2", "1,200", "0", "0.0", "2", "22", "5", "1"]
    row = [cell.strip(" `") for cell in written.splitlines()[-1].split("|")]
    assert row == ["", "kill", "2", "0.50 s", "1.50 s", "1.50 s", "2.00 s", "4.00 s", "4.00 s", "0", ""]


def test_planted_faults_name_blows_and_findings_that_exist():
    assert len(FAULTS) >= 10
    for fault in FAULTS.values():
        assert set(fault.disruptions) <= DISRUPTIONS.keys()
        assert fault.finding in {
            "lost",
            "repeat",
            "order",
            "result",
            "identity",
            "own",
            "change",
            "reload",
            "button",
            "receipt",
        }
