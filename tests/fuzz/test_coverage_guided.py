"""A coverage-guided run: the cost of an input is measured without instrumentation, and a finding is printed."""

from __future__ import annotations

import time

import pytest

from tests.fuzz.coverage_guided import INSTRUMENTATION_FACTOR, check_instrumented_case, finding_text
from tests.fuzz.oracles import max_cpu_ms
from tests.fuzz.registry import TARGETS
from tests.fuzz.target import Finding, Target
from tests.fuzz.uninstrumented import UninstrumentedProcess, broken_rule

DATA = b"x" * 1000


def target_with(run):
    return Target(
        name="webwx.file_names",
        run=run,
        parsers=(),
        generate=lambda _: b"",
        grow=lambda _: b"",
        seeds=(DATA,),
    )


def use_cpu(milliseconds):
    end = time.thread_time() + milliseconds / 1000
    while time.thread_time() < end:
        pass


def too_slow(_data):
    use_cpu(8 * max_cpu_ms(len(DATA), INSTRUMENTATION_FACTOR))


@pytest.fixture
def uninstrumented():
    process = UninstrumentedProcess("webwx.file_names")
    yield process
    process.close()


def test_an_input_that_is_slow_only_with_instrumentation_is_no_finding(uninstrumented):
    check_instrumented_case(target_with(too_slow), DATA, uninstrumented)


def test_an_input_that_is_slow_without_instrumentation_is_a_finding():
    class SlowProcess(UninstrumentedProcess):
        def __init__(self):
            pass  # the parser is slow in this process

        def broken_rule(self, data):
            return broken_rule(target_with(too_slow), data)

    with pytest.raises(Finding, match="ms for 1000 bytes"):
        check_instrumented_case(target_with(too_slow), DATA, SlowProcess())


def test_an_error_of_the_parser_is_a_finding_at_once(uninstrumented):
    def fail(_data):
        raise ZeroDivisionError("planted")

    with pytest.raises(Finding, match="ZeroDivisionError: planted"):
        check_instrumented_case(target_with(fail), DATA, uninstrumented)


def test_the_process_answers_one_input_after_the_other(uninstrumented):
    seeds = next(target for target in TARGETS if target.name == "webwx.file_names").seeds
    assert [uninstrumented.broken_rule(data) for data in (*seeds, b"", b"\n\xff\x00")] == [""] * (
        len(seeds) + 2
    )


def test_the_text_of_a_finding_is_what_atheris_prints_of_it():
    output = "INFO: x\n\n === Uncaught Python exception: ===\nFinding: webwx.file_names: 24 ms\nTraceback"
    assert finding_text(output) == "Finding: webwx.file_names: 24 ms\nTraceback"
    assert finding_text("no such module\n") == "no such module"
