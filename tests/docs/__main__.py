"""Writes the tables into the pages of the documentation, and the man page: `python -m tests.docs`.

With `--count` it writes nothing, and says how many blocks of code the tests run and parse.
"""

from __future__ import annotations

import sys

from tests.docs import markdown
from tests.docs.manual import MANUAL, manual_text
from tests.docs.tables import page_with_tables, pages


def main() -> None:
    if "--count" in sys.argv:
        report_blocks()
        return
    for path in pages():
        path.write_text(page_with_tables(path), encoding="utf-8")
    MANUAL.write_text(manual_text(), encoding="utf-8")
    report_blocks()


def report_blocks() -> None:
    """Prints how many blocks of code are run, parsed, only shown and excused, and why each excused one is."""
    blocks = [block for path in markdown.pages() for block in markdown.blocks(path)]
    counts = markdown.block_counts(blocks)
    print("blocks of code:", ", ".join(f"{count} {name}" for name, count in counts.most_common()))
    for block in blocks:
        if block.check == "excused":
            print(f"  excused: {block.name}: {block.reason}")


if __name__ == "__main__":
    main()
