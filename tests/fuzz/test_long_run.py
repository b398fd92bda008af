"""A long run goes on where it was interrupted, and counts the inputs that it has run."""

from __future__ import annotations

import pytest

from tests.fuzz import long_run
from tests.fuzz.mutators import grown, mutated
from tests.fuzz.target import Target

SEEDS = (b'{"a": [1, "two"]}',)


def target_with(name, run):
    return Target(name=name, run=run, parsers=(), seeds=SEEDS, generate=mutated(SEEDS), grow=grown(SEEDS))


@pytest.fixture(autouse=True)
def _short_chunks(monkeypatch):
    monkeypatch.setattr(long_run, "CHUNK_CASES", 100)
    monkeypatch.setattr(long_run, "LARGE_EVERY", 50)


def test_a_run_goes_on_with_the_chunk_that_is_missing(tmp_path):
    seen: list[bytes] = []
    target = target_with("one", seen.append)
    assert list(long_run.run_on([target], tmp_path, 250, "1")) == []
    before = long_run.chunks_of(tmp_path, target)
    assert sum(chunk.cases for chunk in before) >= 250
    assert sum(chunk.large_cases for chunk in before) > 0
    seen.clear()
    assert list(long_run.run_on([target], tmp_path, 250, "1")) == []
    assert seen == []
    assert list(long_run.run_on([target], tmp_path, 500, "1")) == []
    after = long_run.chunks_of(tmp_path, target)
    assert after[: len(before)] == before
    assert len({chunk.seed for chunk in after}) == len(after)


def test_a_line_that_a_kill_cut_off_does_not_count(tmp_path):
    target = target_with("one", len)
    list(long_run.run_on([target], tmp_path, 20, "1"))
    path = long_run.path_of(tmp_path, target)
    text = path.read_text().replace(" ", "")
    path.write_text(text + text[:20])
    count = len(long_run.chunks_of(tmp_path, target))
    assert count == len(text.split())
    list(long_run.run_on([target], tmp_path, 400, "1"))
    assert len(long_run.chunks_of(tmp_path, target)) > count


def test_each_target_gets_a_tenth_before_one_is_finished(tmp_path):
    order = []
    targets = [target_with(name, lambda _data, name=name: order.append(name)) for name in ("one", "two")]
    list(long_run.run_on(targets, tmp_path, 1000, "1"))
    first = order.index("two")
    assert order[:first].count("one") < 1000
    assert order[first:].count("one") > order[:first].count("one")


def test_a_finding_is_given_counted_and_does_not_end_the_run(tmp_path):
    def fail(data):
        if b"two" not in data:
            raise LookupError("no two")

    target = target_with("one", fail)
    findings = list(long_run.run_on([target], tmp_path, 300, "1"))
    assert findings
    assert all("LookupError" in finding.rule for finding in findings)
    chunks = long_run.chunks_of(tmp_path, target)
    assert sum(chunk.findings for chunk in chunks) == len(findings)
    assert sum(chunk.cases for chunk in chunks) >= 300
    *_, row, together = long_run.table([target], tmp_path, "en")
    assert row.endswith(f"| {len(findings)} |")
    assert together.replace("together", "one") == row


def test_the_report_replaces_the_figures_of_a_page_in_both_languages(tmp_path):
    target = target_with("one", len)
    list(long_run.run_on([target], tmp_path, 20, "1"))
    pages = {language: tmp_path / language / "page.md" for language in long_run.HEADS}
    for page in pages.values():
        page.parent.mkdir()
        page.write_text(f"before\n{long_run.REPORT_BEGIN}\nold\n{long_run.REPORT_END}\nafter\n")
    long_run.write_report([target], tmp_path, pages["en"])
    for language, page in pages.items():
        lines = page.read_text().splitlines()
        assert (lines[0], lines[-1]) == ("before", "after")
        assert lines[2:-2] == list(long_run.table([target], tmp_path, language))


def test_no_page_is_written_where_a_mark_of_the_chinese_one_is_missing(tmp_path):
    english, chinese = tmp_path / "en" / "page.md", tmp_path / "zh" / "page.md"
    for page in (english, chinese):
        page.parent.mkdir()
    english.write_text(f"{long_run.REPORT_BEGIN}\nold\n{long_run.REPORT_END}\n")
    chinese.write_text("no mark\n")
    with pytest.raises(ValueError, match="unpack"):
        long_run.write_report([target_with("one", len)], tmp_path, english)
    assert "old" in english.read_text()
