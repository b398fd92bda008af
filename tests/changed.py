"""Runs the tests that belong to what was changed: `make test-changed`, `python -m tests.changed [--base COMMIT] [--list]`.

Changed is what differs from the place where this branch left `origin/main` (in a clone without it, from HEAD), new
files included. To a changed file belong, among the tests in `tests/unit`, `tests/bridge` and `tests/docs`:

    wx2mqtt/mqtt/payloads.py    the test files that mirror it (tests/unit/mqtt/test_payloads*.py) or import it
    wx2mqtt/bridge/*.py         also all of tests/bridge
    wx2mqtt/store/sql/*.sql     all of tests/unit/store
    tests/**/test_x.py          itself, in any folder of tests
    another file of tests       the test files that import it
    anything else               the test files that name it, as tests/unit/test_addon_files.py names run.py
    docs/**, *.md               also tests/docs/test_pages.py

A module that more than `MAX_IMPORTERS` test files import, such as model.py, brings its mirrors alone, and says so:
`make unit` is for those. All other arguments go to pytest. Nothing here replaces `make test`: a scenario may see a change that no unit test sees.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
FOLDERS = ("tests/unit", "tests/bridge", "tests/docs")
BRIDGE_TESTS = "tests/bridge"
MAX_IMPORTERS = 25
PAGE_TESTS = "tests/docs/test_pages.py"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.changed", allow_abbrev=False)
    parser.add_argument("--base", help="the commit to compare with; origin/main, or HEAD where there is none")
    parser.add_argument("--list", action="store_true", help="only print the test files")
    options, pytest_arguments = parser.parse_known_args(arguments)
    tests = sorted(find_tests(changed_files(options.base or _default_base())))
    if not tests:
        print(f"no test of {', '.join(FOLDERS)} belongs to what was changed")  # noqa: T201
        return 0
    print(*tests, sep="\n", flush=True)  # noqa: T201
    if options.list:
        return 0
    side_by_side = ["-n", "4", "--dist", "loadfile"]
    command = [sys.executable, "-m", "pytest", *side_by_side, *tests, *pytest_arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def changed_files(base: str) -> set[str]:
    """Returns the paths that differ from a commit, and the new ones; a removed file is among them."""
    listed = (
        _git("diff", "--name-only", "-z", base, "--"),
        _git("ls-files", "--others", "--exclude-standard", "-z"),
    )
    return {path for output in listed for path in output.split("\0") if path}


def _default_base() -> str:
    known = _git("for-each-ref", "refs/remotes/origin/main")
    return _git("merge-base", "HEAD", "origin/main").strip() if known else "HEAD"


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True, encoding="utf-8"
    ).stdout


def find_tests(changed: Iterable[str]) -> set[str]:
    """Returns the test files, or folders of them, that belong to changed files."""
    return {test for path in changed for test in _tests_of_file(PurePosixPath(path))}


def _tests_of_file(path: PurePosixPath) -> Iterator[str]:
    if _is_test(path):
        if (ROOT / path).exists():
            yield str(path)
    elif path.suffix == ".py" and path.parts[0] in ("wx2mqtt", "tests"):
        yield from _mirrors_of(path)
        if path.parts[:2] == ("wx2mqtt", "bridge"):
            yield BRIDGE_TESTS
        importers = list(_importers_of(_module_of(path)))
        if len(importers) <= MAX_IMPORTERS:
            yield from importers
        else:
            print(f"{path}: make unit runs the {len(importers)} test files that import it", file=sys.stderr)  # noqa: T201
    elif path.parts[0] == "wx2mqtt":
        yield str(_nearest_folder(path))
    else:
        yield from _tests_that_name(path.name)
    if path.suffix == ".md":
        yield PAGE_TESTS


def _is_test(path: PurePosixPath) -> bool:
    return path.parts[0] == "tests" and path.name.startswith("test_") and path.suffix == ".py"


def _mirrors_of(path: PurePosixPath) -> Iterator[str]:
    """Yields `test_x.py` and `test_x_*.py` of `x.py`, in the folder that mirrors its own."""
    if path.parts[0] != "wx2mqtt":
        return
    folder = ROOT / "tests" / "unit" / PurePosixPath(*path.parts[1:-1])
    for pattern in (f"test_{path.stem}.py", f"test_{path.stem}_*.py"):
        yield from (str(test.relative_to(ROOT)) for test in folder.glob(pattern))


def _nearest_folder(path: PurePosixPath) -> PurePosixPath:
    """Returns the folder below tests/unit that mirrors the nearest folder of a file that is not Python."""
    folder = PurePosixPath("tests/unit", *path.parts[1:-1])
    while not (ROOT / folder).is_dir():
        folder = folder.parent
    return folder


def _module_of(path: PurePosixPath) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _importers_of(module: str) -> Iterator[str]:
    for test in _test_files():
        if module in _imports_of(test):
            yield test


def _tests_that_name(name: str) -> Iterator[str]:
    for test in _test_files():
        if name in (ROOT / test).read_text(encoding="utf-8"):
            yield test


@cache
def _test_files() -> tuple[str, ...]:
    paths = (path for folder in FOLDERS for path in (ROOT / folder).rglob("test_*.py"))
    return tuple(sorted(str(path.relative_to(ROOT)) for path in paths))


@cache
def _imports_of(test: str) -> frozenset[str]:
    """Returns the modules that a test file imports; of `from a import b` both `a` and `a.b`."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / test).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
            modules.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(modules)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
