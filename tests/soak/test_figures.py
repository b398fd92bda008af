"""The verdict of a soak finds a leak in each figure, and none in noise."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.soak.figures import FIGURES, Sample, judge, parse_samples, render, slope_per_hour

HOURS = 2
INTERVAL = 30  # seconds
LEAKS = {  # twice the bound of each figure, an hour
    "memory_mb": 4.0,
    "descriptors": 1.0,
    "threads": 1.0,
    "database_mb": 2.0,
    "media_mb": 4.0,
    "cpu_percent": 4.0,
    "message_ms": 10.0,
    "command_ms": 10.0,
}


def steady_run() -> list[Sample]:
    """Two hours without a leak: noise, a warming up in the first quarter, and rare large outliers."""
    rng = random.Random(1)
    samples = []
    for seconds in range(0, HOURS * 3600, INTERVAL):
        warming = min(seconds / 1800, 1)
        outlier = rng.random() < 0.05
        samples.append(
            Sample(
                seconds=seconds,
                memory_mb=60 + 20 * warming + rng.gauss(0, 1) + 30 * outlier,
                descriptors=40 + rng.choice((0, 0, 0, 1, 2)),
                threads=12 + rng.choice((0, 0, 1)),
                database_mb=5 + warming + rng.random(),
                media_mb=18 + 2 * rng.random(),
                cpu_percent=8 + rng.random() + 20 * outlier,
                message_ms=None if rng.random() < 0.1 else 5 + rng.random() + 500 * outlier,
                command_ms=None if rng.random() < 0.3 else 6 + rng.random() + 500 * outlier,
                machine_ms=1 + rng.random(),
            )
        )
    return samples


def with_leak(field: str, per_hour: float) -> list[Sample]:
    """Returns the same run with a figure that grows."""
    return [
        sample
        if (value := getattr(sample, field)) is None
        else replace(sample, **{field: value + per_hour * sample.seconds / 3600})
        for sample in steady_run()
    ]


def test_a_run_without_a_leak_is_within_all_bounds():
    verdicts = judge(steady_run())
    assert all(verdict.is_within_bound for verdict in verdicts), render(verdicts)
    assert "grows" not in render(verdicts)


@pytest.mark.parametrize(("field", "per_hour"), LEAKS.items())
def test_a_leak_is_found_in_its_figure_and_in_no_other(field, per_hour):
    verdicts = judge(with_leak(field, per_hour))
    (leak,) = [verdict for verdict in verdicts if not verdict.is_within_bound]
    assert leak.figure.value(replace(steady_run()[0], **{field: -1.0})) == -1.0
    assert leak.slope == pytest.approx(per_hour, rel=0.25)
    assert "**grows**" in render(verdicts)


def test_each_figure_with_a_bound_has_a_planted_leak():
    assert len(LEAKS) == sum(figure.bound is not None for figure in FIGURES)


def test_too_few_samples_are_no_proof():
    assert not any(
        verdict.is_within_bound for verdict in judge(steady_run()[:5]) if verdict.figure.bound is not None
    )
    assert not any(verdict.is_within_bound for verdict in judge([]) if verdict.figure.bound is not None)
    table = render(judge(steady_run()[:5]))
    assert table.count("| too short |") == len(LEAKS)
    assert "grows" not in table


def test_what_a_slope_means_for_a_year_is_growth_at_the_usual_rate():
    (memory, *_) = judge(with_leak("memory_mb", 4.0))
    assert memory.slope is not None
    assert memory.per_year == pytest.approx(memory.slope * 175.32)


def test_the_slope_is_that_of_a_straight_line_whatever_one_point_says():
    points = [(seconds, 10 + seconds / 600) for seconds in range(0, 6000, 60)]
    points[50] = (points[50][0], 1e9)
    assert slope_per_hour(points) == pytest.approx(6.0)


def test_samples_are_read_as_they_were_written():
    samples = steady_run()[:20]
    assert parse_samples("\n".join(sample.to_json() for sample in samples)) == samples
