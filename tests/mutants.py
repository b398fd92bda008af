"""Mutation sampling: `python -m tests.mutants`. Shows which small faults in the code no test notices.

A seeded sample of mutants (see `tests/mutation.py`) is tested one after the other. Each mutant is written into a
temporary copy of the checkout, never into the working tree, and two stages run against it until a test fails:

- `unit`: every unit test that calls the changed function (`tests/call_recorder.py` records which do), the nearest
  folder first. Where the change runs at an import, the tests that call anything in the file, and those of the part;
- `scenarios`: the scenario tests of that part, only with `--scenarios`.

So a mutant is judged by all tests that can notice it, wherever they stand. A failure or a timeout kills it; a mutant
that all stages pass survives and is shown as a diff. Before the first mutant all unit tests run once on the unchanged
copy: they must pass, and their calls are recorded then.

A run takes long: `--state FILE` stores each result, and the next run with that file continues. A result holds for
the text of its file; after tests were changed, `--retest` tests the mutants of the sample again. A mutant is chosen by
its own text and the seed, not by its place: a change of one file leaves the sample of the others as it is, and a
larger `--count` extends it. `tests/known_survivors.txt` names the survivors of the fixed sample (`FIXED_SAMPLE`): one
that it does not name has escaped since. Tests of the whole tree (`UNRELATED_TESTS`) never run.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from tests.mutation import Mutant, Span, functions_of, mutants_of

ROOT = Path(__file__).parents[1]
PRODUCT = "wx2mqtt"
UNIT_TESTS = Path("tests/unit")
FAST_TESTS = (UNIT_TESTS, Path("tests/bridge"))
"""The tests of one process: those of single modules, and those of the bridge of one account."""
SCENARIO_TESTS = Path("tests/scenarios")
PACKAGES = (
    "wx2mqtt/app",
    "wx2mqtt/bridge",
    "wx2mqtt/mqtt",
    "wx2mqtt/settings",
    "wx2mqtt/store",
    "wx2mqtt/web",
    "wx2mqtt/wechat",
)
SCENARIOS = {
    "wx2mqtt/app": ("test_accounts.py", "test_control.py", "test_command_line.py", "test_receiving.py"),
    "wx2mqtt/bridge": (
        *(
            "test_receiving.py",
            "test_sending.py",
            "test_commands.py",
            "test_redelivery.py",
            "test_requests.py",
        ),
        *("test_people.py", "test_login.py", "test_ilink_hold.py", "test_fallback.py", "test_media_in.py"),
    ),
    "wx2mqtt/mqtt": (
        "test_mqtt_client.py",
        "test_mqtt_client_pause.py",
        "test_receiving.py",
        "test_redelivery.py",
    ),
    "wx2mqtt/settings": ("test_command_line.py", "test_check_connect.py"),
    "wx2mqtt/store": ("test_receiving.py", "test_history.py", "test_backup.py", "test_journal_command.py"),
    "wx2mqtt/web": ("test_page.py", "test_senders.py", "test_sender_services.py", "test_web_media.py"),
    "wx2mqtt/wechat/ilink": ("test_ilink_gateway.py", "test_ilink_bridge.py"),
    "wx2mqtt/wechat/webwx": ("test_webwx.py", "test_webwx_sending.py", "test_webwx_downloading.py"),
    "wx2mqtt/wechat/wecom": ("test_wecom_bridge.py", "wecom/test_receiving.py", "wecom/test_incoming.py"),
}
UNRELATED_TESTS = (
    "tests/unit/test_shape.py",
    "tests/unit/test_mutants.py",
    "tests/unit/test_mutation.py",
)
FIXED_SAMPLE = {"seed": 39, "count": 600}
KNOWN_SURVIVORS = Path("tests/known_survivors.txt")
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
STAGE_TIMEOUT_SECONDS = 600.0
TIMEOUT_FACTOR = 3  # the machine may be busier than during the first run
BASELINE_TIMEOUT_SECONDS = 1800.0
MAX_FAILED_TESTS = 20
_PYTEST_SUMMARY = re.compile(r"\b(passed|failed|errors?|deselected|no tests ran)\b.* in [\d.]+s")


class Depth(StrEnum):
    """The last stage that is run."""

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
    targets: tuple[str, ...]
    """Folders, files and tests in the order in which they run."""


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
    name: str
    """On one line."""
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
    named = itertools.chain.from_iterable(itertools.starmap(named_mutants, texts.items()))
    ranked = sorted((hashlib.sha256(f"{seed} {name}".encode()).hexdigest(), mutant) for name, mutant in named)
    mutants = (mutant for _, mutant in ranked)
    valid = (mutant for mutant in mutants if mutant.changes_code(texts[mutant.path]))
    return list(itertools.islice(valid, count))


def named_mutants(path: str, text: str) -> Iterator[tuple[str, Mutant]]:
    """Yields the mutants of a file, each with a name that stays as it is when other lines change."""
    functions = functions_of(text)
    repetitions: Counter[str] = Counter()
    for mutant in mutants_of(path, text):
        span = innermost(functions, mutant.line)
        function = span.name if span else ""
        change = f"{text[mutant.start : mutant.end]} {mutant.replacement}"
        name = f"{path} {function} {mutant.operator} {change}"
        repetitions[name] += 1
        yield f"{name} {repetitions[name]}", mutant


def innermost(functions: Iterable[Span], line: int) -> Span | None:
    """Returns the innermost function around a line; None where the line is in no function."""
    around = [span for span in functions if span.first <= line <= span.last]
    return max(around, key=lambda span: span.first, default=None)


class RecordedCalls:
    """Which unit tests call which function, by `tests/call_recorder.py`."""

    def __init__(self, folder: Path) -> None:
        #: By path, and by the line on which the function begins.
        self._tests: dict[str, dict[int, set[str]]] = {}
        for file in folder.glob("*.json"):
            for path, lines in json.loads(file.read_text(encoding="utf-8")).items():
                for line, tests in lines.items():
                    self._tests.setdefault(path, {}).setdefault(int(line), set()).update(tests)

    def tests_of(self, path: str, function: Span) -> set[str]:
        """Returns the tests that call a function, or one inside of it; "" is among them where an import does."""
        lines = self._tests.get(path, {})
        called = (tests for line, tests in lines.items() if function.first <= line <= function.last)
        return set().union(*called)


def stages(root: Path, mutant: Mutant, calls: RecordedCalls, depth: Depth) -> list[Stage]:
    """Returns the stages that test a mutant, without those that have no tests."""
    every = [
        Stage(depth=Depth.UNIT, targets=_unit_tests(root, mutant, calls)),
        Stage(depth=Depth.SCENARIOS, targets=_scenarios(root, mutant.path)),
    ]
    last = list(Depth).index(depth)
    return [stage for stage in every[: last + 1] if stage.targets]


def _unit_tests(root: Path, mutant: Mutant, calls: RecordedCalls) -> tuple[str, ...]:
    folder = UNIT_TESTS / Path(mutant.path).relative_to(PRODUCT).parent
    while not (root / folder).is_dir():
        folder = folder.parent
    text = (root / mutant.path).read_text(encoding="utf-8")
    function = innermost(functions_of(text), mutant.line)
    tests = calls.tests_of(mutant.path, function) if function else {""}
    near = sorted(tests - {""}, key=lambda test: (not test.startswith(f"{folder}/"), test))
    if "" not in tests:
        return tuple(near)
    # It runs at an import: the tests of the part can notice it, and those that call anything in the file.
    callers = calls.tests_of(mutant.path, Span("", 1, len(text))) - {""}
    part = UNIT_TESTS / Path(mutant.path).parts[1]
    files = [file.relative_to(root).as_posix() for file in (root / part).rglob("test_*.py")]
    in_part = sorted(files, key=lambda file: (not file.startswith(f"{folder}/"), file))
    return (*near, *sorted(test for test in callers if not test.startswith(f"{part}/")), *in_part)


def _scenarios(root: Path, path: str) -> tuple[str, ...]:
    names = (name for package, names in SCENARIOS.items() if path.startswith(f"{package}/") for name in names)
    files = (SCENARIO_TESTS / name for name in names)
    return tuple(file.as_posix() for file in files if (root / file).is_file())


# The temporary copy.


class Checkout:
    """A temporary copy of the checkout, in which one mutant at a time is tested."""

    def __init__(self, root: Path, folder: Path, deselected: Iterable[str] = ()) -> None:
        self.folder = folder
        self.output = folder.with_name(f"{folder.name}.log")
        self.deselected = set(deselected)
        shutil.copytree(root, folder, symlinks=True, ignore=shutil.ignore_patterns(*NOT_COPIED))
        # Python takes cached byte code for current by size and time of the source: each writing gets its own time.
        self._times = itertools.count(int(time.time()) + 10, 2)
        self._environment = {name: value for name, value in os.environ.items() if name != "CI"}
        self._temporary = folder.with_name(f"{folder.name}.tmp")
        self._environment |= {"PYTHONPATH": str(folder), "CHAOS_SEED": "0", "TMPDIR": str(self._temporary)}
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

    def run(self, stage: Stage, *, timeout: float, options: Sequence[str] = ()) -> Outcome:
        """Runs the tests of a stage; SURVIVED means that they pass. Raises BaselineError if they do not run."""
        self._temporary.mkdir(mode=0o755)
        targets = self.folder.with_name(f"{self.folder.name}.targets")
        targets.write_text("\n".join(stage.targets), encoding="utf-8")
        command = [
            *(sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"),
            *(f"--timeout={TEST_TIMEOUT_SECONDS}", "--hypothesis-seed=0"),
            *(f"--ignore={path}" for path in UNRELATED_TESTS),
            *(f"--deselect={test}" for test in sorted(self.deselected)),
            *options,
            f"@{targets}",
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
            shutil.rmtree(self._temporary, ignore_errors=True)  # a killed PostgreSQL leaves its files
        if code < 0 or not _PYTEST_SUMMARY.search(self.output.read_text(encoding="utf-8", errors="replace")):
            raise BaselineError(
                f"the tests did not run (exit code {code}); is there memory for {self.folder}?"
            )
        return Outcome.SURVIVED if code in (0, NO_TESTS_COLLECTED) else Outcome.KILLED

    def failed_tests(self) -> list[str]:
        """Returns the failures in the summary of the last run."""
        lines = self.output.read_text(encoding="utf-8", errors="replace").splitlines()
        failures = (line for line in lines if line.startswith(("FAILED tests", "ERROR tests")))
        return [line.partition(" ")[2].partition(" - ")[0] for line in failures]

    def stop(self) -> None:
        """Ends pytest and the processes that its tests left."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run_stages(
    checkout: Checkout, mutant: Mutant, calls: RecordedCalls, *, depth: Depth, timeout: float
) -> MutantResult:
    start = time.monotonic()
    outcome, name, test = Outcome.SURVIVED, "", ""
    every_stage = stages(checkout.folder, mutant, calls, depth)
    with checkout.mutated(mutant):
        for stage in every_stage:
            outcome = checkout.run(stage, timeout=timeout)
            if outcome is not Outcome.SURVIVED:
                name, test = stage.depth.value, next(iter(checkout.failed_tests()), "")
                break
    seconds = round(time.monotonic() - start, 1)
    return MutantResult(key=mutant.key, outcome=outcome, stage=name, test=test, depth=depth, seconds=seconds)


