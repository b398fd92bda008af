"""Writes the table of limits from the code into docs/en/limits.md: `python -m tests.limits_table [--write]`."""

from __future__ import annotations

import sys
from pathlib import Path

from wx2mqtt.diagnostics.limit_table import LIMITS, Limit

PAGE = Path(__file__).parents[1] / "docs" / "en" / "limits.md"
BEGIN = "<!-- table: made by `python -m tests.limits_table --write`, a test compares -->\n"
END = "<!-- end of table -->\n"

_POWERS = {1 << 30: "GiB", 1 << 20: "MiB", 1 << 10: "KiB"}


def shown(limit: Limit) -> str:
    """The value as people read it: whole powers of two of bytes with their unit, else digits in groups."""
    if limit.unit == "bytes":
        for power, unit in _POWERS.items():
            if limit.value >= power and limit.value % power == 0:
                return f"{limit.value // power:g} {unit}"
    number = f"{limit.value:,}" if isinstance(limit.value, int) else f"{limit.value:g}"
    return f"{number} {limit.unit}".strip()


def table() -> str:
    rows = [f"| {limit.bounded} | {shown(limit)} | {limit.beyond} |\n" for limit in LIMITS]
    return "".join(["| what is bounded | at most | beyond |\n", "|---|---|---|\n", *rows])


def page_with_table(page: str) -> str:
    """The page with today's table between its markers. Raises `ValueError` where a marker is missing."""
    head, rest = page.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}{table()}{END}{tail}"


def main() -> None:
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page_with_table(PAGE.read_text()))
    else:
        print(table())  # noqa: T201


if __name__ == "__main__":
    main()
