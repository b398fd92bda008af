"""The figures of many runs as Markdown, in English and Chinese, for a terminal and for the pages."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.run import Outcome
from wx2mqtt.i18n import Language

BEGIN = "<!-- figures: written by `make chaos REPORT=docs/en/development/chaos.md` -->"
END = "<!-- end of figures -->"
PERCENT = 0.99
HEADS: Mapping[Language, str] = {
    "en": "| disruption | times | next message: p50 | p99 | max | next command: p50 | p99 | max | messages repeated |",
    "zh": "| 冲击 | 次数 | 下一条消息：p50 | p99 | 最大 | 下一条命令：p50 | p99 | 最大 | 重复的消息 |",
}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The machine of the runs; `load` is the average of the last 15 minutes."""

    cores: int
    load: float
    jobs: int


@dataclass(kw_only=True)
class Figures:
    """Sums over runs; `recoveries` are seconds by the kind of a single disruption, for messages and commands."""

    runs: int = 0
    seconds: float = 0.0
    messages: int = 0
    commands: int = 0
    disruptions: Counter[str] = field(default_factory=Counter)
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
        for disruption in outcome.disruptions:
            figures.disruptions[disruption.kind] += 1
            for name, seconds in disruption.recovery.items():
                figures.recoveries[disruption.kind][name].append(seconds)
    return figures


def quantile(values: Sequence[float], share: float) -> float:
    """Returns the smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def markdown(figures: Figures, machine: Machine, language: Language) -> str:
    """Returns the block for the page: sums, then one row for each kind of disruption."""
    summary = _summary(figures, machine) if language == "en" else _chinese_summary(figures, machine)
    lines = [summary, "", HEADS[language], "|---|---|---|---|---|---|---|---|---|"]
    for kind, count in sorted(figures.disruptions.items()):
        cells = [f"`{kind}`", f"{count:,}"]
        for name in ("message", "command"):
            values = figures.recoveries[kind][name]
            cells += [
                f"{seconds:.2f} s"
                for seconds in (quantile(values, 0.5), quantile(values, PERCENT), max(values))
            ]
        lines.append("| " + " | ".join([*cells, f"{figures.repeats[kind]:,}"]) + " |")
    return "\n".join(lines)


def _summary(figures: Figures, machine: Machine) -> str:
    found = ", ".join(f"{count} `{kind}`" for kind, count in figures.findings.most_common()) or "nothing"
    return (
        f"{figures.runs:,} seeds, {sum(figures.disruptions.values()):,} disruptions, {figures.messages:,} messages and "
        f"{figures.commands:,} commands, {figures.seconds / max(1, figures.runs):.1f} s a seed "
        f"({machine.cores} cores, load {machine.load:.0f}, {machine.jobs} side by side). Wrong: {found}."
    )


def _chinese_summary(figures: Figures, machine: Machine) -> str:
    found = "、".join(f"{count} 个 `{kind}`" for kind, count in figures.findings.most_common()) or "无"
    return (
        f"{figures.runs:,} 个种子，{sum(figures.disruptions.values()):,} 次冲击，{figures.messages:,} 条消息和 "
        f"{figures.commands:,} 条命令，每个种子 {figures.seconds / max(1, figures.runs):.1f} s"
        f"（{machine.cores} 个核心，负载 {machine.load:.0f}，同时 {machine.jobs} 个）。问题：{found}。"
    )
