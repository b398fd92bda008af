"""The text that `wx2mqtt simulate` prints."""

from __future__ import annotations

from pathlib import Path

from tests.support.rows import every_row
from wx2mqtt.simulator.server import SimulatorOptions, startup_text


def test_the_page_and_the_endpoint_are_named():
    text = startup_text("http://127.0.0.1:8070", SimulatorOptions())
    assert "http://127.0.0.1:8070/sim " in text
    assert "endpoint to http://127.0.0.1:8070" in text
    assert "password" not in text
    assert "hosts" not in text


@every_row(("host", "warned"), [("0.0.0.0", True), ("mybox", True), ("localhost", False), ("::1", False)])
def test_an_address_that_others_reach_is_warned_of(host: str, warned: bool):
    assert ("no password" in startup_text("http://x", SimulatorOptions(host=host))) is warned


def test_with_tls_a_client_with_fixed_names_is_told_how_it_comes_here():
    text = startup_text("https://x", SimulatorOptions(tls=Path("/t")))
    assert "/t/ca.pem" in text
    assert "\n127.0.0.1 file.web.wechat.com " in text
    assert "webpush.wx2.qq.com" in text
