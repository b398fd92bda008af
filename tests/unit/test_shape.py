"""The figures of the code's shape stay within their limits, and are counted as the tool says."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from tests import shape
from tests.shape import FIGURES, Figure, Shape, measure

ROOT = Path(__file__).parents[2]
LIMITED = [figure for figure in FIGURES if figure.limit is not None]
CONTRACTS = """
[[tool.importlinter.contracts]]
name = "Layers"
layers = ["a", "b | c"]

[[tool.importlinter.contracts]]
name = "Pure modules"
source_modules = ["wx2mqtt.a", "wx2mqtt.b"]
"""


@cache
def project() -> Shape:
    return measure(ROOT)


def measured(folder: Path, files: dict[str, str]) -> Shape:
    for path, text in {"pyproject.toml": CONTRACTS, **files}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return measure(folder)


@pytest.mark.parametrize("figure", LIMITED, ids=[figure.name for figure in LIMITED])
def test_a_figure_of_the_project_stays_within_its_limit(figure: Figure):
    assert figure.limit is not None
    value = project().value(figure)
    items = "\n".join(project().items(figure)[:40])
    assert value <= figure.limit, f"{figure.text}: {value}, at most {figure.limit}\n{items}"


def test_the_project_is_measured_and_not_an_empty_folder():
    assert project().files > 100
    assert project().lines > 10_000
    assert project().contracts > 0


def test_a_class_name_in_two_modules_counts_once(tmp_path):
    files = {"wx2mqtt/a.py": "class A: ...", "wx2mqtt/b.py": "class A: ...", "wx2mqtt/c.py": "class C: ..."}
    assert measured(tmp_path, files).duplicate_classes == ("A: wx2mqtt/a.py, wx2mqtt/b.py",)


def test_twins_of_the_backends_and_sections_of_the_schema_are_allowed(tmp_path):
    files = {
        "wx2mqtt/wechat/webwx/a.py": "class Twin: ...",
        "wx2mqtt/wechat/ilink/b.py": "class Twin: ...",
        "wx2mqtt/settings/schema.py": "class Section: ...",
        "wx2mqtt/web.py": "class Section: ...",
        "wx2mqtt/simulator/c.py": "class Twin: ...",
    }
    result = measured(tmp_path, files)
    assert result.duplicate_classes == ()
    assert len(result.duplicate_classes_with_schema) == 1


def test_a_third_class_with_the_name_of_twins_is_not_allowed(tmp_path):
    files = {
        f"wx2mqtt/{path}.py": "class Twin: ..." for path in ("wechat/webwx/a", "wechat/ilink/a", "model")
    }
    assert len(measured(tmp_path, files).duplicate_classes) == 1


@pytest.mark.parametrize(
    "annotation",
    ["Callable[[], None]", "Callable[[], None] | None", "'Callable[[], None]'", "Alias", "Imported", "Asks"],
)
def test_a_function_is_found_through_unions_texts_aliases_and_protocols(tmp_path, annotation):
    source = (
        "from wx2mqtt.values import Imported\nAlias = Callable[[int], int]\n"
        "class Asks(Protocol):\n    def __call__(self) -> None: ...\n"
        f"class A:\n    def __init__(self, work: {annotation}, name: str) -> None: ...\n"
        f"@dataclass(frozen=True)\nclass B:\n    work: {annotation}\n    name: str\n"
    )
    files = {"wx2mqtt/bridge/a.py": source, "wx2mqtt/values.py": "Imported = Callable[[], Awaitable[None]]\n"}
    owners = [item.split()[1] for item in measured(tmp_path, files).function_parameters]
    assert owners == ["A.work:", "B.work:"]


@pytest.mark.parametrize("annotation", ["list[int]", "Sequence[str] | None", "Alias", "Values"])
def test_a_value_is_no_function(tmp_path, annotation):
    source = (
        "from typing import Values\nAlias = dict[str, int]\n"
        f"class A:\n    def __init__(self, work: {annotation}) -> None: ...\n"
    )
    assert measured(tmp_path, {"wx2mqtt/app/a.py": source}).function_parameters == ()


def test_a_clock_and_a_function_outside_of_bridge_and_app_do_not_count(tmp_path):
    source = "class A:\n    def __init__(self, {}: Callable[[], float]) -> None: ...\n"
    files = {"wx2mqtt/bridge/a.py": source.format("clock"), "wx2mqtt/web/a.py": source.format("work")}
    assert measured(tmp_path, files).function_parameters == ()


def test_a_constructor_counts_from_eight_parameters_without_self(tmp_path):
    source = "class {}:\n    def __init__(self, a, b, c, d, *, e, f, g{}) -> None: ...\n"
    files = {"wx2mqtt/a.py": source.format("Seven", "") + source.format("Eight", ", h")}
    assert measured(tmp_path, files).large_constructors == ("wx2mqtt/a.py:4 Eight: 8",)


def test_files_and_functions_are_measured_by_their_lines(tmp_path):
    files = {
        "wx2mqtt/small.py": "x = 1\n" * 99,
        "wx2mqtt/medium.py": "x = 1\n" * 100,
        "wx2mqtt/large.py": "x = 1\n" * 451,
        "wx2mqtt/long.py": "def f():\n" + "    x = 1\n" * 50 + "def g():\n" + "    x = 1\n" * 49,
        "wx2mqtt/__init__.py": "",
    }
    result = measured(tmp_path, files)
    assert result.small_files == ("wx2mqtt/small.py: 99",)
    assert result.large_files == ("wx2mqtt/large.py: 451",)
    assert result.long_functions == ("wx2mqtt/long.py:1 f: 51",)
    assert (result.files, result.lines, result.median_lines) == (4, 751, 100)


def test_contracts_layers_and_pure_names_come_from_the_project_file(tmp_path):
    result = measured(tmp_path, {})
    assert (result.contracts, result.layers, result.pure_modules) == (2, 2, 2)


@pytest.mark.parametrize(
    "line",
    ["see DESIGN 4", "reference/notes.md", "(webwx 2.1)", "(ilink 9)", "(mqtt 1, 9.9)", "(ilink 1 to 3)"],
)
def test_a_citation_that_no_document_states_counts(tmp_path, line):
    files = {
        "wx2mqtt/a.py": f"# {line}\n",
        "README.md": f"{line}\n",
        "docs/en/development/ilink.md": "## 1 Login\n",
        "docs/en/development/notes.md": "- mqtt 1: an acknowledgement comes late\n",
    }
    assert measured(tmp_path, files).citations == ("wx2mqtt/a.py:1", "README.md:1")


@pytest.mark.parametrize(
    "line", ["(ilink 1.2)", "(ilink 1.2, 3)", "(mqtt 1)", "docs/en/reference/topics.md", "a DESIGNER"]
)
def test_a_citation_of_a_document_in_the_repository_does_not_count(tmp_path, line):
    files = {
        "tests/a.py": f"# {line}\n",
        "docs/en/development/ilink-protocol.md": "### 1.2 Login\n\n| 3 | codes |\n",
        "docs/en/development/notes.md": "- mqtt 1: an acknowledgement comes late\n",
    }
    assert measured(tmp_path, files).citations == ()


def test_citations_of_the_simulator_and_without_brackets_have_figures_of_their_own(tmp_path):
    files = {"wx2mqtt/simulator/a.py": "# (webwx 2.1)\n", "tests/b.py": "# the table of ilink 10.3\n"}
    result = measured(tmp_path, files)
    assert result.citations == ()
    assert result.simulator_citations == ("wx2mqtt/simulator/a.py:1",)
    assert result.unbracketed_citations == ("tests/b.py:1",)


def test_names_comments_docstrings_and_lambdas_are_counted(tmp_path):
    source = (
        'class A:\n    """Text."""\n# comment\nx = 1  # beside\nfor one in []:\n    found = lambda: one\n'
    )
    files = {"wx2mqtt/bridge/telling.py": source, "wx2mqtt/web/telling.py": "", "wx2mqtt/ping.py": ""}
    result = measured(tmp_path, files)
    assert (result.docstrings, result.comment_lines) == (1, 1)
    assert result.filler_names == ("wx2mqtt/bridge/telling.py:5 one", "wx2mqtt/bridge/telling.py:6 found")
    assert result.bridge_lambdas == ("wx2mqtt/bridge/telling.py:6",)
    assert result.gerund_files == ("wx2mqtt/bridge/telling.py", "wx2mqtt/web/telling.py")
    assert result.duplicate_file_names == ("telling.py: wx2mqtt/bridge/telling.py, wx2mqtt/web/telling.py",)


def test_the_table_and_the_json_show_every_figure_with_its_limit(tmp_path, capsys):
    measured(tmp_path, {"wx2mqtt/a.py": "class A: ...", "wx2mqtt/b.py": "class A: ..."})
    shape.main([str(tmp_path)])
    table = capsys.readouterr().out
    assert all(figure.text in table for figure in FIGURES)
    assert "  A: wx2mqtt/a.py, wx2mqtt/b.py" in table
    shape.main(["--json", str(tmp_path)])
    figures = json.loads(capsys.readouterr().out)
    assert figures["duplicate_classes"] == {
        "value": 1,
        "wanted": 0,
        "items": ["A: wx2mqtt/a.py, wx2mqtt/b.py"],
    }
