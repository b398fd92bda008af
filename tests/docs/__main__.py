"""Writes the tables into the pages of the documentation, and the man page: `python -m tests.docs`."""

from __future__ import annotations

from tests.docs import markdown
from tests.docs.manual import MANUAL, manual_text
from tests.docs.tables import page_with_tables, pages


def main() -> None:
    for path in pages():
        path.write_text(page_with_tables(path), encoding="utf-8")
    MANUAL.write_text(manual_text(), encoding="utf-8")
    counts = markdown.block_counts(block for path in markdown.pages() for block in markdown.blocks(path))
    print("blocks of code:", ", ".join(f"{count} {name}" for name, count in counts.most_common()))  # noqa: T201


if __name__ == "__main__":
    main()
