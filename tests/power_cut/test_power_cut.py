"""What the bridge acknowledged is on the disk after a power cut; a bridge that syncs less is found."""

from __future__ import annotations

import pytest

from tests.power_cut.judge import BridgeJudge
from tests.power_cut.recording import ACCOUNTS, missing, record
from tests.power_cut.restore import record_restore
from tests.support.broker import PROGRAM
from tests.support.repetitions import repetitions
from tests.support.seed import seeded

ROUNDS = 6
CUTS = repetitions(100, 2000)
CUTS_WITH_FAULT = 60

MISSING = missing()

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=MISSING),
    pytest.mark.skipif(
        PROGRAM is None, reason="mosquitto is not installed (Debian: apt-get install mosquitto)"
    ),
]


@seeded
async def test_what_was_acknowledged_is_on_the_disk_after_a_power_cut_at_any_time(tmp_path, seed):
    calls = await record(tmp_path, ROUNDS)
    judge = BridgeJudge(tmp_path / "bridge", calls)
    assert len(judge.marks.commits) > 100
    logins = {f"sessions/{account}.json" for account in ACCOUNTS}
    assert set(judge.marks.files) == {"people.json", *logins}
    assert judge.check_at_random(CUTS, seed) == []
    restore_judge = record_restore(tmp_path, judge, (len(calls) // 2, len(calls)))
    assert restore_judge.check_at_random(CUTS // 2, seed) == []


async def test_a_bridge_that_syncs_less_is_found(tmp_path):
    calls = await record(tmp_path, 2, fault="synchronous_normal")
    judge = BridgeJudge(tmp_path / "bridge", calls)
    found = [problem for cut in judge.check_at_random(CUTS_WITH_FAULT, seed=1) for problem in cut.problems]
    assert "the database is not at its last commit" in found
