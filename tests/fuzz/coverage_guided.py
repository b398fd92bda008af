"""Fuzzes one target by coverage with atheris: `python -m tests.fuzz.coverage_guided TARGET RUNS SECONDS`.

atheris looks at which branches of the product an input reaches, and goes on from those that reach new ones. Half of
its mutations are its own, of bytes; the others are new inputs of the target's generator. An input that breaks a rule
ends the process; libFuzzer stores it in `.cache/fuzz`, and what reached new branches in `.cache/fuzz/<target>`.
Whether an input costs too much is decided without instrumentation (`uninstrumented.py`).

atheris has wheels for Linux on x86-64 only. `make fuzz` installs it into `.cache/atheris` where it can.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.fuzz.engine import Figures, check_case
from tests.fuzz.target import Finding, Target

if TYPE_CHECKING:
    from tests.fuzz.uninstrumented import UninstrumentedProcess

INSTALLED = Path(".cache/atheris")
FINDINGS = Path(".cache/fuzz")

# Counting branches makes most parsers so many times slower at most. What costs more is run without instrumentation.
INSTRUMENTATION_FACTOR = 3.0

_UNCAUGHT = "=== Uncaught Python exception: ==="


def main(name: str, runs: int, seconds: int) -> None:
    """Runs one target; libFuzzer ends the process, with an error when an input broke a rule."""
    sys.path.append(str(INSTALLED.absolute()))
    import atheris

    with atheris.instrument_imports(include=["wx2mqtt"]):
        from tests.fuzz import registry

    from tests.fuzz import corpus
    from tests.fuzz.silence import silent_logs
    from tests.fuzz.uninstrumented import UninstrumentedProcess

    target = registry.target_named(name)
    uninstrumented = UninstrumentedProcess(name)

    def run_one(data: bytes) -> None:
        check_instrumented_case(target, data, uninstrumented)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)
        if random.randrange(2):
            return bytes(atheris.Mutate(data, max_size))
        return target.generate(random)[:max_size]

    folder = FINDINGS / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate((*target.seeds, *corpus.corpus_of(target))):
        (folder / f"known-{number}").write_bytes(data)
    options = [
        f"-runs={runs}",
        f"-max_total_time={seconds}",
        f"-max_len={corpus.MAX_FILE_BYTES}",
        f"-artifact_prefix={FINDINGS}/{name}-",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    with silent_logs():
        atheris.Setup([sys.argv[0], *options, str(folder)], run_one, custom_mutator=mutate)
        atheris.Fuzz()


def check_instrumented_case(target: Target, data: bytes, uninstrumented: UninstrumentedProcess) -> None:
    """Runs one case of an instrumented target. Raises `Finding` when the input breaks a rule.

    An error of the parser is a finding as it is. A cost is one only if it is too high without instrumentation as well.
    """
    slower_target = replace(target, cost_factor=INSTRUMENTATION_FACTOR * target.cost_factor)
    try:
        check_case(slower_target, data, Figures(), trace=False)
    except Finding as finding:
        if finding.__cause__ is not None:
            raise
        rule = uninstrumented.broken_rule(data)
        if rule:
            raise Finding(target.name, rule, data) from None


def finding_text(output: str) -> str:
    """Returns what atheris printed of the finding that ended a run: the rule, the input and the traceback, or
    all else.
    """
    return output.partition(_UNCAUGHT)[2].strip() or output.strip()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