def record_calls(checkout: Checkout, folder: Path | None = None) -> RecordedCalls:
    """Runs all unit tests without a mutant and returns what they call; `folder` keeps it for a later run.

    Tests that fail already (some measure the time, which the recording takes) say nothing about a mutant and are
    left out from now on. Raises BaselineError if they are more than `MAX_FAILED_TESTS`.
    """
    if folder is None:
        folder = checkout.folder.with_name("calls")
    folders = tuple(tests.as_posix() for tests in FAST_TESTS if (checkout.folder / tests).is_dir())
    stage = Stage(depth=Depth.UNIT, targets=folders)
    options = ("--maxfail=0", "-n", "2", "--dist", "loadfile", "-p", "tests.call_recorder")
    outcome = checkout.run(
        stage, timeout=BASELINE_TIMEOUT_SECONDS, options=(*options, "--record-calls", str(folder))
    )
    failed = checkout.failed_tests()
    if outcome is Outcome.TIMEOUT or len(failed) > MAX_FAILED_TESTS or not folder.is_dir():
        output = checkout.output.read_text(encoding="utf-8", errors="replace")
        raise BaselineError(f"the tests fail without a mutant: {', '.join(failed) or output[-2000:]}")
    for test in failed:
        _log(f"left out, it fails without a mutant: {test}")
    checkout.deselected.update(failed)
    return RecordedCalls(folder)


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
        """A survivor is tested again when more stages are asked for than it passed, and all on demand."""
        result = self.results.get(mutant.key)
        if result is None or options.retest:
            return True
        order = list(Depth)
        deeper = order.index(options.depth) > order.index(result.depth)
        return result.outcome is Outcome.SURVIVED and deeper

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
        memory = Path("/dev/shm")  # the tests wait for the disk more than for anything else
        parent = memory if memory.is_dir() else None
        with tempfile.TemporaryDirectory(prefix="mutants-", dir=parent, ignore_cleanup_errors=True) as folder:
            Path(folder).chmod(0o755)  # PostgreSQL runs as another user
            checkouts = [
                Checkout(options.root, Path(folder).resolve() / str(job), options.deselected)
                for job in range(options.jobs)
            ]
            _test_all(checkouts, pending, options, state)
    return [_entry(options, mutant, state.results[mutant.key]) for mutant in mutants]


