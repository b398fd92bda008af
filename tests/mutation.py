"""Mutation operators: the small changes of a Python source that a good test notices. Pure.

`mutants_of` reads a source with `ast` and `tokenize` and returns each change as a replacement between two character
offsets, so that the rest of the file stays as it is. Left out are positions where a change has no meaning or no
effect that a test should look for: annotations, decorators, class headers, `__repr__`, log calls, assertions,
f-strings, docstrings, `if TYPE_CHECKING`, and unions of types.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import io
import itertools
import tokenize
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

COMPARISONS = {
    "==": "!=",
    "!=": "==",
    "<": ">=",
    ">=": "<",
    ">": "<=",
    "<=": ">",
    "in": "not in",
    "not in": "in",
    "is": "is not",
    "is not": "is",
}
BOUNDARIES = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
ARITHMETIC = {
    "+": "-",
    "-": "+",
    "*": "//",
    "/": "*",
    "//": "*",
    "%": "*",
    "<<": ">>",
    ">>": "<<",
    "&": "|",
    "|": "&",
}
LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log", "bind"}
TYPE_CALLS = {"cast", "TypeVar", "ParamSpec", "NewType"}
LAYOUT_TOKENS = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change: the characters `start` to `end` of the file become `replacement`."""

    path: str
    line: int
    operator: str
    start: int
    end: int
    replacement: str
    digest: str
    """Of the unchanged file: a verdict holds only for the text that it was given on."""

    @property
    def key(self) -> str:
        return f"{self.path}:{self.start}-{self.end}:{self.replacement}:{self.digest}"

    @property
    def title(self) -> str:
        return f"{self.path}:{self.line} {self.operator}"

    def apply(self, text: str) -> str:
        return text[: self.start] + self.replacement + text[self.end :]

    def changes_code(self, text: str) -> bool:
        """Returns whether the changed text compiles to other code than the text."""
        try:
            return ast.dump(ast.parse(self.apply(text))) != ast.dump(ast.parse(text))
        except SyntaxError:
            return False

    def diff(self, text: str) -> str:
        lines = difflib.unified_diff(
            text.splitlines(keepends=True),
            self.apply(text).splitlines(keepends=True),
            f"a/{self.path}",
            f"b/{self.path}",
            n=2,
        )
        return "".join(lines)


class Span(NamedTuple):
    """A function: its name, with those of what is around it, and its first and last line."""

    name: str
    first: int
    last: int


def functions_of(text: str) -> list[Span]:
    """Returns all functions of a source; a decorator belongs to its function."""
    spans: list[Span] = []
    _add_functions(ast.parse(text), "", spans)
    return spans


def _add_functions(node: ast.AST, name: str, spans: list[Span]) -> None:
    for child in ast.iter_child_nodes(node):
        inner = name
        if isinstance(child, ast.ClassDef | FunctionNode):
            inner = f"{name}.{child.name}".lstrip(".")
        if isinstance(child, FunctionNode):
            first = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)])
            spans.append(Span(inner, first, child.end_lineno or child.lineno))
        _add_functions(child, inner, spans)


class Token(NamedTuple):
    start: int
    end: int
    text: str


