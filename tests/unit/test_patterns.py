"""No regular expression of the product costs more than in proportion to the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.support import cost
from tests.support.cost import is_in_proportion, repeated
from tests.support.patterns import (
    ProductPattern,
    modules_with_lost_patterns,
    other_imports_of_re,
    product_patterns,
)
from tests.support.rows import every_row
from tests.support.slow_matching import MANY_REPEATS, Automaton, find_slow_matching, literal_runs

# Short ones first: for a long text a pattern that costs more than in proportion would take minutes.
LENGTHS = (500, 4_000, 20_000)

BLANKS = (" ", "\t", "\n", " \n", "\u3000")


@cache
def patterns() -> tuple[ProductPattern, ...]:
    """Returns all patterns that differ in what they read or in how they are used."""
    distinct = {
        (known.pattern.pattern, known.pattern.flags, known.is_searched, known.is_full): known
        for known in product_patterns()
    }
    return tuple(distinct.values())


def test_all_patterns_are_seen():
    assert len(patterns()) > 100
    assert modules_with_lost_patterns() == []
    assert other_imports_of_re() == []


def test_no_pattern_reads_a_text_in_many_ways():
    findings = {
        f"{known.place} {known.pattern.pattern!r}": find_slow_matching(
            known.pattern, search=known.is_searched, full=known.is_full
        )
        for known in patterns()
    }
    assert {place: finding for place, finding in findings.items() if finding} == {}


def words(known: ProductPattern) -> Iterator[str]:
    """Returns the parts of texts for a pattern: its own alphabet, its own words, and blanks."""
    automaton = Automaton(known.pattern, search=known.is_searched, full=known.is_full, star_from=MANY_REPEATS)
    alphabet = [symbol for symbol in automaton.alphabet if not "\ud800" <= symbol <= "\udfff"]
    literals = literal_runs(known.pattern)
    begin = "".join(literals[:1])
    combined = [*(begin + blank for blank in BLANKS), begin + "a", "".join(literals)]
    yield from filter(None, dict.fromkeys([*alphabet, *literals, *BLANKS, *combined]))


def run(known: ProductPattern, text: Any) -> object:
    if known.is_searched:
        return sum(1 for _ in known.pattern.finditer(text))
    return known.pattern.match(text), known.pattern.fullmatch(text)


def is_slow(known: ProductPattern, word: str) -> bool:
    def work(size: int) -> object:
        text: Any = repeated(word, size)
        if isinstance(known.pattern.pattern, bytes):
            text = text.encode("latin-1", "replace")
        return run(known, text)

    return not all(is_in_proportion(work, size) for size in LENGTHS)


def test_twice_the_text_takes_each_pattern_about_twice_the_time():
    slow = [(known.place, word) for known in patterns() for word in words(known) if is_slow(known, word)]
    assert slow == []


# Each with the way it is used: found anywhere, at the begin, or matching a whole text.
SEARCH: dict[str, bool] = {"search": True}
MATCH = {"search": False}
FULL = {"search": False, "full": True}


@every_row(
    ("pattern", "use"),
    [
        (r"\w+@", SEARCH),
        (r"<ret>(.*?)</ret>", SEARCH),
        (r"\s*y", SEARCH),
        (r"[a-z]+$", SEARCH),
        (r"\n\s*\n", SEARCH),
        (r"a(?:[ab]*c)?", SEARCH),
        (r"(?=.*[0-9])b", SEARCH),
        (r".{0,40}.{0,40}.{0,40}x", SEARCH),
        (r"\s*\s*x", MATCH),
        (r"\s*(?:x)?\s*y", MATCH),
        (r"(\d+)(\d+)x", MATCH),
        (r"\s*=\s*([0-9]{0,18})\s*-", MATCH),
        (r"(a*)*b", MATCH),
        (r"(a|a)*b", MATCH),
        (r"(a|ab|b)*c", MATCH),
        (r"(?i:a)+A+b", MATCH),
        (r"[a-z]+[a-z]+", FULL),
    ],
)
def test_the_analysis_sees_what_is_slow(pattern, use):
    assert find_slow_matching(re.compile(pattern), **use)


@every_row(
    ("pattern", "use"),
    [
        (r"\w+", SEARCH),
        (r"://[^\s/@]+@", SEARCH),
        (r"^\s*y", SEARCH),
        (r"ab.{0,40}x", SEARCH),
        (r"\w+@", MATCH),
        (r"\s*+(?:x)?\s*+y", MATCH),
        (r"(\d+),(\d+)x", MATCH),
        (r"[a-z]+[a-z]+", MATCH),
        (r"(?=.*[0-9])(?=.*[A-Z]).{40,}", MATCH),
        (r"[a-z]+", FULL),
    ],
)
def test_the_analysis_lets_pass_what_is_fast(pattern, use):
    assert find_slow_matching(re.compile(pattern), **use) is None


def test_the_measurement_sees_what_is_slow(monkeypatch):
    monkeypatch.setattr(cost, "COMPARISONS", 1)  # more of them only let pass what seemed to be slow
    slow = ProductPattern("here", re.compile(r"<ret>(.*?)</ret>"), frozenset({"search"}))
    assert any(is_slow(slow, word) for word in words(slow))
