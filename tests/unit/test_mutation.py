"""Each mutation operator changes what it says, and nothing where a change has no meaning."""

from __future__ import annotations

from pathlib import Path

from tests.mutation import mutants_of
from tests.support.rows import every_row

ROOT = Path(__file__).parents[2]


def changed(text: str) -> dict[str, list[str]]:
    """Returns the changed texts by operator."""
    results: dict[str, list[str]] = {}
    for mutant in mutants_of("a.py", text):
        results.setdefault(mutant.operator, []).append(mutant.apply(text))
    return results


@every_row(
    ("before", "operator", "after"),
    [
        ("a == b", "comparison", "a != b"),
        ("a != b", "comparison", "a == b"),
        ("a < b", "comparison", "a >= b"),
        ("a > b", "comparison", "a <= b"),
        ("(a) in (b)", "comparison", "(a) not in (b)"),
        ("a not in b", "comparison", "a in b"),
        ("a is None", "comparison", "a is not None"),
        ("a is  not None", "comparison", "a is None"),
        ("a < b", "boundary", "a <= b"),
        ("a <= b", "boundary", "a < b"),
        ("a > b", "boundary", "a >= b"),
        ("a >= b", "boundary", "a > b"),
        ("a + b", "arithmetic", "a - b"),
        ("(a) * (b)", "arithmetic", "(a) // (b)"),
        ("a % b", "arithmetic", "a * b"),
        ("a += b", "arithmetic", "a -= b"),
        ("a and b", "and/or", "a or b"),
        ("a or b", "and/or", "a and b"),
        ("not a", "removed not", "a"),
        ("not (a or b)", "removed not", "(a or b)"),
        ("x = True", "boolean", "x = False"),
        ("x = False", "boolean", "x = True"),
        ("x = 41", "integer", "x = 42"),
        ("x = 0x10", "integer", "x = 17"),
        ("f(x)", "removed call", "pass"),
        ("if a:\n    b", "negated condition", "if not (a):\n    b"),
        ("b if a else c", "negated condition", "b if not (a) else c"),
        ("def f():\n    return a", "return None", "def f():\n    return None"),
        ("def f():\n    return 1", "return None", "def f():\n    return None"),
        ("async def f():\n    await g()", "removed call", "async def f():\n    pass"),
        ("for a in b:\n    break", "break to continue", "for a in b:\n    continue"),
        ("for a in b:\n    continue", "continue to break", "for a in b:\n    break"),
        ("a == 'b'", "text", "a == 'bX'"),
        ("a == ''", "text", "a == 'X'"),
        ("a in ('b',)", "text", "a in ('bX',)"),
        ("x = {'b': c}", "text", "x = {'bX': c}"),
        ("x = a['b']", "text", "x = a['bX']"),
        ("match a:\n    case 'b':\n        c", "text", "match a:\n    case 'bX':\n        c"),
        ("a == b'b'", "text", "a == b'bX'"),
    ],
)
def test_an_operator_changes_one_position(before, operator, after):
    assert after in changed(before)[operator]


def test_each_operator_of_a_chain_is_a_mutant():
    assert changed("a and b and c")["and/or"] == ["a or b and c", "a and b or c"]
    assert changed("0 <= a < b")["comparison"] == ["0 > a < b", "0 <= a >= b"]


def test_positions_are_right_behind_chinese_characters_comments_and_over_lines():
    assert changed("x = ('中文', a ==  # 是 == 吗\n    b)")["comparison"] == [
        "x = ('中文', a !=  # 是 == 吗\n    b)"
    ]


@every_row(
    "text",
    [
        '"""A docstring."""',
        'def f():\n    """1 == 2."""',
        "def f(a: int | None) -> list[1]: ...",
        "x: dict[str, int] | None = None",
        "Json = str | int | list[Any] | None",
        "@dataclass(frozen=True)\nclass A(B, total=False): ...",
        "def __repr__(self):\n    return a + 1",
        "log.warning('text', number=1, flag=not a)",
        "self._log.info('text', number=1)",
        "assert a == 1",
        "x = f'{a + 1} {b == 2}'",
        "x = 'text' + a",
        "x = cast(A[1], a)",
        "if TYPE_CHECKING:\n    x = 1",
        "x = 'text'",
        "raise E('text')",
        "while a:\n    b",
        "def f():\n    return",
        "def f():\n    return None",
    ],
)
def test_nothing_changes_where_a_change_has_no_meaning(text):
    assert changed(text) == {}


def test_a_condition_that_has_its_own_operator_is_not_negated_again():
    assert "negated condition" not in changed("if a == b:\n    c") | changed("if not a:\n    c")


def test_every_mutant_of_real_code_compiles_to_other_code():
    path = ROOT / "wx2mqtt/mqtt/topics.py"
    text = path.read_text(encoding="utf-8")
    mutants = mutants_of("wx2mqtt/mqtt/topics.py", text)
    assert len(mutants) > 50
    assert [mutant.title for mutant in mutants if not mutant.changes_code(text)] == []
    assert len({mutant.key for mutant in mutants}) == len(mutants)


def test_a_mutant_shows_its_line_and_a_unified_diff():
    text = "x = 1\ny = a < b\nz = c\n"
    mutant = next(mutant for mutant in mutants_of("wx2mqtt/a.py", text) if mutant.operator == "boundary")
    assert mutant.title == "wx2mqtt/a.py:2 boundary"
    assert mutant.diff(text) == (
        "--- a/wx2mqtt/a.py\n+++ b/wx2mqtt/a.py\n@@ -1,3 +1,3 @@\n x = 1\n-y = a < b\n+y = a <= b\n z = c\n"
    )


def test_the_key_of_a_mutant_changes_with_its_file():
    keys = [mutants_of("a.py", text)[0].key for text in ("x = 1\n", "x = 1  # comment\n")]
    assert keys[0] != keys[1]
