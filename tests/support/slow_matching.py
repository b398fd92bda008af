"""Finds regular expressions whose cost grows faster than the text: a search for ambiguous loops in a pattern.

A backtracking matcher is slow where a text can be read in many ways and then fails. A pattern is turned into an
automaton, in which two things are searched for (A. Weideman and others, "Analyzing Matching Time Behavior of
Backtracking Regular Expression Matchers by Using Ambiguity of NFA"):

- a loop that reads the same text in two ways: the cost is exponential,
- two loops p and q, and a text that leads from p to p, from p to q and from q to q: the cost is a polynomial, whose
  degree is one more than the longest chain of such pairs. A search is itself such a loop: it starts anywhere.

Loops that end in a match as soon as they are reached cost nothing. Look-behinds and borders of words are taken as
always true, so that the result may be stricter than the truth, but not more lenient.
"""

from __future__ import annotations

import re
import re._constants as op  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

# Counted repeats from this number on cost as much as unbounded ones.
MANY_REPEATS = 200

# Counted repeats whose count varies by this much multiply the cost when several of them overlap.
SOME_REPEATS = 3

# More copies of the body of a repeat do not change what is reachable.
MAX_COPIES = 4

_SAMPLES = [*map(chr, range(256)), "\u2005", "\u2028", "\u3000", "老", "。", "😀", "\ud800"]

State = int
Symbols = frozenset[str]
NOTHING: Symbols = frozenset()


class _Epsilon(NamedTuple):
    """A step without a character; `excluded` are the characters that must not follow.

    `is_certain`: it can always be made. `at_begin`: it can be made only before the first character of a text.
    """

    target: State
    excluded: Symbols = NOTHING
    is_certain: bool = True
    at_begin: bool = False


