"""An open bridge: what a reload changes, and how long an orderly stop takes."""

from __future__ import annotations

from wx2mqtt.app.application import STOP_TIMEOUT_SECONDS
from wx2mqtt.bridge.account import DRAIN_TIMEOUT_SECONDS, OFFLINE_PUBLISH_TIMEOUT_SECONDS
from wx2mqtt.wechat.ilink.protocol.endpoints import NOTIFY_STOP


def test_a_stop_ends_in_time_though_neither_broker_nor_wechat_answers():
    """It waits for attempts under way, publishes `offline` twice, and notifies iLink."""
    assert (
        DRAIN_TIMEOUT_SECONDS + 2 * OFFLINE_PUBLISH_TIMEOUT_SECONDS + NOTIFY_STOP.timeout
        <= STOP_TIMEOUT_SECONDS
    )
