"""Mutation sampling: `python -m tests.mutants`. Shows which small faults in the code no test notices.

A seeded sample of mutants (see `tests/mutation.py`) is tested one after the other. Each mutant is written into a
temporary copy of the checkout, never into the working tree, and the tests run against it in stages, from near to
far, until one fails:

- `mirrored`: `tests/unit/<folder>/test_<module>*.py`;
- `package`: the other unit tests of that folder (of the nearest parent folder that has unit tests);
- `unit`: all other unit tests;
- `scenarios`: a few scenario tests of that part, only with `--scenarios`.

A failure or a timeout kills the mutant; a mutant that all stages pass survives and is shown as a diff. Before the
first mutant the same tests run on the unchanged copy: they must pass, and their time sets the timeout.

A run takes long: `--state FILE` stores each result, and the next run with that file continues. A result holds for
the text of its file; after tests were added, `--retest` tests the survivors again. The same seed with a larger
`--count` extends the same sample. Tests of the whole tree (`UNRELATED_TESTS`) never run.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from tests.mutation import Mutant, mutants_of

ROOT = Path(__file__).parents[1]
PRODUCT = "wx2mqtt"
UNIT_TESTS = Path("tests/unit")
SCENARIO_TESTS = Path("tests/scenarios")
PACKAGES = (
    "wx2mqtt/bridge",
    "wx2mqtt/mqtt",
    "wx2mqtt/store",
    "wx2mqtt/wechat/webwx/protocol",
    "wx2mqtt/wechat/ilink/protocol",
)
SCENARIOS = {
    "wx2mqtt/bridge": ("test_receiving.py", "test_sending.py", "test_commands.py", "test_redelivery.py"),
    "wx2mqtt/mqtt": ("test_mqtt_client_pause.py", "test_receiving.py", "test_redelivery.py"),
    "wx2mqtt/store": ("test_receiving.py", "test_history.py", "test_backup.py"),
    "wx2mqtt/wechat/webwx": ("test_webwx.py", "test_webwx_sending.py"),
    "wx2mqtt/wechat/ilink": ("test_ilink_gateway.py", "test_ilink_bridge.py"),
}
UNRELATED_TESTS = (
    "tests/unit/test_shape.py",
    "tests/unit/test_mutants.py",
    "tests/unit/test_mutation.py",
)
NOT_COPIED = (
    ".git",
    ".venv*",
    ".cache",
    ".hypothesis",
    ".*_cache",
    "__pycache__",
    "node_modules",
    "build",
    "dist",
)
NO_TESTS_COLLECTED = 5  # exit code of pytest
TEST_TIMEOUT_SECONDS = 60
MIN_TIMEOUT_SECONDS = 60.0
TIMEOUT_FACTOR = 3  # the machine may be busier than during the first run
BASELINE_TIMEOUT_SECONDS = 1800.0


class Depth(StrEnum):
    """The last stage that is run."""

    MIRRORED = "mirrored"
    PACKAGE = "package"
    UNIT = "unit"
    SCENARIOS = "scenarios"


class Outcome(StrEnum):
    KILLED = "killed"
    TIMEOUT = "timeout"
    SURVIVED = "survived"


class BaselineError(Exception):
    """The tests fail without any mutant, so a failure says nothing about one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    depth: Depth
    targets: tuple[Path, ...]
    ignored: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MutantResult:
    key: str
    outcome: Outcome
    stage: str
    """The stage that killed the mutant; empty if it survived."""
    test: str
    """The test that failed first, as pytest names it; empty if it survived, or after a timeout."""
    depth: Depth
    """The last stage that a survivor passed, or would have come to."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportEntry:
    mutant: Mutant
    package: str
    result: MutantResult
    diff: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    root: Path
    packages: tuple[str, ...]
    seed: int
    count: int
    jobs: int
    depth: Depth
    timeout: float | None
    state: Path | None
    retest: bool
    deselected: tuple[str, ...]


# The sample.


def sample(root: Path, packages: Iterable[str], *, seed: int, count: int) -> list[Mutant]:
    """Returns `count` mutants of the packages, or all if there are fewer; the same seed gives the same order."""
    texts = {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for package in packages
        for path in sorted((root / package).rglob("*.py"))
    }
    mutants = [mutant for path, text in texts.items() for mutant in mutants_of(path, text)]
    random.Random(seed).shuffle(mutants)
    valid = (mutant for mutant in mutants if mutant.changes_code(texts[mutant.path]))
    return list(itertools.islice(valid, count))


def stages(root: Path, path: str, depth: Depth) -> list[Stage]:
    """Returns the stages that test a mutant of the file `path`, without those that have no tests."""
    module = Path(path).relative_to(PRODUCT)
    folder = UNIT_TESTS / module.parent
    mirrored = tuple(
        file.relative_to(root) for file in sorted((root / folder).glob(f"test_{module.stem}*.py"))
    )
    while not (root / folder).is_dir():
        folder = folder.parent
    package = () if folder == UNIT_TESTS else (folder,)
    every = [
        Stage(depth=Depth.MIRRORED, targets=mirrored),
        Stage(depth=Depth.PACKAGE, targets=package, ignored=mirrored),
        Stage(depth=Depth.UNIT, targets=(UNIT_TESTS,), ignored=package or mirrored),
        Stage(depth=Depth.SCENARIOS, targets=_scenarios(root, path)),
    ]
    last = list(Depth).index(depth)
    return [stage for stage in every[: last + 1] if stage.targets]


def _scenarios(root: Path, path: str) -> tuple[Path, ...]:
    names = (name for package, names in SCENARIOS.items() if path.startswith(f"{package}/") for name in names)
    return tuple(SCENARIO_TESTS / name for name in names if (root / SCENARIO_TESTS / name).is_file())


# The temporary copy.


class Checkout:
    """A temporary copy of the checkout, in which one mutant at a time is tested."""

    def __init__(self, root: Path, folder: Path, deselected: Iterable[str] = ()) -> None:
        self.folder = folder
        self.output = folder.with_name(f"{folder.name}.log")
        self._deselected = tuple(deselected)
        shutil.copytree(root, folder, symlinks=True, ignore=shutil.ignore_patterns(*NOT_COPIED))
        # Python takes cached byte code for current by size and time of the source: each writing gets its own time.
        self._times = itertools.count(int(time.time()) + 10, 2)
        self._environment = {name: value for name, value in os.environ.items() if name != "CI"}
        self._environment |= {"PYTHONPATH": str(folder), "CHAOS_SEED": "0"}
        self._process: subprocess.Popen[bytes] | None = None
        self._check_import()

    def _check_import(self) -> None:
        """An installed package must not hide the copy: every mutant would survive."""
        code = f"import {PRODUCT}; print({PRODUCT}.__file__)"
        command = [sys.executable, "-c", code]
        origin = subprocess.check_output(command, cwd=self.folder, env=self._environment, text=True)
        if not Path(origin.strip()).is_relative_to(self.folder):
            raise BaselineError(f"the tests would import {origin.strip()}, not the copy")

    @contextlib.contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[None]:
        path = self.folder / mutant.path
        text = path.read_text(encoding="utf-8")
        self._write(path, mutant.apply(text))
        try:
            yield
        finally:
            self._write(path, text)

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        moment = next(self._times)
        os.utime(path, (moment, moment))

    def run(self, stage: Stage, *, timeout: float) -> Outcome:
        """Runs the tests of a stage; SURVIVED means that they pass."""
        ignored = [*map(str, stage.ignored), *UNRELATED_TESTS]
        command = [
            *(sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"),
            *(f"--timeout={TEST_TIMEOUT_SECONDS}", "--hypothesis-seed=0"),
            *(f"--ignore={path}" for path in ignored),
            *(f"--deselect={test}" for test in self._deselected),
            *map(str, stage.targets),
        ]
        with self.output.open("wb") as output:
            process = self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            return Outcome.TIMEOUT
        finally:
            self.stop()
        return Outcome.SURVIVED if code in (0, NO_TESTS_COLLECTED) else Outcome.KILLED

    def failed_test(self) -> str:
        """Returns the first failure in the summary of the last run; empty if it has none."""
        lines = self.output.read_text(encoding="utf-8", errors="replace").splitlines()
        failures = (line for line in lines if line.startswith(("FAILED tests", "ERROR tests")))
        return next(failures, "").partition(" ")[2].partition(" - ")[0]

    def stop(self) -> None:
        """Ends pytest and the processes that its tests left."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run_stages(checkout: Checkout, mutant: Mutant, *, depth: Depth, timeout: float) -> MutantResult:
    start = time.monotonic()
    outcome, name, test = Outcome.SURVIVED, "", ""
    with checkout.mutated(mutant):
        for stage in stages(checkout.folder, mutant.path, depth):
            outcome = checkout.run(stage, timeout=timeout)
            if outcome is not Outcome.SURVIVED:
                name, test = stage.depth.value, checkout.failed_test()
                break
    seconds = round(time.monotonic() - start, 1)
    return MutantResult(key=mutant.key, outcome=outcome, stage=name, test=test, depth=depth, seconds=seconds)