class SourceText:
    """A text with the offsets of its lines and tokens."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._lines = text.splitlines(keepends=True)
        self._line_starts = [0, *itertools.accumulate(len(line) for line in self._lines)]
        self._tokens = [
            Token(self._character(*token.start), self._character(*token.end), token.string)
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type not in LAYOUT_TOKENS
        ]

    def _character(self, line: int, column: int) -> int:
        return self._line_starts[line - 1] + column

    def _offset(self, line: int, utf8_column: int) -> int:
        """`ast` counts columns in bytes of UTF-8."""
        if line > len(self._lines):
            return len(self.text)
        return self._line_starts[line - 1] + len(self._lines[line - 1].encode()[:utf8_column].decode())

    def start(self, node: ast.expr | ast.stmt) -> int:
        return self._offset(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._offset(node.end_lineno, node.end_col_offset)

    def tokens(self, start: int, end: int) -> list[Token]:
        first = bisect_left(self._tokens, (start,))
        return list(itertools.takewhile(lambda token: token.end <= end, self._tokens[first:]))

    def operator(self, left: ast.expr, right: ast.expr) -> Token:
        """Returns the operator between two operands, as one token also if it has two words."""
        between = [
            token for token in self.tokens(self.end(left), self.start(right)) if token.text not in "()"
        ]
        return Token(between[0].start, between[-1].end, " ".join(token.text for token in between))


def mutants_of(path: str, text: str) -> list[Mutant]:
    """Returns all mutants of a file, in the order of their positions."""
    finder = _Finder(path, text)
    finder.visit(ast.parse(text))
    return sorted(finder.mutants, key=lambda mutant: (mutant.start, mutant.end, mutant.replacement))


class _Finder(ast.NodeVisitor):
    def __init__(self, path: str, text: str) -> None:
        self.mutants: list[Mutant] = []
        self._path = path
        self._source = SourceText(text)
        self._digest = hashlib.sha256(text.encode()).hexdigest()[:12]

    def _add(self, operator: str, start: int, end: int, replacement: str) -> None:
        self.mutants.append(
            Mutant(
                path=self._path,
                line=self._source.text.count("\n", 0, start) + 1,
                operator=operator,
                start=start,
                end=end,
                replacement=replacement,
                digest=self._digest,
            )
        )

    def _replace(self, operator: str, node: ast.expr | ast.stmt, replacement: str) -> None:
        self._add(operator, self._source.start(node), self._source.end(node), replacement)

    def _visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    # What is left out.

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_function(node)

    def _visit_function(self, node: FunctionNode) -> None:
        if node.name != "__repr__":
            self._visit_all([*node.args.defaults, *node.args.kw_defaults, *node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._visit_all(node.body)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._visit_all([node.target, node.value])

    def visit_Assert(self, node: ast.Assert) -> None:
        pass

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        pass

    def visit_Call(self, node: ast.Call) -> None:
        if _is_log_call(node):
            return
        if isinstance(node.func, ast.Name) and node.func.id in TYPE_CALLS:
            self._visit_all(node.args[1:])
            return
        self.generic_visit(node)

    # Statements.

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" in ast.unparse(node.test):
            self._visit_all(node.orelse)
            return
        self._negate(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._negate(node.test)
        self.generic_visit(node)

    def _negate(self, test: ast.expr) -> None:
        """A swapped comparison and a removed `not` are the same, and have operators of their own."""
        is_single_comparison = isinstance(test, ast.Compare) and len(test.ops) == 1
        if not is_single_comparison and not _is_not(test):
            source = self._source.text[self._source.start(test) : self._source.end(test)]
            self._replace("negated condition", test, f"not ({source})")

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None:
            return
        if not (isinstance(node.value, ast.Constant) and isinstance(node.value.value, bool | None)):
            self._replace("return None", node.value, "None")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        call = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(call, ast.Call) and not _is_log_call(call):
            self._replace("removed call", node, "pass")
        self.generic_visit(node)

    def visit_Break(self, node: ast.Break) -> None:
        self._replace("break to continue", node, "continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        self._replace("continue to break", node, "break")

    # Operators.

    def visit_Compare(self, node: ast.Compare) -> None:
        for left, right in itertools.pairwise([node.left, *node.comparators]):
            token = self._source.operator(left, right)
            self._add("comparison", token.start, token.end, COMPARISONS[token.text])
            if token.text in BOUNDARIES:
                self._add("boundary", token.start, token.end, BOUNDARIES[token.text])
        for operand in [node.left, *node.comparators]:
            self._change_texts(operand)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        token = self._source.operator(node.left, node.right)
        if token.text in ARITHMETIC and not _is_text(node) and not _is_type_union(node):
            self._add("arithmetic", token.start, token.end, ARITHMETIC[token.text])
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        token = self._source.operator(node.target, node.value)
        if (swapped := ARITHMETIC.get(token.text.removesuffix("="))) is not None:
            self._add("arithmetic", token.start, token.end, f"{swapped}=")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for left, right in itertools.pairwise(node.values):
            token = self._source.operator(left, right)
            self._add("and/or", token.start, token.end, "or" if token.text == "and" else "and")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if _is_not(node):
            word, operand = self._source.tokens(self._source.start(node), self._source.end(node))[:2]
            self._add("removed not", word.start, operand.start, "")
        self.generic_visit(node)

    # Constants.

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace("boolean", node, str(not node.value))
        elif isinstance(node.value, int):
            self._replace("integer", node, str(node.value + 1))

    def visit_Dict(self, node: ast.Dict) -> None:
        for key in node.keys:
            if key is not None:
                self._change_texts(key)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.value, ast.Name) and node.value.id == "Literal":
            return
        self._change_texts(node.slice)
        self.generic_visit(node)

    def visit_MatchValue(self, node: ast.MatchValue) -> None:
        self._change_texts(node.value)
        self.generic_visit(node)

    def _change_texts(self, node: ast.expr) -> None:
        """Changes a constant text, or each one in a display such as `in ("a", "b")`."""
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            for item in node.elts:
                self._change_texts(item)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            end = self._source.end(node)
            quotes = 3 if self._source.text[:end].endswith(('"""', "'''")) and len(node.value) > 0 else 1
            self._add("text", end - quotes, end - quotes, "X")


def _is_not(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _is_log_call(node: ast.Call) -> bool:
    function = node.func
    if not isinstance(function, ast.Attribute) or function.attr not in LOG_METHODS:
        return False
    owner = ast.unparse(function.value).rpartition(".")[2].lower()
    return owner.strip("_") in {"log", "logger"}


def _is_text(node: ast.BinOp) -> bool:
    """Arithmetic on texts ends in a TypeError at once, and says nothing about the tests."""
    return any(
        isinstance(side, ast.JoinedStr)
        or (isinstance(side, ast.Constant) and isinstance(side.value, str | bytes))
        for side in (node.left, node.right)
    )


def _is_type_union(node: ast.expr) -> bool:
    match node:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _is_type_union(left) or _is_type_union(right)
        case ast.Constant(value=None):
            return True
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in {"int", "str", "bytes", "bool", "float", "list", "dict"} or (
                name[:1].isupper() and not name.isupper()
            )
        case ast.Subscript(value=value):
            return _is_type_union(value)
    return False
