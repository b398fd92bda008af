"""Figures that a program writes between two marks of a page of the documentation, in English and in Chinese."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from wx2mqtt.i18n import Language


def english_page(name: str) -> Path:
    """Returns the page of an option, so that a wrong one is refused before the run and not after it."""
    page = Path(name)
    if "en" not in page.parts or not page.is_file():
        raise argparse.ArgumentTypeError(f"{name} is no page below docs/en")
    return page


def chinese_page(page: Path) -> Path:
    """Returns the Chinese page of an English one. Raises `ValueError` for a page that is not below a folder `en`."""
    parts = list(page.parts)
    parts[parts.index("en")] = "zh"
    return Path(*parts)


def write_figures(page: Path, begin: str, end: str, figures: Mapping[Language, str]) -> None:
    """Replaces what stands between the marks of an English page and of its Chinese one.

    Writes nothing and raises `ValueError` where a mark is missing.
    """
    pages: Mapping[Language, Path] = {"en": page, "zh": chinese_page(page)}
    written = {path: _replaced(path, begin, end, figures[language]) for language, path in pages.items()}
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")


def _replaced(page: Path, begin: str, end: str, figures: str) -> str:
    head, rest = page.read_text(encoding="utf-8").split(begin)
    _, tail = rest.split(end)
    return f"{head}{begin}\n{figures}\n{end}{tail}"
