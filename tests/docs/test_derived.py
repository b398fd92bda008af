"""`make docs` writes every file that is made from the code, and says what the code lacks."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.docs import __main__ as command
from tests.docs import derived, markdown
from tests.docs.code_help import CODE_HELP
from tests.docs.derived import derived_files, missing_parts, schema_text, write_files
from tests.docs.limit_texts import LIMIT_TEXTS
from tests.docs.markdown import ROOT
from tests.docs.table_texts import TABLE_TEXTS
from wx2mqtt.i18n.reference import REFERENCE_TEXTS
from wx2mqtt.settings.key_tree import dotted, walk


def test_every_file_that_is_made_from_the_code_is_fresh():
    stale = [
        str(path.relative_to(ROOT))
        for path, make_content in derived_files().items()
        if path.read_text(encoding="utf-8") != make_content()
    ]
    assert stale == [], "run make docs"


def test_the_files_of_the_configuration_are_written():
    names = {str(path.relative_to(ROOT)) for path in derived_files()}
    assert names >= {
        "config/wx2mqtt.yaml",
        "config/wx2mqtt.schema.json",
        "deploy/man/wx2mqtt.1",
        "docs/zh/limits.md",
        "docs/en/development/architecture.md",
    }


def test_the_stored_schema_is_what_the_command_prints():
    printed = subprocess.run(
        [sys.executable, "-m", "wx2mqtt", "schema", "config"], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(printed) == json.loads(schema_text())


def test_the_code_lacks_nothing():
    assert list(missing_parts()) == []


IN_TABLES = "wx2mqtt/i18n/reference.py or tests/docs/table_texts.py"


@pytest.mark.parametrize(
    ("texts", "place"),
    [(REFERENCE_TEXTS, IN_TABLES), (TABLE_TEXTS, IN_TABLES), (LIMIT_TEXTS, "tests/docs/limit_texts.py")],
    ids=["reference", "tables", "limits"],
)
def test_a_text_without_chinese_is_named_with_its_place(monkeypatch, texts, place):
    english = next(iter(texts))
    monkeypatch.delitem(texts, english)
    assert list(missing_parts()) == [f"no Chinese for {english!r}: {place}"]


def test_a_code_without_cause_and_cure_is_named(monkeypatch):
    others = {code: remedy for code, remedy in CODE_HELP.items() if code != "too_late"}
    monkeypatch.setattr(derived, "CODE_HELP", others)  # itself it would change its order, which pages have
    assert list(missing_parts()) == ["no cause and cure of the code too_late: tests/docs/code_help.py"]


def test_a_limit_without_a_row_is_named(monkeypatch):
    monkeypatch.setattr(derived, "limits_without_row", lambda: {"web.new:MAX_GUESTS"})
    (part,) = missing_parts()
    assert part.startswith("no row for the limit web.new:MAX_GUESTS: tests/docs/limit_table.py")


def test_a_key_without_a_description_is_named(monkeypatch):
    path, key = next(walk())
    monkeypatch.setattr(derived, "walk", lambda: [(path, replace(key, description=""))])
    assert f"no description of the key {dotted(path)}: wx2mqtt/settings/schema.py" in missing_parts()


def test_only_changed_files_are_written(tmp_path):
    (old := tmp_path / "old").write_text("as it is")
    (stale := tmp_path / "stale").write_text("of yesterday")
    new, broken = tmp_path / "new", tmp_path / "broken"
    before = old.stat().st_mtime_ns

    def fail() -> str:
        raise KeyError("no Chinese")

    written = write_files(
        {old: lambda: "as it is", stale: lambda: "of today", new: lambda: "1", broken: fail}
    )
    assert (written.changed, written.incomplete) == ([stale, new], [broken])
    assert (stale.read_text(), new.read_text(), broken.exists()) == ("of today", "1", False)
    assert old.stat().st_mtime_ns == before


def test_the_command_says_what_it_wrote_and_what_is_missing(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(markdown, "ROOT", tmp_path)
    monkeypatch.setattr(command, "report_blocks", lambda: None)
    monkeypatch.setattr(command, "derived_files", lambda: {tmp_path / "page.md": lambda: "1"})
    monkeypatch.setattr(command, "missing_parts", lambda: ["no Chinese for 'a'"])
    monkeypatch.setattr(sys, "argv", ["tests.docs"])
    assert command.main() == 1
    assert capsys.readouterr().out.splitlines() == [
        "written: page.md",
        "0 of 1 files were up to date",
        "missing: no Chinese for 'a'",
    ]
