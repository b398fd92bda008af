"""A run of very many inputs of each target that can be interrupted: its progress stands in one file per target.

Each line of `<folder>/<target>.jsonl` is a chunk of inputs with a seed of its own. A run that is started again
goes on with the next chunk. All targets get a tenth of their inputs first, the cheapest target first.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.fuzz import corpus
from tests.fuzz.engine import Figures, run_cases
from tests.fuzz.target import Finding, Target
from tests.support.figures import write_figures
from wx2mqtt.i18n import Language

CHUNK_CASES = 50_000
FIRST_SHARE = 0.1
# As many of a million are enough to see a parser that is not linear; a large one costs a hundred small ones.
LARGE_EVERY = 4000

REPORT_BEGIN = "<!-- figures: written by `python -m tests.fuzz --resume FOLDER --report PAGE` -->"
REPORT_END = "<!-- end of figures -->"

HEADS: Mapping[Language, str] = {
    "en": "| target | inputs | large | CPU s | inputs a second | ms for 100 kB | times the input | findings |",
    "zh": "| 目标 | 输入 | 大输入 | CPU 秒 | 每秒输入 | 100 kB 的毫秒 | 输入的倍数 | 发现 |",
}
TOGETHER: Mapping[Language, str] = {"en": "together", "zh": "合计"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The figures of one chunk."""

    seed: str
    cases: int
    large_cases: int
    cpu_seconds: float
    slowest_ms: float
    peak_ratio: float
    findings: int


def run_on(targets: Sequence[Target], folder: Path, cases: int, seed: str) -> Iterator[Finding]:
    """Runs each target until its file counts `cases` inputs, and yields the findings."""
    folder.mkdir(parents=True, exist_ok=True)
    for share in (FIRST_SHARE, 1.0):
        for target in sorted(targets, key=lambda target: _seconds_per_case(chunks_of(folder, target))):
            while (missing := round(share * cases) - _cases(chunks_of(folder, target))) > 0:
                yield from _run_chunk(target, folder, min(missing, CHUNK_CASES), seed)


def _run_chunk(target: Target, folder: Path, cases: int, seed: str) -> Sequence[Finding]:
    done = chunks_of(folder, target)
    chunk_seed = f"{seed}-{len(done)}"
    inputs = [*target.seeds, *corpus.corpus_of(target)]
    started_at = time.process_time()
    figures = run_cases(target, cases, chunk_seed, inputs, large_every=LARGE_EVERY)
    chunk = _chunk(figures, chunk_seed, time.process_time() - started_at)
    with path_of(folder, target).open("a", encoding="utf-8") as file:
        file.write(f"\n{json.dumps(asdict(chunk))}\n")  # a line that was cut off stays alone
    return figures.findings


def _chunk(figures: Figures, seed: str, cpu_seconds: float) -> Chunk:
    return Chunk(
        seed=seed,
        cases=figures.cases,
        large_cases=figures.large_cases,
        cpu_seconds=round(cpu_seconds, 1),
        slowest_ms=round(figures.slowest_ms, 1),
        peak_ratio=round(figures.peak_ratio, 1),
        findings=len(figures.findings),
    )


def path_of(folder: Path, target: Target) -> Path:
    """Returns the file with the progress of a target."""
    return folder / f"{target.name}.jsonl"


def chunks_of(folder: Path, target: Target) -> list[Chunk]:
    """Returns the finished chunks of a target; a line that was cut off by a kill does not count."""
    path = path_of(folder, target)
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Chunk(**json.loads(line)) for line in lines if line.endswith("}")]


def _cases(chunks: Sequence[Chunk]) -> int:
    return sum(chunk.cases for chunk in chunks)


def _seconds_per_case(chunks: Sequence[Chunk]) -> float:
    return sum(chunk.cpu_seconds for chunk in chunks) / max(1, _cases(chunks))


def write_report(targets: Sequence[Target], folder: Path, page: Path) -> None:
    """Puts the table between the marks of an English page and of its Chinese one.

    Raises `ValueError` where a mark is missing.
    """
    tables = {language: "\n".join(table(targets, folder, language)) for language in HEADS}
    write_figures(page, REPORT_BEGIN, REPORT_END, tables)


def table(targets: Sequence[Target], folder: Path, language: Language) -> Iterator[str]:
    """Yields the lines of a table in Markdown of all that has run."""
    yield HEADS[language]
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    rows = [(target.name, chunks_of(folder, target)) for target in targets]
    for name, chunks in rows:
        yield _row(name, chunks)
    yield _row(TOGETHER[language], [chunk for _, chunks in rows for chunk in chunks])


def _row(name: str, chunks: Sequence[Chunk]) -> str:
    cases = _cases(chunks)
    seconds = sum(chunk.cpu_seconds for chunk in chunks)
    slowest = max((chunk.slowest_ms for chunk in chunks), default=0.0)
    peak = max((chunk.peak_ratio for chunk in chunks), default=0.0)
    large_cases = sum(chunk.large_cases for chunk in chunks)
    findings = sum(chunk.findings for chunk in chunks)
    return (
        f"| {name} | {cases:,} | {large_cases:,} | {seconds:,.0f} | {cases / max(seconds, 0.1):,.0f} "
        f"| {slowest:.1f} | {peak:.1f} | {findings} |"
    )
