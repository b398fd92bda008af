"""When a file is downloaded that somebody asks for."""

from __future__ import annotations

from typing import Any

from tests.support.rows import every_row
from tests.unit.bridge.media.rows import NOW, row
from wx2mqtt.bridge.media.stored_media import retry_time_when_requested
from wx2mqtt.store.records import MediaState

FAILED_ONCE = {"attempts": 3, "reason": "the line is cut", "due": NOW + 60_000}


@every_row(
    ("fields", "due"),
    [
        # What was never tried goes before all that waits for its turn.
        ({"due": NOW + 1}, 0),
        ({"due": None}, 0),
        # What failed is tried once in five seconds, however often it is asked for.
        ({**FAILED_ONCE, "state": MediaState.PENDING}, NOW + 5_000),
        ({**FAILED_ONCE, "state": MediaState.FAILED}, NOW + 5_000),
        # Nobody shortens the time that WeChat gets to have the bytes.
        ({"attempts": 2, "empty_attempts": 2, "reason": "nothing", "due": NOW + 9_000}, None),
    ],
)
def test_when_a_file_is_due_that_somebody_asks_for(fields: dict[str, Any], due: int | None):
    assert retry_time_when_requested(row(**fields), NOW) == due
