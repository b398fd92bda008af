"""The sentences for errors with which mosquitto ends."""

from __future__ import annotations

from tests.support.rows import every_row
from wx2mqtt.mqtt.embedded import StartFault, _fault_of


@every_row(
    ("error", "fault"),
    [
        ("Address already in use", StartFault.PORT_IN_USE),
        ("Couldn't open database.", StartFault.DAMAGED_DATABASE),
        ("Unknown configuration variable 'x'.", StartFault.OTHER),
        ("", StartFault.OTHER),
    ],
)
def test_an_error_of_mosquitto_says_what_to_do_next(error: str, fault: StartFault) -> None:
    assert _fault_of(error) is fault
