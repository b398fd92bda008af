"""The figures of a soak, their growth, and the verdict about it.

The slope is the one of Theil and Sen: the median of the slopes between all pairs of samples. A few outliers, such as
a sample in a burst, do not change it. Only the second half of the samples counts: the first one is the warm-up.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

SPEED = 50  # the traffic of a soak, in multiples of the usual one
HOURS_PER_YEAR = 365.25 * 24
MIN_SAMPLES = 8  # in the second half; with fewer there is no slope


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The state of the bridge at `seconds` after the start.

    Latencies are the lower quartile of the messages of one interval, in milliseconds; None if there were none.
    `machine_ms` is the latency of a client that publishes to itself: what the machine and the broker take.
    """

    seconds: float
    memory_mb: float
    descriptors: float
    threads: float
    database_mb: float
    media_mb: float
    cpu_percent: float
    message_ms: float | None = None
    command_ms: float | None = None
    machine_ms: float | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def parse_samples(text: str) -> list[Sample]:
    """Reads lines that `Sample.to_json` wrote."""
    return [Sample(**json.loads(line)) for line in text.splitlines()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured quantity. `bound` is the largest slope an hour that is allowed, None where there is no verdict."""

    name: str
    unit: str
    value: Callable[[Sample], float | None]
    bound: float | None


FIGURES = (
    Figure(name="resident memory", unit="MB", value=lambda sample: sample.memory_mb, bound=2.0),
    Figure(name="file descriptors", unit="", value=lambda sample: sample.descriptors, bound=0.5),
    Figure(name="threads", unit="", value=lambda sample: sample.threads, bound=0.5),
    Figure(name="database with its log", unit="MB", value=lambda sample: sample.database_mb, bound=1.0),
    Figure(name="media", unit="MB", value=lambda sample: sample.media_mb, bound=2.0),
    Figure(name="CPU", unit="%", value=lambda sample: sample.cpu_percent, bound=2.0),
    Figure(name="message to subscriber", unit="ms", value=lambda sample: sample.message_ms, bound=5.0),
    Figure(name="command to WeChat", unit="ms", value=lambda sample: sample.command_ms, bound=5.0),
    Figure(name="(the machine alone)", unit="ms", value=lambda sample: sample.machine_ms, bound=None),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The first and last level of a figure (medians of a tenth of the run), and its slope.

    `slope` is None if there are too few samples; then it is not within its bound.
    """

    figure: Figure
    first: float | None
    last: float | None
    slope: float | None

    @property
    def is_within_bound(self) -> bool:
        if self.figure.bound is None:
            return True
        return self.slope is not None and self.slope <= self.figure.bound

    @property
    def per_year(self) -> float | None:
        """The growth in a year of usual traffic."""
        return None if self.slope is None else self.slope * HOURS_PER_YEAR / SPEED


def slope_per_hour(points: Sequence[tuple[float, float]]) -> float:
    """Returns the Theil-Sen slope of (seconds, value), in units an hour."""
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for earlier, later in combinations(points, 2)
        if later[0] != earlier[0]
    ]
    return statistics.median(slopes) * 3600


def judge(samples: Sequence[Sample]) -> list[Verdict]:
    return [_judge_figure(figure, samples) for figure in FIGURES]


def _judge_figure(figure: Figure, samples: Sequence[Sample]) -> Verdict:
    points = [(sample.seconds, value) for sample in samples if (value := figure.value(sample)) is not None]
    middle = samples[-1].seconds / 2 if samples else 0.0
    second_half = [point for point in points if point[0] >= middle]
    tenth = max(1, len(points) // 10)
    return Verdict(
        figure=figure,
        first=_median(points[:tenth]),
        last=_median(points[-tenth:]),
        slope=slope_per_hour(second_half) if len(second_half) >= MIN_SAMPLES else None,
    )


def _median(points: Sequence[tuple[float, float]]) -> float | None:
    return statistics.median(value for _, value in points) if points else None


def render(verdicts: Sequence[Verdict]) -> str:
    """Returns the table of the verdicts, in Markdown."""
    lines = [
        "| figure | start | end | slope an hour | bound | a year of usual traffic | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for verdict in verdicts:
        figure = verdict.figure
        if figure.bound is None:
            judged = ""
        elif verdict.slope is None:
            judged = "too short"
        else:
            judged = "well" if verdict.is_within_bound else "**grows**"
        cells = [
            figure.name,
            _number(verdict.first, figure.unit),
            _number(verdict.last, figure.unit),
            _number(verdict.slope, figure.unit, "+"),
            _number(figure.bound, figure.unit),
            _number(verdict.per_year, figure.unit, "+"),
            judged,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: float | None, unit: str, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.2f} {unit}".rstrip()
