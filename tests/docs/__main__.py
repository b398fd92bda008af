"""Writes all files that are made from the code: `python -m tests.docs`, which `make docs` calls.

It says what it has written and what the code lacks (`tests/docs/derived.py`), and ends with 1 if it lacks something.
With `--count` it only says how many blocks of code the tests run and parse.
"""

from __future__ import annotations

import sys

from tests.docs import markdown
from tests.docs.derived import derived_files, missing_parts, write_files


def main() -> int:
    if "--count" in sys.argv:
        report_blocks()
        return 0
    files = derived_files()
    written = write_files(files)
    for path in written.changed:
        print(f"written: {path.relative_to(markdown.ROOT)}")
    for path in written.incomplete:
        print(f"not written, something is missing: {path.relative_to(markdown.ROOT)}")
    print(
        f"{len(files) - len(written.changed) - len(written.incomplete)} of {len(files)} files were up to date"
    )
    missing = list(missing_parts())
    for part in missing:
        print(f"missing: {part}")
    report_blocks()
    return 1 if missing or written.incomplete else 0


def report_blocks() -> None:
    """Prints how many blocks of code are run, parsed, only shown and excused, and why each excused one is."""
    blocks = [block for path in markdown.pages() for block in markdown.blocks(path)]
    counts = markdown.block_counts(blocks)
    print("blocks of code:", ", ".join(f"{count} {name}" for name, count in counts.most_common()))
    for block in blocks:
        if block.check == "excused":
            print(f"  excused: {block.name}: {block.reason}")


if __name__ == "__main__":
    sys.exit(main())
