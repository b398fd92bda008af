"""Fuzzes the parsers: `python -m tests.fuzz [target …]`; without a name all targets.

Prints a table and exits with 1 when an input breaks a rule. The input is stored in `.cache/fuzz`; `--replay FILE`
runs it again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz import corpus, long_run
from tests.fuzz.coverage_guided import FINDINGS, INSTALLED, finding_text
from tests.fuzz.engine import Figures, check_case, failure_of, run_cases
from tests.fuzz.registry import KNOWN_HOLES, TARGETS, target_named
from tests.fuzz.silence import silent_logs
from tests.fuzz.target import Finding, Target

# CPU seconds on the machine of docs/en/development/testing.md, an average of all targets: of an input, of the
# start of a process that counts branches, and of an input there.
INPUT_SECONDS = 0.001
GUIDED_START_SECONDS = 9.0
GUIDED_INPUT_SECONDS = 0.003

HEAD = f"{'target':24}{'cases':>10}{'large':>8}{'ms/100 kB':>11}{'memory':>8}{'seconds':>9}  findings"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    options = _options(arguments)
    targets = [target_named(name) for name in options.targets] or _targets_without_hole()
    with silent_logs():
        if options.replay:
            return _replay(targets[0], options.replay)
        if options.grow:
            return _grow(targets, options.cases, options.seed)
        if options.resume:
            return _run_on(targets, options)
        print(announcement(len(targets), options, os.cpu_count() or 1), flush=True)
        failed = False
        if not options.guided:
            failed = _fuzz(targets, options) > 0
        if options.guided or options.both:
            failed = _fuzz_guided(targets, options) > 0 or failed
        return 1 if failed else 0


def announcement(targets: int, options: argparse.Namespace, cpus: int) -> str:
    """Returns how long a run will take. The targets run one after the other, those by coverage side by side."""
    longest = float("inf") if options.seconds is None else options.seconds
    seconds = 0.0
    if not options.guided:
        seconds += targets * min(options.cases * INPUT_SECONDS, longest)
    if (options.guided or options.both) and INSTALLED.is_dir():
        of_target = GUIDED_START_SECONDS + min(options.cases * GUIDED_INPUT_SECONDS, longest)
        seconds += targets * of_target / min(cpus, targets)
    duration = f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
    return f"{targets} targets, {options.cases} inputs of each: about {duration} on {cpus} free processors"


def _targets_without_hole() -> list[Target]:
    for name, hole in KNOWN_HOLES.items():
        print(f"{name}: left out, {hole}")
    return [target for target in TARGETS if target.name not in KNOWN_HOLES]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "targets", nargs="*", metavar="target", help=", ".join(target.name for target in TARGETS)
    )
    parser.add_argument("--cases", type=int, default=2000, help="new inputs of each target (2000)")
    parser.add_argument("--seed", default="0", help="decides all inputs (0)")
    parser.add_argument("--seconds", type=float, default=None, help="CPU seconds of each target at most")
    parser.add_argument("--guided", action="store_true", help="by coverage, with atheris")
    parser.add_argument("--both", action="store_true", help="at random, and then by coverage")
    parser.add_argument("--grow", action="store_true", help="grow and minimise the corpus instead")
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="FOLDER",
        help="a long run: goes on until the files there count --cases",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="PAGE",
        help="puts the table of a long run into an English page and its Chinese one",
    )
    parser.add_argument("--replay", type=Path, help="run one stored input of the one target")
    return parser.parse_args(arguments)


def _fuzz(targets: Sequence[Target], options: argparse.Namespace) -> int:
    print(HEAD)
    findings: list[Finding] = []
    total = 0
    for target in targets:
        started_at = time.process_time()
        known_inputs = [*target.seeds, *corpus.corpus_of(target)]
        figures = run_cases(target, options.cases, options.seed, known_inputs, max_seconds=options.seconds)
        print(_row(target, figures, time.process_time() - started_at), flush=True)
        findings += figures.findings
        total += figures.cases
    print(f"{total} cases, {len(findings)} findings")
    for finding in findings:
        _report(finding)
    return 1 if findings else 0


def _run_on(targets: Sequence[Target], options: argparse.Namespace) -> int:
    failed = False
    for finding in long_run.run_on(targets, options.resume, options.cases, options.seed):
        _report(finding)
        failed = True
    print("\n".join(long_run.table(targets, options.resume, "en")))
    if options.report:
        long_run.write_report(targets, options.resume, options.report)
    return 1 if failed else 0


def _fuzz_guided(targets: Sequence[Target], options: argparse.Namespace) -> int:
    """Runs atheris in a process for each target, since libFuzzer ends its process."""
    if not INSTALLED.is_dir():
        print(
            f"{INSTALLED} is missing: atheris has wheels for Linux on x86-64 only, and `make fuzz` installs it there"
        )
        return 0
    failures: dict[str, str] = {}

    def run(target: Target) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.fuzz.coverage_guided", target.name, str(options.cases)]
        command.append(str(int(options.seconds or 0)))
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)

    with ThreadPoolExecutor(os.cpu_count()) as processes:
        for target, done in zip(targets, processes.map(run, targets), strict=True):
            _show_guided(target, done)
            if done.returncode:
                failures[target.name] = f"{done.stderr[-3000:]}\n{finding_text(done.stdout)}"
    print(f"{len(failures)} findings")
    for name, text in failures.items():
        print(f"\n{name}:\n{text}")
    return 1 if failures else 0


def _show_guided(target: Target, done: subprocess.CompletedProcess[str]) -> None:
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    new_units = re.search(r"new_units_added: +(\d+)", done.stderr)
    runs_text, new_text = runs[1] if runs else "?", new_units[1] if new_units else "?"
    print(f"{target.name:24}{runs_text:>10} runs{new_text:>8} new", flush=True)


def _row(target: Target, figures: Figures, seconds: float) -> str:
    return (
        f"{target.name:24}{figures.cases:>10}{figures.large_cases:>8}{figures.slowest_ms:>11.1f}"
        f"{figures.peak_ratio:>7.1f}x{seconds:>9.1f}  {len(figures.findings)}"
    )


def _report(finding: Finding) -> None:
    """Stores the input of a finding, made shorter where it is an error, and prints how to run it again."""
    target = target_named(finding.target)
    data = finding.data
    if kind := failure_of(target, data):
        data = corpus.shorter(data, lambda part: failure_of(target, part) == kind)
    FINDINGS.mkdir(parents=True, exist_ok=True)
    path = FINDINGS / f"{finding.target}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    print(f"\n{finding.target}: {finding.rule[:300]}\n  {data[:200]!r} ({len(data)} bytes)")
    print(f"  python -m tests.fuzz {finding.target} --replay {path}", flush=True)


def _replay(target: Target, path: Path) -> int:
    figures = Figures()
    try:
        check_case(target, path.read_bytes(), figures, trace=True)
    except Finding as finding:
        print(finding)
        if finding.__cause__ is not None:
            raise
        return 1
    print(
        f"{target.name}: no finding; {figures.slowest_ms:.1f} ms for 100 kB, {figures.peak_ratio:.1f} times the input"
    )
    return 0


def _grow(targets: Sequence[Target], cases: int, seed: str) -> int:
    for target in targets:
        inputs = corpus.grow(target, cases, seed)
        corpus.write(target, inputs)
        print(f"{target.name:24}{len(inputs):>4} inputs, {sum(map(len, inputs)):>7} bytes", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
