"""A method that a docstring, a comment or a page for developers names as `Class.method` exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "wx2mqtt"
PAGES = [*PACKAGE.rglob("*.py"), *(ROOT / "docs").rglob("*.md"), ROOT / "CONTRIBUTING.md"]
REFERENCE = re.compile(r"`([A-Z]\w+)\.([a-z_]\w*)(?:\(\))?`")
"""As `OutboxReader.read`; a class of a library is not looked up."""


@cache
def members() -> dict[str, set[str]]:
    """Returns the names that each class of the package has, by the name of the class."""
    bases: dict[str, list[str]] = {}
    own: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [ast.unparse(base) for base in node.bases]
                own.setdefault(node.name, set()).update(_names_in(node))
    return {name: own[name] | _inherited(name, own, bases) for name in own if not _is_foreign(name, bases)}


def _is_foreign(name: str, bases: dict[str, list[str]]) -> bool:
    """Returns whether a class has a base outside of the package, whose methods are not known here."""
    return any(base not in bases or _is_foreign(base, bases) for base in bases[name])


def _inherited(name: str, own: dict[str, set[str]], bases: dict[str, list[str]]) -> set[str]:
    parents = [base for base in bases[name] if base in own]
    return set().union(*(own[base] | _inherited(base, own, bases) for base in parents))


def _names_in(node: ast.ClassDef) -> set[str]:
    names = set()
    for inner in ast.walk(node):
        match inner:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                names.add(inner.name)
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                names.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                names.add(name)
    return names


def missing_in(text: str) -> list[str]:
    known = members()
    return [
        f"{owner}.{name}"
        for owner, name in REFERENCE.findall(text)
        if owner in known and name not in known[owner]
    ]


def test_each_method_that_is_named_exists() -> None:
    missing = {path: missing_in(path.read_text(encoding="utf-8")) for path in PAGES}
    assert {path: names for path, names in missing.items() if names} == {}


def test_a_method_that_is_gone_is_noticed() -> None:
    assert missing_in("`CommandSender.seconds_of_yesterday` and `CommandSender.recheck`") == [
        "CommandSender.seconds_of_yesterday"
    ]
