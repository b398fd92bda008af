"""The page on the architecture says what the code is: its drawing is fresh and the files that it names exist."""

from __future__ import annotations

import re

import pytest

from tests.architecture import PAGES, ROOT, page_with_drawing


@pytest.mark.parametrize("language", PAGES)
def test_the_drawing_shows_the_imports_of_today(language) -> None:
    page = PAGES[language].read_text(encoding="utf-8")
    assert page == page_with_drawing(page, language), "run: python -m tests.architecture --write"


@pytest.mark.parametrize("language", PAGES)
def test_every_file_that_the_page_names_exists(language) -> None:
    page = PAGES[language].read_text(encoding="utf-8")
    names = re.findall(r"`((?:[a-z_]+|<backend>)(?:/(?:[a-z_]+|<backend>))*(?:\.py|/))`", page)
    assert len(names) > 20
    for name in names:
        for path in {name.replace("<backend>", backend) for backend in ("webwx", "ilink")}:
            assert (ROOT / "wx2mqtt" / path).exists() or (ROOT / path).exists(), name