class Automaton:
    """The automaton of a pattern. `follow[x]` has (y, symbols): after step x, step y reads one of the symbols."""

    def __init__(self, pattern: re.Pattern[Any], *, search: bool, full: bool, star_from: int) -> None:
        source = pattern.pattern
        self._source = source.decode("latin-1") if isinstance(source, bytes) else source
        self._flags = pattern.flags
        self._star_from = star_from
        self._tree = parser.parse(
            source, pattern.flags & ~re.UNICODE if isinstance(source, bytes) else pattern.flags
        )
        self._alphabet = tuple(self._representatives())
        self._epsilons: defaultdict[State, list[_Epsilon]] = defaultdict(list)
        self._steps: dict[State, tuple[Symbols, State]] = {}
        self._groups: dict[int, Any] = {}
        self._ends: set[State] = set()
        self._states = 0
        start = self._new_state()
        first = start
        if search:
            first = self._new_state()
            loop = self._new_state()
            self._epsilons[start] += [_Epsilon(loop), _Epsilon(first)]
            self._steps[loop] = (frozenset(self._alphabet), start)
        end = self._build(self._tree, first, self._flags)
        if not full:
            self._ends.add(end)
        self.follow = {step: self._closure(target) for step, (_, target) in self._steps.items()}
        self.harmless = {step for step, (_, target) in self._steps.items() if self._ends_certainly(target)}

    def _new_state(self) -> State:
        self._states += 1
        return self._states

    def _representatives(self) -> Iterator[str]:
        """Yields one character for each set of characters that no part of the pattern distinguishes."""
        leaves = [(leaf, self._flags) for leaf in _leaves(self._tree)]
        samples = dict.fromkeys([*_SAMPLES, *(char for char in self._source), *_ends_of_ranges(self._tree)])
        seen = set()
        for char in samples:
            signature = tuple(_reads(leaf, char, flags) for leaf, flags in leaves)
            if signature not in seen:
                seen.add(signature)
                yield char

    def _symbols(self, leaf: Any, flags: int) -> Symbols:
        return frozenset(char for char in self._alphabet if _reads(leaf, char, flags))

    def _build(self, tree: Sequence[Any], start: State, flags: int) -> State:
        for code, value in tree:
            start = self._build_part(code, value, start, flags)
        return start

    def _build_part(self, code: Any, value: Any, start: State, flags: int) -> State:
        end = self._new_state()
        if code in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN):
            self._steps[start] = (self._symbols((code, value), flags), end)
            # Each state has one step at most, so the next part begins in a state of its own.
            following = self._new_state()
            self._epsilons[end].append(_Epsilon(following))
            return following
        if code is op.SUBPATTERN:
            group, added, removed, body = value
            if group is not None:
                self._groups[group] = (body, (flags | added) & ~removed)
            return self._build(body, start, (flags | added) & ~removed)
        if code is op.BRANCH:
            for branch in value[1]:
                first = self._new_state()
                self._epsilons[start].append(_Epsilon(first))
                self._epsilons[self._build(branch, first, flags)].append(_Epsilon(end))
            return end
        if code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            least, most, body = value
            return self._build_repeat(code, least, most, body, start, flags)
        if code is op.ATOMIC_GROUP:
            return self._build(value, start, flags)
        if code is op.GROUPREF:
            return self._build(self._groups[value][0], start, self._groups[value][1])
        if code in (op.ASSERT, op.ASSERT_NOT) and value[0] > 0:
            first = self._new_state()
            self._epsilons[start].append(_Epsilon(first))
            self._ends.add(self._build(value[1], first, flags))
        elif code not in (op.AT, op.ASSERT, op.ASSERT_NOT):
            raise NotImplementedError(code)
        begins = code is op.AT and value in (op.AT_BEGINNING, op.AT_BEGINNING_STRING)
        at_begin = begins and not flags & re.MULTILINE
        self._epsilons[start].append(_Epsilon(end, is_certain=False, at_begin=at_begin))
        return end

    def _build_repeat(self, code: Any, least: int, most: int, body: Any, start: State, flags: int) -> State:
        is_star = most >= MANY_REPEATS or most - least >= self._star_from
        excluded = NOTHING
        if (
            code is op.POSSESSIVE_REPEAT
            and is_star
            and len(body) == 1
            and body[0][0] in (op.IN, op.LITERAL, op.ANY)
        ):
            excluded = self._symbols(body[0], flags)  # such a loop leaves none of them to what follows
        for _ in range(min(least, MAX_COPIES)):
            start = self._build(body, start, flags)
        end = self._new_state()
        if is_star:
            loop = self._new_state()
            self._epsilons[start].append(_Epsilon(loop))
            first = self._new_state()
            self._epsilons[loop].append(_Epsilon(first))
            self._epsilons[self._build(body, first, flags)].append(_Epsilon(loop))
            self._epsilons[loop].append(_Epsilon(end, excluded))
            return end
        for _ in range(min(most - least, MAX_COPIES)):
            self._epsilons[start].append(_Epsilon(end))
            first = self._new_state()
            self._epsilons[start].append(_Epsilon(first))
            start = self._build(body, first, flags)
        self._epsilons[start].append(_Epsilon(end))
        return end

    def _closure(self, state: State) -> list[tuple[State, Symbols]]:
        """Returns the next steps, a step once for each way that leads to it."""
        steps: list[tuple[State, Symbols]] = []
        pending: list[tuple[State, Symbols, tuple[State, ...]]] = [(state, NOTHING, ())]
        while pending:
            current, excluded, path = pending.pop()
            if path.count(current) > 1:  # the second time shows a loop around an empty text
                continue
            if current in self._steps:
                steps.append((current, self._steps[current][0] - excluded))
            pending += [
                (epsilon.target, excluded | epsilon.excluded, (*path, current))
                for epsilon in self._epsilons[current]
                if not epsilon.at_begin  # a character was read before
            ]
        return steps

    def _ends_certainly(self, state: State) -> bool:
        """Returns whether a match ends here whatever follows."""
        pending, seen = [state], set()
        while pending:
            current = pending.pop()
            if current in self._ends:
                return True
            if current not in seen:
                seen.add(current)
                pending += [epsilon.target for epsilon in self._epsilons[current] if epsilon.is_certain]
        return False

    def successors(self, step: State, symbol: str) -> list[State]:
        """Returns the steps after `step` that read a symbol, a step once for each way."""
        return [following for following, symbols in self.follow[step] if symbol in symbols]

    @property
    def alphabet(self) -> tuple[str, ...]:
        """One character for each set of characters that the pattern does not distinguish."""
        return self._alphabet

    def reachable(self, step: State) -> set[State]:
        """Returns all steps that can follow, at once or later."""
        seen: set[State] = set()
        pending = [step]
        while pending:
            for following, symbols in self.follow[pending.pop()]:
                if symbols and following not in seen:
                    seen.add(following)
                    pending.append(following)
        return seen


