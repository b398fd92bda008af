"""The figures of many runs, as text for a terminal and as Markdown between two marks of a page."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.run import Outcome

BEGIN = "<!-- figures: written by `make chaos REPORT=docs/en/development/chaos.md` -->"
END = "<!-- end of figures -->"
PERCENT = 0.99


@dataclass(kw_only=True)
class Figures:
    """Sums over runs; `recoveries` are seconds by the kind of a single blow and by what came through."""

    runs: int = 0
    seconds: float = 0.0
    messages: int = 0
    commands: int = 0
    blows: Counter[str] = field(default_factory=Counter)
    repeats: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    recoveries: defaultdict[str, defaultdict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )


def figures_of(outcomes: Iterable[Outcome]) -> Figures:
    figures = Figures()
    for outcome in outcomes:
        figures.runs += 1
        figures.seconds += outcome.seconds
        figures.messages += outcome.messages
        figures.commands += outcome.commands
        figures.repeats += outcome.repeats
        figures.findings.update(finding.kind for finding in outcome.findings)
        for blow in outcome.blows:
            figures.blows[blow.kind] += 1
            for name, seconds in blow.recovery.items():
                figures.recoveries[blow.kind][name].append(seconds)
    return figures


def quantile(values: Sequence[float], share: float) -> float:
    """Returns the smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def markdown(figures: Figures, machine: str) -> str:
    """Returns the block for the page: sums, then one row for each kind of blow."""
    found = ", ".join(f"{count} {kind}" for kind, count in figures.findings.most_common()) or "nothing"
    summary = (
        f"{figures.runs:,} seeds, {sum(figures.blows.values()):,} blows, {figures.messages:,} messages and "
        f"{figures.commands:,} commands, {figures.seconds / max(1, figures.runs):.1f} s a seed ({machine}). "
        f"Wrong: {found}."
    )
    lines = [
        summary,
        "",
        "| blow | times | next message: p50 | p99 | max | next command: p50 | p99 | max | messages repeated |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kind, count in sorted(figures.blows.items()):
        cells = [kind, f"{count:,}"]
        for name in ("message", "command"):
            values = figures.recoveries[kind][name]
            cells += [
                f"{seconds:.2f} s"
                for seconds in (quantile(values, 0.5), quantile(values, PERCENT), max(values))
            ]
        lines.append("| " + " | ".join([*cells, f"{figures.repeats[kind]:,}"]) + " |")
    return "\n".join(lines)


def write_block(page: Path, block: str) -> None:
    """Replaces what stands between the marks of a page."""
    head, _, rest = page.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}\n{block}\n{END}{tail}")
