"""The figures of many runs as Markdown, in English and Chinese, for a terminal and for the pages."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tests.chaos.report import PERCENT, quantile
from tests.cluster.environment import RunSize
from tests.cluster.run import Outcome
from wx2mqtt.i18n import Language

BEGIN = "<!-- figures: written by `make test-cluster REPORT=docs/en/development/cluster.md` -->"
END = "<!-- end of figures -->"
HEADS: Mapping[Language, str] = {
    "en": (
        "| disruption | times | accounts moved | move: p50 | p99 | max | message through: p50 | p99 | max |"
        " command through: p50 | p99 | max |"
    ),
    "zh": (
        "| 冲击 | 次数 | 移动的账号 | 移动：p50 | p99 | 最大 | 消息送达：p50 | p99 | 最大 |"
        " 命令送达：p50 | p99 | 最大 |"
    ),
}
SENTENCES: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "summary": (
            "{seeds} seeds, {disruptions} disruptions, {messages:,} messages and {commands:,} commands, {seconds:.0f} s a seed"
            " ({cores} cores, load {load:.0f}, {accounts} accounts). Wrong: {found}."
        ),
        "nothing": "nothing",
        "found": "{count} {kind}",
        "comma": ", ",
        "exits": "Instances that ended by themselves and were started again after a second, by exit code: {codes}.",
        "code": "{count} times {code}",
        "joins": "An instance that joins has its share after {middle:.1f} s (p50), {worst:.1f} s (max).",
    },
    "zh": {
        "summary": (
            "{seeds} 个种子，{disruptions} 次冲击，{messages:,} 条消息和 {commands:,} 条命令，每个种子 {seconds:.0f} s"
            "（{cores} 个核心，负载 {load:.0f}，{accounts} 个账号）。问题：{found}。"
        ),
        "nothing": "无",
        "found": "{count} 个 `{kind}`",
        "comma": "、",
        "exits": "自行结束、一秒后重新启动的实例，按退出码：{codes}。",
        "code": "{code} 有 {count} 次",
        "joins": "新加入的实例得到自己那份账号的时间：{middle:.1f} s（p50），{worst:.1f} s（最大）。",
    },
}


def markdown(outcomes: Sequence[Outcome], cores: int, load: float, language: Language) -> str:
    """Returns sums, then one row for each kind of disruption."""
    texts = SENTENCES[language]
    findings = Counter(finding.kind for outcome in outcomes for finding in outcome.findings)
    disruptions = [disruption for outcome in outcomes for disruption in outcome.disruptions]
    lines = [
        texts["summary"].format(
            seeds=len(outcomes),
            disruptions=len(disruptions),
            messages=sum(outcome.messages for outcome in outcomes),
            commands=sum(outcome.commands for outcome in outcomes),
            seconds=sum(outcome.seconds for outcome in outcomes) / max(1, len(outcomes)),
            cores=cores,
            load=load,
            accounts=_accounts(outcome.plan.size for outcome in outcomes),
            found=_counts(findings, texts, "found", "kind") or texts["nothing"],
        ),
        "",
    ]
    exits = Counter(f"{code}" for outcome in outcomes for code in outcome.exits)
    if exits:
        lines += [texts["exits"].format(codes=_counts(exits, texts, "code", "code")), ""]
    lines += [HEADS[language], "|" + "---|" * 12]
    moves: defaultdict[str, list[float]] = defaultdict(list)
    for outcome in outcomes:
        for kind, took in outcome.moves:
            moves[kind] += took
    for kind, count in sorted(Counter(disruption.kind for disruption in disruptions).items()):
        cells = [kind, f"{count}", f"{len(moves[kind])}", *_spread(moves[kind])]
        for name in ("message", "command"):
            cells += _spread(
                [
                    seconds
                    for disruption in disruptions
                    if disruption.kind == kind
                    for seconds in disruption.recovery[name]
                ]
            )
        lines.append("| " + " | ".join(cells) + " |")
    joins = [seconds for outcome in outcomes for seconds in outcome.joins]
    if joins:
        lines += ["", texts["joins"].format(middle=quantile(joins, 0.5), worst=max(joins))]
    return "\n".join(lines)


def _accounts(sizes: Iterable[RunSize]) -> str:
    counts = sorted({size.ilink + size.webwx + size.wecom for size in sizes})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} – {counts[-1]}"


def _counts(counts: Counter[str], texts: Mapping[str, str], sentence: str, name: str) -> str:
    return texts["comma"].join(
        texts[sentence].format(count=count, **{name: value}) for value, count in counts.most_common()
    )


def _spread(seconds: Sequence[float]) -> list[str]:
    """Returns the cells with the middle, the worst but for one in a hundred, and the worst."""
    if not seconds:
        return [""] * 3
    values = quantile(seconds, 0.5), quantile(seconds, PERCENT), max(seconds)
    return [f"{value:.1f} s" for value in values]
