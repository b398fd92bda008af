"""`make chaos`: runs several seeds at the same time, prints their results, and fails when a promise was broken.

With `--faults` it plants one fault after another into the bridge, and fails when the judge misses one.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.report import BEGIN, END, HEADS, Machine, figures_of, markdown
from tests.chaos.run import Outcome, find_fault, plan_of, run
from tests.support.broker import PROGRAM
from tests.support.figures import english_page, write_figures

SHOWN_FINDINGS = 5
SHOWN_CHARACTERS = 400
SLOW_SECONDS = 2.0
"""A longer recovery after a single disruption is shown."""


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 1 when something was found, or a planted fault was not."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--first", type=int, default=None, help="the first seed; default: at random")
    parser.add_argument("--jobs", type=int, default=4, help="runs side by side")
    parser.add_argument(
        "--disruption", action="append", default=[], help="only disruptions of this kind; may be repeated"
    )
    parser.add_argument("--faults", action="store_true", help="look for planted faults")
    parser.add_argument("--fault", action="append", default=[], choices=[*FAULTS], help="only this one")
    parser.add_argument(
        "--report", type=english_page, default=None, help="an English page with marks for the figures"
    )
    parser.add_argument(
        "--slow", type=float, default=math.inf, help="keep runs with a longer recovery (seconds)"
    )
    options = parser.parse_args(arguments)
    if PROGRAM is None:
        print("mosquitto is missing: apt-get install mosquitto")
        return 1
    keep = Path(tempfile.mkdtemp(prefix="wx2mqtt-chaos-"))
    first = secrets.randbelow(10**6) if options.first is None else options.first
    if options.faults or options.fault:
        return _look_for_faults(options.fault or [*FAULTS], first, options.jobs)
    outcomes = []
    plans = [plan_of(seed, options.disruption) for seed in range(first, first + options.seeds)]
    with _pool(options.jobs) as pool:
        runs = [pool.submit(run, plan, keep=keep, slow_seconds=options.slow) for plan in plans]
        for number, done in enumerate(_ended(runs), 1):
            outcomes.append(done)
            _show(done, f"{number}/{len(runs)}")
    figures = figures_of(outcomes)
    machine = Machine(cores=os.cpu_count() or 1, load=os.getloadavg()[2], jobs=options.jobs)
    print(markdown(figures, machine, "en"))
    if options.report is not None:
        blocks = {language: markdown(figures, machine, language) for language in HEADS}
        write_figures(options.report, BEGIN, END, blocks)
    return 1 if figures.findings else 0


def _pool(jobs: int) -> ProcessPoolExecutor:
    """Returns a pool whose workers have a fork server each, which imports the bridge once."""
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))


def _ended(runs: Sequence[Future[Outcome]]) -> Iterator[Outcome]:
    for done in as_completed(runs):
        yield done.result()


def _look_for_faults(names: Sequence[str], first: int, jobs: int) -> int:
    with _pool(jobs) as pool:
        seen = list(pool.map(partial(find_fault, first), names))
    for name, outcome in zip(names, seen, strict=True):
        if outcome is None:
            print(f"NOT SEEN  {name}: {FAULTS[name].text}")
        else:
            finding = outcome.findings[0]
            text = f"{finding.kind}: {finding.text[:120]}"
            print(f"seen      {name}: {FAULTS[name].text} (seed {outcome.plan.seed}, {text})")
    missed = seen.count(None)
    print(f"{len(names) - missed} of {len(names)} planted faults seen")
    return 1 if missed else 0


def _show(outcome: Outcome, progress: str) -> None:
    plan = outcome.plan
    disruptions = ", ".join(" + ".join(kinds) for kinds in plan.disruptions)
    word = "WRONG" if outcome.findings else "well"
    print(
        f"{progress} seed {plan.seed} {'+'.join(plan.accounts)} {outcome.seconds:.1f} s {word}: {disruptions}",
        flush=True,
    )
    for finding in outcome.findings[:SHOWN_FINDINGS]:
        print(f"    {finding.kind}: {finding.text[-SHOWN_CHARACTERS:]}")
    for disruption in outcome.disruptions:
        if disruption.single and max(disruption.recovery.values()) > SLOW_SECONDS:
            print(
                f"    slow: {disruption.kind}: {', '.join(f'{name} {seconds:.1f} s' for name, seconds in disruption.recovery.items())}"
            )
    if outcome.folder:
        print(f"    files: {outcome.folder}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
