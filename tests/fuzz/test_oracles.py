"""The oracles see the faults that they are made for."""

from __future__ import annotations

import os
import time
from itertools import chain, count, islice, repeat
from random import Random

import pytest

from tests.fuzz import oracles
from tests.fuzz.engine import Figures, check_case, new_inputs, run_cases
from tests.fuzz.mutators import grown, grown_json, mutated, mutated_json
from tests.fuzz.oracles import (
    LARGE_BYTES,
    EndlessCall,
    ended_after,
    max_cpu_ms,
    require_json,
    require_safe_level,
)
from tests.fuzz.target import Finding, Target

SEEDS = (b'{"a": [1, "two"], "b": {"c": null}}', b'{"a": []}')


def target_with(run, **values):
    usual = {
        "name": "planted",
        "parsers": (),
        "seeds": SEEDS,
        "generate": mutated(SEEDS),
        "grow": grown(SEEDS),
    }
    return Target(run=run, **{**usual, **values})


def quadratic(data):
    for start in range(0, len(data), 8):
        data[start:].count(b"\0")


def memory_consuming(data):
    kept = [bytes(100) for _ in data]
    assert len(kept) == len(data)


def undocumented(data):
    if b"two" not in data:
        raise LookupError("no two")


def broken_rule(faulty_target, data):
    with pytest.raises(Finding) as caught:
        check_case(faulty_target, data, Figures(), trace=True)
    return caught.value.rule


def test_a_quadratic_parser_is_found():
    assert "ms" in broken_rule(target_with(quadratic), b"x" * LARGE_BYTES)


def test_a_parser_without_end_is_ended():
    def endless(_data):
        while True:
            pass

    assert "more than" in broken_rule(target_with(endless), b"x")


def test_a_parser_that_catches_everything_is_ended_too():
    def endless(_data):
        while True:
            try:
                while True:
                    pass
            except Exception:  # noqa: BLE001 - this is what is tested
                continue

    assert "more than" in broken_rule(target_with(endless), b"x")


def test_a_block_that_ends_in_time_is_left_alone():
    with ended_after(5.0):
        value = sum(range(1000))
    assert value == 499_500
    with pytest.raises(EndlessCall), ended_after(0.01):
        while True:
            pass


def spend_cpu(milliseconds):
    end = time.thread_time() + milliseconds / 1000
    while time.thread_time() < end:
        pass


def test_a_call_that_is_seldom_quick_passes():
    costs = chain([40] * 7, repeat(1))
    check_case(target_with(lambda _data: spend_cpu(next(costs))), b"x", Figures(), trace=False)


def test_work_with_files_is_measured_against_what_files_cost_here(monkeypatch, tmp_path):
    real_mkdir = os.mkdir

    def slow_mkdir(*args, **kwargs):
        spend_cpu(20)  # ten times the limit: a busy machine does not make the reference so slow
        return real_mkdir(*args, **kwargs)

    monkeypatch.setattr(os, "mkdir", slow_mkdir)
    names = map(str, count())

    def writing(_data):
        for _ in range(5):
            (tmp_path / next(names)).mkdir()

    check_case(target_with(writing, writes_files=True), b"x", Figures(), trace=False)
    assert "ms" in broken_rule(target_with(writing), b"x")


def test_a_slow_parser_is_found_where_files_are_written(monkeypatch, tmp_path):
    # What files cost on a busy machine is not what this test is about.
    monkeypatch.setattr(oracles, "run_file_reference", lambda: None)

    def slow(data):
        (tmp_path / "file").write_bytes(data)
        spend_cpu(10 * max_cpu_ms(len(data)))

    assert "ms" in broken_rule(target_with(slow, writes_files=True), b"x" * LARGE_BYTES)


def test_a_parser_that_takes_much_memory_is_found():
    assert "bytes of memory" in broken_rule(target_with(memory_consuming), b"x" * LARGE_BYTES)


