"""The imitated fallback service prints what it gets as one line, as a phone would show it."""

from __future__ import annotations

import base64
from typing import Any

from tests.support.rows import every_row
from wx2mqtt.demo import fallback_service
from wx2mqtt.settings.schema import Media


def attachment(name: str, size: int) -> dict[str, str]:
    return {"filename": name, "base64": base64.b64encode(bytes(size)).decode()}


@every_row(
    ("body", "line"),
    [
        ({"title": "Alarm", "message": "door open"}, "Alarm · door open"),
        ({"title": "", "message": "door open"}, "door open"),
        ({"message": "door\nwindow\n"}, "door · window"),
        ({"title": "Alarm", "message": ""}, "Alarm"),
        ({}, ""),
        (
            {"message": "door", "attachments": [attachment("a.jpg", 30_000), attachment("b", 1)]},
            "door · 📎 a.jpg, 30 kB · 📎 b, 0 kB",
        ),
    ],
)
def test_title_text_and_files_are_one_line(body: dict[str, Any], line: str) -> None:
    assert fallback_service._shown(body) == line


def test_a_file_of_the_largest_size_by_default_fits_into_a_request() -> None:
    assert Media().max_size * 4 / 3 < fallback_service.MAX_BODY_BYTES