def _leaves(tree: Any) -> Iterator[Any]:
    for code, value in tree:
        if code in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN):
            yield code, value
        elif code is op.SUBPATTERN:
            yield from _leaves(value[3])
        elif code is op.BRANCH:
            for branch in value[1]:
                yield from _leaves(branch)
        elif code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            yield from _leaves(value[2])
        elif code is op.ATOMIC_GROUP:
            yield from _leaves(value)
        elif code in (op.ASSERT, op.ASSERT_NOT):
            yield from _leaves(value[1])


def _ends_of_ranges(tree: Any) -> Iterator[str]:
    for code, value in _leaves(tree):
        for inner, content in value if code is op.IN else ():
            if inner is op.RANGE:
                yield from (chr(content[0]), chr(content[1]))
            elif inner is op.LITERAL:
                yield chr(content)


_CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}


@cache
def _category(code: Any, flags: int) -> re.Pattern[str]:
    return re.compile(_CATEGORIES[code], flags & re.ASCII)


def _reads(leaf: Any, char: str, flags: int) -> bool:
    """Returns whether a part of a pattern that reads one character reads this one."""
    code, value = leaf
    if code is op.ANY:
        return bool(flags & re.DOTALL) or char != "\n"
    variants = {char, char.lower(), char.upper()} if flags & re.IGNORECASE else {char}
    codes = {ord(variant) for variant in variants if len(variant) == 1}
    if code is op.LITERAL:
        return value in codes
    if code is op.NOT_LITERAL:
        return value not in codes
    is_negated = value[0][0] is op.NEGATE
    reads = any(
        (inner is op.LITERAL and content in codes)
        or (inner is op.RANGE and any(content[0] <= number <= content[1] for number in codes))
        or (inner is op.CATEGORY and bool(_category(content, flags).match(char)))
        for inner, content in value
    )
    return reads is not is_negated


class GrowthOfCost(NamedTuple):
    """`degree`: 1 for a cost that grows as the text does, 2 where it grows with the square; 0 is exponential."""

    degree: int
    witness: str


def _loops(automaton: Automaton) -> dict[State, set[State]]:
    """Returns each step that can come again, with the steps that it can come again with."""
    reach = {step: automaton.reachable(step) for step in automaton.follow}
    return {
        step: {other for other in reach[step] if step in reach[other]}
        for step in reach
        if step in reach[step]
    }


def _is_exponential(automaton: Automaton, loops: dict[State, set[State]]) -> str | None:
    """Returns a text that a loop reads in two ways, or None."""
    for step, component in loops.items():
        if step in automaton.harmless:
            continue
        start = (step, step, False)
        pending, seen = [(start, "")], {start}
        while pending:
            (left, right, differ), word = pending.pop()
            for symbol in automaton.alphabet:
                lefts = [state for state in automaton.successors(left, symbol) if state in component]
                rights = [state for state in automaton.successors(right, symbol) if state in component]
                for first in lefts:
                    for second in rights:
                        ways = lefts.count(first) > 1 if left == right and first == second else False
                        pair = (first, second, differ or first != second or ways)
                        if pair == (step, step, True):
                            return word + symbol
                        if pair not in seen:
                            seen.add(pair)
                            pending.append((pair, word + symbol))
    return None


