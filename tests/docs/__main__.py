"""Writes the tables into the pages of the documentation: `python -m tests.docs`."""

from __future__ import annotations

from tests.docs.tables import page_with_tables, pages


def main() -> None:
    for path in pages():
        path.write_text(page_with_tables(path), encoding="utf-8")


if __name__ == "__main__":
    main()