def check_baseline(checkout: Checkout, mutants: Iterable[Mutant], depth: Depth) -> float:
    """Runs the tests without a mutant and returns the seconds they take; raises BaselineError if they fail."""
    targets = {
        target
        for path in {mutant.path for mutant in mutants}
        for stage in stages(checkout.folder, path, depth)
        for target in stage.targets
    }
    outermost = sorted(target for target in targets if not targets.intersection(target.parents))
    start = time.monotonic()
    stage = Stage(depth=depth, targets=tuple(outermost))
    if outermost and checkout.run(stage, timeout=BASELINE_TIMEOUT_SECONDS) is not Outcome.SURVIVED:
        failure = (
            checkout.failed_test() or checkout.output.read_text(encoding="utf-8", errors="replace")[-2000:]
        )
        raise BaselineError(f"the tests fail without a mutant: {failure}")
    return time.monotonic() - start


# The run.


class State:
    """Results in a file of JSON lines; each is appended as soon as it is known."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.results: dict[str, MutantResult] = {}
        if path is not None and path.exists():
            text = path.read_text(encoding="utf-8")
            for line in text.splitlines():
                with contextlib.suppress(ValueError):  # the last line of an interrupted run may be cut
                    self._remember(json.loads(line))
            if not text.endswith("\n"):
                path.write_text(text + "\n", encoding="utf-8")

    def _remember(self, fields: dict[str, str | float]) -> None:
        result = MutantResult(
            key=str(fields["key"]),
            outcome=Outcome(str(fields["outcome"])),
            stage=str(fields["stage"]),
            test=str(fields["test"]),
            depth=Depth(str(fields["depth"])),
            seconds=float(fields["seconds"]),
        )
        self.results[result.key] = result

    def is_pending(self, mutant: Mutant, options: Options) -> bool:
        """Survivors are tested again on demand, and when more stages are asked for than they passed."""
        if (result := self.results.get(mutant.key)) is None:
            return True
        order = list(Depth)
        deeper = order.index(options.depth) > order.index(result.depth)
        return result.outcome is Outcome.SURVIVED and (options.retest or deeper)

    def add(self, result: MutantResult) -> None:
        self.results[result.key] = result
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(result)) + "\n")


def run(options: Options) -> list[ReportEntry]:
    """Tests the sample and returns every mutant of it with its result."""
    mutants = sample(options.root, options.packages, seed=options.seed, count=options.count)
    state = State(options.state)
    pending = [mutant for mutant in mutants if state.is_pending(mutant, options)]
    if pending:
        with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as folder:
            checkouts = [
                Checkout(options.root, Path(folder).resolve() / str(job), options.deselected)
                for job in range(options.jobs)
            ]
            _test_all(checkouts, pending, options, state)
    return [_entry(options, mutant, state.results[mutant.key]) for mutant in mutants]


def _test_all(checkouts: list[Checkout], mutants: list[Mutant], options: Options, state: State) -> None:
    baseline = check_baseline(checkouts[0], mutants, options.depth)
    timeout = options.timeout or max(MIN_TIMEOUT_SECONDS, TIMEOUT_FACTOR * baseline)
    _log(f"{len(mutants)} mutants; the tests take {baseline:.0f} s, the timeout is {timeout:.0f} s")
    free: queue.SimpleQueue[Checkout] = queue.SimpleQueue()
    for checkout in checkouts:
        free.put(checkout)

    def work(mutant: Mutant) -> tuple[Mutant, MutantResult]:
        checkout = free.get()
        try:
            return mutant, run_stages(checkout, mutant, depth=options.depth, timeout=timeout)
        finally:
            free.put(checkout)

    pool = ThreadPoolExecutor(len(checkouts))
    try:
        for number, (mutant, result) in enumerate(pool.map(work, mutants), start=1):
            state.add(result)
            outcome = f"{result.outcome} {result.stage}".strip()
            _log(f"{number}/{len(mutants)} {outcome}, {result.seconds} s: {mutant.title}")
    finally:  # also after an interrupt, which the tests do not receive
        pool.shutdown(wait=False, cancel_futures=True)
        for checkout in checkouts:
            checkout.stop()


def _entry(options: Options, mutant: Mutant, result: MutantResult) -> ReportEntry:
    package = max((name for name in options.packages if mutant.path.startswith(f"{name}/")), key=len)
    diff = mutant.diff((options.root / mutant.path).read_text(encoding="utf-8"))
    return ReportEntry(mutant=mutant, package=package, result=result, diff=diff)


def _log(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


# The report.


def as_text(entries: Sequence[ReportEntry]) -> str:
    """Returns a table with a row for each package, and below it the survivors as diffs."""
    rows = (
        _row(package, [entry for entry in entries if entry.package == package])
        for package in sorted({entry.package for entry in entries})
    )
    head = f"{'package':<34}{'mutants':>9}{'killed':>9}{'timeout':>9}{'survived':>10}{'noticed':>9}"
    lines = [head, *rows, _row("all", entries)]
    for entry in _survivors(entries):
        lines += ["", f"survived: {entry.mutant.title}", entry.diff.rstrip()]
    return "\n".join(lines)


def _row(name: str, entries: Iterable[ReportEntry]) -> str:
    outcomes = [entry.result.outcome for entry in entries]
    survived = outcomes.count(Outcome.SURVIVED)
    killed, timeouts = outcomes.count(Outcome.KILLED), outcomes.count(Outcome.TIMEOUT)
    share = 100 * (killed + timeouts) / len(outcomes) if outcomes else 0
    return f"{name:<34}{len(outcomes):>9}{killed:>9}{timeouts:>9}{survived:>10}{share:>7.0f} %"


def _survivors(entries: Iterable[ReportEntry]) -> list[ReportEntry]:
    survivors = (entry for entry in entries if entry.result.outcome is Outcome.SURVIVED)
    return sorted(survivors, key=lambda entry: (entry.mutant.path, entry.mutant.line))


def as_json(entries: Sequence[ReportEntry]) -> str:
    return json.dumps(
        [
            {
                "package": entry.package,
                "path": entry.mutant.path,
                "line": entry.mutant.line,
                "operator": entry.mutant.operator,
                "outcome": entry.result.outcome.value,
                "stage": entry.result.stage,
                "test": entry.result.test,
                "seconds": entry.result.seconds,
                "diff": entry.diff,
            }
            for entry in entries
        ],
        indent=2,
    )


def main(arguments: list[str] | None = None) -> None:
    parser = _parser()
    given = parser.parse_args(arguments)
    options = Options(
        root=given.root.resolve(),
        packages=_packages(parser, given.root, given.packages),
        seed=given.seed,
        count=given.count,
        jobs=given.jobs,
        depth=Depth.SCENARIOS if given.scenarios else given.until,
        timeout=given.timeout,
        state=given.state,
        retest=given.retest,
        deselected=tuple(given.deselect),
    )
    sys.stdout.write(_output(options, list_only=given.list, in_json=given.json) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants", description="Samples mutants of the code."
    )
    add = parser.add_argument
    add("--seed", type=int, default=0)
    add("--count", type=int, default=200, help="size of the sample (default: 200)")
    add("--packages", nargs="+", default=list(PACKAGES), metavar="FOLDER")
    add("--jobs", type=int, choices=(1, 2), default=1, help="copies tested at a time")
    add(
        "--until", type=Depth, choices=list(Depth)[:-1], default=Depth.UNIT, help="last stage (default: unit)"
    )
    add("--scenarios", action="store_true", help="run a few scenario tests after all unit tests")
    add("--timeout", type=float, help="seconds for one stage (default: from the first run)")
    add("--deselect", action="append", default=[], metavar="TEST", help="never run this test")
    add("--state", type=Path, metavar="FILE", help="store results here, and continue from them")
    add("--retest", action="store_true", help="test the survivors of --state again")
    add("--json", action="store_true", help="print JSON instead of the report")
    add("--list", action="store_true", help="show the sample and run nothing")
    add("--root", type=Path, default=ROOT, help="the checkout (default: this one)")
    return parser


def _packages(parser: argparse.ArgumentParser, root: Path, names: Iterable[str]) -> tuple[str, ...]:
    cleaned = [Path(name).as_posix() for name in names]
    packages = tuple(name for name in cleaned if name.startswith(PRODUCT) and (root / name).is_dir())
    for name in sorted({*cleaned}.difference(packages)):
        _log(f"left out, there is no such folder of {PRODUCT}: {name}")
    if not packages:
        parser.error("no folder to sample from")
    return packages


def _output(options: Options, *, list_only: bool, in_json: bool) -> str:
    if list_only:
        mutants = sample(options.root, options.packages, seed=options.seed, count=options.count)
        return "\n".join(mutant.title for mutant in mutants)
    try:
        entries = run(options)
    except BaselineError as error:
        raise SystemExit(f"mutants: {error}") from error
    return as_json(entries) if in_json else as_text(entries)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