def _shared_text(
    automaton: Automaton, first: State, second: State, loops: dict[State, set[State]]
) -> str | None:
    """Returns a text that leads from `first` to itself and to `second`, and from `second` to itself, or None."""
    between = automaton.reachable(first)
    between = {step for step in between if second == step or second in automaton.reachable(step)}
    start = (first, first, second)
    goal = (first, second, second)
    pending, seen = [(start, "")], {start}
    while pending:
        (left, middle, right), word = pending.pop(0)
        for symbol in automaton.alphabet:
            lefts = {state for state in automaton.successors(left, symbol) if state in loops[first]}
            rights = {state for state in automaton.successors(right, symbol) if state in loops[second]}
            if not lefts or not rights:
                continue
            middles = {state for state in automaton.successors(middle, symbol) if state in between}
            for triple in ((a, b, c) for a in lefts for b in middles for c in rights):
                if triple == goal:
                    return word + symbol
                if triple not in seen:
                    seen.add(triple)
                    pending.append((triple, word + symbol))
    return None


def _analyse(automaton: Automaton) -> GrowthOfCost:
    loops = _loops(automaton)
    word = _is_exponential(automaton, loops)
    if word is not None:
        return GrowthOfCost(0, word)
    pairs: dict[tuple[State, State], str] = {}
    for first in loops:
        for second in loops:
            if (
                first == second
                or {first, second} & automaton.harmless
                or second not in automaton.reachable(first)
            ):
                continue
            shared = _shared_text(automaton, first, second, loops)
            if shared is not None:
                pairs[first, second] = shared
    longest = 0

    @cache
    def chain(pair: tuple[State, State]) -> int:
        last = pair[1]
        return 1 + max(
            (
                chain(other)
                for other in pairs
                if other != pair and (other[0] == last or other[0] in loops[last])
            ),
            default=0,
        )

    longest = max(map(chain, pairs), default=0)
    witness = max(pairs.values(), key=len, default="")
    return GrowthOfCost(longest + 1, witness)


def find_slow_matching(pattern: re.Pattern[Any], *, search: bool = True, full: bool = False) -> str | None:
    """Returns what is wrong with a pattern, or None when its cost grows no faster than the text.

    `search`: it is looked for anywhere in a text, not only at the begin. `full`: it must match to the end.
    """
    strict = _analyse(Automaton(pattern, search=search, full=full, star_from=MANY_REPEATS))
    if strict.degree == 0:
        return f"exponential, for example with {strict.witness!r} again and again"
    if strict.degree > 1:
        return f"of degree {strict.degree}, for example with {strict.witness!r} again and again"
    counted = _analyse(Automaton(pattern, search=search, full=full, star_from=SOME_REPEATS))
    if counted.degree == 0 or counted.degree > 2:
        return f"counted repeats multiply, for example with {counted.witness!r} again and again"
    return None


def literal_runs(pattern: re.Pattern[Any]) -> list[str]:
    """Returns the words in a pattern: each sequence of characters that it reads one after the other."""
    source = pattern.pattern
    flags = pattern.flags & ~re.UNICODE if isinstance(source, bytes) else pattern.flags
    return list(_runs(parser.parse(source, flags)))


def _runs(tree: Any) -> Iterator[str]:
    run = ""
    for code, value in tree:
        if code is op.LITERAL:
            run += chr(value)
            continue
        if run:
            yield run
        run = ""
        if code is op.SUBPATTERN:
            yield from _runs(value[3])
        elif code is op.BRANCH:
            for branch in value[1]:
                yield from _runs(branch)
        elif code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            yield from _runs(value[2])
    if run:
        yield run
