"""A table of cases as one test runs each row, and names the one that fails."""

from __future__ import annotations

import pytest

from tests.support.rows import every_row


def test_each_row_is_run_and_the_one_that_fails_is_named():
    seen = []

    @every_row(("number", "text"), [(1, "a"), (2, "b"), (3, "c")])
    def check(number: int, text: str) -> None:
        seen.append((number, text))
        assert number < 2

    with pytest.raises(AssertionError) as failure:
        check()
    assert seen == [(1, "a"), (2, "b")]
    assert failure.value.__notes__ == ["with {'number': 2, 'text': 'b'}"]


def test_two_tables_are_multiplied():
    seen = []

    @every_row("a", [1, 2])
    @every_row("b, c", [(3, 4), (5, 6)])
    def check(a: int, b: int, c: int) -> None:
        seen.append((a, b, c))

    check()
    assert seen == [(1, 3, 4), (1, 5, 6), (2, 3, 4), (2, 5, 6)]


def test_an_empty_table_is_a_mistake():
    with pytest.raises(AssertionError):
        every_row("a", [])