def _test_all(checkouts: list[Checkout], mutants: list[Mutant], options: Options, state: State) -> None:
    start = time.monotonic()
    calls = _calls(checkouts[0], options)
    for checkout in checkouts[1:]:
        checkout.deselected |= checkouts[0].deselected
    seconds = time.monotonic() - start
    timeout = options.timeout or max(STAGE_TIMEOUT_SECONDS, TIMEOUT_FACTOR * seconds)
    _log(f"{len(mutants)} mutants; the tests take {seconds:.0f} s, the timeout is {timeout:.0f} s")
    free: queue.SimpleQueue[Checkout] = queue.SimpleQueue()
    for checkout in checkouts:
        free.put(checkout)

    def work(mutant: Mutant) -> tuple[Mutant, MutantResult]:
        checkout = free.get()
        try:
            return mutant, run_stages(checkout, mutant, calls, depth=options.depth, timeout=timeout)
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


def _calls(checkout: Checkout, options: Options) -> RecordedCalls:
    """Returns the calls that a run on these tests has recorded beside its state, else records them."""
    if options.state is None:
        return record_calls(checkout)
    folder = options.state.with_suffix(f".calls-{_digest_of_tests(options.root)}")
    return RecordedCalls(folder) if folder.is_dir() else record_calls(checkout, folder)


