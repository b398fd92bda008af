"""`make test-cluster`: runs seeds one after the other, prints their results, and fails when a promise was broken."""

from __future__ import annotations

import argparse
import os
import pickle
import secrets
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.brokers import missing_program
from tests.cluster.disruptions import DISRUPTIONS
from tests.cluster.environment import RunSize
from tests.cluster.report import BEGIN, END, HEADS, markdown
from tests.cluster.run import Outcome, plan_of, run
from tests.support.figures import english_page, write_figures

SHOWN_FINDINGS = 8
SHOWN_CHARACTERS = 400


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 1 when something was found."""
    parser = argparse.ArgumentParser(prog="make test-cluster", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--seed", type=int, default=None, help="the first seed; default: at random")
    parser.add_argument("--disruptions", type=int, default=6, help="disruptions of a seed")
    parser.add_argument(
        "--disruption", action="append", default=[], choices=[*DISRUPTIONS], help="only this kind"
    )
    parser.add_argument("--ilink", type=int, default=RunSize.ilink, help="accounts on iLink")
    parser.add_argument("--webwx", type=int, default=RunSize.webwx, help="accounts on web WeChat")
    parser.add_argument("--wecom", type=int, default=RunSize.wecom, help="bots of WeCom")
    parser.add_argument("--instances", type=int, default=RunSize.instances)
    parser.add_argument("--pace", type=float, default=RunSize.pace, help="more is less traffic")
    parser.add_argument("--file", action="store_true", help="one instance on a file, without a database")
    parser.add_argument(
        "--outcomes",
        type=Path,
        default=None,
        help="a file to which outcomes are added, for one report of many runs",
    )
    parser.add_argument("--report", type=english_page, default=None, help="a page with marks for the figures")
    options = parser.parse_args(arguments)
    if missing := missing_program():
        print(missing)
        return 1
    size = RunSize(
        ilink=options.ilink,
        webwx=options.webwx,
        wecom=options.wecom,
        instances=1 if options.file else options.instances,
        pace=options.pace,
        shared=not options.file,
    )
    keep = Path(tempfile.mkdtemp(prefix="wx2mqtt-cluster-"))
    keep.chmod(0o755)
    first = secrets.randbelow(10**6) if options.seed is None else options.seed
    earlier: Path | None = options.outcomes
    outcomes: list[Outcome] = pickle.loads(earlier.read_bytes()) if earlier and earlier.exists() else []
    has_findings = False
    for number, seed in enumerate(range(first, first + options.seeds), 1):
        outcome = run(plan_of(seed, size, options.disruptions, options.disruption), keep)
        has_findings |= bool(outcome.findings)
        outcomes.append(outcome)
        _show(outcome, f"{number}/{options.seeds}")
        if earlier is not None:
            earlier.write_bytes(pickle.dumps(outcomes))
    cores, load = os.cpu_count() or 1, os.getloadavg()[2]
    print(markdown(outcomes, cores, load, "en"))
    if options.report is not None:
        blocks = {language: markdown(outcomes, cores, load, language) for language in HEADS}
        write_figures(options.report, BEGIN, END, blocks)
    return 1 if has_findings else 0


def _show(outcome: Outcome, progress: str) -> None:
    word = "WRONG" if outcome.findings else "well"
    disruptions = ", ".join(
        f"{disruption.kind} ({', '.join(f'{max(values, default=0):.1f} s' for values in disruption.recovery.values())})"
        for disruption in outcome.disruptions
    )
    print(f"{progress} seed {outcome.plan.seed} {outcome.seconds:.0f} s {word}: {disruptions}", flush=True)
    for finding in outcome.findings[:SHOWN_FINDINGS]:
        print(f"    {finding.kind}: {finding.text[-SHOWN_CHARACTERS:]}")
    if outcome.folder:
        print(f"    files: {outcome.folder}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
