"""Collects every regular expression of the product: those in its modules' variables, and those within its functions."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import wx2mqtt

ROOT = Path(wx2mqtt.__file__).parent
FUNCTIONS = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
ANCHORED = {"match", "fullmatch"}

_OTHER_IMPORT = re.compile(r"\s*(?:from re import|import re as|import re,|import .*, re\b)")


@dataclass(frozen=True)
class ProductPattern:
    """A pattern, where it is, and the methods that are called on it; an empty set where they are not known."""

    place: str
    pattern: re.Pattern[Any] = field(repr=False)
    methods: frozenset[str]

    @property
    def is_searched(self) -> bool:
        """Whether it is looked for anywhere in a text."""
        return not self.methods or bool(self.methods - ANCHORED)

    @property
    def is_full(self) -> bool:
        """Whether it may have to match a whole text."""
        return "fullmatch" in self.methods


def modules() -> list[types.ModuleType]:
    """Returns all modules of the product, imported."""
    names = [module.name for module in pkgutil.walk_packages([str(ROOT)], "wx2mqtt.")]
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


def _patterns_within(value: object, depth: int = 0) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif depth < 5 and isinstance(value, dict):
        for element in value.values():
            yield from _patterns_within(element, depth + 1)
    elif depth < 5 and isinstance(value, (list, tuple, set, frozenset)):
        for element in value:
            yield from _patterns_within(element, depth + 1)
    elif depth < 5 and type(value).__module__.startswith("wx2mqtt."):
        slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        for name in [*getattr(value, "__dict__", ()), *slots]:
            yield from _patterns_within(getattr(value, name, None), depth + 1)


def _methods_called(tree: ast.Module, variable: str) -> frozenset[str]:
    """Returns the methods that a module calls on a variable; empty when it is used in another way, too."""
    calls = {
        id(node.value): node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in FUNCTIONS | {"pattern"}
    }
    loads = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == variable and isinstance(node.ctx, ast.Load)
    ]
    if any(id(node) not in calls for node in loads):
        return frozenset()
    return frozenset(calls[id(node)] for node in loads) - {"pattern"}


def _calls_of_re(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in FUNCTIONS
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
        ):
            yield node.func.attr, node


def _evaluated(node: ast.expr, module: types.ModuleType) -> Any:
    return eval(compile(ast.Expression(node), "<pattern>", "eval"), dict(vars(module)))


def _functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def _runs_at_import_only(function: ast.FunctionDef | ast.AsyncFunctionDef, tree: ast.Module) -> bool:
    """Returns whether a private function is called outside of functions only: its patterns are in variables."""
    within = {id(node) for other in _functions(tree) for node in ast.walk(other)}
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == function.name]
    return function.name.startswith("_") and bool(uses) and all(id(node) not in within for node in uses)


def _inline_patterns(module: types.ModuleType, tree: ast.Module) -> Iterator[ProductPattern]:
    """Yields the patterns in functions. Raises `NameError` for one that only the running function knows."""
    for function in _functions(tree):
        calls = list(_calls_of_re(function))
        if not calls or _runs_at_import_only(function, tree):
            continue
        for method, call in calls:
            flags = 0
            for keyword in call.keywords:
                flags |= _evaluated(keyword.value, module) if keyword.arg == "flags" else 0
            position = {"compile": 1, "sub": 4, "subn": 4, "split": 3}.get(method, 2)
            if len(call.args) > position:
                flags |= _evaluated(call.args[position], module)
            pattern = re.compile(_evaluated(call.args[0], module), flags)
            methods = frozenset({method} - {"compile"})
            yield ProductPattern(f"{module.__name__}:{call.lineno}", pattern, methods)


@cache
def _modules_with_re() -> list[tuple[types.ModuleType, ast.Module]]:
    """Returns the modules that import `re`, with their source."""
    sources = [(module, Path(str(module.__file__)).read_text(encoding="utf-8")) for module in modules()]
    return [(module, ast.parse(source)) for module, source in sources if "import re\n" in source]


def product_patterns() -> list[ProductPattern]:
    """Returns all patterns of the product, each once for each variable or call that has it."""
    patterns = []
    for module, tree in _modules_with_re():
        own = {
            node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        for variable, value in vars(module).items():
            if variable in own:
                methods = _methods_called(tree, variable) if isinstance(value, re.Pattern) else frozenset()
                patterns += [
                    ProductPattern(f"{module.__name__}.{variable}", pattern, methods)
                    for pattern in _patterns_within(value)
                ]
        patterns += _inline_patterns(module, tree)
    return patterns


def modules_with_lost_patterns() -> list[str]:
    """Returns the modules that compile more patterns at import than their variables hold."""
    lost = []
    for module, tree in _modules_with_re():
        within = {id(node) for function in _functions(tree) for node in ast.walk(function)}
        compiled = sum(method == "compile" and id(call) not in within for method, call in _calls_of_re(tree))
        held = {id(pattern) for value in vars(module).values() for pattern in _patterns_within(value)}
        if len(held) < compiled:
            lost.append(module.__name__)
    return lost


def other_imports_of_re() -> list[str]:
    """Returns the lines that import `re` or a part of it in another way, so that its calls would not be seen."""
    return [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted(ROOT.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if _OTHER_IMPORT.match(line)
    ]