def _digest_of_tests(root: Path) -> str:
    digest = hashlib.sha256()
    for folder in FAST_TESTS:
        for file in sorted((root / folder).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _entry(options: Options, mutant: Mutant, result: MutantResult) -> ReportEntry:
    package = max((name for name in options.packages if mutant.path.startswith(f"{name}/")), key=len)
    text = (options.root / mutant.path).read_text(encoding="utf-8")
    name = next(name for name, other in named_mutants(mutant.path, text) if other == mutant)
    return ReportEntry(
        mutant=mutant, name=" ".join(name.split()), package=package, result=result, diff=mutant.diff(text)
    )


def _log(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


# The report.


def as_text(entries: Sequence[ReportEntry], known: Collection[str]) -> str:
    """Returns a table with a row for each package, the survivors as diffs, and the names of those not `known`."""
    rows = (
        _row(package, [entry for entry in entries if entry.package == package])
        for package in sorted({entry.package for entry in entries})
    )
    head = f"{'package':<34}{'mutants':>9}{'killed':>9}{'timeout':>9}{'survived':>10}{'noticed':>9}"
    lines = [head, *rows, _row("all", entries)]
    for entry in _survivors(entries):
        lines += ["", f"survived: {entry.mutant.title}", entry.diff.rstrip()]
    escaped = [entry.name for entry in _survivors(entries) if entry.name not in known]
    lines += ["", f"survivors that {KNOWN_SURVIVORS.name} does not name: {len(escaped)}", *escaped]
    return "\n".join(lines)


def known_survivors(root: Path) -> frozenset[str]:
    """Returns the names of the mutants that no test noticed when the sample was last recorded."""
    file = root / KNOWN_SURVIVORS
    return frozenset(file.read_text(encoding="utf-8").splitlines() if file.is_file() else ())


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
        depth=Depth.SCENARIOS if given.scenarios else Depth.UNIT,
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
    add("--seed", type=int, default=FIXED_SAMPLE["seed"])
    add("--count", type=int, default=FIXED_SAMPLE["count"], help="size of the sample (default: 600)")
    add("--packages", nargs="+", default=list(PACKAGES), metavar="FOLDER")
    add("--jobs", type=int, choices=(1, 2), default=1, help="copies tested at a time")
    add("--scenarios", action="store_true", help="run the scenario tests of the part after the unit tests")
    add("--timeout", type=float, help="seconds for one stage (default: from the first run)")
    add("--deselect", action="append", default=[], metavar="TEST", help="never run this test")
    add("--state", type=Path, metavar="FILE", help="store results here, and continue from them")
    add("--retest", action="store_true", help="test the mutants of --state again")
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
    return as_json(entries) if in_json else as_text(entries, known_survivors(options.root))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
