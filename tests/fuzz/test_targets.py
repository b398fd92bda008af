"""A bounded share of the fuzzing: the corpus, and new inputs that Hypothesis chooses and makes shorter."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import corpus
from tests.fuzz.engine import Figures, check_case
from tests.fuzz.registry import KNOWN_HOLES, TARGETS
from tests.fuzz.silence import silent_logs
from tests.fuzz.target import Target
from tests.support.repetitions import chaos, repetitions

TARGETS_WITHOUT_HOLE = [target for target in TARGETS if target.name not in KNOWN_HOLES]


@pytest.fixture(autouse=True, scope="module")
def _silence() -> Iterator[None]:
    with silent_logs():
        yield


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_the_seeds_and_the_corpus_pass(target: Target):
    for data in (*target.seeds, *corpus.corpus_of(target)):
        check_case(target, data, Figures(), trace=False)


@chaos
@pytest.mark.parametrize("target", TARGETS_WITHOUT_HOLE, ids=[target.name for target in TARGETS_WITHOUT_HOLE])
def test_new_inputs_pass(target: Target):
    @settings(
        max_examples=repetitions(30, 2000),
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.large_base_example,
        ],
    )
    @given(st.randoms(use_true_random=False))
    def check(random: Random) -> None:
        check_case(target, target.generate(random), Figures(), trace=False)

    check()


@chaos
@pytest.mark.parametrize("target", TARGETS_WITHOUT_HOLE, ids=[target.name for target in TARGETS_WITHOUT_HOLE])
def test_large_inputs_are_linear_in_time_and_memory(target: Target):
    for number in range(repetitions(1, 50)):
        check_case(target, target.grow(Random(f"{target.name} {number}")), Figures(), trace=True)


def test_the_corpus_is_small_and_named_by_content():
    files = [path for path in corpus.FOLDER.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} <= {target.name for target in TARGETS}
    assert sum(path.stat().st_size for path in files) < corpus.MAX_TOTAL_BYTES
    for path in files:
        data = path.read_bytes()
        assert len(data) <= corpus.MAX_FILE_BYTES
        assert path.name.removeprefix(corpus.FOUND_PREFIX) == corpus.name_of(data)


def test_the_corpus_grows_by_inputs_that_reach_new_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "FOLDER", tmp_path)
    target = next(target for target in TARGETS if target.name == "mqtt.broker_urls")
    (tmp_path / target.name).mkdir()
    (tmp_path / target.name / "found-1").write_bytes(b"mqtt://")
    new_corpus = corpus.grow(target, 200, "1")
    assert 0 < len(new_corpus) <= corpus.MAX_FILES
    corpus.write(target, new_corpus)
    assert sorted(corpus.corpus_of(target)) == sorted([*new_corpus, b"mqtt://"])
    seeds = frozenset[corpus.Arc]().union(*(corpus.arcs_of(target, data) for data in target.seeds))
    assert all(corpus.arcs_of(target, data) - seeds for data in new_corpus)


def test_an_input_is_made_shorter_while_it_keeps_what_counts():
    assert corpus.shorter(b"aaaaXbbbb", lambda part: b"X" in part) == b"X"
