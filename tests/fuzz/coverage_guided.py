"""Fuzzes one target by coverage with atheris: `python -m tests.fuzz.coverage_guided TARGET RUNS SECONDS`.

atheris looks at which branches of the product an input reaches, and goes on from those that reach new ones. Half of
its mutations are its own, of bytes; the others are new inputs of the target's generator. An input that breaks a rule
ends the process; libFuzzer stores it in `.cache/fuzz`, and what reached new branches in `.cache/fuzz/<target>`.

atheris has wheels for Linux on x86-64 only. `make fuzz` installs it into `.cache/atheris` where it can.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from random import Random

INSTALLED = Path(".cache/atheris")
FINDINGS = Path(".cache/fuzz")

# Counting branches makes the product so many times slower at most.
INSTRUMENTATION_FACTOR = 3.0


def main(name: str, runs: int, seconds: int) -> None:
    """Runs one target; libFuzzer ends the process, with an error when an input broke a rule."""
    sys.path.append(str(INSTALLED.absolute()))
    import atheris

    with atheris.instrument_imports(include=["wx2mqtt"]):
        from tests.fuzz import registry

    from tests.fuzz import corpus
    from tests.fuzz.engine import Figures, check_case
    from tests.fuzz.silence import silent_logs

    found = registry.target_named(name)
    target = replace(found, cost_factor=INSTRUMENTATION_FACTOR * found.cost_factor)
    figures = Figures()

    def run_one(data: bytes) -> None:
        check_case(target, data, figures, trace=False)

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


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
