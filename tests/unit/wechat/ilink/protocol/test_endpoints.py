"""Which calls of iLink's API the server holds."""

from __future__ import annotations

from wx2mqtt.wechat.ilink.protocol import endpoints


def test_the_server_holds_only_the_calls_that_wait_for_news() -> None:
    calls = [value for value in vars(endpoints).values() if isinstance(value, endpoints.Endpoint)]
    assert {call.name for call in calls if call.is_long_poll} == {"get_qrcode_status", "getupdates"}
