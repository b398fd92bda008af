"""YAML as a tree of texts with places: what it keeps, what it refuses, what it never repeats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cost import is_in_proportion
from tests.support.rows import every_row
from wx2mqtt.limits import MAX_CONFIG_LEVELS
from wx2mqtt.settings.yaml_tree import SourcePosition, YamlTree, parse, parse_value


def problems_of(text):
    return [str(problem) for problem in parse(text, "f.yaml").problems]


def test_every_scalar_stays_what_was_written():
    tree = parse("a: 0123\nb: yes\nc: 2026-11-25\nd: 10:00\ne: 1.10\nf: ~\ng: '~'\nno: x\n1: y", "f")
    assert tree.problems == []
    assert tree.data == {
        "a": "0123",
        "b": "yes",
        "c": "2026-11-25",
        "d": "10:00",
        "e": "1.10",
        "f": None,
        "g": "~",
        "no": "x",
        "1": "y",
    }


def test_every_value_knows_its_line():
    tree = parse("# c\na:\n  b: 1\n  c:\n    - x\n    - y\nd: {e: 2}\n", "f")
    lines = {path: place.line for path, place in tree.positions.items()}
    assert lines == {
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "c"): 4,
        ("a", "c", 0): 5,
        ("a", "c", 1): 6,
        ("d",): 7,
        ("d", "e"): 7,
    }
    assert tree.position_of(("a", "b", "deeper")).line == 3
    assert tree.position_of(("nowhere",)) == SourcePosition("f", 1)


def test_an_empty_file_is_an_empty_tree():
    for text in ("", "# nothing\n", "---\n", "~"):
        assert parse(text, "f").data == {}
        assert problems_of(text) == []


def test_a_key_that_stands_twice_names_both_lines():
    assert problems_of("a: 1\nb: {c: 1,\n  c: 2}\na: 3") == [
        "f.yaml:3: b.c: is there twice; it was set in line 2 already",
        "f.yaml:4: a: is there twice; it was set in line 1 already",
    ]


def test_an_alias_and_a_merge_bring_in_what_the_anchor_holds():
    tree = parse("a: &x {k: 1, l: 2}\nb: *x\nc: {<<: *x, k: 3}\nd: {<<: [*x, {m: 4}]}", "f")
    assert tree.problems == []
    assert tree.data == {
        "a": {"k": "1", "l": "2"},
        "b": {"k": "1", "l": "2"},
        "c": {"k": "3", "l": "2"},
        "d": {"k": "1", "l": "2", "m": "4"},
    }
    assert tree.position_of(("c", "k")).line == 3


@pytest.mark.parametrize("text", ["a: {<<: 5}", "x: &x 1\na: {<<: *x}", "x: &x {}\na: {<<: [*x, 1]}"])
def test_a_merge_of_what_is_no_mapping_is_refused(text):
    assert "<< merges a mapping" in problems_of(text)[0]


def bomb(depth):
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, depth)]
    return "\n".join(rows)


def merge_bomb(depth):
    rows = ["a0: &a0 {k: x}"]
    rows += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, depth)]
    return "\n".join(rows)


@pytest.mark.parametrize("text", [bomb(12), "a: &a [*a]", "a: &a {b: *a}"])
def test_aliases_that_multiply_are_cut_off(text):
    assert any("more than 50000 values" in line for line in problems_of(text))


def test_merges_that_multiply_are_cut_off():
    assert parse(merge_bomb(8), "f").problems


@every_row(
    "text",
    [
        "&x\n  d:\n  <<: *x\n  e: x",
        "a: &x {<<: *x}",
        "a: &x {<<: [{b: 1}, {<<: *x}]}",
        "a: &x {<<: {<<: *x}}",
    ],
)
def test_a_mapping_that_is_merged_into_itself_is_refused_with_its_line(text):
    tree = parse(text, "f.yaml")
    assert [str(problem) for problem in tree.problems if "one into itself" in problem.message]
    assert tree.data == {}
    with pytest.raises(ValueError, match="one into itself"):
        parse_value("&x {<<: *x}")


def overridden(count):
    keys = [f"  k{number}: 1\n" for number in range(count)]
    return "".join(["b: &b\n", *keys, "a:\n  <<: *b\n", *keys])


def test_keys_that_override_merged_ones_cost_in_proportion_to_their_number():
    assert is_in_proportion(lambda count: parse(overridden(count), "f"), 2000)


def test_a_mapping_that_overrides_a_merged_one_has_its_own_lines():
    tree = parse("b: &b {c: {d: 1, e: [2]}}\na:\n  <<: *b\n  c: {f: 3}", "f")
    assert tree.problems == []
    assert {path[2:]: at.line for path, at in tree.positions.items() if path[:2] == ("a", "c")} == {
        (): 4,
        ("f",): 4,
    }
    assert tree.position_of(("b", "c", "e", 0)).line == 1


def test_a_problem_shows_the_beginning_of_a_long_key():
    name = "x" * 10_000
    (line,) = problems_of(f"? {name}\n: {{aa: 1, aa: 2}}")
    assert line == f"f.yaml:2: {'x' * 64}….aa: is there twice; it was set in line 2 already"


def test_merges_of_merges_are_read():
    text = "\n".join(
        ["a0: &a0 {k: x}", *(f"a{n}: &a{n} {{<<: *a{n - 1}}}" for n in range(1, MAX_CONFIG_LEVELS))]
    )
    tree = parse(text, "f")
    assert tree.problems == []
    assert tree.data[f"a{MAX_CONFIG_LEVELS - 1}"] == {"k": "x"}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text", ["[" * 100_000, "a:\n" + "".join(" " * n + "- \n" for n in range(1, 400)), "{" * 30]
)
def test_deep_nesting_is_refused_before_anything_recursive_reads_it(text):
    assert (
        f"deeper than {MAX_CONFIG_LEVELS} levels" in problems_of(text)[0]
        or "is no YAML" in problems_of(text)[0]
    )


@every_row(
    ("text", "line", "advice"),
    [
        ("a: 1\n\tb: 2", 2, "never with tabs"),
        ("a: b: c", 1, "needs quotes, or the line is indented wrongly"),
        ("a: 1\nb: *geheim", 2, "begins with * needs quotes"),
        ("a: @geheim", 1, "begins with @, ` or % needs quotes"),
        ("a: %geheim", 1, "begins with @, ` or % needs quotes"),
        ("a: 'geheim", 1, "a quote is opened and not closed"),
        ("a: [1, 2\nb: 3", 2, "not closed, or a comma is missing"),
        ("a: 1\n---\nb: 2", 2, "one document"),
        ("a:\n  b: 1\n c: 2", 3, "fits nothing above it"),
        ("a: 1\ngeheim\nb: 2", 3, "a key needs ': '"),
        ("a: 1\nb: \x01", 2, "forbids"),
        ("- a", 1, "must hold keys and values"),
        ("geheim", 1, "must hold keys and values"),
        ("a: 1\nb: !geheim x", 2, "YAML tags"),
        ("a: !!python/object:os.system geheim", 1, "YAML tags"),
        ("? [a]\n: 1", 1, "a key must be a plain text"),
    ],
)
def test_a_fault_of_syntax_names_its_line_and_its_cure_and_repeats_nothing(text, line, advice):
    first = problems_of(text)[0]
    assert first.startswith(f"f.yaml:{line}: ")
    assert advice in first
    assert "geheim" not in first


@given(st.text(st.sampled_from("ab:{}[],&*!|>'\"%@`#-? \n\t~<")))
def test_whatever_stands_in_a_file_becomes_a_tree_or_problems(text):
    tree = parse(text, "f")
    assert isinstance(tree.data, dict)
    assert all(problem.line >= 1 for problem in tree.problems)


def test_a_value_of_the_environment_is_one_yaml_value():
    assert parse_value("[a, 'b c', 010]") == ["a", "b c", "010"]
    assert parse_value("{a: {b: 1}}") == {"a": {"b": "1"}}
    with pytest.raises(ValueError, match="is no YAML"):
        parse_value("[a")


def test_setting_a_value_forgets_what_stood_below():
    tree = parse("a: {b: {c: 1}}", "f")
    tree.set(("a", "b"), "x", SourcePosition("environment", 0, name="V"))
    assert tree.data == {"a": {"b": "x"}}
    assert tree.position_of(("a", "b", "c")).name == "V"


def test_a_value_cannot_be_set_inside_a_text():
    tree = parse("a: 1", "f")
    assert not tree.set(("a", "b"), "x", SourcePosition("e", 0))
    assert tree.data == {"a": "1"}


def test_a_value_that_is_not_there_cannot_be_taken_away():
    tree = parse("a: [{b: 1}]", "f")
    assert not tree.remove(("a", "b"))
    assert not tree.remove(("a", 0))
    assert tree.remove(("a",))
    assert tree.data == {}


def test_a_problem_says_variable_and_key_when_it_is_from_the_environment():
    tree = YamlTree("f")
    tree.set(("mqtt", "url"), "x", SourcePosition("environment", 0, name="WX2MQTT_MQTT__URL"))
    assert str(tree.problem(("mqtt", "url"), "no")) == "environment: WX2MQTT_MQTT__URL (mqtt.url): no"