def test_a_parser_within_its_limits_passes():
    figures = Figures()
    check_case(target_with(bytes.split), b"x y " * (LARGE_BYTES // 40), figures, trace=True)
    assert figures.cases == 1


def test_an_undocumented_error_is_found_by_mutations():
    figures = run_cases(target_with(undocumented), 500, "1", SEEDS[:1])
    assert [finding.rule for finding in figures.findings] == ["LookupError: 'no two'"] or (
        figures.findings[0].rule.startswith("LookupError")
    )


def test_a_run_is_the_same_for_the_same_seed():
    seen = []
    for _ in range(2):
        cases: list[bytes] = []
        run_cases(target_with(cases.append), 50, "7")
        seen.append(cases)
    assert seen[0] == seen[1]
    assert len(set(seen[0])) > 10


def test_a_run_stops_after_its_seconds():
    figures = run_cases(target_with(lambda data: sum(data * 10)), 10**9, "1", max_seconds=0.1)
    assert 0 < figures.cases < 10**6


@pytest.mark.parametrize("make", [mutated, mutated_json])
def test_small_inputs_are_mostly_near_a_valid_one(make):
    generate = make(SEEDS)
    inputs = [generate(Random(number)) for number in range(300)]
    assert len(set(inputs)) > 100
    assert all(len(data) <= 20_000 for data in inputs)


@pytest.mark.parametrize("make", [grown, grown_json])
def test_large_inputs_are_large(make):
    generate = make(SEEDS)
    sizes = sorted(len(generate(Random(number))) for number in range(40))
    assert sizes[20] > LARGE_BYTES // 2
    assert sizes[-1] <= 3 * LARGE_BYTES


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {1: 2}])
def test_a_value_that_json_cannot_represent_is_found(value):
    with pytest.raises((ValueError, AssertionError)):
        require_json(value)


@pytest.mark.parametrize("level", ["", "a/b", "+", "#", "$SYS", "x" * 65, "a\nb", "a b", "\u2028"])
def test_an_unsafe_level_is_found(level):
    with pytest.raises(AssertionError):
        require_safe_level(level)


@pytest.mark.parametrize("level", ["wife", "老婆", "👨‍👩‍👧", "x" * 64])
def test_a_safe_level_passes(level):
    require_safe_level(level)


def test_the_limits_grow_with_the_input():
    assert oracles.max_cpu_ms(2 * LARGE_BYTES) > oracles.max_cpu_ms(LARGE_BYTES) > oracles.max_cpu_ms(0) > 0
    assert oracles.max_bytes(LARGE_BYTES) - oracles.max_bytes(0) == 10 * LARGE_BYTES


def test_an_input_that_makes_the_process_grow_is_measured():
    large = b"big" * 10_000

    def run(data):
        if data == large:
            kept = b"x" * (40 << 20)
            assert kept

    numbers = iter(range(1000))

    def generate(_random):
        number = next(numbers)
        return large if number == 500 else str(number).encode()

    figures = run_cases(target_with(run, generate=generate, cost_factor=1000), 900, "1", large_every=10_000)
    assert figures.memory_checks > 0
    assert [finding.data == large for finding in figures.findings] == [True]
    assert "bytes of memory" in figures.findings[0].rule


def test_no_input_comes_twice():
    inputs = [data for data, _ in islice(new_inputs(target_with(len), "1", SEEDS), 3000)]
    assert len({*inputs, *SEEDS}) == 3000 + len(SEEDS)


def test_a_target_with_one_large_input_gets_small_ones_instead():
    large_inputs = []

    def grow(_random):
        large_inputs.append(b"x" * 1000)
        return large_inputs[0]

    single = target_with(len, grow=grow)
    inputs = list(islice(new_inputs(single, "1", SEEDS, 10), 300))
    assert sum(is_large for _, is_large in inputs) == 1
    assert len(inputs) == 300
    assert len(large_inputs) <= 40


def test_a_generator_without_further_inputs_ends_the_run():
    same = target_with(len, generate=lambda _random: b"same")
    assert [data for data, _ in new_inputs(same, "1")] == [b"same"]
