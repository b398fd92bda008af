"""Measures the shape of the code: `python -m tests.shape [--json] [ROOT]`.

Prints one table (figure, value, limit) and, below it, the items behind each figure that has a limit.
Everything is counted from the files with `ast`, `tokenize` and `tomllib`; nothing is imported or run.
"Product" is `wx2mqtt` without `wx2mqtt/simulator`. The rules, in the order of the table:

- Class names in two or more modules: classes of the product at any depth. `settings/schema.py` is left out, because
  its section classes name parts of the published JSON Schema. A name that stands once in each of two or more backends
  (`wechat/webwx`, `wechat/ilink`, `wechat/wecom`), and nowhere else, is allowed. The next row counts
  `settings/schema.py` as well.
- Function-typed constructor parameters: parameters of `__init__` and dataclass fields in `wx2mqtt/bridge` and
  `wx2mqtt/app` that are annotated with `Callable`, with a module-level alias of it (also an imported alias), or with
  a protocol that has `__call__`; alone, in a union or in `Optional`. Clocks and randomness do not count: functions
  without arguments that return a number and have one of the names in `NUMBER_SOURCES`.
- Constructors with 8 or more parameters: explicit `__init__` methods; `self`, `*args` and `**kwargs` do not count.
- Files, their lines, the median, small and large files: Python files of the product without `__init__.py`.
- Functions over 50 lines: from `def` to the last line, decorators not counted.
- Import contracts, layers, names in the purity list: from `pyproject.toml`. A layer is one entry of `layers`; the
  purity list is `source_modules` of the contracts whose name contains the word "pure".
- Lambdas in `wx2mqtt/bridge`.
- Citations of absent documents: lines that name a document outside of the repository, or that cite a number, as in
  `(<protocol> 1.2, 1.3)`, which is no statement of `docs/en/development/*.md`. A statement is a line that starts with
  the number (after heading, list or table marks), in a file whose name contains the protocol's word, or a line that
  starts with the word and the number. A line counts once. Counted in the product, `tests`, `config`, `deploy` and
  `README*`, in every text file; the simulator and numbers cited without a bracket have rows of their own. This file,
  its test and `test_citations.py` are left out.
- Docstrings: of classes and functions of the product. Comment lines: lines that hold only a comment.
- Filler names: names in `FILLERS` that product code assigns, each assignment counted (parameters are not).
- Gerund file names: end in `ing` and are not in `ALLOWED_GERUNDS`.
- Duplicate file names: names of product files, without `__init__.py`, that occur more than once.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import statistics
import sys
import tokenize
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

PACKAGE = "wx2mqtt"
SIMULATOR = f"{PACKAGE}/simulator/"
SCHEMA = f"{PACKAGE}/settings/schema.py"
TWIN_FOLDERS = tuple(f"{PACKAGE}/wechat/{backend}/" for backend in ("webwx", "ilink", "wecom"))
WIRED_FOLDERS = (f"{PACKAGE}/bridge/", f"{PACKAGE}/app/")

LARGE_CONSTRUCTOR_PARAMETERS = 8
SMALL_FILE_LINES = 100
LARGE_FILE_LINES = 450
LONG_FUNCTION_LINES = 50

NUMBER_SOURCES = {"clock", "now", "steady", "monotonic", "boot_time", "random", "jitter", "delay", "wait"}
NUMBER_TYPES = {"Callable[[], float]", "Callable[[], int]"}
FILLERS = {"told", "one", "found", "place", "thing", "wanted", "asks"}
# Words that end in `ing` and are nouns of the field, or no gerunds.
ALLOWED_GERUNDS = {"string", "ping", "ring", "binding", "matching"}

PROTOCOLS = ("webwx", "ilink", "mqtt")
CITING_FOLDERS = (PACKAGE, "tests", "config", "deploy")
THIS_TOOL = {"tests/shape.py", "tests/unit/test_shape.py", "tests/unit/test_citations.py"}
SKIPPED_FOLDERS = {"__pycache__", "node_modules"}
ABSENT = re.compile(r"\bDESIGN\b|(?<![\w./-])reference/|\bmqtt-bridges\b|\bredesign\.md\b|\baesthetics\b")
NUMBER = r"\d+(?:\.\d+)*"
NUMBERS = rf"({NUMBER}(?:(?:, | and | or | to |-|–){NUMBER})*)"
BRACKETED = re.compile(rf"\(({'|'.join(PROTOCOLS)}) {NUMBERS}")
UNBRACKETED = re.compile(rf"(?<!\()\b(webwx|ilink) {NUMBERS}")
STATEMENT = re.compile(rf"[\s#>*|`-]*(?:({'|'.join(PROTOCOLS)}) )?({NUMBER})(?![\w%])")

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
N = TypeVar("N", bound=ast.stmt | ast.expr)
Statements = dict[str, set[str]]
Items = tuple[str, ...]


class Figure(NamedTuple):
    name: str
    text: str
    limit: int | None = None
    """The largest value that is accepted; None: the figure only informs."""


FIGURES = (
    Figure("duplicate_classes", "class names in two or more modules", 0),
    Figure("duplicate_classes_with_schema", "the same, settings/schema.py included"),
    Figure("function_parameters", "function-typed parameters and fields in bridge and app", 15),
    Figure("large_constructors", "constructors with 8 or more parameters", 2),
    Figure("files", "product files"),
    Figure("lines", "lines in them"),
    Figure("median_lines", "median lines of a file"),
    Figure("small_files", "files under 100 lines", 42),
    Figure("large_files", "files over 450 lines", 4),
    Figure("long_functions", "functions over 50 lines", 0),
    Figure("contracts", "import contracts", 7),
    Figure("layers", "layers in them", 8),
    Figure("pure_modules", "names in the purity list", 25),
    Figure("bridge_lambdas", "lambdas in bridge"),
    Figure("citations", "lines that cite absent documents", 0),
    Figure("simulator_citations", "the same in the simulator", 0),
    Figure("unbracketed_citations", "the same without a bracket", 0),
    Figure("docstrings", "docstrings of classes and functions"),
    Figure("comment_lines", "comment lines"),
    Figure("filler_names", "filler names assigned", 0),
    Figure("gerund_files", "files named by a bare gerund", 0),
    Figure("duplicate_file_names", "file names that occur twice or more"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The figures of one checkout; a figure with items holds them, as `path:line name` or a path."""

    duplicate_classes: Items
    duplicate_classes_with_schema: Items
    function_parameters: Items
    large_constructors: Items
    files: int
    lines: int
    median_lines: int
    small_files: Items
    large_files: Items
    long_functions: Items
    contracts: int
    layers: int
    pure_modules: int
    bridge_lambdas: Items
    citations: Items
    simulator_citations: Items
    unbracketed_citations: Items
    docstrings: int
    comment_lines: int
    filler_names: Items
    gerund_files: Items
    duplicate_file_names: Items

    def items(self, figure: Figure) -> Items:
        content = getattr(self, figure.name)
        return content if isinstance(content, tuple) else ()

    def value(self, figure: Figure) -> int:
        content: Items | int = getattr(self, figure.name)
        return content if isinstance(content, int) else len(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A Python file of the product; `path` is relative to the root, with slashes. `nodes` are all of `tree`."""

    path: str
    text: str
    tree: ast.Module
    nodes: tuple[ast.AST, ...]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def line_count(self) -> int:
        return len(self.text.splitlines())


class Line(NamedTuple):
    path: str
    number: int
    text: str


def measure(root: Path) -> Shape:
    """Returns the figures of the checkout at `root`."""
    sources = list(_sources(root))
    files = [source for source in sources if source.name != "__init__.py"]
    contracts = _contracts(root)
    statements = _statements(root)
    searched = _searched_lines(root)
    simulator = [line for line in searched if line.path.startswith(SIMULATOR)]
    product = [line for line in searched if not line.path.startswith(SIMULATOR)]
    return Shape(
        duplicate_classes=_duplicate_classes(source for source in sources if source.path != SCHEMA),
        duplicate_classes_with_schema=_duplicate_classes(sources),
        function_parameters=_function_parameters(sources),
        large_constructors=_large_constructors(sources),
        files=len(files),
        lines=sum(file.line_count for file in files),
        median_lines=round(statistics.median([file.line_count for file in files] or [0])),
        small_files=_files(file for file in files if file.line_count < SMALL_FILE_LINES),
        large_files=_files(file for file in files if file.line_count > LARGE_FILE_LINES),
        long_functions=_long_functions(sources),
        contracts=len(contracts),
        layers=sum(len(contract.get("layers", ())) for contract in contracts),
        pure_modules=_pure_modules(contracts),
        bridge_lambdas=_lambdas(source for source in sources if source.path.startswith(WIRED_FOLDERS[0])),
        citations=_citations(product, BRACKETED, statements),
        simulator_citations=_citations(simulator, BRACKETED, statements),
        unbracketed_citations=_unbracketed_citations(product + simulator, statements),
        docstrings=sum(_has_docstring(node) for source in sources for node in source.nodes),
        comment_lines=sum(_comment_lines(source) for source in sources),
        filler_names=_filler_names(sources),
        gerund_files=tuple(file.path for file in files if _is_gerund(Path(file.path).stem)),
        duplicate_file_names=_duplicate_file_names(files),
    )


def _sources(root: Path) -> Iterator[Source]:
    for path in sorted((root / PACKAGE).rglob("*.py")):
        relative = path.relative_to(root).as_posix()
        if not relative.startswith(SIMULATOR):
            text = path.read_text(encoding="utf-8")
            tree = ast.parse(text)
            yield Source(path=relative, text=text, tree=tree, nodes=tuple(ast.walk(tree)))


def _duplicate_classes(sources: Iterable[Source]) -> Items:
    paths: dict[str, list[str]] = defaultdict(list)
    for source in sources:
        for name in {node.name for node in _nodes(source, ast.ClassDef)}:
            paths[name].append(source.path)
    return tuple(
        f"{name}: {', '.join(where)}"
        for name, where in sorted(paths.items())
        if len(where) > 1 and not _are_twins(where)
    )


def _are_twins(paths: list[str]) -> bool:
    folders = [folder for path in paths for folder in TWIN_FOLDERS if path.startswith(folder)]
    return len(folders) == len(paths) == len(set(folders))


class Annotations:
    """Decides whether an annotation is a function type; follows aliases through imports between product modules."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._aliases: dict[tuple[str, str], ast.expr] = {}
        self._imports: dict[tuple[str, str], tuple[str, str]] = {}
        self._callable_protocols: set[tuple[str, str]] = set()
        for source in sources:
            for statement in source.tree.body:
                self._add(source.module, statement)

    def _add(self, module: str, statement: ast.stmt) -> None:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self._aliases[module, name] = value
            case ast.AnnAssign(
                target=ast.Name(id=name), annotation=ast.Name(id="TypeAlias"), value=ast.expr() as value
            ):
                self._aliases[module, name] = value
            case ast.ImportFrom(module=str(origin), names=names, level=0):
                for alias in names:
                    self._imports[module, alias.asname or alias.name] = (origin, alias.name)
            case ast.ClassDef(name=name) if _is_callable_protocol(statement):
                self._callable_protocols.add((module, name))

    def is_function(self, module: str, annotation: ast.expr | None) -> bool:
        match annotation:
            case ast.Constant(value=str(text)) if text.isprintable():
                return self.is_function(module, _parsed_annotation(text))
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return self.is_function(module, left) or self.is_function(module, right)
            case ast.Subscript(value=ast.Name(id="Optional" | "Union" | "Annotated"), slice=inner):
                parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
                return any(self.is_function(module, part) for part in parts)
            case ast.Subscript(value=base):
                return self.is_function(module, base)
            case ast.Attribute(attr=name):
                return name == "Callable"
            case ast.Name(id=name):
                return name == "Callable" or self._names_function(module, name)
        return False

    def _names_function(self, module: str, name: str) -> bool:
        if (module, name) in self._callable_protocols:
            return True
        if (alias := self._aliases.get((module, name))) is not None:
            return not isinstance(alias, ast.Constant) and self.is_function(module, alias)
        origin = self._imports.get((module, name))
        return origin is not None and origin[0].startswith(f"{PACKAGE}.") and self._names_function(*origin)


def _is_callable_protocol(node: ast.ClassDef) -> bool:
    is_protocol = any("Protocol" in ast.unparse(base) for base in node.bases)
    return is_protocol and any(
        isinstance(item, FunctionNode) and item.name == "__call__" for item in node.body
    )


def _parsed_annotation(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        return None


def _function_parameters(sources: list[Source]) -> Items:
    annotations = Annotations(sources)
    return tuple(
        f"{source.path}:{argument.lineno} {owner}.{name}: {ast.unparse(annotation)}"
        for source in sources
        if source.path.startswith(WIRED_FOLDERS)
        for owner, name, annotation, argument in _constructor_parameters(source)
        if annotations.is_function(source.module, annotation) and not _is_number_source(name, annotation)
    )


def _constructor_parameters(source: Source) -> Iterator[tuple[str, str, ast.expr, ast.arg | ast.AnnAssign]]:
    """Yields class, name and annotation of each parameter: of `__init__`, and of dataclass fields."""
    for node in _nodes(source, ast.ClassDef):
        is_dataclass = any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                for argument in _parameters(item):
                    if argument.annotation is not None:
                        yield node.name, argument.arg, argument.annotation, argument
            elif is_dataclass and isinstance(item, ast.AnnAssign) and _is_constructor_field(item):
                yield node.name, ast.unparse(item.target), item.annotation, item


def _is_constructor_field(item: ast.AnnAssign) -> bool:
    return not (isinstance(item.value, ast.Call) and "init=False" in ast.unparse(item.value))


def _is_number_source(name: str, annotation: ast.expr) -> bool:
    return name in NUMBER_SOURCES and ast.unparse(annotation) in NUMBER_TYPES


def _nodes(source: Source, kind: type[N]) -> list[N]:
    """Returns the nodes of a kind in the order of their lines."""
    return sorted((node for node in source.nodes if isinstance(node, kind)), key=lambda node: node.lineno)


def _parameters(function: FunctionNode) -> list[ast.arg]:
    """Returns the named parameters without `self`."""
    arguments = function.args
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs][1:]


def _large_constructors(sources: Iterable[Source]) -> Items:
    return tuple(
        f"{source.path}:{item.lineno} {node.name}: {len(_parameters(item))}"
        for source in sources
        for node in _nodes(source, ast.ClassDef)
        for item in node.body
        if isinstance(item, ast.FunctionDef) and item.name == "__init__"
        if len(_parameters(item)) >= LARGE_CONSTRUCTOR_PARAMETERS
    )


def _files(sources: Iterable[Source]) -> Items:
    return tuple(f"{source.path}: {source.line_count}" for source in sources)


def _long_functions(sources: Iterable[Source]) -> Items:
    return tuple(
        f"{source.path}:{node.lineno} {node.name}: {_line_count(node)}"
        for source in sources
        for node in source.nodes
        if isinstance(node, FunctionNode) and _line_count(node) > LONG_FUNCTION_LINES
    )


def _line_count(node: FunctionNode) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _contracts(root: Path) -> list[dict[str, Any]]:
    with (root / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    contracts: list[dict[str, Any]] = project.get("tool", {}).get("importlinter", {}).get("contracts", [])
    return contracts


def _pure_modules(contracts: Iterable[dict[str, Any]]) -> int:
    return sum(
        len(contract.get("source_modules", ()))
        for contract in contracts
        if re.search(r"\bpure\b", contract["name"], re.IGNORECASE)
    )


def _lambdas(sources: Iterable[Source]) -> Items:
    return tuple(f"{source.path}:{node.lineno}" for source in sources for node in _nodes(source, ast.Lambda))


def _statements(root: Path) -> Statements:
    """Returns the numbers that the development documents state, by protocol."""
    statements: Statements = {protocol: set() for protocol in PROTOCOLS}
    for path in sorted((root / "docs/en/development").glob("*.md")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if (start := STATEMENT.match(line)) is None:
                continue
            words = [start[1]] if start[1] else [word for word in PROTOCOLS if word in path.stem]
            for word in words:
                statements[word].add(start[2])
    return statements


def _searched_lines(root: Path) -> list[Line]:
    """Returns the lines that are searched for citations."""
    paths = [path for name in CITING_FOLDERS for path in sorted((root / name).rglob("*")) if path.is_file()]
    return [
        Line(relative, number, text)
        for path in [*paths, *sorted(root.glob("README*"))]
        if (relative := path.relative_to(root).as_posix()) not in THIS_TOOL
        if not SKIPPED_FOLDERS.intersection(path.parts)
        for number, text in enumerate(_text(path).splitlines(), start=1)
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def _citations(lines: Iterable[Line], cited: re.Pattern[str], statements: Statements) -> Items:
    return tuple(
        f"{line.path}:{line.number}"
        for line in lines
        if ABSENT.search(line.text) or _cites_missing(line.text, cited, statements)
    )


def _unbracketed_citations(lines: Iterable[Line], statements: Statements) -> Items:
    return tuple(
        f"{line.path}:{line.number}" for line in lines if _cites_missing(line.text, UNBRACKETED, statements)
    )


def _cites_missing(text: str, cited: re.Pattern[str], statements: Statements) -> bool:
    return any(
        not statements[citation[1]].issuperset(re.findall(NUMBER, citation[2]))
        for citation in cited.finditer(text)
    )


def _has_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef | FunctionNode) and ast.get_docstring(node) is not None


def _comment_lines(source: Source) -> int:
    tokens = tokenize.generate_tokens(io.StringIO(source.text).readline)
    return sum(token.type == tokenize.COMMENT and token.line.lstrip().startswith("#") for token in tokens)


def _filler_names(sources: Iterable[Source]) -> Items:
    return tuple(
        f"{source.path}:{node.lineno} {node.id}"
        for source in sources
        for node in _nodes(source, ast.Name)
        if isinstance(node.ctx, ast.Store) and node.id in FILLERS
    )


def _is_gerund(stem: str) -> bool:
    return stem.endswith("ing") and stem not in ALLOWED_GERUNDS


def _duplicate_file_names(files: Iterable[Source]) -> Items:
    paths: dict[str, list[str]] = defaultdict(list)
    for file in files:
        paths[file.name].append(file.path)
    return tuple(f"{name}: {', '.join(where)}" for name, where in sorted(paths.items()) if len(where) > 1)


def as_text(shape: Shape) -> str:
    """Returns the table, and below it the items of each figure that has a limit."""
    rows = (f"{figure.text:<58}{shape.value(figure):>8}{_limit(figure):>8}" for figure in FIGURES)
    lines = [f"{'figure':<58}{'value':>8}{'wanted':>8}", *rows]
    for figure in FIGURES:
        if figure.limit is not None and shape.items(figure):
            lines += ["", f"{figure.text}:", *(f"  {item}" for item in shape.items(figure))]
    return "\n".join(lines)


def _limit(figure: Figure) -> str:
    if figure.limit is None:
        return "-"
    return f"<={figure.limit}" if figure.limit else "0"


def as_json(shape: Shape) -> str:
    return json.dumps(
        {
            figure.name: {
                "value": shape.value(figure),
                "wanted": figure.limit,
                "items": shape.items(figure),
            }
            for figure in FIGURES
        },
        indent=2,
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.shape", description="Measures the shape of the code."
    )
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).parents[1], metavar="ROOT")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args(arguments)
    shape = measure(options.root)
    sys.stdout.write((as_json(shape) if options.json else as_text(shape)) + "\n")


if __name__ == "__main__":
    main()
