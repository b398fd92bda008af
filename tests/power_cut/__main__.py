"""`make power-cut CUTS=1000`: checks that what the bridge acknowledged is on the disk after a power cut at any time.

Records the changes of a real bridge's store once, then builds the disk after cuts at random times and opens it.
`FAULTS=1` plants each known fault, which must be found. Exit code 0: nothing was found.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path

import structlog

from tests.power_cut.bridge import FAULTS
from tests.power_cut.judge import BridgeJudge, Finding
from tests.power_cut.recording import missing, record
from tests.power_cut.restore import record_restore

SHOWN = 5  # findings of a run
RESTORE_SHARE = 4  # one cut of a restore for so many of the bridge


def run(cuts: int, rounds: int, seed: int, fault: str = "") -> bool:
    """Records, cuts, prints; returns whether nothing was found."""
    with tempfile.TemporaryDirectory(prefix="wx2mqtt-power-cut-") as name:
        folder = Path(name)
        calls = asyncio.run(record(folder, rounds, fault))
        judge = BridgeJudge(folder / "bridge", calls)
        kinds = Counter(call.change.name.lower() for call in calls)
        print(
            f"{fault or 'no fault'}: {len(calls):,} calls ({_counts(kinds)}), {judge.marks.count:,} acknowledgements"
        )
        found = judge.check_at_random(cuts, seed)
        _print_findings("cuts of the bridge", cuts, found)
        if not fault:
            cuts = max(1, cuts // RESTORE_SHARE)
            moments = len(calls) // 2, len(calls)
            findings = record_restore(folder, judge, moments).check_at_random(cuts, seed)
            _print_findings("cuts of a restore", cuts, findings)
            found += findings
    return not found


def _print_findings(what: str, cuts: int, found: list[Finding]) -> None:
    print(f"  {cuts:,} {what}, {len(found):,} with problems")
    for finding in found[:SHOWN]:
        print(f"  before call {finding.cut} (losses {finding.losses}): {'; '.join(finding.problems[:3])}")


def _counts(kinds: Counter[str]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.power_cut", description=__doc__)
    parser.add_argument("--cuts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=30, help="how much load is recorded")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", action="store_true", help="plants each fault, which must be seen")
    options = parser.parse_args()
    if problem := missing():
        print(problem)
        return 1
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if options.faults:
        unseen = [name for name in FAULTS if run(options.cuts, options.rounds, options.seed, name)]
        print(f"not seen: {', '.join(unseen) or 'none'}")
        return 1 if unseen else 0
    return 0 if run(options.cuts, options.rounds, options.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
