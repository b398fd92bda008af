"""The page on the architecture says what the code is: its drawing is fresh and the files that it names exist."""

from __future__ import annotations

import re

from tests.architecture import PAGE, ROOT, page_with_drawing


def test_the_drawing_shows_the_imports_of_today() -> None:
    assert PAGE.read_text() == page_with_drawing(PAGE.read_text()), (
        "run: python -m tests.architecture --write"
    )


def test_every_file_that_the_page_names_exists() -> None:
    names = re.findall(r"`((?:[a-z_]+|<backend>)(?:/(?:[a-z_]+|<backend>))*(?:\.py|/))`", PAGE.read_text())
    assert len(names) > 20
    for name in names:
        for path in {name.replace("<backend>", backend) for backend in ("webwx", "ilink")}:
            assert (ROOT / "wx2mqtt" / path).exists() or (ROOT / path).exists(), name
